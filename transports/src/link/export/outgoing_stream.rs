//! Sends the messages of one publisher from its ring to one remote reader.
//!
//! A [`StreamState`] is kept with each stream of a [`Tap`](crate::seam::Tap), whether or not its
//! reader is connected. [`send`] hands messages to the link until the link takes no more. A run of
//! messages and a long message stay in the ring until the driver writes them to the socket
//! ([`lent_bytes`]); a single short message is copied into the link's buffer.

use std::time::Duration;

use mycelium_core::Envelope;
use mycelium_core::link::{ExportId, LentBytes, Name, OutgoingId, SendError, StreamStart};

use super::outgoing_memory::{ConnectionProgress, MemoryStep, OutgoingMemory, StreamState};
use crate::link::gap;
use crate::local::Metadata;
use crate::local::retained::Step;
use crate::seam::{TapItem, TapStream};
use crate::stream::NodeLink;

/// The most messages of one publisher that are sent in a row while other publishers have some, too.
const BURST: u64 = 4096;
/// Fewer messages than this are sent one by one; more than `LONGEST_RUN` are sent in several runs.
/// The link limits the bytes of a run, which is a frame with several messages.
const SHORTEST_RUN: usize = 8;
const LONGEST_RUN: usize = BURST as usize;

/// Returns a predicate: whether a stream is sent as this stream of the link.
pub(super) fn is_sent_as(id: OutgoingId) -> impl Fn(&TapStream<StreamState>) -> bool {
    move |stream| stream.state.connection.stream == Some(id)
}

/// Returns the bytes of a run or a fragment that was sent, in place in the ring.
pub(super) fn lent_bytes<'a>(
    stream: &'a TapStream<StreamState>,
    lent: &LentBytes,
) -> Option<[&'a [u8]; 2]> {
    let Some(shape) = lent.shape else {
        let bytes = stream.message(lent.first)?.get(lent.offset..)?.get(..lent.length)?;
        return Some([bytes, &[]]);
    };
    let stride = shape.stride as usize;
    // What is left of the run may begin within a message.
    let (written, within) = (lent.offset / stride, lent.offset % stride);
    let count = (within + lent.length) / stride;
    let [one, other] = stream.borrow(lent.first + written as u64, count)?;
    Some([one.get(within..)?, other])
}

/// The result of a call of [`send`].
#[derive(Default)]
pub(super) struct Progress {
    /// The number of sent messages.
    pub(super) messages: u64,
    /// More messages are ready, and were kept back until the next turn.
    pub(super) keeps_back: bool,
}

