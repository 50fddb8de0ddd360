//! Why there is no ring, and why a ring has no room.

use core::fmt;

/// Why memory cannot be a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The capacity is not a power of two, or below 2.
    Capacity {
        /// The capacity that was asked for.
        given: usize,
    },
    /// The storage does not hold as many words as capacity and message size need.
    Slots {
        /// The words that the slots would take; `None` if that is more than memory can hold.
        expected: Option<usize>,
        /// The words that the storage has.
        found: usize,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Capacity { given } => {
                write!(f, "capacity {given} is not a power of two of at least 2")
            }
            LayoutError::Slots { expected: Some(expected), found } => {
                write!(f, "slots take {expected} words, the storage has {found}")
            }
            LayoutError::Slots { expected: None, .. } => {
                write!(f, "slots take more words than memory can hold")
            }
        }
    }
}

impl core::error::Error for LayoutError {}

/// The ring is full: a gating reader holds the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// The entry of the reader that is furthest behind.
    pub reader: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ring is full: gating reader {} has not moved on", self.reader)
    }
}

impl core::error::Error for Full {}
