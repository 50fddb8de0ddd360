//! One topic for one remote reader: [`TopicTap`] outlives the reader's connections, and
//! [`ServedTopic`] sends it on one of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use mycelium_core::link::{ExportId, LentBytes, Name, OutgoingId, SendError, StreamStart};

use super::outgoing_memory::{ConnectionProgress, MemoryStep, OutgoingMemory, StreamState};
use super::outgoing_stream::{self, Progress, is_sent_as};
use super::redelivery::{AfterDeath, Redelivery};
use crate::local::retained::{SlotReading, Step, Value};
use crate::local::{MemoryFault, SubscribeOptions, Topic, TopicError, Undelivered};
use crate::seam::{BusyGuard, Tap, TapStream};
use crate::stream::{NodeLink, STREAMS};

/// The limit on ended publishers that are remembered because their reader may not know that they
/// have ended: a lost connection can lose the ends of all streams that the reader has open.
const ENDS: usize = STREAMS;

/// The messages of a topic that a remote reader has not confirmed.
#[derive(Debug)]
pub(super) struct TopicTap {
    pub(super) reader: Tap<StreamState>,
    ended: VecDeque<EndedStream>,
    /// The tap was created on the present connection of its reader.
    pub(super) is_new: bool,
    /// Prevents the links from ending while the reader is not connected.
    pub(super) parked: Option<BusyGuard>,
}

/// A publisher that has ended and all of whose messages are confirmed. The reader may not know that
/// it has ended.
#[derive(Clone, Debug)]
struct EndedStream {
    publisher: Arc<str>,
    epoch: u64,
    next: u64,
    /// The first message that the reader has read in shared memory, if it has.
    moved_at: Option<u64>,
}

impl TopicTap {
    pub(super) fn new(
        topic: &Arc<Topic>,
        reader: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<TopicTap, TopicError> {
        let reader = topic.tap(reader, options)?;
        Ok(TopicTap { reader, ended: VecDeque::new(), is_new: true, parked: None })
    }

    /// Assumes that an earlier process of the reader had the messages that were sent before the
    /// reader joined.
    pub(super) fn begin_again(&mut self) {
        for stream in self.reader.streams() {
            stream.state.history.begin_again(stream.joined_at());
        }
    }

    pub(super) fn topic(&self) -> &str {
        self.reader.topic().name()
    }

    /// Handles the orderly end of the reader's process: its next process gets the messages that
    /// were not taken. `asked`: the reader had subscribed to the topic on its last connection.
    pub(super) fn reader_left(&mut self, redelivery: Redelivery, asked: bool) {
        let waited_for = self.reader.policy().is_gating();
        for stream in self.reader.streams() {
            // The readers have left, so their last positions in shared memory are exact, unless
            // messages that went over the link are still unconfirmed.
            let in_memory = stream.moved_at().is_some_and(|at| stream.kept() >= at);
            stream.move_back();
            if !waited_for {
                // An observer that ends in order has itself counted the messages that it has not
                // taken.
                stream.release(stream.next());
            }
            let kept = stream.kept();
            stream.state.history.sent(stream.next());
            if asked && (in_memory || stream.state.connection.has_confirmed_all()) {
                stream.state.history.left();
            } else {
                stream.state.history.left_unconfirmed(kept, redelivery, waited_for);
            }
            stream.rewind(kept);
        }
    }

    /// Handles the death of the reader's process. Returns the messages that become dead letters.
    pub(super) fn reader_died(&mut self, redelivery: Redelivery) -> Vec<Undelivered> {
        let waited_for = self.reader.policy().is_gating();
        let mut dead_letters = Vec::new();
        for stream in self.reader.streams() {
            let unseen = stream.unseen();
            stream.move_back();
            let kept = stream.kept();
            stream.state.history.sent(unseen);
            let after = stream.state.history.died(kept, redelivery, waited_for);
            // Continues at the first unconfirmed message, because no message was sent to the next
            // process yet.
            stream.rewind(kept);
            if after == AfterDeath::DeadLetter {
                dead_letters.extend(stream.dead_letter());
            }
        }
        dead_letters
    }

    /// Removes a publisher that has ended, all of whose messages are confirmed.
    fn remove(&mut self, index: usize) {
        let stream = self.reader.streams().swap_remove(index);
        let (publisher, epoch) = (stream.publisher().clone(), stream.epoch());
        let (next, moved_at) = (stream.next(), stream.moved_at());
        self.ended.push_back(EndedStream { publisher, epoch, next, moved_at });
        if self.ended.len() > ENDS {
            self.ended.pop_front();
        }
    }
}

/// The result of a call of [`ServedTopic::send`].
#[derive(Default)]
pub(super) struct Sent {
    /// The number of messages that were sent over the link.
    pub(super) messages: u64,
    /// The number of messages that were confirmed in shared memory.
    pub(super) confirmed: u64,
    /// Messages were kept back until the next turn.
    keeps_back: bool,
}

/// A topic that a connected reader has subscribed to.
pub(super) struct ServedTopic {
    pub(super) export: ExportId,
    pub(super) tap: TopicTap,
    /// The number of streams of an earlier connection that the reader has not named yet.
    resumes: u16,
    /// The answers for resumed streams that no longer exist.
    answers: Vec<ResumeAnswer>,
    /// The reader has no room for another stream.
    at_stream_limit: bool,
    /// No stream of this topic moves to shared memory.
    is_on_socket: bool,
    redelivery: Redelivery,
    /// What the reader has last requested of a publisher: what it retains for readers that join at
    /// this sequence.
    recall: Option<(u64, u64)>,
    handover: Option<Handover>,
}

/// The sending of what the publisher with this epoch retains.
struct Handover {
    epoch: u64,
    reading: Option<SlotReading>,
    /// The message that is sent, and the number of its sent bytes.
    value: Option<(Value, usize)>,
}

/// The bytes of retained messages, read and sent, after which other tasks have their turn.
const HANDOVER_BYTES: usize = 128 << 10;

/// The answer to a reader that resumes a stream that no longer exists.
enum ResumeAnswer {
    /// The publisher has ended, and the reader has all of its messages. The stream is opened again
    /// to end it; if the reader still reads it in shared memory, it moves again before.
    Ended(EndedStream, Option<OutgoingId>),
    /// No stream has this epoch.
    Unknown(u64),
}

impl ServedTopic {
    /// Serves a topic to which a reader subscribes on a new connection, with `resumes` streams to
    /// resume. `is_on_socket`: no stream of the topic moves to shared memory. `redelivery`: what
    /// happens to messages that the reader may have had.
    pub(super) fn new(
        export: ExportId,
        mut tap: TopicTap,
        resumes: u16,
        is_on_socket: bool,
        redelivery: Redelivery,
    ) -> ServedTopic {
        for stream in tap.reader.streams() {
            stream.state.history.sent(stream.next());
            stream.state.connection = ConnectionProgress::default();
            if !stream.has_moved() {
                // The reader has forgotten the ring that was passed on the earlier connection, so
                // the move begins anew.
                stream.state.memory = MemoryStep::Start;
            }
        }
        let answers = Vec::new();
        let at_stream_limit = false;
        let (recall, handover) = (None, None);
        ServedTopic {
            export,
            tap,
            resumes,
            answers,
            at_stream_limit,
            is_on_socket,
            redelivery,
            recall,
            handover,
        }
    }

