//! One publisher of the peer: its messages go from the link into a ring of this process, whose free
//! room is the peer's credit.
//!
//! A message is copied once here, from the read buffer into the ring; a message that arrives in
//! fragments is put together first, which is a second copy.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use mycelium_core::FrameView;
use mycelium_core::frame::Fragment;
use mycelium_core::link::{CloseReason, IncomingId, InterestId, RunShape};

use super::incoming_memory::PassedRing;
use crate::local::{GapReason, Metadata, TopicError};
use crate::seam::{Feed, MappedFeed};
use crate::stream::NodeLink;

pub(super) struct IncomingStream {
    pub(super) id: IncomingId,
    pub(super) interest: InterestId,
    publisher: Feed,
    /// The rest of the stream, which subscriptions read in memory.
    mapped: Option<MappedFeed>,
    /// The memory is lost, and has the rest of the stream: it is confirmed over the link.
    has_left: bool,
    /// What subscriptions read before, in an earlier memory that is lost.
    before: Option<(Feed, MappedFeed)>,
    /// How many messages the peer may still send.
    credit: usize,
    /// The demand of the readers was sent on this connection.
    pub(super) has_signaled: bool,
    /// The messages before this sequence were reported to the link as done.
    done: u64,
    /// The peer has ended the stream.
    ended: bool,
    /// The fragments of a message that have arrived.
    fragments: Vec<u8>,
    /// The metadata of that message.
    metadata: Metadata,
    /// The latest message was sent to an earlier process, too.
    redelivered: bool,
}

impl IncomingStream {
    /// A stream that begins with the message `first`. The credit is the whole ring.
    pub(super) fn new(
        id: IncomingId,
        interest: InterestId,
        publisher: Feed,
        credit: usize,
        first: u64,
    ) -> IncomingStream {
        IncomingStream {
            id,
            interest,
            publisher,
            mapped: None,
            has_left: false,
            before: None,
            credit,
            has_signaled: false,
            done: first,
            ended: false,
            fragments: Vec::new(),
            metadata: Metadata::default(),
            redelivered: false,
        }
    }

    /// Whether the peer has ended the stream, and all of it was reported to the link as done.
    pub(super) fn is_over(&self) -> bool {
        let is_read = |it: &MappedFeed| it.is_read() && (it.is_whole() || !it.is_gone());
        let is_read = self.mapped.as_ref().is_none_or(is_read);
        // As of the last report: readers may have taken more since.
        self.ended && self.before.is_none() && is_read && self.done == self.next()
    }

    /// The sequence after the last message that is confirmed over the link.
    fn next(&self) -> u64 {
        let in_memory = self.mapped.as_ref().filter(|_| self.has_left);
        in_memory.map_or_else(|| self.publisher.next(), MappedFeed::next)
    }

    /// Whether messages that were in memory, or follow those there, have not arrived.
    pub(super) fn is_incomplete(&self) -> bool {
        let is_waiting = || self.before.is_some() && !self.ended;
        self.mapped.as_ref().map_or_else(is_waiting, |mapped| !mapped.is_whole())
    }

    /// Whether it has ended, and subscriptions have all of it in memory.
    pub(super) fn is_whole_in_memory(&self) -> bool {
        self.ended && self.mapped.as_ref().is_some_and(MappedFeed::is_whole)
    }

    /// The end of the messages in memory, if the stream has moved there.
    pub(super) fn memory_end(&self) -> Option<u64> {
        self.mapped.as_ref().map(MappedFeed::next)
    }

    /// Whether it has had the last sequence there is.
    pub(super) fn is_exhausted(&self) -> bool {
        self.publisher.next() == u64::MAX
    }

    /// Whether a reader may have a message in flight, or had one when it left.
    pub(super) fn is_in_flight(&self) -> bool {
        let before = self.before.as_ref();
        self.publisher.is_in_flight()
            || self.mapped.as_ref().is_some_and(MappedFeed::is_in_flight)
            || before.is_some_and(|(link, memory)| link.is_in_flight() || memory.is_in_flight())
    }

    /// The name of its publisher.
    pub(super) fn publisher(&self) -> &Arc<str> {
        self.publisher.name()
    }

    /// The start of its publisher.
    pub(super) fn epoch(&self) -> u64 {
        self.publisher.epoch()
    }

    /// Whether subscriptions read it in memory.
    pub(super) fn has_moved(&self) -> bool {
        self.mapped.is_some()
    }

    /// Whether it may move: subscriptions have read what they had in an earlier memory.
    pub(super) fn may_move(&self) -> bool {
        self.before.is_none()
    }

    /// Whether subscriptions read it in memory, and the control connection with it has ended.
    pub(super) fn has_lost_memory(&self) -> bool {
        !self.has_left && self.mapped.as_ref().is_some_and(MappedFeed::is_gone)
    }

    /// After its memory is lost: the stream continues over the link. Returns false if it does not:
    /// the publisher's process has died, the link knows it no more because it has ended, or this
    /// process has no room for it.
    pub(super) fn leave_memory(&mut self, link: &mut NodeLink<'_>) -> bool {
        let Some(mapped) = self.mapped.as_ref().filter(|mapped| !mapped.is_lost()) else {
            return false;
        };
        // Any number, if the peer is hostile.
        let next = mapped.next().max(self.publisher.next());
        if link.leave_memory(self.id, next, false).is_err() {
            return false;
        }
        if self.is_whole_in_memory() {
            // The peer says once more that it has ended.
            (self.has_left, self.ended) = (true, false);
            return true;
        }
        let Ok(publisher) = mapped.continue_on_link(next) else { return false };
        let earlier = std::mem::replace(&mut self.publisher, publisher);
        self.before = self.mapped.take().map(|mapped| (earlier, mapped));
        // If it has, the peer says so again: after messages that are not in this memory.
        self.ended = false;
        true
    }

