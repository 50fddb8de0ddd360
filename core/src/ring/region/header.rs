//! The header of a region: what is constant for a ring, written once before anybody else knows the memory.

use super::error::{Field, RegionError};
use super::{ALIGNMENT, Foreign, clear, words_of_slots};
use crate::ring::CapacityError;
use crate::ring::broadcast::{LayoutError, ReaderWords, Word, WriterWords};
use crate::ring::pair::SideWords;
use crate::sync::Ordering;

pub(super) const WORD: usize = size_of::<usize>();

/// The words of a header. What follows begins with a cache line.
pub(super) const HEADER: usize = if ALIGNMENT > 16 * WORD { ALIGNMENT / WORD } else { 16 };

/// "myc-ring", as far as a word holds it.
#[allow(clippy::cast_possible_truncation)]
const MAGIC: usize = u64::from_le_bytes(*b"myc-ring") as usize;
const VERSION: usize = 1;

/// What lies in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Writer's words and slots of a `broadcast` ring.
    Broadcast = 1,
    /// The words of one gating reader.
    BroadcastReader = 2,
    /// Writer's words and slots of an `spsc` ring.
    Spsc = 3,
    /// The words of its reader.
    SpscReader = 4,
}

impl Kind {
    pub(super) fn is_reader(self) -> bool {
        matches!(self, Kind::BroadcastReader | Kind::SpscReader)
    }

    /// How many words the region's owner has besides the slots.
    pub(super) fn owner_words(self) -> usize {
        let bytes = match self {
            Kind::Broadcast => size_of::<WriterWords>(),
            Kind::BroadcastReader => size_of::<ReaderWords>(),
            Kind::Spsc | Kind::SpscReader => size_of::<SideWords>(),
        };
        bytes / WORD
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) capacity: usize,
    /// The most bytes of a message, or the bytes of an item.
    pub(super) bytes: usize,
    /// The alignment of an item.
    pub(super) align: usize,
}

impl Header {
    pub(super) fn new(kind: Kind, capacity: usize, bytes: usize, align: usize) -> Header {
        Header { kind, capacity, bytes, align }
    }

    pub(super) fn of_items<T>(capacity: usize) -> Header {
        Header::new(Kind::Spsc, capacity, size_of::<T>(), align_of::<Foreign<T>>())
    }

    pub(super) fn of_reader(&self) -> Header {
        let kind = match self.kind {
            Kind::Broadcast | Kind::BroadcastReader => Kind::BroadcastReader,
            Kind::Spsc | Kind::SpscReader => Kind::SpscReader,
        };
        Header { kind, ..*self }
    }

    /// The words of the whole region; `None` if that is more than memory can hold.
    pub(super) fn words(&self) -> Option<usize> {
        let words = words_of_slots(self)?.checked_add(HEADER + self.kind.owner_words())?;
        // A size in bytes must be one, too.
        words
            .checked_mul(WORD)
            .is_some_and(|bytes| bytes <= isize::MAX.cast_unsigned())
            .then_some(words)
    }

    /// The fields in their order in memory, with what they are in this header.
    fn fields(&self) -> [(Field, usize); 9] {
        [
            (Field::Magic, MAGIC),
            (Field::Version, VERSION),
            (Field::Kind, self.kind as usize),
            (Field::WordSize, WORD),
            (Field::Alignment, ALIGNMENT),
            (Field::Capacity, self.capacity),
            (Field::MessageBytes, self.bytes),
            (Field::ItemAlignment, self.align),
            (Field::Size, self.words().unwrap_or(0)),
        ]
    }

    /// Writes the header into memory that nobody else knows yet, clears the rest, and returns what the region takes.
    pub(super) fn create<'a>(&self, words: &'a [Word]) -> Result<&'a [Word], RegionError> {
        let words = self.fit(words)?;
        clear(words);
        for (word, (_, value)) in words.iter().zip(self.fields()) {
            word.0.store(value, Ordering::Relaxed);
        }
        Ok(words)
    }

    /// Reads a header, each word once. What depends on the word alone is checked.
    pub(super) fn read(words: &[Word]) -> Result<Header, RegionError> {
        let Some(words) = words.get(..HEADER) else {
            return Err(RegionError::Size { expected: Some(HEADER), found: words.len() });
        };
        let mut found = [0; 9];
        for (value, word) in found.iter_mut().zip(words) {
            *value = word.0.load(Ordering::Relaxed);
        }
        let [magic, version, kind, word, alignment, capacity, bytes, align, size] = found;
        let fixed = [
            (Field::Magic, MAGIC, magic),
            (Field::Version, VERSION, version),
            (Field::WordSize, WORD, word),
            (Field::Alignment, ALIGNMENT, alignment),
        ];
        for (field, expected, found) in fixed {
            if found != expected {
                return Err(field.wrong(expected, found));
            }
        }
        let kinds = [Kind::Broadcast, Kind::BroadcastReader, Kind::Spsc, Kind::SpscReader];
        let kind = kinds.into_iter().find(|known| *known as usize == kind);
        let kind = kind.ok_or(Field::Kind.wrong(Kind::Broadcast as usize, found[2]))?;
        if !align.is_power_of_two() || !align.is_multiple_of(WORD) || align > ALIGNMENT {
            return Err(Field::ItemAlignment.wrong(WORD, align));
        }
        let header = Header::new(kind, capacity, bytes, align);
        header.valid()?;
        let expected = header.words().ok_or(RegionError::Size { expected: None, found: size })?;
        if size != expected {
            return Err(Field::Size.wrong(expected, size));
        }
        Ok(header)
    }

    /// Whether there is such a ring at all.
    fn valid(&self) -> Result<(), RegionError> {
        CapacityError::check(self.capacity).map_err(RegionError::Spsc)?;
        if self.bytes > LayoutError::LONGEST {
            let (given, most) = (self.bytes, LayoutError::LONGEST);
            return Err(LayoutError::Message { given, most }.into());
        }
        // In items that have no size there is nothing to share.
        if self.bytes == 0 && matches!(self.kind, Kind::Spsc | Kind::SpscReader) {
            return Err(Field::MessageBytes.wrong(1, 0));
        }
        if self.align > ALIGNMENT {
            return Err(Field::ItemAlignment.wrong(ALIGNMENT, self.align));
        }
        Ok(())
    }

    /// Whether the memory holds the region, and the part of it that does.
    pub(super) fn fit<'a>(&self, words: &'a [Word]) -> Result<&'a [Word], RegionError> {
        self.valid()?;
        let off = words.as_ptr().addr() % ALIGNMENT;
        if off != 0 {
            return Err(RegionError::Alignment { expected: ALIGNMENT, found: off });
        }
        let (expected, found) = (self.words(), words.len());
        expected
            .and_then(|expected| words.get(..expected))
            .ok_or(RegionError::Size { expected, found })
    }

    pub(super) fn expect(&self, kind: Kind) -> Result<(), RegionError> {
        if self.kind == kind {
            return Ok(());
        }
        Err(Field::Kind.wrong(kind as usize, self.kind as usize))
    }

    /// The first field that differs.
    pub(super) fn compare(&self, expected: &Header) -> Result<(), RegionError> {
        for ((field, found), (_, expected)) in self.fields().into_iter().zip(expected.fields()) {
            if found != expected {
                return Err(field.wrong(expected, found));
            }
        }
        Ok(())
    }
}
