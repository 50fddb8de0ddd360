//! The state of topics and streams. The files below handle messages that need several frames, share
//! one, or go through shared memory.
//!
//! A topic is an interest if this side subscribes to it, or an export if the peer does. A stream
//! carries the messages of one run of a publisher: incoming for an interest, outgoing for an
//! export. The state says which frames are due. `fragment` has long messages, `run` the messages
//! that share a header and stay in their ring, `memory` the streams that have moved to shared
//! memory. This file may use the tables, settings, errors and frames of a link, but not the link;
//! the other three have methods of the link, called by the caller or from `input`.

use core::time::Duration;

use super::config::{Interest, Unit};
use super::error::{LinkError, RejectReason, SendError};
use super::event::RunShape;
use super::tables::{ExportId, InterestId};
use crate::descriptor::Digest;
use crate::frame::{Fragment, FrameView};

mod fragment;
mod memory;
mod run;

/// The subscription frame of an interest that was sent last or is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InterestState {
    /// Subscribe is due.
    Due,
    /// Subscribe is due, and then unsubscribe. Subscribe cannot be left out: the hello counted the
    /// interest's streams, and the peer keeps places for them until a resume names each.
    SubscribeThenUnsubscribeDue,
    /// Subscribe was sent.
    Subscribed,
    /// The peer rejected the topic on this connection.
    Rejected,
    /// Unsubscribe is due.
    UnsubscribeDue,
    /// Unsubscribe was sent; the peer has not answered.
    Unsubscribing,
}

#[derive(Debug)]
pub(super) struct InterestEntry {
    pub(super) interest: Interest,
    pub(super) state: InterestState,
    pub(super) discarded: u64,
}

impl InterestEntry {
    /// Returns whether the interest is unknown to the peer on this connection.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, InterestState::Due | InterestState::SubscribeThenUnsubscribeDue)
    }

    /// Returns whether unsubscribe is due.
    pub(super) fn is_unsubscribe_due(&self) -> bool {
        matches!(
            self.state,
            InterestState::SubscribeThenUnsubscribeDue | InterestState::UnsubscribeDue
        )
    }
}

/// The answer to a subscription that was sent last or is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportState {
    /// The caller has not decided.
    Undecided,
    AcceptDue,
    Accepted,
    RejectDue(RejectReason, Digest),
    /// Reject or left was sent, and more resumes of the subscription will arrive.
    Rejected,
    /// The peer unsubscribed: left is due.
    LeftDue,
}

#[derive(Debug)]
pub(super) struct ExportEntry {
    pub(super) type_id: u16,
    pub(super) window: u32,
    pub(super) unit: Unit,
    /// The number of resumes that will still arrive.
    pub(super) resumes: u16,
    pub(super) state: ExportState,
}

impl ExportEntry {
    /// Returns whether the peer is subscribed and not rejected.
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self.state,
            ExportState::Undecided | ExportState::AcceptDue | ExportState::Accepted
        )
    }
}

/// A stream that the peer wants to resume, without an answer of this side so far.
#[derive(Debug, PartialEq)]
pub(super) struct PendingResume {
    pub(super) export: ExportId,
    pub(super) epoch: u64,
}

/// The frames of a stream that may arrive next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IncomingState {
    /// Messages.
    Live,
    /// Only the end: the messages from `next` on are in shared memory.
    Moved,
    /// Only the region frame: the stream moved at `next` on an earlier connection.
    MoveDue,
    /// None: the end has arrived, but the peer does not know yet that all messages before `next`
    /// are confirmed.
    Ended,
}

/// Where a stream continues after the caller has left its shared memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftMemory {
    /// The sequence of the next message.
    pub(super) next: u64,
    /// Whether `next` is the end of the stream, and all messages before it are confirmed.
    pub(super) ended: bool,
}

