//! Moves the messages of one publisher of the peer from the link into a ring of this process. The
//! free slots of this ring are the peer's credit, and if messages are not fixed, also the free
//! bytes of its arena.
//!
//! A message is copied once, from the read buffer to its place in the ring; each fragment of a long
//! one, too. Only fixed messages in fragments, or without alignment, are assembled first.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use mycelium_core::FrameView;
use mycelium_core::frame::Fragment;
use mycelium_core::link::{CloseReason, IncomingId, InterestId, RunShape, Unit};

use super::incoming_memory::PassedRing;
use crate::link::growth::Growth;
use crate::local::state::Joiners;
use crate::local::{GapReason, Metadata, Topic, TopicError};
use crate::seam::{Credit, Feed, MappedFeed};
use crate::stream::NodeLink;

pub(super) struct IncomingStream {
    pub(super) id: IncomingId,
    pub(super) interest: InterestId,
    publisher: Feed,
    /// The rest of the stream, if subscriptions read it in shared memory.
    mapped: Option<MappedFeed>,
    /// The shared memory is that of an earlier connection.
    is_earlier: bool,
    /// The shared memory with the rest of the stream is lost, so the rest is confirmed over the
    /// link.
    has_left: bool,
    /// The earlier part of the stream, which subscriptions still read in shared memory that was
    /// lost.
    before: Option<(Feed, MappedFeed)>,
    /// The credit that the peer may still use.
    left: usize,
    credit: Credit,
    /// The readers' demand was signaled to the peer on this connection.
    pub(super) has_signaled: bool,
    /// Messages before this sequence were reported to the link as finished.
    done: u64,
    /// The peer has ended the stream.
    ended: bool,
    /// The message that arrived last was also sent to an earlier process.
    redelivered: bool,
    /// The metadata of a message in fragments, if its layout differs.
    metadata: Metadata,
    /// How the peer's messages become those of this program, if its layout differs; and the
    /// fragments of a message that have arrived.
    growth: Option<(Growth, Vec<u8>)>,
    /// The subscriptions that wait for what the publisher retains.
    pub(super) joiners: Option<StreamJoiners>,
}

impl IncomingStream {
    /// Creates a stream that begins with the message `first`, with credit for the whole ring.
    pub(super) fn new(
        id: IncomingId,
        interest: InterestId,
        publisher: Feed,
        first: u64,
        growth: Option<Growth>,
        joiners: Option<StreamJoiners>,
    ) -> IncomingStream {
        let credit = publisher.credit();
        IncomingStream {
            id,
            interest,
            publisher,
            mapped: None,
            is_earlier: false,
            has_left: false,
            before: None,
            left: credit.most,
            credit,
            has_signaled: false,
            done: first,
            ended: false,
            redelivered: false,
            metadata: Metadata::default(),
            growth: growth.map(|growth| (growth, Vec::new())),
            joiners,
        }
    }

    /// Whether the peer has ended the stream, and all of its messages were reported to the link as
    /// finished.
    pub(super) fn is_over(&self) -> bool {
        let is_read = |it: &MappedFeed| it.is_read() && (it.is_whole() || !it.is_gone());
        let is_read = self.mapped.as_ref().is_none_or(is_read);
        // Compares only what was reported, because readers may have taken more since.
        self.ended && self.before.is_none() && is_read && self.done == self.next()
    }

    /// Returns the sequence after the last message that is confirmed over the link.
    pub(super) fn next(&self) -> u64 {
        let in_memory = self.mapped.as_ref().filter(|_| self.has_left);
        in_memory.map_or_else(|| self.publisher.next(), MappedFeed::next)
    }

    /// Whether messages in shared memory, or after them, have not arrived.
    pub(super) fn is_incomplete(&self) -> bool {
        let is_waiting = || self.before.is_some() && !self.ended;
        self.mapped.as_ref().map_or_else(is_waiting, |mapped| !mapped.is_whole())
    }

    /// Whether the stream has ended, and subscriptions have all of it in shared memory.
    pub(super) fn is_whole_in_memory(&self) -> bool {
        self.ended && self.mapped.as_ref().is_some_and(MappedFeed::is_whole)
    }

    /// Returns the end of the messages in shared memory, if the stream has moved there.
    pub(super) fn memory_end(&self) -> Option<u64> {
        self.mapped.as_ref().map(MappedFeed::next)
    }

    /// Whether the stream has had the last possible sequence.
    pub(super) fn is_exhausted(&self) -> bool {
        self.publisher.next() == u64::MAX
    }