    /// Whether all publishers have ended and all of their messages are confirmed; at the end of the
    /// links, whether there are no publishers.
    pub(super) fn is_over(&mut self, at_the_end: bool) -> bool {
        let said = self.resumes == 0 && self.answers.is_empty();
        let reader = &mut self.tap.reader;
        said && (reader.is_over() || at_the_end && reader.streams().is_empty())
    }

    /// Whether the reader has lost the shared memory of a stream.
    pub(super) fn has_lost_memory(&self) -> bool {
        self.tap.reader.known_streams().iter().any(TapStream::has_lost_memory)
    }

    /// Returns the reader's violation of the protocol in the shared memory of a stream, if there is
    /// one.
    pub(super) fn memory_fault(&self) -> Option<MemoryFault> {
        self.tap.reader.known_streams().iter().find_map(TapStream::memory_fault)
    }

    /// Whether the reader had no room for a stream since the last call. The stream waits until
    /// another one ends.
    pub(super) fn take_at_stream_limit(&mut self) -> bool {
        std::mem::take(&mut self.at_stream_limit)
    }

    /// Resumes a stream: the reader has the messages before `next`, confirmed or not.
    pub(super) fn resume(&mut self, epoch: u64, next: u64, has_moved: bool) {
        self.resumes = self.resumes.saturating_sub(1);
        let waited_for = self.tap.reader.policy().is_gating();
        let (is_new, redelivery) = (self.tap.is_new, self.redelivery);
        let mut streams = self.tap.reader.streams().iter_mut();
        let mut known = streams.find(|stream| stream.epoch() == epoch);
        if let Some(stream) = known.as_mut().filter(|_| is_new) {
            // This side no longer knows which messages the reader's process has got over the link
            // or read in shared memory, so it sends none of them again.
            stream.start_at_next();
            stream.state.history.sent(stream.next());
            if has_moved {
                stream.state.history.doubt();
                return self.answers.push(ResumeAnswer::Unknown(epoch));
            }
            stream.state.connection.has_forgotten = true;
        }
        if let Some(stream) = known.filter(|stream| stream.state.history.knows(next)) {
            if !has_moved && stream.has_moved() {
                // The reader does not know that the stream moved, or has left the shared memory. It
                // then confirms over the link which messages it had finished there.
                stream.move_back();
                stream.state.connection.has_forgotten = true;
            }
            if !stream.has_moved() {
                stream.state.memory = MemoryStep::Start;
            }
            if has_moved && !stream.has_moved() {
                begin_again(stream, redelivery, waited_for);
                return self.answers.push(ResumeAnswer::Unknown(epoch));
            }
            stream.state.connection.resume_at = Some(next);
            return;
        }
        let ended = &mut self.tap.ended;
        let resumes_at = |it: &EndedStream| if has_moved { it.moved_at } else { Some(it.next) };
        let is_this = |it: &EndedStream| it.epoch == epoch && resumes_at(it) == Some(next);
        let found = ended.iter().position(is_this);
        let Some(found) = found.and_then(|index| ended.remove(index)) else {
            return self.answers.push(ResumeAnswer::Unknown(epoch));
        };
        // The reader does not know of this end, so it is remembered as long as later ones.
        ended.push_back(found.clone());
        let moved_at = found.moved_at.filter(|_| has_moved);
        self.answers.push(ResumeAnswer::Ended(EndedStream { moved_at, ..found }, None));
    }

