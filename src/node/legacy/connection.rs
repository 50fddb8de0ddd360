//! The connection of one client: converts its frames to messages, and writes the frames queued for
//! it.
//!
//! Reading stops while the channel of a type is full, so a topic that makes its publishers wait
//! also makes clients wait, by the flow control of their sockets. The length in a client's frame
//! allocates nothing: the buffer grows only when it is full of bytes, up to the longest accepted
//! payload.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::{Either, select};
use mycelium_core::legacy::{Decoder, Event, HEADER, HELLO, LegacyError, Step};
use mycelium_executor::{DeadlineTimer, Executor, Stream, yield_now};
use mycelium_transports::counters::LegacyValue;

use super::hub::{Client, Eviction, Hub, Subject, source};
use super::intake::Intake;
use super::outbox::Taken;
use crate::links::log::Level;
use crate::support::lock::lock;
use crate::topology::OnBadFrame;

/// The initial size of a buffer, in bytes.
const BUFFER: usize = 4096;
/// The number of frames after which the task yields.
const TURN: usize = 64;

/// The connection of one client. Dropping it frees the place of the client.
pub(super) struct Connection {
    hub: Arc<Hub>,
    client: Arc<Client>,
    executor: Arc<dyn Executor>,
    /// Locked for one poll at a time: one task polls both reading and writing.
    stream: Mutex<Stream>,
    /// The number of frames accepted from the client; `sent` counts the frames written to it.
    received: AtomicU64,
    sent: AtomicU64,
    /// The number of frames that are being written.
    unsent: AtomicU64,
}

/// Why a connection has ended.
#[derive(Debug)]
enum End {
    /// The client has closed the connection.
    Left,
    /// The node ends, and the client has received all queued frames.
    Finished,
    Failed(io::Error),
    Invalid(LegacyError),
    Unknown {
        type_id: u16,
    },
    Undecodable {
        type_id: u16,
        problem: String,
    },
    Timeout {
        timeout: Duration,
        is_hello: bool,
    },
    Evicted(Eviction),
}

impl Connection {
    pub(super) fn new(
        hub: Arc<Hub>,
        client: Arc<Client>,
        executor: Arc<dyn Executor>,
        stream: Stream,
    ) -> Connection {
        let [received, sent, unsent] = [(); 3].map(|()| AtomicU64::new(0));
        Connection { hub, client, executor, stream: Mutex::new(stream), received, sent, unsent }
    }

    /// Serves the client until the connection ends.
    pub(super) async fn run(self) {
        self.hub.count(LegacyValue::Connections, 1);
        let (peer, who) = (&self.client.peer, source(&self.client.peer));
        self.hub.log(Level::Info, "connected", &who, &format_args!("{peer} has connected"));
        let end = {
            let (reading, writing) = (pin!(self.read()), pin!(self.write()));
            match select(select(reading, writing), pin!(self.client.evicted())).await {
                Either::Left((Either::Left((end, _)) | Either::Right((end, _)), _)) => end,
                Either::Right((eviction, _)) => End::Evicted(eviction),
            }
        };
        let received = self.received.load(Ordering::Relaxed);
        let sent = self.sent.load(Ordering::Relaxed);
        let dropped = self.client.dropped.load(Ordering::Relaxed);
        let words = format_args!(
            "{peer} {end}: {received} frames received, {sent} sent, {dropped} dropped"
        );
        let (cause, counted, subject) = end.kind();
        let level = if counted.is_none() { Level::Info } else { Level::Warn };
        if let Some(value) = counted {
            self.hub.count(value, 1);
        }
        let named = subject.map(|subject| self.hub.named(cause, subject));
        self.hub.log(level, cause, named.as_deref().unwrap_or(&who), &words);
    }

    /// Reads the frames of the client until it leaves. While the node ends, nothing is read.
    async fn read(&self) -> End {
        let closing = pin!(self.hub.is_closing.wait());
        match select(closing, pin!(self.read_frames())).await {
            Either::Left(_) => pending().await,
            Either::Right((end, _)) => end,
        }
    }

