//! The header of a region: the constants of a ring, written once before the memory is shared.

use crossbeam_utils::CachePadded;

use super::error::{Field, RegionError};
use crate::ring::CapacityError;
use crate::ring::broadcast::{Layout, ReaderWords, Word, WriterWords};
use crate::sync::Ordering;

/// The alignment of a region, in bytes. It keeps words of different owners on different cache
/// lines.
pub const ALIGNMENT: usize = align_of::<CachePadded<usize>>();

pub(super) const WORD: usize = size_of::<usize>();

/// The words of a header. The words after it begin with a cache line.
pub(super) const HEADER: usize = if ALIGNMENT > 16 * WORD { ALIGNMENT / WORD } else { 16 };

/// "myc-ring", as many bytes as a word has.
#[allow(clippy::cast_possible_truncation)]
const MAGIC: usize = u64::from_le_bytes(*b"myc-ring") as usize;
const VERSION: usize = 1;

/// The content of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The writer's words and the slots.
    Writer = 1,
    /// The words of one gating reader.
    Reader = 2,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) layout: Layout,
}

impl Header {
    pub(super) fn new(kind: Kind, layout: Layout) -> Header {
        Header { kind, layout }
    }

    pub(super) fn of_reader(&self) -> Header {
        Header { kind: Kind::Reader, ..*self }
    }

    /// The words of the whole region; `None` if that is more than memory can hold.
    pub(super) fn words(&self) -> Option<usize> {
        let (slots, owner) = match self.kind {
            Kind::Writer => (self.layout.checked_words()?, size_of::<WriterWords>()),
            Kind::Reader => (0, size_of::<ReaderWords>()),
        };
        let words = slots.checked_add(HEADER + owner / WORD)?;
        // The size in bytes must be valid, too.
        words
            .checked_mul(WORD)
            .is_some_and(|bytes| bytes <= isize::MAX.cast_unsigned())
            .then_some(words)
    }

    /// The fields in their order in memory, with their values in this header.
    fn fields(&self) -> [(Field, usize); 9] {
        [
            (Field::Magic, MAGIC),
            (Field::Version, VERSION),
            (Field::Kind, self.kind as usize),
            (Field::WordSize, WORD),
            (Field::Alignment, ALIGNMENT),
            (Field::Capacity, self.layout.capacity()),
            (Field::MessageBytes, self.layout.message_bytes()),
            (Field::HasLength, usize::from(self.layout.has_length())),
            (Field::Size, self.words().unwrap_or(0)),
        ]
    }

    /// Writes the header into memory that is not shared yet, clears the rest, and returns the words
    /// of the region.
    pub(super) fn create<'a>(&self, words: &'a [Word]) -> Result<&'a [Word], RegionError> {
        let words = self.fit(words)?;
        clear(words);
        for (word, (_, value)) in words.iter().zip(self.fields()) {
            word.0.store(value, Ordering::Relaxed);
        }
        Ok(words)
    }

    /// Reads a header, each word once, and checks everything that does not depend on the memory or
    /// on another header.
    pub(super) fn read(words: &[Word]) -> Result<Header, RegionError> {
        let Some(words) = words.get(..HEADER) else {
            return Err(RegionError::Size { expected: HEADER, found: words.len() });
        };
        let mut found = [0; 9];
        for (value, word) in found.iter_mut().zip(words) {
            *value = word.0.load(Ordering::Relaxed);
        }
        let [magic, version, kind, word, alignment, capacity, bytes, has_length, size] = found;
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
        let kinds = [Kind::Writer, Kind::Reader];
        let wrong = Field::Kind.wrong(Kind::Writer as usize, kind);
        let kind = kinds.into_iter().find(|known| *known as usize == kind).ok_or(wrong)?;
        let layout = match has_length {
            0 => Layout::exact(capacity, bytes),
            1 => Layout::up_to(capacity, bytes),
            _ => return Err(Field::HasLength.wrong(1, has_length)),
        };
        let header = Header::new(kind, layout);
        header.valid()?;
        let expected = header.words().ok_or(RegionError::TooLarge)?;
        if size != expected {
            return Err(Field::Size.wrong(expected, size));
        }
        Ok(header)
    }

    /// Whether a ring can have this layout.
    fn valid(&self) -> Result<(), RegionError> {
        CapacityError::check(self.layout.capacity()).map_err(RegionError::Capacity)
    }

    /// The part of the memory that the region takes, if the memory is aligned and large enough.
    pub(super) fn fit<'a>(&self, words: &'a [Word]) -> Result<&'a [Word], RegionError> {
        self.valid()?;
        let off = words.as_ptr().addr() % ALIGNMENT;
        if off != 0 {
            return Err(RegionError::Alignment { expected: ALIGNMENT, found: off });
        }
        let expected = self.words().ok_or(RegionError::TooLarge)?;
        words.get(..expected).ok_or(RegionError::Size { expected, found: words.len() })
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

/// Makes all words zero.
fn clear(words: &[Word]) {
    words.iter().for_each(|word| word.0.store(0, Ordering::Relaxed));
}