/// The place of a confirmation that was not sent on this connection. Not an `Option`, because a
/// link has many streams, each of which would be a word longer.
const UNSENT: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Incoming {
    /// The peer's number for the stream; `None` while it is not open on this connection.
    pub(super) remote: Option<u32>,
    pub(super) interest: InterestId,
    pub(super) type_id: u16,
    pub(super) epoch: u64,
    /// The sequence of the next message that can arrive over the link.
    pub(super) next: u64,
    pub(super) window: u32,
    pub(super) unit: Unit,
    /// The total credit that messages may use on this connection.
    pub(super) granted: u64,
    /// The value of `granted` that was sent to the peer.
    pub(super) granted_sent: u64,
    /// The credit that messages have used on this connection.
    pub(super) used: u64,
    /// Messages before this sequence are confirmed.
    pub(super) confirmed: u64,
    /// The value of `confirmed` that was sent to the peer.
    pub(super) confirmed_sent: u64,
    /// The time since which `confirmed` is ahead of `confirmed_sent`.
    pub(super) unconfirmed: Option<Duration>,
    /// Whether the caller confirms messages; otherwise their arrival does.
    pub(super) by_caller: bool,
    /// Messages before this sequence may have been delivered to an earlier process. Each is
    /// confirmed at once, so that few are redelivered again.
    pub(super) redelivered_before: u64,
    /// Whether the interest was unsubscribed, so that messages are discarded.
    pub(super) unsubscribed: bool,
    pub(super) state: IncomingState,
    /// Whether the stream moved to shared memory and the caller still reads it there.
    pub(super) in_memory: bool,
    /// Where the stream continues on the next connection, if the caller has left the shared memory.
    pub(super) left: Option<LeftMemory>,
    /// Whether the stream has ended and the caller knows. After a lost connection the peer may not
    /// know that all messages arrived, and open the stream again.
    pub(super) finished: bool,
    /// The place of the last sent confirmation among those of all streams of this connection; 0 if
    /// the peer needs none. [`UNSENT`] if the peer may not know what was confirmed on an earlier
    /// one.
    pub(super) last_confirmation: u64,
    /// The number of unconfirmed messages that the publisher can keep.
    pub(super) keeps: u32,
    /// The next fragment of a partly received message.
    pub(super) open: Option<Fragment>,
}

impl Incoming {
    /// Resumes a stream of an earlier connection. Messages that arrived there and are not released
    /// yet still use the window; a window frame tells the peer how much is left.
    pub(super) fn resume(&mut self, remote: u32, first: u64) {
        (self.granted, self.granted_sent) = (self.granted - self.used, 0);
        (self.remote, self.next) = (Some(remote), first);
        // Without messages, the peer needs no confirmation.
        self.last_confirmation = if first == 0 { 0 } else { UNSENT };
        (self.used, self.open) = (0, None);
        if !self.by_caller {
            self.confirmed = first;
        }
        // The last confirmation of the earlier connection may be lost, so it is sent again at once.
        self.confirmed_sent = 0;
        self.unconfirmed = Some(Duration::ZERO);
    }

    /// Finishes the stream: it has ended, and nothing is left to send about it on this connection.
    pub(super) fn finish(&mut self) {
        (self.remote, self.open, self.unconfirmed) = (None, None, None);
        (self.state, self.finished) = (IncomingState::Live, true);
    }

    /// Handles the loss of the connection.
    pub(super) fn lost(&mut self) {
        (self.remote, self.open, self.last_confirmation) = (None, None, UNSENT);
        match self.state {
            IncomingState::Ended => self.finish(),
            IncomingState::Moved => self.state = IncomingState::MoveDue,
            IncomingState::Live | IncomingState::MoveDue => {}
        }
        if let Some(LeftMemory { next, ended }) = self.left.take() {
            (self.state, self.in_memory) = (IncomingState::Live, false);
            self.next = self.next.max(next);
            if ended {
                self.confirmed = self.next;
            } else {
                self.finished = false;
            }
        }
    }

