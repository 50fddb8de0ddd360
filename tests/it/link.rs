//! Links over real sockets: the end of a connection, polls that are cut short, and a process that
//! was stopped for a while.
#![cfg(unix)]

use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use mycelium_core::Fixed;
use mycelium_core::FrameView;
use mycelium_core::link::{
    CloseReason, Config, Event, IncomingId, Interest, Link, LinkError, Name, OutgoingId,
    ReaderMode, StreamStart,
};
use mycelium_core::{Envelope, message};
use mycelium_executor::{Executor, Stream};
use mycelium_tokio::Tokio;
use mycelium_transports::stream::{DriveError, Driver, Traffic};

use crate::frames::{frame, hello};

#[message(topic = "numbers", id = 1)]
struct Number {
    value: u64,
}

const BUFFER: usize = 64 << 10;

fn link<'b>(name: &str, buffer: &'b mut [u8]) -> Link<'b, 4, 4> {
    let config = Config::new(Name::try_from(name).unwrap(), 7);
    Link::new(config, buffer).unwrap()
}

/// Returns both ends of a connection.
fn pair(executor: &Tokio) -> (Stream, Stream) {
    let (left, right) = UnixStream::pair().unwrap();
    (executor.unix_stream(left).unwrap(), executor.unix_stream(right).unwrap())
}

/// Runs a link over this connection, and checks that it ends because of an invalid frame.
async fn fails(executor: Tokio, stream: Stream, traffic: &mut impl Traffic<4, 4>) {
    let mut buffer = vec![0; BUFFER];
    let mut linked = link("left", &mut buffer);
    let ended = Driver::new(&mut linked, stream, Arc::new(executor)).run(traffic).await;
    assert!(matches!(ended, DriveError::Link(LinkError::Frame(_))), "{ended}");
}

/// Publishes all numbers below `count`, and closes the link once they are confirmed.
#[derive(Debug)]
struct Writer {
    count: u64,
    kept: u64,
    stream: Option<OutgoingId>,
}

impl Writer {
    fn new(count: u64) -> Writer {
        Writer { count, kept: 0, stream: None }
    }
}

impl Traffic<4, 4> for Writer {
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, 4, 4>, event: Event<'_>) {
        let name = Name::try_from("writer").unwrap();
        match event {
            Event::Subscribe { export: serve, resumes: 0, .. } => {
                self.stream =
                    Some(link.open_stream(now, serve, name, StreamStart::new(5, 0, 1024)).unwrap());
            }
            Event::Window { confirmed: taken, .. } => self.kept = self.kept.max(taken),
            _ => {}
        }
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, 4, 4>, _context: &mut Context<'_>) {
        let Some(stream) = self.stream else { return };
        while let Ok(value) = link.sequence(stream)
            && value < self.count
        {
            let number = Number { value };
            if link.send(now, stream, &Envelope::default(), 8, number.encoded()).is_err() {
                return;
            }
        }
        if self.kept == self.count {
            link.close(now, CloseReason::Shutdown);
        }
    }
}

/// Takes numbers, which must arrive in order and without a hole.
#[derive(Debug, Default)]
struct Reader {
    next: u64,
    /// The streams of messages that were taken; each taken message frees a slot.
    taken: Vec<IncomingId>,
}

impl Traffic<4, 4> for Reader {
    fn on_event(&mut self, _: Duration, _: &mut Link<'_, 4, 4>, _: Event<'_>) {}

    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        let number = frame.message::<Number>().expect("aligned, and of this type");
        assert_eq!((number.value, frame.header().sequence()), (self.next, self.next));
        self.next += 1;
        self.taken.push(stream);
        Ok(())
    }

    fn send(&mut self, _: Duration, link: &mut Link<'_, 4, 4>, _: &mut Context<'_>) {
        self.taken.drain(..).for_each(|stream| link.grant(stream, 1).unwrap());
    }
}

#[tokio::test]
async fn the_reason_of_an_end_is_reported_although_the_peer_is_gone() {
    let executor = Tokio::current().unwrap();
    let (left, mut right) = pair(&executor);
    right.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(right);
    fails(executor, left, &mut Writer::new(1)).await;
}

/// A peer that sends something and ends between a read and a write.
struct Vanishing(Option<UnixStream>);

impl Traffic<4, 4> for Vanishing {
    fn on_event(&mut self, _: Duration, _: &mut Link<'_, 4, 4>, _: Event<'_>) {}

    fn send(&mut self, _: Duration, _: &mut Link<'_, 4, 4>, _: &mut Context<'_>) {
        if let Some(mut peer) = self.0.take() {
            peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        }
    }
}

#[tokio::test]
async fn the_last_bytes_of_a_peer_are_read() {
    let executor = Tokio::current().unwrap();
    let (left, right) = UnixStream::pair().unwrap();
    let left = executor.unix_stream(left).unwrap();
    fails(executor, left, &mut Vanishing(Some(right))).await;
}

#[tokio::test]
async fn l9_a_driver_that_is_dropped_at_every_poll_loses_nothing() {
    let executor = Tokio::current().unwrap();
    let shared: Arc<dyn Executor> = Arc::new(executor.clone());
    let (left, right) = pair(&executor);
    let (mut buffer, mut other) = (vec![0; BUFFER], vec![0; BUFFER]);
    let (mut writing, mut reading) = (link("writer", &mut buffer), link("reader", &mut other));
    reading.subscribe(Interest::of::<Number>(ReaderMode::Gating, 256).unwrap()).unwrap();
    let (mut writer, mut reader) = (Writer::new(20_000), Reader::default());
    let mut left = Driver::new(&mut writing, left, shared.clone());
    let mut right = Driver::new(&mut reading, right, shared);
    let (_, ended) = tokio::join!(
        poll_fn(|context| pin!(left.run(&mut writer)).poll(context)),
        poll_fn(|context| pin!(right.run(&mut reader)).poll(context)),
    );
    let DriveError::Link(LinkError::PeerClosed(CloseReason::Shutdown)) = ended else {
        panic!("{ended}")
    };
    assert_eq!((reader.next, writer.kept), (20_000, 20_000));
}

/// The process is stopped for longer than the silence limit, while its peer has sent something.
#[tokio::test(start_paused = true)]
async fn a_resumed_process_reads_before_it_checks_timeouts() {
    let executor = Tokio::current().unwrap();
    let (left, mut peer) = pair(&executor);
    let mut buffer = vec![0; BUFFER];
    let mut linked = link("left", &mut buffer);
    let mut driver = Driver::new(&mut linked, left, Arc::new(executor));
    let said_meanwhile = async {
        peer.write_all(&hello("p", 9, 1)).await.unwrap();
        // The node's hello, and the frames after it.
        let mut received = vec![0; 120];
        peer.read_exact(&mut received).await.unwrap();
        let ping = [13, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0];
        peer.write_all(&frame(0, 0, 0, &ping)).await.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        let pong = frame(0, 0, 0, &[14, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]);
        let mut received: Vec<u8> = Vec::new();
        while !received.ends_with(&pong) {
            let mut more = [0];
            peer.read_exact(&mut more).await.expect("the peer stays");
            received.extend(more);
        }
    };
    let mut nobody = Reader::default();
    tokio::select! {
        ended = driver.run(&mut nobody) => panic!("{ended}"),
        () = said_meanwhile => {}
    }
}
