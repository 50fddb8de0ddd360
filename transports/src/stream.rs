//! The driver: runs one link over one stream of bytes, such as a Unix socket.
//!
//! A [`Driver`] reads, hands each frame to its [`Link`], takes messages from its [`Traffic`], and
//! writes, until no more bytes move. Then it waits for the stream, the clock or the traffic. One
//! read takes all bytes that have arrived, and their frames are decoded in place; one write takes a
//! whole batch. Cancelling [`run`](Driver::run) loses nothing: the next call finishes a frame that
//! was written in part. Dropping the driver loses only what the link reports as lost.
//!
//! This module does not depend on topics.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use mycelium_core::link::{
    CloseReason, ConfigError, Event, IncomingId, LentBytes, Link, LinkError, Transmit,
};
use mycelium_core::{Code, FrameView, debug_as_display};
use mycelium_executor::{Executor, SendFuture, Stream};
use thiserror::Error;
use zerocopy::IntoBytes;

use crate::counters::{Line, LinkValue};

/// A link with the limits of a node.
pub type NodeLink<'b> = Link<'b, TOPICS, STREAMS>;

/// The limit on the topics that one process reads from another process.
pub const TOPICS: usize = 64;
/// The limit on the publishers that one process reads at once from another process.
pub const STREAMS: usize = 128;

// The bytes that one call of a stream has read or written, and their counters.

/// The bytes that one call of a stream has read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// This many bytes were read from the peer.
    Read(usize),
    /// This many bytes were written to the peer.
    Written(usize),
}

impl Moved {
    /// Adds the bytes to the counters of a link. Only the line's writer may call it.
    pub fn count(self, line: &Line<LinkValue>) {
        match self {
            Moved::Read(bytes) => line.add(LinkValue::BytesReceived, bytes as u64),
            Moved::Written(bytes) => {
                line.add(LinkValue::BytesSent, bytes as u64);
                line.add(LinkValue::Batches, 1);
            }
        }
    }
}

// The driver of a link: reads from its stream, writes to it, and waits.
//
// Bytes are decoded in the read buffer. A batch is written from the send buffer of the link, and a
// run of messages or a long message directly from the ring of its publisher.

/// The grace period after a link ends: the driver still flushes to a peer that has stopped reading,
/// and reads from a peer whose write side failed.
const LINGER: Duration = Duration::from_secs(1);

/// The limits on rounds and on moved bytes in one poll. After them, other tasks of the executor run.
const BURST: u32 = 16;
const BURST_BYTES: usize = 128 << 10;