    async fn read_frames(&self) -> End {
        let config = &self.hub.config;
        let mut decoder = Decoder::new(&config.digests, config.payload);
        let mut buffer = Buffer::new((config.payload as usize + HEADER).max(HELLO));
        let mut intakes: BTreeMap<u16, Box<dyn Intake>> = BTreeMap::new();
        let (mut due, mut timer, mut frames) = (None, DeadlineTimer::default(), 0_usize);
        loop {
            loop {
                let step = match decoder.step(buffer.bytes(), |type_id| self.hub.takes(type_id)) {
                    Ok(Some(step)) => step,
                    Ok(None) => break,
                    Err(error) => return End::Invalid(error),
                };
                let Step { consumed, event } = step;
                let is_whole = !decoder.is_within(&[]);
                if is_whole && !self.hub.admit(&self.client) {
                    // The client was evicted; this task is about to be cancelled.
                    pending::<()>().await;
                }
                if let Err(end) = self.take(event, &mut intakes).await {
                    return end;
                }
                // The time limit applies to one frame, so it starts again.
                if event != Event::Passed || is_whole {
                    due = None;
                }
                buffer.consume(consumed);
                frames += 1;
                if frames.is_multiple_of(TURN) {
                    yield_now().await;
                }
            }
            if decoder.is_within(buffer.bytes()) {
                due = due.or_else(|| Some(self.executor.now().saturating_add(config.timeout)));
            }
            let read = poll_fn(|context| {
                let read = Pin::new(&mut *lock(&self.stream)).poll_read(context, buffer.room());
                if let Poll::Ready(read) = read {
                    return Poll::Ready(Some(read));
                }
                match due {
                    Some(due) => timer.poll(context, &*self.executor, due).map(|()| None),
                    None => Poll::Pending,
                }
            });
            match read.await {
                Some(Ok(0)) => {
                    return decoder.end(buffer.bytes()).map_or_else(End::Invalid, |()| End::Left);
                }
                Some(Ok(count)) => buffer.filled(count),
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Some(Err(error)) => return End::Failed(error),
                None => {
                    let (timeout, is_hello) = (config.timeout, decoder.needs_hello());
                    return End::Timeout { timeout, is_hello };
                }
            }
        }
    }

    /// Handles an event of the decoder. Waits while the channel of the type is full.
    async fn take(
        &self,
        event: Event<'_>,
        intakes: &mut BTreeMap<u16, Box<dyn Intake>>,
    ) -> Result<(), End> {
        let (hub, client) = (&self.hub, &self.client);
        match event {
            Event::Hello | Event::Passed => {}
            Event::Unknown { type_id, .. } => {
                hub.count(LegacyValue::Unknown, 1);
                match hub.config.unknown {
                    OnBadFrame::End => return Err(End::Unknown { type_id }),
                    OnBadFrame::Drop => {
                        let words = format_args!(
                            "{} sends frames of type {type_id}, which has no topic",
                            client.peer
                        );
                        let named = hub.named("unknown", Subject::Type(type_id));
                        hub.log(Level::Warn, "unknown", &named, &words);
                    }
                }
            }
            Event::Frame { type_id, payload } => {
                let intake = match intakes.entry(type_id) {
                    std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::btree_map::Entry::Vacant(new) => match hub.intake(type_id) {
                        Some(intake) => new.insert(intake),
                        None => return Ok(()),
                    },
                };
                if let Err(problem) = intake.decode(client.number, payload) {
                    hub.count(LegacyValue::Invalid, 1);
                    match hub.config.invalid {
                        OnBadFrame::End => return Err(End::Undecodable { type_id, problem }),
                        OnBadFrame::Drop => {
                            // Escaped: the error of a codec may quote bytes of the client.
                            let (peer, problem) = (&client.peer, problem.escape_debug());
                            let words = format_args!(
                                "{peer} sends an invalid payload of type {type_id}: {problem}"
                            );
                            let named = hub.named("invalid", Subject::Type(type_id));
                            hub.log(Level::Warn, "invalid", &named, &words);
                        }
                    }
                } else if poll_fn(|context| intake.poll_send(context)).await {
                    self.received.fetch_add(1, Ordering::Relaxed);
                } else {
                    // The node ends, and this task with it.
                    pending::<()>().await;
                }
            }
        }
        Ok(())
    }

    /// Writes the frames queued for the client, until the end of its queue.
    async fn write(&self) -> End {
        let mut bytes = Vec::new();
        loop {
            let taken = poll_fn(|context| self.client.outbox.poll_take(context, &mut bytes));
            let Taken::Frames(frames) = taken.await else { break };
            self.unsent.store(frames, Ordering::Relaxed);
            if let Err(error) = self.write_all(&bytes).await {
                return End::Failed(error);
            }
        }
        // Shuts down the write side, and keeps the socket until the client has closed its side:
        // closing a socket with unread bytes may discard sent data.
        if let Err(error) =
            poll_fn(|context| Pin::new(&mut *lock(&self.stream)).poll_close(context)).await
        {
            return End::Failed(error);
        }
        let mut unread = [0; 1024];
        loop {
            let read = poll_fn(|context| {
                Pin::new(&mut *lock(&self.stream)).poll_read(context, &mut unread)
            });
            if !matches!(read.await, Ok(1..)) {
                return End::Finished;
            }
            yield_now().await;
        }
    }