    /// Records that the messages of a stream before `next` are confirmed. Returns how many of them
    /// are newly confirmed; `None` if the stream is not one of this topic.
    pub(super) fn confirmed(&mut self, id: OutgoingId, next: u64) -> Option<u64> {
        let streams = self.tap.reader.streams();
        let index = streams.iter().position(is_sent_as(id))?;
        let stream = &mut streams[index];
        stream.state.connection.has_reported = true;
        let kept = stream.kept();
        stream.release(next);
        let confirmed = stream.kept().wrapping_sub(kept);
        if stream.state.connection.ended && stream.depth() == 0 {
            self.tap.remove(index);
        }
        Some(confirmed)
    }

    /// Returns the bytes of a run that was sent, if its stream is one of this topic.
    pub(super) fn lent_bytes(&self, lent: &LentBytes) -> Option<[&[u8]; 2]> {
        let streams = self.tap.reader.known_streams();
        let index = streams.iter().position(is_sent_as(lent.stream))?;
        outgoing_stream::lent_bytes(&streams[index], lent)
    }

    /// Records that the reader requests what the publisher with this epoch retains.
    pub(super) fn recalled(&mut self, epoch: u64, before: u64) {
        self.recall = Some((epoch, before));
    }

    /// Records that the peer's readers have asked for messages of a stream.
    pub(super) fn demanded(&mut self, id: OutgoingId) {
        let streams = self.tap.reader.streams();
        if let Some(index) = streams.iter().position(is_sent_as(id)) {
            streams[index].state.connection.is_demanded = true;
        }
    }

    /// Sends messages until the link takes no more, and registers the waker for later messages.
    /// Returns how many were sent. `turn` must differ from call to call.
    pub(super) fn send(
        &mut self,
        now: Duration,
        turn: usize,
        link: &mut NodeLink<'_>,
        memory: Option<&mut OutgoingMemory>,
        waker: &Waker,
    ) -> Sent {
        let mut memory = memory.filter(|_| !self.is_on_socket);
        if self.resumes > 0 {
            return Sent::default();
        }
        let export = self.export;
        let no_room = |said| matches!(said, Err(SendError::Room { .. }));
        self.answers.retain_mut(|answer| no_room(answer.send(now, link, export)));
        if !self.answers.is_empty() {
            // Sends nothing yet, because a stream that no longer exists may begin again after the
            // answer.
            return Sent::default();
        }
        let first = self.send_streams(now, turn, link, memory.as_deref_mut());
        self.tap.reader.park(waker);
        let hands_over = self.hand_over(now, link);
        let then = self.send_streams(now, turn, link, memory);
        if then.keeps_back || hands_over {
            // Wakes the task at once, so that publishers on this thread run before the next call.
            waker.wake_by_ref();
        }
        Sent {
            messages: first.messages + then.messages,
            confirmed: first.confirmed + then.confirmed,
            keeps_back: then.keeps_back,
        }
    }