    /// Whether a reader may have a message in flight, or may have had one when it left.
    pub(super) fn is_in_flight(&self) -> bool {
        let before = self.before.as_ref();
        self.publisher.is_in_flight()
            || self.mapped.as_ref().is_some_and(MappedFeed::is_in_flight)
            || before.is_some_and(|(link, memory)| link.is_in_flight() || memory.is_in_flight())
    }

    /// Returns the name of the stream's publisher.
    pub(super) fn publisher(&self) -> &Arc<str> {
        self.publisher.name()
    }

    /// Returns the epoch of the stream's publisher.
    pub(super) fn epoch(&self) -> u64 {
        self.publisher.epoch()
    }

    /// Whether subscriptions read the stream in shared memory.
    pub(super) fn has_moved(&self) -> bool {
        self.mapped.is_some()
    }

    /// Whether the stream may move to shared memory: subscriptions have read all messages in an
    /// earlier shared memory.
    pub(super) fn may_move(&self) -> bool {
        self.before.is_none()
    }

    /// Whether subscriptions read the stream in shared memory, and the control connection for it
    /// has ended.
    pub(super) fn has_lost_memory(&self) -> bool {
        !self.has_left && self.mapped.as_ref().is_some_and(MappedFeed::is_gone)
    }

    /// Notes that the connection has ended, and the stream has not.
    pub(super) fn outlive_connection(&mut self) {
        self.is_earlier = self.mapped.is_some();
    }

    /// Whether the stream's shared memory is that of an earlier connection, whose process was found
    /// dead since: nothing can follow.
    pub(super) fn is_of_dead_process(&self) -> bool {
        self.is_earlier
            && self.has_lost_memory()
            && self.mapped.as_ref().is_some_and(MappedFeed::is_lost)
    }

    /// Continues the stream over the link after its shared memory was lost. Returns false if that
    /// is impossible: the publisher's process has died, the link no longer knows the stream because
    /// it has ended, or this process has no room for it.
    pub(super) fn leave_memory(&mut self, link: &mut NodeLink<'_>) -> bool {
        let Some(mapped) = self.mapped.as_ref().filter(|mapped| !mapped.is_lost()) else {
            return false;
        };
        // A hostile peer can set the ring's position to any number, so the stream never moves back.
        let next = mapped.next().max(self.publisher.next());
        if link.leave_memory(self.id, next, false).is_err() {
            return false;
        }
        if self.is_whole_in_memory() {
            // The peer will say again that the stream has ended.
            (self.has_left, self.ended) = (true, false);
            return true;
        }
        let Ok(publisher) = mapped.continue_on_link(next) else { return false };
        let earlier = std::mem::replace(&mut self.publisher, publisher);
        self.before = self.mapped.take().map(|mapped| (earlier, mapped));
        // If the stream has ended, the peer says so again, after messages that are not in this
        // memory.
        self.ended = false;
        true
    }

    /// Continues the stream in shared memory, which has the next messages.
    ///
    /// # Errors
    /// If the ring has no room for all subscriptions.
    pub(super) fn move_to_memory(&mut self, ring: PassedRing) -> Result<(), TopicError> {
        let PassedRing { ring, tie, channel, .. } = ring;
        let mapped = self.publisher.continue_in_memory(ring, tie)?;
        channel.add(mapped.ring());
        (self.mapped, self.is_earlier) = (Some(mapped), false);
        Ok(())
    }

    /// Puts a message from the link into the ring.
    ///
    /// # Errors
    /// If the peer violates the protocol: the message does not have the size of the topic's
    /// messages, or exceeds the credit.
    #[inline]
    pub(super) fn push(
        &mut self,
        frame: &FrameView<'_>,
        metadata: Metadata,
    ) -> Result<(), CloseReason> {
        if self.growth.is_some() {
            return self.push_grown(frame.payload(), frame.is_redelivered(), metadata);
        }
        self.use_credit(1, frame.payload().len());
        self.redelivered = frame.is_redelivered();
        let pushed = self.publisher.push_with(frame.payload(), self.redelivered, metadata);
        pushed.or_else(|_| self.skip_too_long(frame.payload().len()))
    }

