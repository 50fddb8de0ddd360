//! What a link knows of one topic or stream: the entries of its tables.

use core::time::Duration;

use super::config::Confirms;
use super::control::Name;
use super::event::ReaderMode;
use super::tables::{ExportId, InterestId};
use super::{RejectReason, SendError};
use crate::descriptor::Digest;
use crate::frame::{Fragment, FrameView};

/// What a side still has to say about a want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InterestState {
    /// It has to be asked for.
    Due,
    /// As `Due`, but it was left meanwhile. The peer keeps room for its streams, which the hello has counted, until they are
    /// named: it is asked for, and left at once.
    SubscribeThenUnsubscribeDue,
    /// It was asked for; what came of it, the caller was told.
    Asked,
    /// The peer rejected it: on this connection nothing comes of it.
    Rejected,
    /// It has to be said that it is wanted no more.
    LeaveDue,
    /// That was said; the peer may not know yet.
    Leaving,
}

#[derive(Debug)]
pub(super) struct InterestEntry {
    pub(super) number: u32,
    pub(super) topic: Name,
    pub(super) type_id: u16,
    pub(super) digest: Digest,
    pub(super) mode: ReaderMode,
    pub(super) window: u32,
    pub(super) state: InterestState,
    pub(super) discarded: u64,
}

impl InterestEntry {
    /// Whether the peer does not know of it on this connection.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, InterestState::Due | InterestState::SubscribeThenUnsubscribeDue)
    }

    /// Whether it is wanted no more, and the peer is to be told.
    pub(super) fn is_left(&self) -> bool {
        matches!(self.state, InterestState::SubscribeThenUnsubscribeDue | InterestState::LeaveDue)
    }
}

/// What a side still has to say about a serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportState {
    /// Nothing: the caller has not decided.
    Open,
    AcceptDue,
    Accepted,
    RejectDue(RejectReason, Digest),
    /// That was said, but the question has not come to its end.
    Rejected,
    /// The peer left, and has to be told that this side knows.
    LeaveDue,
}

#[derive(Debug)]
pub(super) struct ExportEntry {
    pub(super) number: u32,
    pub(super) type_id: u16,
    pub(super) window: u32,
    pub(super) resumes: u16,
    pub(super) state: ExportState,
}

#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) number: u32,
    /// The peer's number for it on this connection, if it has begun there.
    pub(super) remote: Option<u32>,
    pub(super) interest: InterestId,
    pub(super) type_id: u16,
    pub(super) epoch: u64,
    /// The sequence of the next message.
    pub(super) next: u64,
    pub(super) window: u32,
    /// How many messages may come, counted from the beginning of the connection, as the next two.
    pub(super) granted: u64,
    /// How many of these the peer was told of.
    pub(super) told: u64,
    /// How many have come.
    pub(super) used: u64,
    /// Messages before this sequence are confirmed.
    pub(super) done: u64,
    /// The peer was told that messages before this sequence are confirmed.
    pub(super) confirmed: u64,
    /// Since when a message is confirmed and the peer was not told.
    pub(super) unconfirmed: Option<Duration>,
    /// The caller says what is confirmed.
    pub(super) by_caller: bool,
    /// Messages before this one may have been delivered to an earlier process: each is confirmed by itself, so that few
    /// come a third time.
    pub(super) redelivered_before: u64,
    /// Its topic was left: what comes is discarded.
    pub(super) leaving: bool,
    /// Nothing more comes, but the peer was not told yet that all has arrived.
    pub(super) ended: bool,
    /// It has ended, and the caller knows. The peer may not, if the connection is lost: then it begins the stream again, and
    /// what it sends has come before.
    pub(super) over: bool,
    /// In the order of the ends: when it ended.
    pub(super) finished: u64,
    /// The peer was told that it is known, and has not answered.
    pub(super) resuming: bool,
    /// How many messages the sender keeps.
    pub(super) keeps: u32,
    /// The part that comes next, if the next message has begun to come in parts.
    pub(super) open: Option<Fragment>,
}

impl Incoming {
    pub(super) fn new(
        number: u32,
        interest: InterestId,
        type_id: u16,
        epoch: u64,
        window: u32,
        confirms: Confirms,
    ) -> Incoming {
        Incoming {
            number,
            remote: None,
            interest,
            type_id,
            epoch,
            next: 0,
            window,
            granted: 0,
            told: 0,
            used: 0,
            done: 0,
            confirmed: 0,
            unconfirmed: None,
            by_caller: confirms == Confirms::ByCaller,
            redelivered_before: 0,
            leaving: false,
            ended: false,
            over: false,
            finished: 0,
            resuming: false,
            keeps: u32::MAX,
            open: None,
        }
    }

    /// It begins on this connection, for the first time with room for all that it has room for.
    pub(super) fn begin(&mut self, remote: u32, first: u64) {
        let granted = u64::from(self.window);
        (self.granted, self.told) = (granted, granted);
        self.place(remote, first);
        (self.done, self.confirmed) = (first, first);
    }

