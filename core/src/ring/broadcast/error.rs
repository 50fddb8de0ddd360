//! The errors of broadcast rings: no such ring, no room.

use thiserror::Error;

use super::entry::Claim;

/// Why memory cannot be a ring.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The capacity is not a power of two, or below 2.
    #[error("capacity {given} is not a power of two of at least 2")]
    Capacity {
        /// The requested capacity.
        given: usize,
    },
    /// The storage does not have as many words as capacity and message size need.
    #[error("slots take {expected} words, the storage has {found}")]
    Slots {
        /// The words that the slots take.
        expected: usize,
        /// The words that the storage has.
        found: usize,
    },
    /// The slots take more words than memory can hold.
    #[error("slots take more words than memory can hold")]
    TooLarge,
}

/// The ring is full: a gating reader blocks the writer.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the ring is full: gating reader {} has not moved on", .reader.entry)]
pub struct Full {
    /// The entry of the reader that is furthest behind, and its claim: what
    /// [`evict`](super::Broadcast::evict) takes.
    pub reader: Claim,
}

crate::debug_as_display!(LayoutError, Full);