    /// Puts a message with another layout into the ring.
    #[cold]
    fn push_grown(
        &mut self,
        bytes: &[u8],
        redelivered: bool,
        metadata: Metadata,
    ) -> Result<(), CloseReason> {
        self.use_credit(1, bytes.len());
        self.redelivered = redelivered;
        let message = self.growth.as_ref().and_then(|(growth, _)| growth.convert(bytes));
        let Some(message) = message else {
            self.publisher.skip(1, GapReason::Undecodable);
            return Ok(());
        };
        let pushed = self.publisher.push_with(&message, redelivered, metadata);
        pushed.or_else(|_| self.skip_too_long(message.len()))
    }

    /// Skips a message that is longer than those of this program, which have another `max`.
    #[cold]
    fn skip_too_long(&mut self, length: usize) -> Result<(), CloseReason> {
        if !self.publisher.is_too_long(length) {
            return Err(CloseReason::Protocol);
        }
        self.publisher.skip(1, GapReason::Undecodable);
        Ok(())
    }

    /// Puts the messages of a run into the ring, as [`push`](IncomingStream::push) does for one.
    pub(super) fn push_run(&mut self, shape: RunShape, bytes: &[u8]) -> Result<(), CloseReason> {
        let stride = shape.stride.max(1) as usize;
        let count = bytes.len() / stride;
        let end = self.publisher.next().wrapping_add(count as u64);
        let pushed = if self.growth.is_some() {
            bytes.chunks_exact(stride).try_for_each(|item| {
                self.push_grown(shape.message(item), false, Metadata::default())
            })
        } else {
            self.use_credit(count, shape.length.into());
            self.redelivered = false;
            self.publisher.push_run(shape, bytes).map_err(|_| CloseReason::Protocol)
        };
        // The link counts all of them as received.
        pushed.inspect_err(|_| {
            self.skip(end.wrapping_sub(self.publisher.next()), GapReason::Disconnected);
        })
    }

    /// Puts a fragment of a message into the ring, and the message once it is complete, as
    /// [`push`](IncomingStream::push) does. Returns whether it was the last one.
    pub(super) fn push_fragment(
        &mut self,
        fragment: Fragment,
        (bytes, redelivered): (&[u8], bool),
        metadata: Metadata,
    ) -> Result<bool, CloseReason> {
        let total = fragment.total as usize;
        if let Some((_, fragments)) = &mut self.growth {
            if fragment.offset == 0 {
                (self.redelivered, self.metadata) = (redelivered, metadata);
                *fragments = Vec::new();
            }
            fragments.extend_from_slice(bytes);
            if fragments.len() < total {
                return Ok(false);
            }
            let (bytes, metadata) = (std::mem::take(fragments), std::mem::take(&mut self.metadata));
            let pushed = self.push_grown(&bytes, self.redelivered, metadata);
            // The link counts it as received.
            return pushed.map(|()| true).inspect_err(|_| self.skip(1, GapReason::Disconnected));
        }
        let is_last = fragment.offset as usize + bytes.len() >= total;
        if !self.publisher.accepts(total) {
            if is_last || !self.publisher.is_too_long(total) {
                self.use_credit(1, total);
                self.skip_too_long(total)?;
            }
            return Ok(is_last);
        }
        if fragment.offset == 0 {
            self.redelivered = redelivered;
        }
        let pushed = self.publisher.push_fragment(fragment, bytes, self.redelivered, metadata);
        if pushed.is_err() {
            self.skip(is_last.into(), GapReason::Disconnected);
            return Err(CloseReason::Protocol);
        }
        if is_last {
            self.use_credit(1, total);
        }
        Ok(is_last)
    }

    /// Takes the credit of `count` messages of this length, which have arrived.
    #[inline(always)]
    fn use_credit(&mut self, count: usize, length: usize) {
        let cost = self.credit.unit.cost(length) as usize; // at most the length
        self.left = self.left.saturating_sub(count * cost);
    }

    /// Skips the next `missed` messages, which will not arrive.
    pub(super) fn skip(&mut self, missed: u64, reason: GapReason) {
        if missed == 0 {
            return;
        }
        self.publisher.skip(missed, reason);
        // What has arrived of a message in fragments is among the missing ones.
        if let Some((_, fragments)) = &mut self.growth {
            *fragments = Vec::new();
        }
    }

    /// Ends the stream, because its publisher has ended. Readers get the messages that arrived, and
    /// then the end.
    pub(super) fn end(&mut self, link: &mut NodeLink<'_>) {
        self.ended = true;
        match &self.mapped {
            Some(mapped) => mapped.end(),
            None => self.publisher.end(),
        }
        let is_lost = self.has_lost_memory() && self.is_incomplete();
        if let Some(end) = self.memory_end().filter(|_| is_lost) {
            // The link keeps the stream, so that the next connection sends the rest.
            _ = link.leave_memory(self.id, end, false);
        }
    }