    /// Returns `None` if the stream must be kept; otherwise the place of its last confirmation.
    /// Confirmations arrive in their order, so the peer knows of the lowest first.
    pub(super) fn forgettable_since(&self) -> Option<u64> {
        let is_spare = self.finished && self.remote.is_none() && self.confirmed == self.next;
        // If the caller has lost the memory too early, the next connection sends the rest.
        let is_left = self.left.is_some_and(|left| !left.ended);
        let is_known = self.last_confirmation != UNSENT;
        (is_known && is_spare && !is_left).then_some(self.last_confirmation)
    }

    /// Returns an error unless the frame is at the next sequence.
    pub(super) fn check_sequence(&self, stream: u32, found: u64) -> Result<(), LinkError> {
        if found != self.next {
            return Err(LinkError::Sequence { stream, expected: self.next, found });
        }
        Ok(())
    }

    /// Returns whether this frame is the next message, is whole, has credit and is not to be
    /// discarded.
    #[inline(always)]
    pub(super) fn accepts(&self, frame: &FrameView<'_>) -> bool {
        let header = frame.header();
        header.type_id() == self.type_id
            && header.sequence() == self.next
            && self.next != u64::MAX
            && self.has_credit(frame.payload().len())
            && !self.unsubscribed
            && self.open.is_none()
            && frame.fragment().is_none()
    }

    /// Returns whether there is credit for a message of `length` bytes.
    #[inline(always)]
    pub(super) fn has_credit(&self, length: usize) -> bool {
        self.used + self.unit.cost(length) <= self.granted_sent
    }

    /// Counts a message of `length` bytes that has arrived whole, or with its last fragment.
    #[inline]
    pub(super) fn received_one(&mut self, now: Duration, frame: &FrameView<'_>, length: usize) {
        if frame.is_redelivered() {
            self.redelivered_before = self.next + 1;
        }
        self.open = None;
        self.received_many(now, 1, length);
    }

    /// Counts the next `count` messages of `length` bytes, which have arrived whole.
    #[inline]
    pub(super) fn received_many(&mut self, now: Duration, count: u32, length: usize) {
        self.next += u64::from(count);
        self.used += u64::from(count) * self.unit.cost(length);
        self.confirm_arrived(now);
    }

    /// Confirms all messages that have arrived, unless the caller confirms them.
    #[inline]
    pub(super) fn confirm_arrived(&mut self, now: Duration) {
        // Messages of an interest that the caller has unsubscribed are confirmed here, because the
        // caller does not see them.
        if !self.by_caller || self.unsubscribed {
            self.confirm(now, self.next);
        }
    }

    /// Confirms the messages before this sequence. Returns whether that changed anything.
    #[inline]
    pub(super) fn confirm(&mut self, now: Duration, before: u64) -> bool {
        let before = before.min(self.next);
        let is_new = before > self.confirmed;
        if is_new {
            self.confirmed = before;
            self.unconfirmed.get_or_insert(now);
        }
        is_new
    }

    /// Returns whether the stream has this number on this connection and its messages arrive over
    /// the link.
    pub(super) fn is_live(&self, remote: u32) -> bool {
        self.remote == Some(remote) && self.state == IncomingState::Live
    }

    /// Returns an error unless the end is at the next sequence. A moved stream may end after any of
    /// its messages in shared memory, which do not arrive over the link.
    pub(super) fn check_end(&self, stream: u32, found: u64) -> Result<(), LinkError> {
        if self.state != IncomingState::Moved {
            self.check_live(stream)?;
        } else if found >= self.next {
            return Ok(());
        }
        self.check_sequence(stream, found)
    }

    /// Returns an error unless messages of this stream arrive over the link.
    pub(super) fn check_live(&self, stream: u32) -> Result<(), LinkError> {
        match self.state {
            IncomingState::Live => Ok(()),
            IncomingState::Moved | IncomingState::MoveDue => Err(LinkError::Moved { stream }),
            IncomingState::Ended => Err(LinkError::Stream { number: stream }),
        }
    }

    /// Returns whether the end has arrived and the peer does not know that all messages are
    /// confirmed.
    pub(super) fn has_ended(&self) -> bool {
        self.state == IncomingState::Ended
    }

