//! What a link knows of a topic: an interest for one that this side subscribes to, an export for
//! one that the peer subscribes to. The frames that are due are part of the state.

use super::control::Name;
use super::ids::{ExportId, InterestId};
use super::interest::{ReaderMode, ReaderStart};
use super::reason::RejectReason;
use super::tables::TableEntry;
use crate::descriptor::Digest;

/// What this side has sent of an interest, or has to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InterestState {
    /// Subscribe is due.
    Due,
    /// Subscribe is due, and unsubscribe after it. The hello counted the interest's streams, and
    /// the peer keeps places for them until a resume names each: so subscribe cannot be left out.
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
    pub(super) number: u32,
    pub(super) topic: Name,
    pub(super) type_id: u16,
    pub(super) digest: Digest,
    pub(super) mode: ReaderMode,
    pub(super) start: ReaderStart,
    pub(super) window: u32,
    pub(super) state: InterestState,
    pub(super) discarded: u64,
}

impl InterestEntry {
    /// Whether the peer does not know of it on this connection.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, InterestState::Due | InterestState::SubscribeThenUnsubscribeDue)
    }

    /// Whether unsubscribe is due.
    pub(super) fn is_unsubscribe_due(&self) -> bool {
        matches!(
            self.state,
            InterestState::SubscribeThenUnsubscribeDue | InterestState::UnsubscribeDue
        )
    }
}

impl TableEntry for InterestEntry {
    type Id = InterestId;

    #[inline]
    fn number(&self) -> u32 {
        self.number
    }
}

/// What this side has answered to a subscription, or has to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportState {
    /// The caller has not decided.
    Undecided,
    AcceptDue,
    Accepted,
    RejectDue(RejectReason, Digest),
    /// Reject or left was sent, and resumes of the subscription are still to arrive.
    Rejected,
    /// The peer unsubscribed: left is due.
    LeftDue,
}

#[derive(Debug)]
pub(super) struct ExportEntry {
    pub(super) number: u32,
    pub(super) type_id: u16,
    pub(super) window: u32,
    /// How many resumes are still to arrive.
    pub(super) resumes: u16,
    pub(super) state: ExportState,
}

impl ExportEntry {
    /// Whether the peer is subscribed and not rejected.
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self.state,
            ExportState::Undecided | ExportState::AcceptDue | ExportState::Accepted
        )
    }
}

impl TableEntry for ExportEntry {
    type Id = ExportId;

    #[inline]
    fn number(&self) -> u32 {
        self.number
    }
}

/// A stream that the peer wants to resume, and that this side has not answered.
#[derive(Debug)]
pub(super) struct PendingResume {
    pub(super) export: ExportId,
    pub(super) epoch: u64,
}

impl TableEntry for PendingResume {
    type Id = u16;

    fn number(&self) -> u32 {
        0
    }
}