/// Sends messages until the link takes no more. Messages that are kept back in a turn are sent in a
/// later one.
pub(super) fn send(
    now: Duration,
    turn: usize,
    link: &mut NodeLink<'_>,
    export: ExportId,
    stream: &mut TapStream<StreamState>,
    memory: Option<&mut OutgoingMemory>,
) -> Result<Progress, SendError> {
    let known = stream.state.connection.stream;
    let id = match known {
        Some(id) => id,
        None => open(now, link, export, stream)?,
    };
    if stream.state.connection.retains.is_some() {
        // The caller sends what is retained, and calls again.
        return Ok(Progress { messages: 0, keeps_back: known.is_none() });
    }
    if let Some(memory) = memory
        && stream.state.connection.is_between_messages()
        && !stream.state.connection.ended
    {
        memory.advance(now, link, id, stream);
    }
    if stream.has_moved() {
        return say_in_memory(now, link, id, stream).map(|()| Progress::default());
    }
    let mut connection = std::mem::take(&mut stream.state.connection);
    let (mut sent, mut looks) = (0, 0);
    let mut keeps_back = false;
    while !connection.ended && sent < BURST && !link.is_due() {
        if connection.missed > 0 {
            match send_gap(now, link, id, stream, &mut connection) {
                Ok(found) => sent += u64::from(found),
                Err(_) => break,
            }
            // Other tasks run between the reading of many retained messages.
            looks += 1;
            keeps_back = looks == BURST;
            if keeps_back {
                break;
            }
            continue;
        }
        let next = stream.next();
        if stream.state.history.is_in_doubt {
            if !connection.is_demanded {
                break;
            }
            let end = stream.end();
            stream.state.history.settle(end);
        }
        if let Some(skip) = stream.state.history.skip(next) {
            if link.skip(now, id, skip.before - next, skip.reason).is_err() {
                break;
            }
            stream.pass(skip.before, skip.value);
            continue;
        }
        let history = &stream.state.history;
        let waits_for_demand =
            history.is_suspect(next) && link.peer_signals_demand() && !connection.is_demanded;
        if waits_for_demand || history.waits(next, stream.kept()) {
            break;
        }
        match send_run(now, turn, link, id, stream, &mut connection) {
            Ok(Some(0)) => {}
            Ok(Some(count)) => {
                sent += count as u64;
                continue;
            }
            Ok(None) => {
                keeps_back = true;
                break;
            }
            // If the link refuses, the caller tries again when something has changed.
            Err(_) => break,
        }
        let redelivered = stream.state.history.is_redelivered(next);
        let (fixed_len, lends) = (stream.fixed_len(), stream.lends());
        match stream.next_item() {
            TapItem::Message(bytes, Metadata { trace, sent_at }) => {
                let envelope = Envelope { redelivered, trace, sent_at, ..Envelope::default() };
                match connection.send(now, link, id, (bytes, lends), fixed_len, envelope) {
                    Ok(true) => {
                        sent += 1;
                        stream.count_sent_again(u64::from(redelivered));
                    }
                    Err(SendError::TooLong { .. })
                        if link.skip(now, id, 1, gap::TOO_LONG).is_ok() => {}
                    // The rest of the message follows after other streams had their turn.
                    Ok(false) | Err(_) => break,
                }
                connection.offset = 0;
                stream.advance();
            }
            TapItem::Gap(missed) => {
                connection.missed = missed;
                // Messages that need special care stay in the gap.
                let is_plain = stream.state.history.is_over(next);
                let reading = if is_plain { stream.retained_in_gap(missed) } else { None };
                connection.found = reading.map(|reading| (reading, None));
            }
            TapItem::Empty => break,
            TapItem::Closed => {
                connection.ended = link.end_stream(now, id).is_ok();
                break;
            }
        }
    }
    stream.state.connection = connection;
    stream.state.history.sent(stream.next());
    Ok(Progress { messages: sent, keeps_back })
}

/// Sends the next part of a gap: a message that the publisher retains, or the number of messages
/// that are missing before it. Returns whether it has sent a message.
fn send_gap(
    now: Duration,
    link: &mut NodeLink<'_>,
    id: OutgoingId,
    stream: &mut TapStream<StreamState>,
    connection: &mut ConnectionProgress,
) -> Result<bool, SendError> {
    let reason = if stream.was_evicted() { gap::EVICTED } else { gap::OVERWRITTEN };
    let Some((mut reading, found)) = connection.found.take() else {
        link.skip(now, id, connection.missed, reason)?;
        (connection.missed, connection.offset) = (0, 0);
        return Ok(false);
    };
    let Some(value) = found else {
        connection.found = match reading.step() {
            Step::Value(value) => Some((reading, Some(value))),
            Step::Read(_) => Some((reading, None)),
            Step::End => None,
        };
        return Ok(false);
    };
    // Sequences of publishers of this process are positions, which wrap.
    let left = (stream.next() as usize).wrapping_sub(value.sequence as usize) as u64;
    let before = connection.missed - left;
    let sent = if before > 0 {
        link.skip(now, id, before, reason).map(|()| {
            (connection.missed, connection.offset) = (left, 0);
            false
        })
    } else {
        // A part of this message may have been sent before it was overwritten.
        let (bytes, fixed_len) = (value.bytes(), stream.fixed_len());
        connection.send(now, link, id, (bytes, false), fixed_len, Envelope::default())
    };
    match sent {
        Ok(true) => {
            (connection.missed, connection.offset) = (left - 1, 0);
            stream.mark_sent(value.sequence);
            connection.found = Some((reading, None)).filter(|_| left > 1);
        }
        Err(SendError::TooLong { .. }) => {
            // It stays in the gap.
            connection.found = Some((reading, None));
            return Ok(false);
        }
        Ok(false) | Err(_) => connection.found = Some((reading, Some(value))),
    }
    sent
}

