//! Helpers for tests with two ends: a pipe in memory that breaks like a socket, a thread that runs
//! a future, and a sleep.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures_io::{AsyncRead, AsyncWrite};

/// One end of a pipe. Dropping it closes both directions; the bytes that it had written can still
/// be read, or are lost as by a reset.
#[derive(Debug)]
pub(crate) struct End {
    inbound: Arc<Mutex<Way>>,
    outbound: Arc<Mutex<Way>>,
    resets: bool,
}

#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    capacity: usize,
    closed: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Way {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

/// A pipe that holds this number of bytes each way. If `resets`, dropping the first end is a reset.
pub(crate) fn pipe(capacity: usize, resets: bool) -> (End, End) {
    let way = || Arc::new(Mutex::new(Way { capacity, ..Way::default() }));
    let (there, back) = (way(), way());
    let first = End { inbound: back.clone(), outbound: there.clone(), resets };
    (first, End { inbound: there, outbound: back, resets: false })
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = self.inbound.lock().unwrap();
        if way.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if way.bytes.is_empty() && !way.closed {
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.len().min(way.bytes.len());
        for (place, byte) in buffer.iter_mut().zip(way.bytes.drain(..count)) {
            *place = byte;
        }
        way.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = self.outbound.lock().unwrap();
        if way.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(way.capacity - way.bytes.len());
        if count == 0 && !bytes.is_empty() {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        way.bytes.extend(&bytes[..count]);
        way.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for way in [&self.inbound, &self.outbound] {
            let mut way = way.lock().unwrap();
            way.closed = true;
            way.wake();
        }
        self.outbound.lock().unwrap().reset = self.resets;
    }
}

pub(crate) use pollster::block_on;

/// A sleep with its own thread.
#[expect(clippy::disallowed_methods, reason = "this is the timer")]
pub(crate) fn sleep(duration: Duration) -> impl Future<Output = ()> {
    let shared = Arc::new(Mutex::new((false, None::<Waker>)));
    let timer = shared.clone();
    thread::spawn(move || {
        thread::sleep(duration);
        let mut timer = timer.lock().unwrap();
        timer.0 = true;
        timer.1.take().into_iter().for_each(Waker::wake);
    });
    std::future::poll_fn(move |cx| {
        let mut shared = shared.lock().unwrap();
        if shared.0 {
            return Poll::Ready(());
        }
        shared.1 = Some(cx.waker().clone());
        Poll::Pending
    })
}
