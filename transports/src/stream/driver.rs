//! What reads, writes and waits.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use mycelium_core::FrameView;
use mycelium_core::link::{
    CloseReason, ConfigError, Event, IncomingId, Link, LinkError, RunBytes, Transmit,
};
use mycelium_executor::{Executor, SendFuture, Stream};
use thiserror::Error;

use super::read_buffer::ReadBuffer;

/// So long a peer that reads no more is waited for, once the link has ended, and one that cannot be written to is heard.
const LINGER: Duration = Duration::from_secs(1);

/// Reads in a row, before others on the same executor get their turn.
const BURST: u32 = 16;

/// What a link carries: whoever has messages to send, and takes those that come.
pub trait Traffic<const TOPICS: usize, const STREAMS: usize> {
    /// A message has come, in place. Who wants no topics gets none.
    ///
    /// # Errors
    /// If it cannot be taken, why the link is to end. The message has not arrived then.
    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        let _ = (stream, frame);
        Err(CloseReason::Protocol)
    }

    /// The bytes of a run that was sent ([`Link::send_run`]) and that are not out: `lent.length` of them from `lent.offset`
    /// on, in two pieces. Without them the connection ends.
    fn run_bytes(&self, lent: &RunBytes) -> Option<[&[u8]; 2]> {
        let _ = lent;
        None
    }

    /// The peer said something else. What borrows from it is gone afterwards.
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, TOPICS, STREAMS>, event: Event<'_>);

    /// Sends what there is to send, as far as the link takes it, and has the waker called when there is more.
    fn send(
        &mut self,
        now: Duration,
        link: &mut Link<'_, TOPICS, STREAMS>,
        context: &mut Context<'_>,
    );
}

/// Drives a link over a stream until one of them ends.
pub struct Driver<'l, 'b, const TOPICS: usize, const STREAMS: usize> {
    link: &'l mut Link<'b, TOPICS, STREAMS>,
    stream: Stream,
    executor: Arc<dyn Executor>,
    buffer: ReadBuffer,
    timer: Option<(Duration, SendFuture<()>)>,
    /// The timer has fired.
    is_late: bool,
    /// The connection takes no more, and why.
    unwritable: Option<io::Error>,
    /// Until when what is left to say or to hear may take, since the link has ended or the connection takes no more.
    linger: Option<Duration>,
}

impl<'l, 'b, const TOPICS: usize, const STREAMS: usize> Driver<'l, 'b, TOPICS, STREAMS> {
    /// Opens the link on a fresh connection.
    pub fn new(
        link: &'l mut Link<'b, TOPICS, STREAMS>,
        stream: Stream,
        executor: Arc<dyn Executor>,
    ) -> Self {
        link.open(executor.now());
        Driver {
            link,
            stream,
            executor,
            buffer: ReadBuffer::new(),
            timer: None,
            is_late: false,
            unwritable: None,
            linger: None,
        }
    }