/// Tells the peer that the stream is in shared memory, and later that the stream has ended, each
/// once per connection.
fn say_in_memory(
    now: Duration,
    link: &mut NodeLink<'_>,
    id: OutgoingId,
    stream: &mut TapStream<StreamState>,
) -> Result<(), SendError> {
    stream.state.history.sent(stream.next());
    if let MemoryStep::Moved(number) = stream.state.memory
        && !stream.state.connection.is_moved
    {
        link.move_stream(now, id, number)?;
        stream.state.connection.is_moved = true;
    }
    if !stream.state.connection.ended && stream.next_item() == TapItem::Closed {
        link.end_moved_stream(now, id, stream.next())?;
        (stream.state.connection.ended, stream.state.has_said_end) = (true, true);
    }
    Ok(())
}

/// Sends consecutive messages as a run, if there are enough of them. Returns their number; if it is
/// 0, the next message is sent by itself. Returns `None` if they are kept back until the next turn.
fn send_run(
    now: Duration,
    turn: usize,
    link: &mut NodeLink<'_>,
    id: OutgoingId,
    stream: &mut TapStream<StreamState>,
    connection: &mut ConnectionProgress,
) -> Result<Option<usize>, SendError> {
    // The header of a run has no metadata of its messages, so they must not need any.
    let is_plain = connection.offset == 0 && stream.state.history.is_over(stream.next());
    if !is_plain || !link.peer_accepts_runs() {
        return Ok(Some(0));
    }
    let ready = stream.ready(LONGEST_RUN);
    let Some(shape) = stream.shape().filter(|_| ready >= SHORTEST_RUN) else { return Ok(Some(0)) };
    if connection.gathering.keeps_back(now, turn, link.batching(), shape.stride, ready) {
        return Ok(None);
    }
    let count = link.send_run(now, id, shape, ready)?;
    stream.pass_ready(count);
    connection.gathering.sent(now);
    Ok(Some(count))
}

/// Opens the link's stream, at the first message that the peer does not have.
fn open(
    now: Duration,
    link: &mut NodeLink<'_>,
    export: ExportId,
    stream: &mut TapStream<StreamState>,
) -> Result<OutgoingId, SendError> {
    let keeps = u32::try_from(stream.capacity()).unwrap_or(u32::MAX);
    let kept = stream.kept();
    stream.rewind(stream.state.connection.resume_at.unwrap_or(kept).max(kept));
    let (name, epoch) = (Name::truncated(stream.publisher()), stream.epoch());
    // A stream in shared memory resumes where it moved.
    let first = stream.moved_at().unwrap_or(stream.next());
    let is_resumed = stream.state.connection.resume_at.is_some();
    let retains = stream.retains() && !is_resumed && link.peer_retains();
    let start = StreamStart { epoch, first, keeps, retains };
    let id = link.open_stream(now, export, name, start)?;
    let has_forgotten = stream.state.connection.has_forgotten;
    link.unconfirmed_from(id, if has_forgotten { 0 } else { kept.min(first) })?;
    stream.state.connection.stream = Some(id);
    if retains {
        stream.state.connection.retains = Some(before(stream));
    }
    Ok(id)
}

/// Returns the first message that a new stream sends: the peer gets what is retained before it. Some
/// of it may have replaced what was retained before the messages that are not sent.
fn before(stream: &mut TapStream<StreamState>) -> u64 {
    if let Some(skip) = stream.state.history.skip(stream.next()) {
        return skip.before;
    }
    if let TapItem::Gap(missed) = stream.next_item() {
        stream.state.connection.missed = missed;
    }
    stream.next()
}