    /// The next messages are in memory.
    ///
    /// # Errors
    /// If the memory has no room for all subscriptions.
    pub(super) fn move_to_memory(&mut self, ring: PassedRing) -> Result<(), TopicError> {
        let PassedRing { ring, tie, channel, .. } = ring;
        let mapped = self.publisher.continue_in_memory(ring, tie)?;
        channel.add(mapped.ring());
        self.mapped = Some(mapped);
        Ok(())
    }

    /// Takes a message.
    ///
    /// # Errors
    /// If the peer violates the protocol: the message has another size than those of the topic, or
    /// exceeds the credit.
    #[inline]
    pub(super) fn push(
        &mut self,
        frame: &FrameView<'_>,
        metadata: Metadata,
    ) -> Result<(), CloseReason> {
        self.credit = self.credit.saturating_sub(1);
        self.redelivered = frame.is_redelivered();
        let pushed = self.publisher.push_with(frame.payload(), self.redelivered, metadata);
        pushed.map_err(|_| CloseReason::Protocol)
    }

    /// Takes the messages of a run, as [`push`](IncomingStream::push) does.
    pub(super) fn push_run(&mut self, shape: RunShape, bytes: &[u8]) -> Result<(), CloseReason> {
        let count = bytes.len() / shape.stride.max(1) as usize;
        self.credit = self.credit.saturating_sub(count);
        self.redelivered = false;
        self.publisher.push_run(shape, bytes).map_err(|_| CloseReason::Protocol)
    }

    /// Takes a fragment of a message, as [`push`](IncomingStream::push) does. Returns whether it
    /// was the last one.
    pub(super) fn push_fragment(
        &mut self,
        fragment: Fragment,
        frame: &FrameView<'_>,
        metadata: Metadata,
    ) -> Result<bool, CloseReason> {
        let total = self.publisher.message_bytes();
        if total != fragment.total as usize {
            return Err(CloseReason::Protocol);
        }
        if fragment.offset == 0 {
            (self.redelivered, self.metadata) = (frame.is_redelivered(), metadata);
        }
        self.fragments.extend_from_slice(frame.payload());
        if self.fragments.len() < total {
            return Ok(false);
        }
        self.credit = self.credit.saturating_sub(1);
        let metadata = std::mem::take(&mut self.metadata);
        let pushed = self.publisher.push_with(&self.fragments, self.redelivered, metadata);
        pushed.map_err(|_| CloseReason::Protocol)?;
        self.fragments.clear();
        Ok(true)
    }

    /// The next `missed` messages do not arrive.
    pub(super) fn skip(&mut self, missed: u64, reason: GapReason) {
        self.fragments.clear();
        if missed > 0 {
            self.publisher.skip(missed, reason);
        }
    }

    /// The publisher has ended: readers get what arrived, and then the end.
    pub(super) fn end(&mut self) {
        self.ended = true;
        match &self.mapped {
            Some(mapped) => mapped.end(),
            None => self.publisher.end(),
        }
    }

    /// The stream was lost. What else the publisher has sent is unknown, unless it had ended.
    pub(super) fn lose(self) {
        match self.mapped {
            Some(mapped) if !self.ended || !mapped.is_whole() => mapped.lose(),
            None if !self.ended => self.publisher.lose(),
            Some(_) | None => {}
        }
    }

    /// Wakes readers for new messages, and reports to the link the slots that they freed and the
    /// messages that they are done with. Has the waker called when these change.
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
            // It is reported, and the stream may move again.
            waker.wake_by_ref();
        }
    }

    /// The first message that subscriptions still need of what they read in memory that is lost,
    /// and before that; `None` if they need none.
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
        let more = self.publisher.room().saturating_sub(self.credit);
        let count = u32::try_from(more).unwrap_or(u32::MAX);
        if count > 0 && link.grant(self.id, count).is_ok() {
            self.credit += count as usize;
        }
        if !self.has_signaled && self.publisher.is_requested() {
            self.has_signaled = self.ended || link.signal_demand(now, self.id).is_ok();
        }
        self.done = match (self.done_before(at_shutdown), self.publisher.done(at_shutdown)) {
            (Some(done), _) => done,
            (None, _) if self.has_left => self.next(),
            (None, Some(done)) => done,
            // No reader is left that could take the rest, or none has subscribed before the end.
            (None, None) if at_shutdown() => self.done,
            (None, None) => self.publisher.next(),
        };
        // A stream that no longer exists needs no confirmation.
        _ = link.confirm(now, self.id, self.done);
        let open = self.next() - self.done;
        // Confirmations that the peer gets in time anyway need no wake, unless the ring fills up.
        let waits = open > 0
            && (!link.has_unsent_confirmation(self.id)
                || self.redelivered
                || open > self.publisher.capacity() as u64 / 2);
        waits || !self.has_signaled
    }
}
