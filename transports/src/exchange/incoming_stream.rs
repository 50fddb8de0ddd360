//! One stream of a peer's, on its way into a topic here.

use std::task::Waker;
use std::time::Duration;

use mycelium_core::FrameView;
use mycelium_core::frame::Fragment;
use mycelium_core::link::{CloseReason, IncomingId, InterestId, Link, RunShape};

use crate::local::{GapReason, RemotePublishError, RemotePublisher};

/// A stream of the peer's.
pub(super) struct IncomingStream {
    pub(super) id: IncomingId,
    pub(super) want: InterestId,
    relay: RemotePublisher,
    /// How many messages the peer may still send.
    credit: usize,
    /// The peer was told on this connection that readers ask for messages.
    pub(super) has_asked: bool,
    /// The link was told that readers are done with the messages before this one.
    done: u64,
    /// The peer has said that nothing more comes.
    ended: bool,
    /// What has come of a message that comes in parts.
    parts: Vec<u8>,
    /// The message that came last, or is to come, may have been delivered to an earlier process.
    again: bool,
}

impl IncomingStream {
    /// A stream that begins with the message `first`, of which the peer may send `credit` messages.
    pub(super) fn new(
        id: IncomingId,
        want: InterestId,
        relay: RemotePublisher,
        credit: usize,
        first: u64,
    ) -> IncomingStream {
        IncomingStream {
            id,
            want,
            relay,
            credit,
            has_asked: false,
            done: first,
            ended: false,
            parts: Vec::new(),
            again: false,
        }
    }

    /// Whether the peer has ended it, and the link was told that readers are done with all of it.
    pub(super) fn is_over(&self) -> bool {
        // As the link was told: readers may have taken more since.
        self.ended && self.done == self.relay.next()
    }

    /// Whether a reader may have one of its messages in hand, or had one when it left.
    pub(super) fn is_in_flight(&self) -> bool {
        self.relay.is_in_flight()
    }

    /// Refuses a message for which the peer broke its word: it has another size, or there is no room that was promised.
    #[inline]
    pub(super) fn push(&mut self, message: &[u8], again: bool) -> Result<(), CloseReason> {
        self.credit = self.credit.saturating_sub(1);
        self.again = again;
        self.relay.push(message, again).map_err(|_| CloseReason::Protocol)
    }

    /// As [`push`](IncomingStream::push), for messages of a run.
    pub(super) fn run(&mut self, shape: RunShape, bytes: &[u8]) -> Result<(), CloseReason> {
        let count = bytes.len() / shape.stride.max(1) as usize;
        self.credit = self.credit.saturating_sub(count);
        self.again = false;
        self.relay.push_run(shape, bytes).map_err(|_| CloseReason::Protocol)
    }

    /// Part of a message; says whether it was the last.
    pub(super) fn part(
        &mut self,
        fragment: Fragment,
        frame: &FrameView<'_>,
    ) -> Result<bool, RemotePublishError> {
        let (expected, found) = (self.relay.message_bytes(), fragment.total as usize);
        if expected != found {
            return Err(RemotePublishError::Size { expected, found });
        }
        if fragment.offset == 0 {
            self.again = frame.is_redelivered();
        }
        self.parts.extend_from_slice(frame.payload());
        if self.parts.len() < expected {
            return Ok(false);
        }
        self.credit = self.credit.saturating_sub(1);
        self.relay.push(&self.parts, self.again)?;
        self.parts.clear();
        Ok(true)
    }

    pub(super) fn skip(&mut self, missed: u64, reason: GapReason) {
        self.parts.clear();
        if missed > 0 {
            self.relay.skip(missed, reason);
        }
    }

    /// Readers get what came, and then the end.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.relay.end();
    }

    /// Nobody knows what else the publisher sent, unless it has ended.
    pub(super) fn lose(self) {
        if !self.ended {
            self.relay.lose();
        }
    }

    /// Tells readers what came, and the peer what room they made and what they are done with.
    pub(super) fn tend<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        waker: &Waker,
        at_shutdown: &impl Fn() -> bool,
    ) {
        self.relay.flush();
        if self.settle(now, link, at_shutdown) {
            self.relay.park(waker);
            self.settle(now, link, at_shutdown);
        }
    }

    /// Says whether a message that readers are done with is something that the link is to hear of at once.
    fn settle<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        at_shutdown: &impl Fn() -> bool,
    ) -> bool {
        let more = self.relay.room().saturating_sub(self.credit);
        let count = u32::try_from(more).unwrap_or(u32::MAX);
        if count > 0 && link.grant(self.id, count).is_ok() {
            self.credit += count as usize;
        }
        if !self.has_asked && self.relay.is_asked() {
            self.has_asked = self.ended || link.signal_demand(now, self.id).is_ok();
        }
        self.done = match self.relay.done(at_shutdown) {
            Some(done) => done,
            // Whoever would take it has left, or has not come before the end.
            None if at_shutdown() => self.done,
            None => self.relay.next(),
        };
        // A stream that is there no more needs no confirmation.
        _ = link.confirm(now, self.id, self.done);
        let open = self.relay.next() - self.done;
        // What the peer hears of in time anyway wakes nobody, unless its room runs short.
        let waits = open > 0
            && (!link.has_unsent_confirmation(self.id)
                || self.again
                || open > self.relay.capacity() as u64 / 2);
        waits || !self.has_asked
    }
}
