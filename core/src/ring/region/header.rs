//! The header of a region: the constants of a ring, written once before the memory is shared.

use crossbeam_utils::CachePadded;

use super::error::{Field, RegionError};
use crate::doorbell::SleepWord;
use crate::ring::CapacityError;
use crate::ring::broadcast::{Layout, ReaderWords, Word, WriterWords};
use crate::sync::Ordering;

/// The alignment of a region, in bytes. It keeps words of different owners on different cache
/// lines.
pub const ALIGNMENT: usize = align_of::<CachePadded<usize>>();

pub(super) const WORD: usize = size_of::<usize>();
/// The words of an epoch.
const EPOCH: usize = size_of::<u64>() / WORD;
/// The words of a digest.
const DIGEST: usize = 16 / WORD;
/// The number of fields, each a word.
const FIELDS: usize = 11 + EPOCH + DIGEST;
/// The words of a header. The words after it begin with a cache line.
pub(super) const HEADER: usize = FIELDS.next_multiple_of(ALIGNMENT / WORD);

/// "myc-ring", as many bytes as a word has.
#[allow(clippy::cast_possible_truncation)]
const MAGIC: usize = u64::from_le_bytes(*b"myc-ring") as usize;
const VERSION: usize = 2;

/// The content of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The writer's words, the entries of its process, and the slots.
    Data = 1,
    /// The sleep words and the entries of one reading process.
    Cursors = 2,
}

/// Which ring it is: two starts of a publisher, or two topics, differ.
///
/// ```
/// use mycelium_core::ring::region::RingIdentity;
///
/// let identity = RingIdentity { epoch: 7, digest: *b"sixteen bytes of" };
/// assert_ne!(identity, RingIdentity { epoch: 8, ..identity });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingIdentity {
    /// The start of the publisher.
    pub epoch: u64,
    /// The digest of what its messages are.
    pub digest: [u8; 16],
}

impl RingIdentity {
    /// Its words: those of the epoch, those of the digest.
    fn words(&self) -> [usize; EPOCH + DIGEST] {
        let mut bytes = [0; size_of::<u64>() + 16];
        bytes[..size_of::<u64>()].copy_from_slice(&self.epoch.to_ne_bytes());
        bytes[size_of::<u64>()..].copy_from_slice(&self.digest);
        let (words, _) = bytes.as_chunks();
        core::array::from_fn(|index| usize::from_ne_bytes(words[index]))
    }

    fn of(words: &[usize]) -> RingIdentity {
        let mut bytes = [0; size_of::<u64>() + 16];
        for (place, word) in bytes.chunks_exact_mut(WORD).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let (mut epoch, mut digest) = ([0; size_of::<u64>()], [0; 16]);
        epoch.copy_from_slice(&bytes[..size_of::<u64>()]);
        digest.copy_from_slice(&bytes[size_of::<u64>()..]);
        RingIdentity { epoch: u64::from_ne_bytes(epoch), digest }
    }
}

/// The constants of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) layout: Layout,
    /// The number of entries.
    pub(super) readers: usize,
    pub(super) identity: RingIdentity,
}

impl Header {
    pub(super) fn new(
        kind: Kind,
        layout: Layout,
        readers: usize,
        identity: RingIdentity,
    ) -> Header {
        Header { kind, layout, readers, identity }
    }

    /// The words of a region of any ring with this layout, as [`Header::words`].
    pub(super) fn words_of(kind: Kind, layout: Layout, readers: usize) -> Option<usize> {
        Header::new(kind, layout, readers, RingIdentity { epoch: 0, digest: [0; 16] }).words()
    }

    /// The same ring, another kind of region.
    pub(super) fn of_cursors(self, readers: usize) -> Header {
        Header { kind: Kind::Cursors, readers, ..self }
    }

    /// The words in front of the entries.
    pub(super) fn entries_at(&self) -> Option<usize> {
        let owned = match self.kind {
            Kind::Data => size_of::<WriterWords>() / WORD,
            Kind::Cursors => {
                let sleep = self.readers.checked_mul(size_of::<SleepWord>() / WORD)?;
                // And their number.
                sleep.checked_add(1)?.checked_next_multiple_of(ALIGNMENT / WORD)?
            }
        };
        HEADER.checked_add(owned)
    }

    /// The words in front of the slots.
    pub(super) fn slots_at(&self) -> Option<usize> {
        let entries = self.readers.checked_mul(size_of::<ReaderWords>() / WORD)?;
        self.entries_at()?.checked_add(entries)
    }