    /// Ends the stream as lost: unless it had ended, it is unknown what else the publisher has
    /// sent.
    pub(super) fn lose(self) {
        match self.mapped {
            Some(mapped) if !self.ended || !mapped.is_whole() => mapped.lose(),
            None if !self.ended => self.publisher.lose(),
            Some(_) | None => {}
        }
    }

    /// Wakes readers for new messages, and reports freed slots and finished messages to the link.
    /// Registers the waker for further changes.
    pub(super) fn update(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        waker: &Waker,
        at_shutdown: &impl Fn() -> bool,
    ) {
        self.publisher.flush();
        if self.report(now, link, at_shutdown) {
            self.publisher.park(waker);
            self.report(now, link, at_shutdown);
        }
        let before = self.before.iter().map(|(_, mapped)| mapped);
        for mapped in before.chain(&self.mapped) {
            mapped.park(waker);
            mapped.settle(at_shutdown);
        }
        let is_read = self.before.as_ref().is_some_and(|(_, memory)| memory.is_read());
        if is_read && self.done_before(at_shutdown).is_none() {
            self.before = None;
            // All messages are reported, so the stream may move again: wakes this task.
            waker.wake_by_ref();
        }
    }

    /// Returns the sequence of the first message that subscriptions still need from lost shared
    /// memory, or from before it on the link; `None` if they need none.
    fn done_before(&self, at_shutdown: &impl Fn() -> bool) -> Option<u64> {
        let in_memory = self.mapped.as_ref().filter(|_| self.has_left);
        let before = self.before.as_ref().map(|(link, memory)| (link, memory));
        let (link, memory) = before.or(in_memory.map(|memory| (&self.publisher, memory)))?;
        let on_link = link.done(at_shutdown).filter(|done| *done < link.next());
        on_link.or_else(|| memory.needed(at_shutdown))
    }

    /// Reports progress of the readers to the link. Returns whether the next change must be
    /// reported at once.
    fn report(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        at_shutdown: &impl Fn() -> bool,
    ) -> bool {
        if !self.has_signaled && self.publisher.is_requested() {
            self.has_signaled = self.ended || link.signal_demand(now, self.id).is_ok();
        }
        self.done = match (self.done_before(at_shutdown), self.publisher.done(at_shutdown)) {
            (Some(done), _) => done,
            (None, _) if self.has_left => self.next(),
            (None, Some(done)) => done,
            // No reader is left for the remaining messages, or none subscribed before the end: they
            // stay unconfirmed.
            (None, None) if at_shutdown() => self.done,
            (None, None) => self.publisher.next(),
        };
        // Comes after `done`: if readers finished all messages between the two, the other way round,
        // nothing would wake this task to grant the room that they have made.
        let more = self.publisher.room().saturating_sub(self.left);
        let count = u32::try_from(more).unwrap_or(u32::MAX);
        if count > 0 && link.grant(self.id, count).is_ok() {
            self.left += count as usize;
        }
        // Ignores the error: a stream that no longer exists needs no confirmation.
        _ = link.confirm(now, self.id, self.done);
        let open = self.next() - self.done;
        // Wakes the link only if the ring fills up, or if no confirmation is on its way that would
        // reach the peer in time.
        let is_full = self.credit.unit != Unit::MESSAGE && self.left < self.credit.low();
        let waits = open > 0
            && (!link.has_unsent_confirmation(self.id)
                || self.redelivered
                || open > self.publisher.capacity() as u64 / 2);
        is_full || waits || !self.has_signaled
    }
}

/// The subscriptions that wait for what the publisher of a stream retains. When this is dropped,
/// they wait no longer.
pub(super) struct StreamJoiners {
    topic: Arc<Topic>,
    pub(super) joiners: Arc<Joiners>,
    /// The peer sends what the publisher retains without a request.
    pub(super) is_new: bool,
}

impl StreamJoiners {
    pub(super) fn new(topic: &Arc<Topic>, joiners: Arc<Joiners>) -> StreamJoiners {
        StreamJoiners { topic: topic.clone(), joiners, is_new: true }
    }
}

impl Drop for StreamJoiners {
    fn drop(&mut self) {
        self.joiners.end(self.topic.schema());
    }
}
