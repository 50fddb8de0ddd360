//! One type of storage for all three places of a topic's ring.

use super::header::Memory;
use super::regions::{DataRegion, ForeignRing};
use crate::doorbell::{Alarm, SleepWord, WakePath};
use crate::ring::broadcast::{Claim, HeapStorage, ReaderWords, Storage, Word, WriterWords};

/// The source of the positions of readers in other processes. See [`TopicStorage::Shared`].
pub trait Import {
    /// Calls `import` with the claim of each proxy and the position of the slowest reader in its
    /// process. See [`Storage::refresh`].
    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>));
}

/// The storage of a ring, on the heap or shared with other processes. All three kinds share the
/// code of the ends, so that a reader can have rings of each.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each ring, and never moved again")]
pub enum TopicStorage<M, I> {
    /// The ring is on the heap, for this process alone.
    Heap(HeapStorage),
    /// The ring is in memory of this process that others read. `I` returns the positions of those
    /// readers.
    Shared(DataRegion<M>, I),
    /// The ring is in memory of another process.
    Foreign(ForeignRing<M, M>),
}

impl<M: Memory, I> TopicStorage<M, I> {
    /// Returns the word that shows other processes whether the writer waits for room; `None` if no
    /// other process reads the ring, or the writer is in another process.
    #[must_use]
    pub fn asleep(&self) -> Option<&SleepWord> {
        let TopicStorage::Shared(data, _) = self else { return None };
        Some(data.asleep())
    }

    /// Returns the word that shows the writer's process whether the reader with this number sleeps;
    /// `None` if the writer is in this process, or the number is too large.
    #[must_use]
    pub fn reader_asleep(&self, reader: usize) -> Option<&SleepWord> {
        let TopicStorage::Foreign(ring) = self else { return None };
        ring.cursors().asleep(reader)
    }

    /// Ringer: returns by which path to ring the writer, if it is in another process, waits, and
    /// was not rung for that yet. Call [`announce`](crate::doorbell::announce) first.
    #[must_use]
    pub fn rings_writer(&self, alarm: &Alarm) -> Option<WakePath> {
        let TopicStorage::Foreign(ring) = self else { return None };
        ring.data().rings(alarm)
    }

    /// Returns the source of other processes' positions, if other processes can read the ring.
    #[must_use]
    pub fn imports(&self) -> Option<&I> {
        let TopicStorage::Shared(_, imports) = self else { return None };
        Some(imports)
    }
}

// SAFETY: each of the three is a storage, and the variant never changes.
unsafe impl<M: Memory, I: Import> Storage for TopicStorage<M, I> {
    const FOREIGN: Option<bool> = None;

    fn is_foreign(&self) -> bool {
        matches!(self, TopicStorage::Foreign(_))
    }

    fn slots(&self) -> &[Word] {
        match self {
            TopicStorage::Heap(storage) => storage.slots(),
            TopicStorage::Shared(storage, _) => storage.slots(),
            TopicStorage::Foreign(storage) => storage.slots(),
        }
    }

    fn arena(&self) -> &[Word] {
        match self {
            TopicStorage::Heap(storage) => storage.arena(),
            TopicStorage::Shared(storage, _) => storage.arena(),
            TopicStorage::Foreign(storage) => storage.arena(),
        }
    }

    #[inline]
    fn writer(&self) -> &WriterWords {
        match self {
            TopicStorage::Heap(storage) => storage.writer(),
            TopicStorage::Shared(storage, _) => storage.writer(),
            TopicStorage::Foreign(storage) => storage.writer(),
        }
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        match self {
            TopicStorage::Heap(storage) => storage.reader(index),
            TopicStorage::Shared(storage, _) => storage.reader(index),
            TopicStorage::Foreign(storage) => storage.reader(index),
        }
    }

    fn grow(&self, entries: usize) -> bool {
        match self {
            TopicStorage::Heap(storage) => storage.grow(entries),
            // The number of entries is fixed, because other processes know it.
            TopicStorage::Shared(..) | TopicStorage::Foreign(_) => false,
        }
    }

    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        if let TopicStorage::Shared(_, imports) = self {
            imports.refresh(exact, import);
        }
    }

    fn is_evicted(&self, index: usize) -> bool {
        match self {
            TopicStorage::Heap(storage) => storage.is_evicted(index),
            TopicStorage::Shared(storage, _) => storage.is_evicted(index),
            TopicStorage::Foreign(storage) => storage.is_evicted(index),
        }
    }

    fn is_suspended(&self, index: usize) -> bool {
        match self {
            TopicStorage::Heap(storage) => storage.is_suspended(index),
            TopicStorage::Shared(storage, _) => storage.is_suspended(index),
            TopicStorage::Foreign(storage) => storage.is_suspended(index),
        }
    }
}
