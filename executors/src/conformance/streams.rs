//! Laws of streams and listeners, over TCP and over Unix sockets.

use std::fs;
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;

use futures_util::FutureExt;
use futures_util::future::join;
use futures_util::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use socket2::SockRef;

use super::subject::{Subject, inside, soon, until};
use crate::executor::Executor;
use crate::network::{Address, Listener, Peer, Stream, bind_tcp};
use crate::wait::yield_now;

/// A listener on a free address. The path of a Unix socket is removed when this is dropped.
struct TestListener {
    inner: Listener,
    path: Option<TestPath>,
}

impl TestListener {
    fn tcp(executor: &Arc<dyn Executor>) -> TestListener {
        let socket = bind_tcp("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        let inner = executor.tcp_listener(socket).expect("adopted");
        assert_eq!(inner.local_addr().ok(), Some(Address::Tcp(address)));
        TestListener { inner, path: None }
    }

    fn unix(executor: &Arc<dyn Executor>) -> TestListener {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mycelium-conformance-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let socket = UnixListener::bind(&path).expect("a new path");
        let inner = executor.unix_listener(socket).expect("adopted");
        assert_eq!(inner.local_addr().ok(), Some(Address::Unix(path.clone())));
        TestListener { inner, path: Some(TestPath(path)) }
    }

    fn address(&self) -> String {
        self.inner.local_addr().expect("an address").to_string()
    }

    async fn connect(&self, executor: &Arc<dyn Executor>) -> Stream {
        match &self.path {
            Some(TestPath(path)) => {
                let socket = UnixStream::connect(path).expect("the listener accepts");
                executor.unix_stream(socket).expect("adopted")
            }
            None => soon(executor, executor.connect(self.address()))
                .await
                .expect("the listener accepts"),
        }
    }

    async fn pair(&mut self, executor: &Arc<dyn Executor>) -> (Stream, Stream, Peer) {
        let client = self.connect(executor).await;
        let (server, peer) = soon(executor, self.inner.accept()).await.expect("a connection");
        (client, server, peer)
    }
}

/// Removes a file when it is dropped.
struct TestPath(PathBuf);

impl Drop for TestPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs the law with two connected streams over each kind of socket.
fn pairs<S: Subject>(law: impl AsyncFn(&Arc<dyn Executor>, Stream, Stream, Peer) + Send + 'static) {
    inside::<S>(async move |executor| {
        for bind in [TestListener::tcp, TestListener::unix] {
            let mut listener = bind(&executor);
            let (client, server, peer) = listener.pair(&executor).await;
            law(&executor, client, server, peer).await;
        }
    });
}

/// The streams carry more bytes than the system can buffer, in both directions at once.
pub fn bytes_flow_both_ways_and_a_full_stream_blocks_its_writer<S: Subject>() {
    pairs::<S>(async |executor, mut client, server, _| {
        let pattern = Pattern::new();
        let mut written = 0;
        // Without a reader the writer is pending when the buffers are full.
        poll_fn(|context| {
            loop {
                match Pin::new(&mut client).poll_write(context, pattern.at(written)) {
                    Poll::Ready(count) => written += count.expect("written"),
                    Poll::Pending => break Poll::Ready(()),
                }
                assert!(written < 1 << 30, "the buffers are never full");
            }
        })
        .await;
        let all = written + 1_000_000;
        let (said, mut echoed) = server.split();
        let echo = async {
            copy(said, &mut echoed).await.expect("all until the end");
            echoed.close().await.expect("closed");
        };
        let (mut reader, mut writer) = client.split();
        let there = async {
            while written < all {
                let next = pattern.at(written);
                let next = &next[..next.len().min(all - written)];
                writer.write_all(next).await.expect("written");
                written += next.len();
            }
            writer.close().await.expect("closed");
        };
        let back = async {
            let (mut buffer, mut received) = (vec![0; 50_000], 0);
            loop {
                let count = reader.read(&mut buffer).await.expect("bytes or the end");
                assert_eq!(buffer[..count], pattern.at(received)[..count], "the echo is the same");
                received += count;
                if count == 0 {
                    break received;
                }
            }
        };
        let ((), ((), received)) = soon(executor, join(echo, join(there, back))).await;
        assert_eq!(received, all);
    });
}

/// An endless sequence of bytes in which a lost or duplicated byte is visible.
struct Pattern(Vec<u8>);

impl Pattern {
    const PERIOD: usize = 251;