    /// Writes frames. A frame counts as sent when the socket has taken its last byte.
    async fn write_all(&self, frames: &[u8]) -> io::Result<()> {
        let (mut bytes, mut unsent) = (frames, frames);
        while !bytes.is_empty() {
            let written =
                poll_fn(|context| Pin::new(&mut *lock(&self.stream)).poll_write(context, bytes));
            match written.await {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.count_sent(&mut unsent, bytes.len());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        poll_fn(|context| Pin::new(&mut *lock(&self.stream)).poll_flush(context)).await
    }

    /// Counts the frames at the start of `unsent` as sent, except frames that end in its last
    /// `waiting` bytes, which are not written yet.
    fn count_sent(&self, unsent: &mut &[u8], waiting: usize) {
        let mut sent = 0;
        while let Some(rest) = after_frame(unsent).filter(|rest| rest.len() >= waiting) {
            *unsent = rest;
            sent += 1;
        }
        self.unsent.fetch_sub(sent, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.hub.count(LegacyValue::Sent, sent);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hub.count(LegacyValue::Dropped, self.unsent.load(Ordering::Relaxed));
        self.hub.leave(&self.client);
    }
}

impl End {
    /// Returns the cause, the counter, and the subject of the log line. Lines are limited by cause
    /// and client; if there is a subject, by cause and subject, so that an operator sees each type
    /// or digest that the topology lacks. The counter is `None` if neither side made a mistake.
    fn kind(&self) -> (&'static str, Option<LegacyValue>, Option<Subject>) {
        let errors = Some(LegacyValue::Errors);
        match self {
            End::Left => ("left", None, None),
            End::Finished => ("finished", None, None),
            End::Failed(_) => ("failed", errors, None),
            End::Invalid(LegacyError::Digest { found }) => {
                ("digest", errors, Some(Subject::Digest(found.0)))
            }
            End::Invalid(_) => ("bad frame", errors, None),
            End::Unknown { type_id } => ("unknown", errors, Some(Subject::Type(*type_id))),
            End::Undecodable { type_id, .. } => ("invalid", errors, Some(Subject::Type(*type_id))),
            End::Timeout { .. } => ("timeout", errors, None),
            End::Evicted(Eviction::Slow) => ("slow", errors, None),
            End::Evicted(Eviction::Displaced) => ("displaced", Some(LegacyValue::Evicted), None),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Left => f.write_str("has left"),
            End::Finished => f.write_str("got the end"),
            End::Failed(error) => write!(f, "has lost its connection ({error})"),
            End::Invalid(error) => write!(f, "is disconnected ({error})"),
            End::Unknown { type_id } => {
                write!(f, "is disconnected (type {type_id} has no topic)")
            }
            End::Undecodable { type_id, problem } => {
                let problem = problem.escape_debug();
                write!(f, "is disconnected (invalid payload of type {type_id}: {problem})")
            }
            End::Timeout { timeout, is_hello: true } => {
                write!(f, "is disconnected (no digest within {timeout:?})")
            }
            End::Timeout { timeout, is_hello: false } => {
                write!(f, "is disconnected (a frame was not complete within {timeout:?})")
            }
            End::Evicted(Eviction::Slow) => f.write_str("is disconnected (its queue was full)"),
            End::Evicted(Eviction::Displaced) => f.write_str(
                "is disconnected (another client needed its place before it had sent a whole frame)",
            ),
        }
    }
}

/// Returns the frames after the first one.
fn after_frame(frames: &[u8]) -> Option<&[u8]> {
    let (header, rest) = frames.split_first_chunk::<HEADER>()?;
    let [_, _, length @ ..] = *header;
    rest.get(u32::from_le_bytes(length) as usize..)
}

/// The bytes that were read and not yet taken by the decoder.
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    most: usize,
}

impl Buffer {
    /// Creates a buffer that grows to at most `most` bytes.
    fn new(most: usize) -> Buffer {
        Buffer { bytes: vec![0; BUFFER.min(most)], start: 0, end: 0, most }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Returns the space to read into: at least one byte, unless `most` bytes wait to be taken.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.bytes.len() {
                // The buffer is full of received bytes, so it grows.
                self.bytes.resize((self.end * 2).min(self.most), 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_by_bytes_that_have_arrived() {
        let mut buffer = Buffer::new(3 * BUFFER);
        assert_eq!(buffer.room().len(), BUFFER);
        for expected in [BUFFER, BUFFER, BUFFER] {
            assert_eq!(buffer.room().len(), expected, "{} bytes wait", buffer.bytes().len());
            buffer.filled(expected);
        }
        assert_eq!((buffer.bytes().len(), buffer.room().len()), (3 * BUFFER, 0));
        buffer.consume(BUFFER);
        assert_eq!(buffer.room().len(), BUFFER, "the rest moves to the front");
        buffer.consume(2 * BUFFER);
        assert_eq!((buffer.bytes().len(), buffer.room().len()), (0, 3 * BUFFER));
    }
}