    /// Returns whether a window frame is due: credit or confirmations that the peer needs now.
    pub(super) fn is_due(&self, now: Duration, confirm: Duration) -> bool {
        let half = u64::from(self.window / 2);
        // A reader that is slower than its peer frees a few slots at a time. While less than this
        // part of the window is free, the reader has more messages to take, so the remaining credit
        // will follow.
        let worth = u64::from(self.window / 8).max(1);
        let unconfirmed = self.confirmed - self.confirmed_sent;
        let new = self.granted - self.granted_sent;
        let is_low = match self.unit {
            Unit::MESSAGE => new >= worth && self.granted_sent - self.used <= half,
            // The next message may use more than half of the window, or all of it.
            _ => new >= worth || new > 0 && self.granted - self.used == u64::from(self.window),
        };
        self.remote.is_some()
            && (is_low
                || unconfirmed > 0 && self.confirmed_sent < self.redelivered_before
                || self.has_ended() && self.confirmed == self.next
                || unconfirmed > half.min(u64::from(self.keeps / 2))
                || self.unconfirmed.is_some_and(|since| now >= since.saturating_add(confirm)))
    }
}

/// What the next bytes of the peer belong to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    /// Messages of a run.
    Run(IncomingRun),
    /// Bytes of a fragment.
    Fragment {
        /// The peer's number for the stream.
        number: u32,
        /// The number of bytes that have not arrived yet, without padding.
        left: usize,
    },
}

/// A run that has not completely arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct IncomingRun {
    /// The peer's number for the stream of the run.
    pub(super) number: u32,
    pub(super) shape: RunShape,
    /// The number of messages that have not arrived yet.
    pub(super) left: u32,
}

/// The frames of a stream that may be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutgoingState {
    /// Messages.
    Live,
    /// Only the end: the messages from `next` on are in shared memory.
    Moved,
    /// None: the end was sent. The entry stays until all messages before `next` are confirmed.
    Ended,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) export: ExportId,
    pub(super) type_id: u16,
    /// The sequence of the next message that can be sent over the link.
    pub(super) next: u64,
    /// The peer has confirmed the messages before this sequence.
    pub(super) confirmed: u64,
    /// The credit of the stream while all of its messages are taken.
    pub(super) window: u32,
    /// The total credit that messages may use on this connection.
    pub(super) granted: u64,
    /// The credit that messages have used on this connection.
    pub(super) sent: u64,
    pub(super) unit: Unit,
    pub(super) state: OutgoingState,
    /// The next fragment of a partly sent message.
    pub(super) open: Option<Fragment>,
}

impl Outgoing {
    /// Checks that the next message may be sent, if it has `length` bytes.
    #[inline]
    pub(super) fn check(&self, length: usize) -> Result<(), SendError> {
        self.check_live()?;
        if self.next == u64::MAX {
            return Err(SendError::Exhausted);
        }
        if self.sent + self.unit.cost(length) > self.granted {
            return Err(self.no_credit(length));
        }
        Ok(())
    }

    /// Returns the error of a message that lacks credit, or needs more than the window.
    #[cold]
    fn no_credit(&self, length: usize) -> SendError {
        if self.unit.cost(length) <= u64::from(self.window) {
            return SendError::Credit;
        }
        SendError::TooLong { length, limit: self.unit.longest(self.window) }
    }

    /// Checks that frames of messages may be sent.
    #[inline]
    pub(super) fn check_live(&self) -> Result<(), SendError> {
        match self.state {
            OutgoingState::Live => Ok(()),
            OutgoingState::Moved => Err(SendError::Moved),
            OutgoingState::Ended => Err(SendError::Gone),
        }
    }

    /// Counts a message of `length` bytes that was sent whole, or with its last fragment.
    #[inline]
    pub(super) fn sent_one(&mut self, length: usize) {
        self.open = None;
        self.sent_many(1, length);
    }

    /// Counts the next `count` messages of `length` bytes, which were sent whole.
    #[inline]
    pub(super) fn sent_many(&mut self, count: u32, length: usize) {
        self.next += u64::from(count);
        self.sent += u64::from(count) * self.unit.cost(length);
    }
}