/// The messages that a link carries: takes messages from rings to send them, and handles arriving
/// messages.
pub trait Traffic<const TOPICS: usize, const STREAMS: usize> {
    /// Handles an arrived message, which is in the read buffer. A side without subscriptions gets
    /// none.
    ///
    /// # Errors
    /// If the message cannot be accepted: the reason with which the link closes. The message does
    /// not count as arrived.
    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        let _ = (stream, frame);
        Err(CloseReason::Protocol)
    }

    /// Returns the bytes of a run ([`Link::send_run`]) or a fragment ([`Link::lend_fragment`]) that
    /// was sent but not written yet: `lent.length` bytes from `lent.offset` on, in two pieces. If it
    /// returns `None`, the connection ends.
    fn lent_bytes(&self, lent: &LentBytes) -> Option<[&[u8]; 2]> {
        let _ = lent;
        None
    }

    /// Called after each call that read bytes from the stream, or wrote bytes to it.
    fn moved(&mut self, moved: Moved) {
        let _ = moved;
    }

    /// Handles an event of the link.
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, TOPICS, STREAMS>, event: Event<'_>);

    /// Sends messages until the link takes no more, and registers the waker for later messages.
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
    /// The number of bytes that were moved in this poll.
    moved: usize,
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
            moved: 0,
            unflushed: false,
            unwritable: None,
            linger: None,
        }
    }

    /// Drives the link until it or the connection ends, and returns the reason. After that the link
    /// can be opened on another connection.
    ///
    /// Cancelling is safe: the next call continues.
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
        self.moved = 0;
        for _ in 0..BURST {
            if self.moved > BURST_BYTES {
                break;
            }
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
        // Reads the clock in each round: the process may have been stopped between two rounds, and
        // bytes that are read now arrived meanwhile.
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
        // Writes the reason of the end, if the peer still reads. Reads the peer's last bytes, which
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
                self.moved += count;
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
        while let Some(Transmit { bytes, lent }) = self.link.poll_vectored(now) {
            let stream = Pin::new(&mut self.stream);
            let written = match lent {
                None => stream.poll_write(context, bytes),
                Some(lent) => {
                    let [one, other] = lent_bytes(traffic, &lent)?;
                    let parts = [bytes, one, other].map(IoSlice::new);
                    // Skips an empty first piece, because some adapters write only the first piece.
                    let first = usize::from(bytes.is_empty());
                    stream.poll_write_vectored(context, &parts[first..])
                }
            };
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.link.transmitted(now, count);
                    self.moved += count;
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
        // During the grace period (`linger`), no other timeout counts.
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

/// Returns lent bytes, after a check of their number.
fn lent_bytes<'t, const TOPICS: usize, const STREAMS: usize>(
    traffic: &'t impl Traffic<TOPICS, STREAMS>,
    lent: &LentBytes,
) -> io::Result<[&'t [u8]; 2]> {
    let pieces = traffic.lent_bytes(lent);
    let fits = |[one, other]: &[&[u8]; 2]| one.len() + other.len() == lent.length;
    pieces
        .filter(fits)
        .ok_or_else(|| io::Error::other("the bytes of a message are no longer in its ring"))
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

    /// Whether one side has closed the link permanently: its node has ended, and will not run again
    /// soon.
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

// The read buffer of a link: its bytes are contiguous, and frames in it are aligned.
//
// It grows when a read fills it, up to [`BUSY`], and shrinks when a read fills little of it. So an
// idle connection takes little memory, and a busy one needs few reads. For one long frame it grows
// further while bytes arrive, to twice the bytes that have arrived, and never to the length that
// the frame merely claims.

/// The size of the buffer of an idle connection, in words. Four times as much has room for 8 KiB of
/// messages and the header of their run, which has 40 bytes: a batch of that length takes one read.
const IDLE: usize = (1 << 8) + 2;
/// The size of the buffer of a busy connection, in words.
const BUSY: usize = 32 * IDLE;
/// The number of reads in a row that fill little of the buffer, after which it shrinks: short frames
/// between long ones do not make it smaller.
const PATIENCE: u32 = 16;

#[derive(Debug)]
struct ReadBuffer {
    words: Vec<u64>,
    start: usize,
    end: usize,
    /// The size in words that suits the bytes of the last reads.
    suits: usize,
    /// The number of reads in a row that filled little of the space.
    small_reads: u32,
}

impl ReadBuffer {
    fn new() -> ReadBuffer {
        ReadBuffer { words: vec![0; IDLE], start: 0, end: 0, suits: IDLE, small_reads: 0 }
    }

    /// Returns the bytes that were read and not used.
    fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[self.start..self.end]
    }

    /// Returns the space for the bytes of the next read.
    fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.words.len() != self.suits {
                self.words = vec![0; self.suits];
            }
        } else if self.start > 0 {
            // Moves the rest of a frame, which is short compared with the next read. Frames have
            // multiples of 8 bytes, so the rest stays aligned.
            self.words.as_mut_bytes().copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.words.len() * 8 || self.words.len() < self.suits {
            let words = self.suits.max(self.end / 4);
            self.words.resize(words, 0);
        }
        &mut self.words.as_mut_bytes()[self.end..]
    }

    /// Records that a read has put `count` bytes into the space.
    fn filled(&mut self, count: usize) {
        let space = self.words.len() * 8 - self.end;
        if count == space {
            self.suits = (self.suits * 2).min(BUSY);
        }
        self.small_reads = if count < space / 16 { self.small_reads + 1 } else { 0 };
        if self.small_reads == PATIENCE {
            (self.suits, self.small_reads) = ((self.suits / 2).max(IDLE), 0);
        }
        self.end += count;
    }

    /// Removes the first `count` bytes after their use.
    fn used(&mut self, count: usize) {
        self.start += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `count` bytes, whose values count up from `next`.
    fn read(buffer: &mut ReadBuffer, next: &mut u8, count: usize) -> usize {
        let space = buffer.space();
        let count = count.min(space.len());
        space[..count].fill_with(|| {
            *next = next.wrapping_add(1);
            *next
        });
        buffer.filled(count);
        count
    }

    #[test]
    fn bytes_keep_their_order_and_alignment() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut buffer, mut next, mut taken) = (ReadBuffer::new(), 0u8, 0u8);
        for _ in 0..if cfg!(miri) { 20 } else { 2000 } {
            let most = [10, 1000, 100_000][random.usize(..3)];
            read(&mut buffer, &mut next, random.usize(1..most));
            let count = random.usize(..=buffer.bytes().len()) & !7;
            for byte in &buffer.bytes()[..count] {
                taken = taken.wrapping_add(1);
                assert_eq!(*byte, taken);
            }
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(8), "the next frame is aligned");
            buffer.used(count);
            if random.u8(..) < 30 {
                let rest = buffer.bytes().len();
                taken = taken.wrapping_add(rest as u8);
                // Adds the rest of the last frame.
                let missing = rest.next_multiple_of(8) - rest;
                (0..missing).for_each(|_| _ = read(&mut buffer, &mut next, 1));
                taken = taken.wrapping_add(missing as u8);
                let rest = buffer.bytes().len();
                buffer.used(rest);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a megabyte, byte by byte, through safe code")]
    fn the_buffer_grows_with_its_bytes_and_shrinks_again() {
        let (mut buffer, mut next) = (ReadBuffer::new(), 0);
        for _ in 0..20 {
            let count = read(&mut buffer, &mut next, usize::MAX);
            buffer.used(count);
        }
        assert_eq!(buffer.words.len(), BUSY);
        // One long frame, which is not complete yet.
        while buffer.bytes().len() < 1 << 20 {
            read(&mut buffer, &mut next, 5000);
        }
        assert!(buffer.words.len() * 8 <= 2 << 20);
        buffer.used(buffer.bytes().len());
        for _ in 0..5 * PATIENCE + 1 {
            let count = read(&mut buffer, &mut next, 8);
            buffer.used(count);
        }
        assert_eq!(buffer.words.len(), IDLE);
    }

    #[test]
    fn a_batch_of_8_kib_and_its_header_fit_one_read() {
        let mut buffer = ReadBuffer::new();
        // Each of two reads fills the buffer of an idle connection, and doubles it.
        for _ in 0..2 {
            let count = read(&mut buffer, &mut 0, usize::MAX);
            buffer.used(count);
        }
        assert_eq!(read(&mut buffer, &mut 0, 40 + (8 << 10)), 40 + (8 << 10));
        buffer.used(buffer.bytes().len());
        read(&mut buffer, &mut 0, 8);
        assert_eq!(buffer.suits, 4 * IDLE, "one short frame does not make it smaller");
    }
}
