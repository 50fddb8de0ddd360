//! Why memory is no ring.

use core::fmt;

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
    /// What lies in the region.
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
    /// The words of the region.
    Size,
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
            Field::Size => "size",
        })
    }
}

/// Why memory is no ring, or cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionError {
    /// The memory has too few words.
    Size {
        /// The words that it takes; `None` if that is more than memory can hold.
        expected: Option<usize>,
        /// The words that there are.
        found: usize,
    },
    /// The memory does not begin where it must.
    Alignment {
        /// The bytes that the address must be a multiple of.
        expected: usize,
        /// By how many bytes it is off.
        found: usize,
    },
    /// The header says something else than it must.
    Field {
        /// Which field.
        field: Field,
        /// What it must be.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// No ring has this capacity.
    Capacity(CapacityError),
    /// No ring has this layout.
    Layout(LayoutError),
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegionError::Size { expected: Some(expected), found } => {
                write!(f, "the region takes {expected} words, the memory has {found}")
            }
            RegionError::Size { expected: None, .. } => {
                write!(f, "the region takes more words than memory can hold")
            }
            RegionError::Alignment { expected, found } => {
                write!(f, "the memory is {found} bytes off a multiple of {expected}")
            }
            RegionError::Field { field, expected, found } => {
                write!(f, "the {field} of the region is {found:#x}, not {expected:#x}")
            }
            RegionError::Capacity(error) => error.fmt(f),
            RegionError::Layout(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RegionError {}

impl From<LayoutError> for RegionError {
    fn from(error: LayoutError) -> RegionError {
        RegionError::Layout(error)
    }
}
