//! The driver of a link: reads from its stream, writes to it, and waits.
//!
//! Bytes are decoded in the read buffer. A batch is written from the send buffer of the link, and a
//! run of messages directly from the ring of its publisher.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use mycelium_core::link::{
    CloseReason, ConfigError, Event, IncomingId, Link, LinkError, RunBytes, Transmit,
};
use mycelium_core::{Code, FrameView, debug_as_display};
use mycelium_executor::{Executor, SendFuture, Stream};
use thiserror::Error;

use super::moved::Moved;
use super::read_buffer::ReadBuffer;

/// The grace period after a link ends: the driver still flushes to a peer that has stopped reading,
/// and reads from a peer whose write side failed.
const LINGER: Duration = Duration::from_secs(1);

/// The limit on rounds in one poll. Then other tasks of the executor run.
const BURST: u32 = 16;

/// The messages that a link carries: takes them from rings to send them, and handles those that
/// arrive.
pub trait Traffic<const TOPICS: usize, const STREAMS: usize> {
    /// Takes a message, which lies in the read buffer. A side without subscriptions gets none.
    ///
    /// # Errors
    /// If the message cannot be taken: the reason with which the link closes. The message does not
    /// count as arrived.
    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        let _ = (stream, frame);
        Err(CloseReason::Protocol)
    }

    /// Returns the bytes of a run that was sent ([`Link::send_run`]) and is not written yet:
    /// `run.length` bytes from `run.offset` on, in two pieces. If it returns `None`, the connection
    /// ends.
    fn run_bytes(&self, run: &RunBytes) -> Option<[&[u8]; 2]> {
        let _ = run;
        None
    }

    /// Called after each call that read bytes from the stream, or wrote bytes to it.
    fn moved(&mut self, moved: Moved) {
        let _ = moved;
    }

    /// Handles an event of the link.
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, TOPICS, STREAMS>, event: Event<'_>);

    /// Called when the link has ended: [`send`](Traffic::send) is not called any more. The driver
    /// may still write for a while, and then calls this again.
    fn link_ended(&mut self) {}

    /// Sends messages as far as the link takes them, and registers the waker if there are more.
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
    /// The timer has fired, and the link's timeouts were not checked since.
    is_late: bool,
    /// Written bytes may still be in the stream's buffer.
    unflushed: bool,
    /// The error of a write, after which nothing more can be written.
    unwritable: Option<io::Error>,
    /// The end of the grace period, once the link has ended or a write has failed.
    linger: Option<Duration>,
}