    fn new() -> Pattern {
        Pattern((0..60_000 + Pattern::PERIOD).map(|byte| (byte % Pattern::PERIOD) as u8).collect())
    }

    /// Returns the bytes that follow the first `position` bytes.
    fn at(&self, position: usize) -> &[u8] {
        &self.0[position % Pattern::PERIOD..][..60_000]
    }
}

/// A vectored write takes all buffers. (Some compatibility layers write only the first one.)
pub fn one_vectored_write_takes_every_buffer<S: Subject>() {
    pairs::<S>(async |executor, mut client, mut server, _| {
        let parts = [&[1u8; 100][..], &[], &[2; 1], &[3; 5_000]];
        let slices = parts.map(IoSlice::new);
        let write = poll_fn(|context| Pin::new(&mut client).poll_write_vectored(context, &slices));
        assert_eq!(soon(executor, write).await.expect("written"), 5_101);
        let mut received = vec![0; 5_101];
        soon(executor, server.read_exact(&mut received)).await.expect("all");
        assert_eq!(received, parts.concat());
    });
}

/// A read that is dropped while it is pending, after any number of polls, has consumed nothing.
pub fn a_dropped_read_loses_no_byte<S: Subject>() {
    pairs::<S>(async |executor, mut client, mut server, _| {
        const BYTES: usize = 300;
        let mut received = Vec::new();
        let writer = async {
            for number in 0..BYTES {
                client.write_all(&[number as u8]).await.expect("written");
                if number % 7 == 0 {
                    executor
                        .sleep_until(executor.now() + std::time::Duration::from_micros(200))
                        .await;
                }
            }
        };
        let reader = async {
            let mut k = 0;
            while received.len() < BYTES {
                k = (k + 1) % 5;
                let mut buffer = [0; 4];
                let mut read = server.read(&mut buffer);
                let mut polls = 0;
                // The read is ready by its k-th poll, or dropped.
                let count = poll_fn(|context| match Pin::new(&mut read).poll(context) {
                    Poll::Ready(count) => Poll::Ready(count.expect("bytes")),
                    Poll::Pending if polls < k => {
                        polls += 1;
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    Poll::Pending => Poll::Ready(0),
                })
                .await;
                received.extend_from_slice(&buffer[..count]);
                if count == 0 {
                    yield_now().await;
                }
            }
        };
        soon(executor, join(writer, reader)).await;
        let expected: Vec<u8> = (0..BYTES).map(|number| number as u8).collect();
        assert_eq!(received, expected);
    });
}

/// A write that is dropped while it is pending has written nothing.
pub fn a_dropped_write_wrote_nothing<S: Subject>() {
    pairs::<S>(async |executor, mut client, mut server, _| {
        let block = [7; 10_000];
        let mut sent = 0;
        let mut pendings = 0;
        // No task reads. The loop ends after many pending writes, which do not count as written.
        while pendings < 20 {
            let write =
                poll_fn(|context| match Pin::new(&mut client).poll_write(context, &block) {
                    Poll::Ready(count) => Poll::Ready(count.expect("written")),
                    Poll::Pending => Poll::Ready(0),
                });
            match write.await {
                0 => pendings += 1,
                count => sent += count,
            }
            yield_now().await;
        }
        soon(executor, client.close()).await.expect("closed");
        let mut received = Vec::new();
        soon(executor, server.read_to_end(&mut received)).await.expect("all");
        assert_eq!(received.len(), sent);
    });
}

/// A connection that arrives after a pending accept was dropped goes to the next accept.
pub fn a_dropped_accept_loses_no_connection<S: Subject>() {
    inside::<S>(async |executor| {
        for bind in [TestListener::tcp, TestListener::unix] {
            let mut listener = bind(&executor);
            for _ in 0..5 {
                assert!(listener.inner.accept().now_or_never().is_none());
                let (mut client, mut server, _) = listener.pair(&executor).await;
                soon(&executor, client.write_all(b"me")).await.expect("written");
                let mut said = [0; 2];
                soon(&executor, server.read_exact(&mut said)).await.expect("read");
                assert_eq!(&said, b"me");
            }
        }
    });
}

/// `accept` reports the address over TCP, and the process over a Unix socket.
pub fn accept_reports_the_peer<S: Subject>() {
    pairs::<S>(async |executor, _, _, peer| match peer {
        Peer::Tcp(address) => assert!(address.ip().is_loopback(), "{address}"),
        Peer::Unix(credentials) => {
            let me = fs::metadata("/proc/self").expect("this process");
            assert_eq!(credentials.process, Some(std::process::id()), "{}", executor.name());
            assert_eq!((credentials.user, credentials.group), (me.uid(), me.gid()));
        }
    });
}

/// The client closes one direction; then the server closes the other one by dropping its stream.
/// Each side reads the end of file.
pub fn a_closed_stream_reads_as_end_of_file<S: Subject>() {
    pairs::<S>(async |executor, mut client, mut server, _| {
        let mut received = Vec::new();
        soon(executor, client.write_all(b"last words")).await.expect("written");
        soon(executor, client.close()).await.expect("closed");
        soon(executor, server.read_to_end(&mut received)).await.expect("end of file");
        assert_eq!(received, b"last words");
        assert_eq!(soon(executor, server.read(&mut [0; 4])).await.expect("still end of file"), 0);

        soon(executor, server.write_all(b"answer")).await.expect("the other direction is open");
        soon(executor, server.flush()).await.expect("flushed");
        drop(server);
        received.clear();
        soon(executor, client.read_to_end(&mut received)).await.expect("end of file");
        assert_eq!(received, b"answer");
    });
}

/// The write fails. It does not panic, stay pending forever, or send a signal that ends the
/// process.
pub fn writing_to_a_closed_peer_is_an_error<S: Subject>() {
    pairs::<S>(async |executor, mut client, server, _| {
        drop(server);
        let write = async { while client.write_all(&[0; 1_000]).await.is_ok() {} };
        soon(executor, write).await;
    });
}

/// A connect to a port without a listener, or to an invalid address, is an error.
pub fn an_unusable_address_is_an_error<S: Subject>() {
    inside::<S>(async |executor| {
        let listener = TestListener::tcp(&executor);
        let address = listener.address();
        drop(listener);
        let refused = soon(&executor, executor.connect(address)).await;
        assert!(refused.is_err(), "{refused:?}");
        for invalid in ["", "nowhere", "127.0.0.1:99999", "127.0.0.1", ":::"] {
            let refused = soon(&executor, executor.connect(invalid.to_owned())).await;
            assert!(refused.is_err(), "{invalid}");
            assert!(bind_tcp(invalid).is_err(), "{invalid}");
        }
    });
}

/// A second bind fails while the listener exists, and only then: the port is free as soon as the
/// listener is dropped, on any thread.
pub fn a_second_bind_of_a_used_port_is_an_error_at_once<S: Subject>() {
    inside::<S>(async |executor| {
        let mut listener = TestListener::tcp(&executor);
        let address = listener.address();
        for connected in [false, true] {
            if connected {
                // A connection that the server closes first keeps the port busy for a minute in the
                // system.
                let (client, server, _) = listener.pair(&executor).await;
                drop(server);
                drop(client);
            }
            let refused = bind_tcp(&address).expect_err("the port is in use");
            assert_eq!(refused.kind(), ErrorKind::AddrInUse);
            assert!(refused.to_string().contains(&address), "{refused}");
        }
        thread::spawn(move || drop(listener)).join().expect("no panic");
        let mut bound = None;
        until(&executor, || {
            bound = bind_tcp(&address).ok();
            bound.is_some()
        })
        .await;
        let listener = bound.map(|socket| executor.tcp_listener(socket).expect("adopted"));
        let mut again = TestListener { inner: listener.expect("bound"), path: None };
        again.pair(&executor).await;
    });
}

/// An adopted socket sends small writes at once, and the system probes a silent peer.
pub fn an_adopted_tcp_socket_is_prepared_for_messages<S: Subject>() {
    inside::<S>(async |executor| {
        let mut listener = TestListener::tcp(&executor);
        let socket = TcpStream::connect(listener.address()).expect("the listener accepts");
        let same = socket.try_clone().expect("a descriptor is free");
        let mut client = executor.tcp_stream(socket).expect("adopted");
        let prepared = SockRef::from(&same);
        assert!(prepared.tcp_nodelay().expect("an option") && prepared.keepalive().expect("one"));
        drop(same);
        let (mut server, _) = soon(&executor, listener.inner.accept()).await.expect("a connection");
        soon(&executor, client.write_all(b"hello")).await.expect("written");
        drop(client);
        let mut received = Vec::new();
        soon(&executor, server.read_to_end(&mut received)).await.expect("end of file");
        assert_eq!(received, b"hello");
    });
}

/// Connections of both listeners arrive, even at the same time.
pub fn two_listeners_accept_as_one<S: Subject>() {
    inside::<S>(async |executor| {
        let one = TestListener::tcp(&executor);
        let two = TestListener::tcp(&executor);
        let addresses = [one.address(), two.address()];
        let mut both = one.inner.and(two.inner);
        assert_eq!(both.local_addr().expect("an address").to_string(), addresses[0]);
        for order in [[0, 1], [1, 0], [0, 0], [1, 1]] {
            let mut clients = Vec::new();
            for which in order {
                let connected = executor.connect(addresses[which].clone());
                clients.push(soon(&executor, connected).await.expect("the listener accepts"));
            }
            for _ in order {
                let (mut server, _) = soon(&executor, both.accept()).await.expect("a connection");
                soon(&executor, server.write_all(b"hello")).await.expect("written");
            }
            for client in &mut clients {
                let mut greeting = [0; 5];
                soon(&executor, client.read_exact(&mut greeting)).await.expect("read");
            }
        }
    });
}

/// Each byte is reported, and then the end.
pub fn a_wake_stream_reports_each_byte<S: Subject>() {
    inside::<S>(async |executor| {
        let (ours, mut other) = UnixStream::pair().expect("a pair");
        let mut stream = executor.wake_stream(ours).expect("adopted");
        // More bytes than a stream may leave unread.
        for _ in 0..1_000 {
            other.write_all(&[7]).expect("it has room");
            assert!(soon(&executor, stream.woken()).await);
            while stream.woken().now_or_never().is_some() {}
        }
        other.set_nonblocking(true).expect("a socket");
        while other.write(&[7; 1_000]).is_ok() {}
        assert!(soon(&executor, stream.woken()).await, "also if it is full");
        drop(other);
        soon(&executor, async { while stream.woken().await {} }).await;
    });
}

/// The peer reads the end of file, whether or not the dropped stream was read before.
pub fn a_socket_may_be_dropped_on_any_thread<S: Subject>() {
    inside::<S>(async |executor| {
        for polled in [false, true] {
            let (ours, mut other) = UnixStream::pair().expect("a pair");
            let mut stream = executor.unix_stream(ours).expect("adopted");
            if polled {
                assert!(stream.read(&mut [0]).now_or_never().is_none());
            }
            let dropped = thread::spawn(move || drop(stream));
            // Writes succeed until the peer has closed its end.
            until(&executor, || other.write(&[0]).is_err()).await;
            dropped.join().expect("no panic");
        }
    });
}