    /// Drives until the link or the connection ends, and says why. The link has then lost its connection, and can be
    /// opened on another.
    ///
    /// Cancelling: the next call goes on where this one was.
    pub async fn run(&mut self, traffic: &mut impl Traffic<TOPICS, STREAMS>) -> DriveError {
        let error = poll_fn(|context| self.poll(context, traffic)).await;
        self.link.lost();
        error
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        traffic: &mut impl Traffic<TOPICS, STREAMS>,
    ) -> Poll<DriveError> {
        for _ in 0..BURST {
            match self.round(context, traffic) {
                Ok(true) => {}
                Ok(false) if self.waits(context) => return Poll::Pending,
                Ok(false) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whatever can be done now; false if nothing moved.
    fn round(
        &mut self,
        context: &mut Context<'_>,
        traffic: &mut impl Traffic<TOPICS, STREAMS>,
    ) -> Result<bool, DriveError> {
        // In each round anew: the process may be stopped between two of them, and what is read then was said since.
        let now = self.executor.now();
        let mut moved = false;
        if self.link.ended().is_none() {
            match self.read(now, context, traffic) {
                Ok(more) => moved = more,
                Err(error) => return Err(self.unwritable.take().map_or(error, DriveError::Io)),
            }
            // What the peer said while this side was stopped counts as said. So the clock is asked only when the stream is
            // empty, or by a peer that was heard just now; and only after the timer has fired, since an executor looks at
            // its sockets before it looks at its timers.
            if self.is_late && (!moved || self.link.is_up()) {
                self.is_late = false;
                // An error has ended the link, which says so itself.
                _ = self.link.handle_timeout(now);
            }
        }
        if self.link.ended().is_none() {
            traffic.send(now, self.link, context);
            // It has nothing more for now, so nothing is gained by waiting for a batch to fill up.
            self.link.flush();
        }
        if self.unwritable.is_none() {
            match self.write(now, context, traffic) {
                Ok(more) => moved |= more,
                Err(error) => (self.unwritable, moved) = (Some(error), true),
            }
        }
        if self.link.ended().is_none() && self.unwritable.is_none() {
            return Ok(moved);
        }
        // The peer is told why, if it still reads; and what it said before it went is still there, and may be why.
        let over = now >= *self.linger.get_or_insert(now.saturating_add(LINGER));
        let told = self.unwritable.is_some() || self.link.poll_transmit(now).is_none();
        match (self.link.ended(), self.unwritable.take_if(|_| over)) {
            (Some(error), _) if over || told => Err(DriveError::Link(error)),
            (None, Some(error)) => Err(DriveError::Io(error)),
            _ => Ok(moved),
        }
    }

    fn read(
        &mut self,
        now: Duration,
        context: &mut Context<'_>,
        traffic: &mut impl Traffic<TOPICS, STREAMS>,
    ) -> Result<bool, DriveError> {
        let space = self.buffer.space();
        match Pin::new(&mut self.stream).poll_read(context, space) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => return Err(DriveError::Closed),
            Poll::Ready(Ok(count)) => self.buffer.filled(count),
            Poll::Ready(Err(error)) => return Err(DriveError::Io(error)),
        }
        // An error has ended the link, which says so itself.
        while let Ok(input) = self
            .link
            .input(now, self.buffer.bytes(), |stream, frame| traffic.message(stream, frame))
        {
            let used = input.used;
            if let Some(event) = input.event {
                traffic.on_event(now, self.link, event);
            }
            if used == 0 {
                break;
            }
            self.buffer.used(used);
        }
        Ok(true)
    }

    fn write(
        &mut self,
        now: Duration,
        context: &mut Context<'_>,
        traffic: &impl Traffic<TOPICS, STREAMS>,
    ) -> io::Result<bool> {
        let mut moved = false;
        while let Some(Transmit { bytes, run: lent }) = self.link.poll_vectored(now) {
            let stream = Pin::new(&mut self.stream);
            let written = match lent {
                None => stream.poll_write(context, bytes),
                Some(lent) => {
                    let [one, other] = lend(traffic, &lent)?;
                    let parts = [bytes, one, other].map(IoSlice::new);
                    // An empty one in front costs adapters that write the first one only.
                    let first = usize::from(bytes.is_empty());
                    stream.poll_write_vectored(context, &parts[first..])
                }
            };
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.link.transmitted(now, count),
                Poll::Ready(Err(error)) => return Err(error),
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Waits for the clock, too; false if it has come already.
    fn waits(&mut self, context: &mut Context<'_>) -> bool {
        // Who lingers has nothing else to wait for.
        let Some(due) = self.linger.or_else(|| self.link.poll_timeout()) else {
            return true;
        };
        loop {
            // Deadlines move back with each message. A timer that is too early is kept until it fires, so that no
            // message costs a new one.
            let executor = &self.executor;
            let (at, timer) = match &mut self.timer {
                Some(timer) if timer.0 <= due => timer,
                place => place.insert((due, executor.sleep_until(due))),
            };
            if timer.as_mut().poll(context).is_pending() {
                return true;
            }
            let is_due = *at == due;
            self.timer = None;
            if is_due {
                self.is_late = true;
                return false;
            }
        }
    }
}

/// The bytes of a run, as many as the link said.
fn lend<'t, const TOPICS: usize, const STREAMS: usize>(
    traffic: &'t impl Traffic<TOPICS, STREAMS>,
    lent: &RunBytes,
) -> io::Result<[&'t [u8]; 2]> {
    let pieces = traffic.run_bytes(lent);
    let fits = |[one, other]: &[&[u8]; 2]| one.len() + other.len() == lent.length;
    pieces.filter(fits).ok_or_else(|| io::Error::other("the bytes of a run are not there any more"))
}

impl<const TOPICS: usize, const STREAMS: usize> fmt::Debug for Driver<'_, '_, TOPICS, STREAMS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("buffer", &self.buffer.bytes().len()).finish_non_exhaustive()
    }
}

/// Why a driver has ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DriveError {
    /// The link ended.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The peer closed the connection, but not the link.
    #[error("the peer closed the connection without closing the link")]
    Closed,
    /// A system call on the connection failed. Its error is part of the message, so it is not the
    /// [`source`](std::error::Error::source).
    #[error("the connection failed: {0}")]
    Io(io::Error),
    /// No link can have these settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
}