impl<'l, 'b, const TOPICS: usize, const STREAMS: usize> Driver<'l, 'b, TOPICS, STREAMS> {
    /// Creates a driver, which opens the link on a new connection.
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
            unflushed: false,
            unwritable: None,
            linger: None,
        }
    }

    /// Drives the link until it or the connection ends, and returns the reason. After that the link
    /// has lost its connection, and can be opened on another one.
    ///
    /// Cancelling loses nothing: the next call continues.
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

    /// Reads, sends and writes once. Returns false if no byte was moved.
    fn round(
        &mut self,
        context: &mut Context<'_>,
        traffic: &mut impl Traffic<TOPICS, STREAMS>,
    ) -> Result<bool, DriveError> {
        // Reads the clock in each round, because the process may have been stopped between two
        // rounds, and the bytes that are read now arrived meanwhile.
        let now = self.executor.now();
        let mut moved = false;
        if self.link.ended().is_none() {
            match self.read(now, context, traffic) {
                Ok(more) => moved = more,
                Err(error) => return Err(self.unwritable.take().map_or(error, DriveError::Io)),
            }
            // Bytes that arrived while this process was stopped count as arrived in time. So
            // timeouts are checked only when the stream is empty, or the link is up and was read
            // just now; and only after the timer has fired, because an executor polls its sockets
            // before its timers.
            if self.is_late && (!moved || self.link.is_up()) {
                self.is_late = false;
                // Fails only if the link has ended.
                _ = self.link.handle_timeout(now);
            }
        }
        if self.link.ended().is_none() {
            traffic.send(now, self.link, context);
            // No more messages are ready, so waiting would not fill the batch.
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
        if self.link.ended().is_some() {
            traffic.link_ended();
        }
        // Write the reason of the end, if the peer still reads. Read the peer's last bytes, which
        // may have the reason for a failed write.
        let over = now >= *self.linger.get_or_insert(now.saturating_add(LINGER));
        let is_written = self.link.poll_transmit(now).is_none() && !self.unflushed;
        let told = self.unwritable.is_some() || is_written;
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
            Poll::Ready(Ok(count)) => {
                self.buffer.filled(count);
                traffic.moved(Moved::Read(count));
            }
            Poll::Ready(Err(error)) => return Err(DriveError::Io(error)),
        }
        // Fails only if the link has ended.
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
        traffic: &mut impl Traffic<TOPICS, STREAMS>,
    ) -> io::Result<bool> {
        let mut moved = false;
        while let Some(Transmit { bytes, run }) = self.link.poll_vectored(now) {
            let stream = Pin::new(&mut self.stream);
            let written = match run {
                None => stream.poll_write(context, bytes),
                Some(run) => {
                    let [one, other] = run_bytes(traffic, &run)?;
                    let parts = [bytes, one, other].map(IoSlice::new);
                    // Skip an empty first piece: some adapters write the first piece only.
                    let first = usize::from(bytes.is_empty());
                    stream.poll_write_vectored(context, &parts[first..])
                }
            };
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.link.transmitted(now, count);
                    traffic.moved(Moved::Written(count));
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
            (moved, self.unflushed) = (true, true);
        }
        // A stream with encryption keeps the bytes that the socket did not take.
        if self.unflushed && Pin::new(&mut self.stream).poll_flush(context)?.is_ready() {
            self.unflushed = false;
        }
        Ok(moved)
    }

    /// Waits for the next timeout. Returns false if it has passed already.
    fn waits(&mut self, context: &mut Context<'_>) -> bool {
        // While the end is written (`linger`), no other timeout counts.
        let Some(due) = self.linger.or_else(|| self.link.poll_timeout()) else {
            return true;
        };
        loop {
            // Each message moves the deadline back. A timer that is too early is kept until it
            // fires, so that messages need no new timers.
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

/// Returns the bytes of a run, after a check of their number.
fn run_bytes<'t, const TOPICS: usize, const STREAMS: usize>(
    traffic: &'t impl Traffic<TOPICS, STREAMS>,
    run: &RunBytes,
) -> io::Result<[&'t [u8]; 2]> {
    let pieces = traffic.run_bytes(run);
    let fits = |[one, other]: &[&[u8]; 2]| one.len() + other.len() == run.length;
    pieces
        .filter(fits)
        .ok_or_else(|| io::Error::other("the bytes of a run are no longer in its ring"))
}

impl<const TOPICS: usize, const STREAMS: usize> fmt::Debug for Driver<'_, '_, TOPICS, STREAMS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("buffer", &self.buffer.bytes().len()).finish_non_exhaustive()
    }
}

/// Why a driver has ended.
#[derive(Error)]
#[non_exhaustive]
pub enum DriveError {
    /// The link ended.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The peer closed the connection, but not the link.
    #[error("the peer closed the connection without closing the link")]
    Closed,
    /// A system call on the connection failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// No link can have these settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

debug_as_display!(DriveError);

impl DriveError {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            DriveError::Link(error) => error.code(),
            DriveError::Closed => Code::CONNECTION_CLOSED,
            DriveError::Io(_) => Code::CONNECTION_FAILED,
            DriveError::Config(_) => Code::LINK_SETTINGS,
        }
    }

    /// Whether one side has closed the link permanently: its node has ended, and is not about to
    /// run again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            DriveError::Link(
                LinkError::PeerClosed(CloseReason::Shutdown)
                    | LinkError::LocallyClosed(CloseReason::Shutdown)
            )
        )
    }
}