    /// Sends what publishers retain: first of new streams, then what the reader has requested.
    /// Returns whether more is left, and the link may take it.
    fn hand_over(&mut self, now: Duration, link: &mut NodeLink<'_>) -> bool {
        let (export, mut sent) = (self.export, 0);
        while sent < HANDOVER_BYTES {
            let streams = self.tap.reader.streams();
            let Some(Handover { epoch, reading, value }) = &mut self.handover else {
                let due = |stream: &TapStream<StreamState>| {
                    Some((stream.epoch(), stream.state.connection.retains?))
                };
                let new = streams.iter().find_map(due);
                let Some((epoch, before)) = new.or_else(|| self.recall.take()) else {
                    return false;
                };
                let known = streams.iter().find(|stream| stream.epoch() == epoch);
                let reading = known.and_then(|stream| stream.retained(before));
                self.handover = Some(Handover { epoch, reading, value: None });
                continue;
            };
            let Some((message, offset)) = value else {
                match reading.as_mut().map_or(Step::End, SlotReading::step) {
                    Step::Value(next) => {
                        *value = Some((next, 0));
                        continue;
                    }
                    Step::Read(bytes) => {
                        sent += 1 + bytes;
                        continue;
                    }
                    Step::End => {}
                }
                if link.end_retained(now, export, *epoch).is_err() {
                    return false;
                }
                let new = streams.iter_mut().find(|stream| stream.epoch() == *epoch);
                new.into_iter().for_each(|stream| stream.state.connection.retains = None);
                self.handover = None;
                continue;
            };
            let part = (message.bytes(), *offset);
            // If the link refuses, the next call tries again.
            let Ok(end) = link.send_retained(now, export, *epoch, message.sequence, part) else {
                return false;
            };
            sent += 1 + end - *offset;
            *offset = end;
            if end == message.bytes().len() {
                *value = None;
            }
        }
        true
    }

    fn send_streams(
        &mut self,
        now: Duration,
        turn: usize,
        link: &mut NodeLink<'_>,
        mut memory: Option<&mut OutgoingMemory>,
    ) -> Sent {
        let (mut sent, mut index, mut full) = (Sent::default(), 0, false);
        let waited_for = self.tap.reader.policy().is_gating();
        while let Some(stream) = self.tap.reader.streams().get_mut(index) {
            if stream.has_moved() && !stream.state.connection.is_known() {
                stream.move_back();
                if stream.state.has_said_end {
                    // Sends nothing again: the reader forgets an ended stream once it has read all
                    // of it.
                    stream.release(stream.next());
                    self.tap.remove(index);
                    continue;
                }
                begin_again(stream, self.redelivery, waited_for);
            }
            let ConnectionProgress { stream: id, resume_at, .. } = stream.state.connection;
            if full && id.is_none() && resume_at.is_none() {
                // Skips a new stream: the link has just refused one, and would refuse this one,
                // too. A resumed stream has its place already.
                index += 1;
                continue;
            }
            let memory = memory.as_deref_mut();
            match outgoing_stream::send(now, turn, link, self.export, stream, memory) {
                Ok(Progress { messages, keeps_back }) => {
                    sent.messages += messages;
                    sent.keeps_back |= keeps_back;
                }
                Err(SendError::Streams { .. }) => (full, self.at_stream_limit) = (true, true),
                // The next call of this function tries again.
                Err(_) => {}
            }
            let ConnectionProgress { stream: id, ended, .. } = stream.state.connection;
            // Also makes a peer that reads in shared memory wake this process when it has taken the
            // remaining messages.
            sent.confirmed += stream.update(ended);
            let is_read = !stream.has_moved() || stream.depth() == 0;
            // The end was sent and no message is unconfirmed, so the stream is removed.
            if ended && is_read && id.is_none_or(|id| link.unconfirmed(id) == 0) {
                stream.release(stream.next());
                self.tap.remove(index);
            } else {
                index += 1;
            }
        }
        // The next call begins with another stream, because a run leaves no room for others.
        if let [_, _, ..] = self.tap.reader.streams().as_slice() {
            self.tap.reader.streams().rotate_left(1);
        }
        sent
    }
}

/// Starts a stream again that the reader's process has lost. The process may have had all of its
/// messages.
fn begin_again(stream: &mut TapStream<StreamState>, redelivery: Redelivery, waited_for: bool) {
    let kept = stream.kept();
    stream.state.history.sent(stream.next());
    stream.state.history.left_unconfirmed(kept, redelivery, waited_for);
    stream.rewind(kept);
    stream.state.memory = MemoryStep::Start;
}

impl ResumeAnswer {
    fn send(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        export: ExportId,
    ) -> Result<(), SendError> {
        match self {
            ResumeAnswer::Unknown(epoch) => link.refuse_resume(now, export, *epoch),
            ResumeAnswer::Ended(EndedStream { publisher, epoch, next, moved_at }, opened) => {
                let stream = match *opened {
                    Some(stream) => stream,
                    None => {
                        let first = moved_at.unwrap_or(*next);
                        let start = StreamStart::new(*epoch, first, 1);
                        link.open_stream(now, export, Name::truncated(publisher), start)?
                    }
                };
                *opened = Some(stream);
                if moved_at.is_none() {
                    return link.end_stream(now, stream);
                }
                // The reader still has the memory, so the region needs no number.
                match link.move_stream(now, stream, 0) {
                    Ok(_) | Err(SendError::Moved) => link.end_moved_stream(now, stream, *next),
                    Err(error) => Err(error),
                }
            }
        }
    }
}