    /// It goes on: with what room there is beside what came before and is not done with, of which the peer has to be
    /// told.
    pub(super) fn resume(&mut self, remote: u32, first: u64) {
        (self.granted, self.told) = (self.granted - self.used, 0);
        self.place(remote, first);
        if !self.by_caller {
            self.done = first;
        }
        // It may not have heard what was said on the connection before: it is told again, at once.
        self.confirmed = 0;
        self.unconfirmed = Some(Duration::ZERO);
    }

    fn place(&mut self, remote: u32, first: u64) {
        (self.remote, self.next) = (Some(remote), first);
        self.resuming = false;
        (self.used, self.unconfirmed, self.open) = (0, None, None);
    }

    /// It has ended, and all was said of it on this connection.
    pub(super) fn finish(&mut self, ends: &mut u64) {
        *ends += 1;
        self.finished = *ends;
        (self.remote, self.open, self.unconfirmed) = (None, None, None);
        (self.ended, self.over) = (false, true);
    }

    /// Whether it is there only in case that the peer begins it again.
    pub(super) fn is_spare(&self) -> bool {
        self.over && self.remote.is_none() && !self.resuming && self.done == self.next
    }

    /// Whether this is the whole of a message that may come now, and that somebody wants.
    #[inline(always)]
    pub(super) fn accepts(&self, frame: &FrameView<'_>) -> bool {
        let header = frame.header();
        header.type_id() == self.type_id
            && header.sequence() == self.next
            && self.next != u64::MAX
            && self.used < self.told
            && !self.leaving
            && self.open.is_none()
            && frame.fragment().is_none()
    }

    /// The whole of a message has come, or its last part.
    #[inline]
    pub(super) fn received_one(&mut self, now: Duration, frame: &FrameView<'_>) {
        if frame.is_redelivered() {
            self.redelivered_before = self.next + 1;
        }
        self.open = None;
        self.received_many(now, 1);
    }

    /// The next `count` messages have come whole.
    #[inline]
    pub(super) fn received_many(&mut self, now: Duration, count: u32) {
        self.next += u64::from(count);
        self.used += u64::from(count);
        self.arrived(now);
    }

    /// What has come is confirmed, unless the caller is to say so.
    #[inline]
    pub(super) fn arrived(&mut self, now: Duration) {
        // Nobody is told of what came after its topic was left.
        if !self.by_caller || self.leaving {
            self.confirm(now, self.next);
        }
    }

    /// The messages before this one are confirmed. Says whether that is new.
    #[inline]
    pub(super) fn confirm(&mut self, now: Duration, before: u64) -> bool {
        let before = before.min(self.next);
        let is_new = before > self.done;
        if is_new {
            self.done = before;
            self.unconfirmed.get_or_insert(now);
        }
        is_new
    }

    /// Whether it is there on this connection and has not ended.
    pub(super) fn is_live(&self, remote: u32) -> bool {
        self.remote == Some(remote) && !self.ended
    }

    /// Whether the peer is to be told now what may be sent and what has arrived.
    pub(super) fn is_due(&self, now: Duration, confirm: Duration) -> bool {
        let half = u64::from(self.window / 2);
        let unconfirmed = self.done - self.confirmed;
        self.remote.is_some()
            && (self.granted > self.told && self.told - self.used <= half
                || unconfirmed > 0 && self.confirmed < self.redelivered_before
                || self.ended && self.done == self.next
                || unconfirmed > half.min(u64::from(self.keeps / 2))
                || self.unconfirmed.is_some_and(|since| now >= since.saturating_add(confirm)))
    }
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) number: u32,
    pub(super) export: ExportId,
    pub(super) type_id: u16,
    pub(super) next: u64,
    /// Those before are confirmed.
    pub(super) confirmed: u64,
    pub(super) granted: u64,
    pub(super) sent: u64,
    /// It was ended: it is there until all has arrived.
    pub(super) ended: bool,
    /// The part that comes next, if some of the next message was sent.
    pub(super) open: Option<Fragment>,
}

impl Outgoing {
    /// Whether its next message may be sent.
    #[inline]
    pub(super) fn check(&self) -> Result<(), SendError> {
        if self.ended {
            return Err(SendError::Gone);
        }
        if self.next == u64::MAX {
            return Err(SendError::Exhausted);
        }
        if self.sent >= self.granted {
            return Err(SendError::Credit);
        }
        Ok(())
    }

    /// The whole of a message was sent.
    #[inline]
    pub(super) fn sent_one(&mut self) {
        self.open = None;
        self.sent_many(1);
    }

    /// The next `count` messages were taken for sending.
    #[inline]
    pub(super) fn sent_many(&mut self, count: u32) {
        self.next += u64::from(count);
        self.sent += u64::from(count);
    }
}

/// A stream that the peer wants to go on with, and that was not answered.
#[derive(Debug)]
pub(super) struct PendingResume {
    pub(super) export: ExportId,
    pub(super) epoch: u64,
}