    /// The words of the whole region; `None` if that is more than memory can hold.
    pub(super) fn words(&self) -> Option<usize> {
        let slots = match self.kind {
            Kind::Data => self.layout.checked_words()?,
            Kind::Cursors => 0,
        };
        let words = self.slots_at()?.checked_add(slots)?;
        // The size in bytes must be valid, too.
        words
            .checked_mul(WORD)
            .is_some_and(|bytes| bytes <= isize::MAX.cast_unsigned())
            .then_some(words)
    }

    /// The fields in their order in memory, with their values in this header.
    fn fields(&self) -> [(Field, usize); FIELDS] {
        let fixed = [
            (Field::Magic, MAGIC),
            (Field::Version, VERSION),
            (Field::Kind, self.kind as usize),
            (Field::WordSize, WORD),
            (Field::Alignment, ALIGNMENT),
            (Field::Capacity, self.layout.capacity()),
            (Field::MessageBytes, self.layout.message_bytes()),
            (Field::HasLength, usize::from(self.layout.has_length())),
            (Field::SlotWords, self.layout.slot_words()),
            (Field::Entries, self.readers),
            (Field::Size, self.words().unwrap_or(0)),
        ];
        let identity = self.identity.words();
        core::array::from_fn(|index| match fixed.get(index) {
            Some(field) => *field,
            None if index < fixed.len() + EPOCH => (Field::Epoch, identity[index - fixed.len()]),
            None => (Field::Digest, identity[index - fixed.len()]),
        })
    }

    /// Clears the memory, which is not shared yet, and writes the header into it.
    pub(super) fn create(&self, words: &[Word]) -> Result<(), RegionError> {
        let words = self.fit(words)?;
        words.iter().for_each(|word| word.0.store(0, Ordering::Relaxed));
        for (word, (_, value)) in words.iter().zip(self.fields()) {
            word.0.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads a header, each word once, and checks everything that does not depend on another
    /// header.
    pub(super) fn read(words: &[Word], kind: Kind) -> Result<Header, RegionError> {
        let Some(first) = words.get(..HEADER) else {
            return Err(RegionError::Size { expected: HEADER, found: words.len() });
        };
        let mut found = [0; FIELDS];
        for (value, word) in found.iter_mut().zip(first) {
            *value = word.0.load(Ordering::Relaxed);
        }
        let [
            magic,
            version,
            of,
            word,
            alignment,
            capacity,
            bytes,
            has_length,
            slot,
            readers,
            size,
            ..,
        ] = found;
        let fixed = [
            (Field::Magic, MAGIC, magic),
            (Field::Version, VERSION, version),
            (Field::Kind, kind as usize, of),
            (Field::WordSize, WORD, word),
            (Field::Alignment, ALIGNMENT, alignment),
        ];
        for (field, expected, found) in fixed {
            if found != expected {
                return Err(field.wrong(expected, found));
            }
        }
        let dense = match has_length {
            0 => Layout::exact(capacity, bytes),
            1 => Layout::up_to(capacity, bytes),
            _ => return Err(Field::HasLength.wrong(1, has_length)),
        };
        let layout = if slot == dense.slot_words() { dense } else { dense.in_lines() };
        let identity = RingIdentity::of(&found[FIELDS - EPOCH - DIGEST..]);
        let header = Header::new(kind, layout, readers, identity);
        header.valid()?;
        if layout.message_bytes() != bytes {
            return Err(Field::MessageBytes.wrong(layout.message_bytes(), bytes));
        }
        if slot != layout.slot_words() {
            return Err(Field::SlotWords.wrong(layout.slot_words(), slot));
        }
        let expected = header.words().ok_or(RegionError::TooLarge)?;
        if size != expected {
            return Err(Field::Size.wrong(expected, size));
        }
        header.fit(words)?;
        Ok(header)
    }

    /// Whether a ring can have this layout.
    fn valid(&self) -> Result<(), RegionError> {
        CapacityError::check(self.layout.capacity()).map_err(RegionError::Capacity)?;
        self.layout.check()?;
        Ok(())
    }

    /// The part of the memory that the region takes, if the memory is aligned and large enough.
    fn fit<'a>(&self, words: &'a [Word]) -> Result<&'a [Word], RegionError> {
        self.valid()?;
        let off = words.as_ptr().addr() % ALIGNMENT;
        if off != 0 {
            return Err(RegionError::Alignment { expected: ALIGNMENT, found: off });
        }
        let expected = self.words().ok_or(RegionError::TooLarge)?;
        words.get(..expected).ok_or(RegionError::Size { expected, found: words.len() })
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
