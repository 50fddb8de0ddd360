//! The errors of regions: memory that is not a ring, or cannot become one.

use core::fmt;

use thiserror::Error;

use crate::ring::CapacityError;
use crate::ring::broadcast::LayoutError;

/// A field of a region's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The first word.
    Magic,
    /// The version of the layout.
    Version,
    /// What the region contains.
    Kind,
    /// The bytes of a word.
    WordSize,
    /// The distance that keeps words of different owners apart.
    Alignment,
    /// The capacity of the ring.
    Capacity,
    /// The bytes of each message, or the most bytes of a message.
    MessageBytes,
    /// Whether messages may differ in length: 0 or 1.
    HasLength,
    /// The words of a slot.
    SlotWords,
    /// The number of entries.
    Entries,
    /// The words of the region.
    Size,
    /// The start of the publisher.
    Epoch,
    /// The digest of the messages.
    Digest,
}

impl Field {
    pub(super) fn wrong(self, expected: usize, found: usize) -> RegionError {
        RegionError::Field { field: self, expected, found }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Magic => "magic",
            Field::Version => "layout version",
            Field::Kind => "kind",
            Field::WordSize => "word size",
            Field::Alignment => "alignment",
            Field::Capacity => "capacity",
            Field::MessageBytes => "message bytes",
            Field::HasLength => "length mark",
            Field::SlotWords => "slot words",
            Field::Entries => "number of entries",
            Field::Size => "size",
            Field::Epoch => "epoch",
            Field::Digest => "digest",
        })
    }
}

/// Why memory is not a ring, or cannot become one.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The memory has too few words.
    #[error("the region takes {expected} words, the memory has {found}")]
    Size {
        /// The words that the region takes.
        expected: usize,
        /// The words that the memory has.
        found: usize,
    },
    /// The region takes more words than memory can hold.
    #[error("the region takes more words than memory can hold")]
    TooLarge,
    /// The memory does not begin at a multiple of the alignment.
    #[error("the memory is {found} bytes off a multiple of {expected}")]
    Alignment {
        /// The bytes that the address must be a multiple of.
        expected: usize,
        /// By how many bytes the address is off.
        found: usize,
    },
    /// A field of the header has a wrong value.
    #[error("the {field} of the region is {found:#x}, not {expected:#x}")]
    Field {
        /// Which field.
        field: Field,
        /// What it must be.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// A ring with this capacity does not exist.
    #[error(transparent)]
    Capacity(CapacityError),
    /// A ring with this layout does not exist.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

crate::debug_as_display!(RegionError);
