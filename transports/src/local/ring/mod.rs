//! The ring of a publisher: how it is created (on the heap, in memory that other processes can map,
//! or over the shared memory of another process), its size, and the messages that subscriptions
//! left unread.
//!
//! | file | content |
//! | --- | --- |
//! | `shared` | rings that two processes share |
//! | `numbering` | the sequences of the messages of another process |
//! | `roster` | members and values behind a lock, with versions that are read without the lock |
//! | `ready` | the publishers that a reader with many of them must check |

pub(crate) mod numbering;
pub(crate) mod ready;
pub(crate) mod roster;
pub(crate) mod shared;

use std::sync::Arc;

use mycelium_core::ring::broadcast::{
    Broadcast, Claim, Consumer, HeapStorage, Layout, LayoutError, ReaderWords, WriterWords,
};
use mycelium_core::ring::region::{
    CursorRegion, ForeignData, ForeignRing, RingIdentity, TopicStorage, cursor_words, data_words,
};

use super::trace::TraceArea;
use super::values::Schema;
use crate::descriptor::OwnedFd;
use crate::memory::{Mapping, MemoryError, data_region};
use shared::{FLOOR, Imports, Ring};

/// The shape of all publishers' rings of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingShape {
    pub(crate) layout: Layout,
    pub(crate) area: TraceArea,
    pub(crate) readers: Readers,
    pub(crate) memory: RingMemory,
}

impl RingShape {
    /// Returns the shape of a ring whose arena has this number of bytes more than those of the
    /// topic's other publishers.
    pub(crate) fn with_spare(self, spare: usize) -> RingShape {
        if spare == 0 {
            return self;
        }
        let arena = self.layout.arena_words() * size_of::<usize>();
        RingShape { layout: self.layout.with_arena(arena.saturating_add(spare)), ..self }
    }
}

/// The numbers of gating subscriptions of a topic. Each such subscription takes an entry of 256
/// bytes in each ring.
///
/// Converting a number into it allows that many and expects one.
///
/// ```
/// use mycelium_transports::local::Readers;
///
/// assert_eq!(Readers::from(64), Readers { expected: 1, most: 64 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readers {
    /// The number of subscriptions for which a ring has entries from the start.
    pub expected: usize,
    /// A ring on the heap adds entries up to this number. A ring in shared memory has all of them
    /// from the start, because other processes know their number.
    pub most: usize,
}

impl From<usize> for Readers {
    fn from(most: usize) -> Readers {
        Readers { expected: most.min(1), most }
    }
}

/// The memory of a topic's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingMemory {
    /// On the heap.
    Heap,
    /// In memory that other processes can map.
    Shared {
        /// The page size of the memory.
        pages: PageSize,
        /// Whether creating a ring fails if memory cannot be shared, or if there are not enough
        /// pages of this size. If not, the ring is put on the heap.
        is_required: bool,
    },
}

/// Why a ring cannot be created.
pub(crate) enum RingError {
    Layout(LayoutError),
    Memory(MemoryError),
}

/// Creates a ring, with the descriptor of its memory or the reason why other processes cannot map
/// it. Rings for messages of another process are always on the heap, because such messages are not
/// sent to a third process.
pub(crate) fn make(
    topic: &str,
    schema: &Schema,
    shape: RingShape,
    epoch: u64,
    is_local: bool,
) -> Result<(Ring, Result<OwnedFd, String>), RingError> {
    let RingShape { layout, readers, memory, .. } = shape;
    let (storage, file) = match memory {
        RingMemory::Shared { pages, is_required } if is_local => {
            let identity = RingIdentity { epoch, digest: schema.digest.0 };
            match data_region(topic, layout, readers.most, identity, pages == PageSize::Huge) {
                Ok((region, file)) => (TopicStorage::Shared(region, Imports::default()), Ok(file)),
                Err(error) if is_required => return Err(RingError::Memory(error)),
                Err(error) => (on_heap(layout, readers)?, Err(error.to_string())),
            }
        }
        RingMemory::Shared { .. } | RingMemory::Heap => {
            (on_heap(layout, readers)?, Err("its topic is not shared".to_owned()))
        }
    };
    let ring = Broadcast::new(storage, layout).map_err(RingError::Layout)?;
    Ok((Arc::new(ring), file))
}

/// Creates a ring for one reader that no other process reads. Returns `None` if memory cannot hold
/// it.
pub(crate) fn private(layout: Layout) -> Option<Ring> {
    let ring = Broadcast::new(on_heap(layout, 1.into()).ok()?, layout).ok()?;
    Some(Arc::new(ring))
}

fn on_heap(layout: Layout, readers: Readers) -> Result<TopicStorage<Mapping, Imports>, RingError> {
    let Readers { expected, most } = readers;
    let storage = HeapStorage::growing(layout, expected, most).map_err(RingError::Layout)?;
    Ok(TopicStorage::Heap(storage))
}

/// The ring of a publisher in another process. It blocks the publisher at its present position
/// until the subscriptions of this process have joined.
#[derive(Debug)]
pub struct MappedRing {
    pub(crate) ring: Ring,
    /// A position before all messages, which blocks the publisher. Without it the publisher would
    /// find no gating reader and continue.
    pub(crate) floor: LeftEnd,
    /// The number of sleep words.
    pub(crate) readers: usize,
    /// Whether the publisher waits for subscriptions of this process.
    pub(crate) is_gated: bool,
    pub(crate) area: TraceArea,
}

impl MappedRing {
    /// Creates the ring over these regions, for messages with this area. `cursors` has room for
    /// `readers`, one of which is the floor. `proxy` is the publisher's entry for this process;
    /// `None` if the publisher does not wait for this process. Returns `None` if the regions do not
    /// fit each other.
    #[must_use]
    pub fn new(
        data: ForeignData<Mapping>,
        cursors: CursorRegion<Mapping>,
        readers: usize,
        area: TraceArea,
        proxy: Option<Claim>,
    ) -> Option<MappedRing> {
        let storage = ForeignRing::new(data, cursors, proxy).ok()?;
        let layout = storage.layout();
        let ring = Arc::new(Broadcast::new(TopicStorage::Foreign(storage), layout).ok()?);
        let floor = Broadcast::gating_from(ring.clone(), FLOOR)?;
        // Subscriptions join while the floor blocks the publisher, so the floor must have the
        // lowest entry (`Broadcast::gating_from`).
        debug_assert_eq!(floor.entry(), Some(0), "the floor has the lowest entry");
        let is_gated = proxy.is_some();
        Some(MappedRing { ring, floor: LeftEnd::new(floor), readers, is_gated, area })
    }
}

// Messages that gating subscriptions left unread at a publisher in another process.

/// The messages that gating subscriptions left unread since a shutdown began.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    /// The position of the first message that the subscriptions have left unread.
    pub(crate) place: Option<usize>,
    /// A subscription left with a message in flight.
    pub(crate) in_flight: bool,
    /// The ends of these subscriptions at a mapped ring. They keep the positions in the ring.
    ends: Vec<LeftEnd>,
}

impl Abandoned {
    /// Adds the end of a subscription that has left. If `keeps`, its position stays where the
    /// publisher reads it.
    pub(crate) fn add(&mut self, end: Consumer<Ring>, in_flight: bool, keeps: bool) {
        let place = end.cursor();
        if keeps {
            self.ends.push(LeftEnd::new(end));
        }
        self.place = Some(self.place.map_or(place, |before| first(before, place)));
        self.in_flight |= in_flight;
    }

    /// Drops the ends that were kept: the publisher no longer waits for them. Returns whether there
    /// were any.
    pub(crate) fn release(&mut self) -> bool {
        if self.ends.is_empty() {
            return false;
        }
        std::mem::take(self).ends.into_iter().for_each(LeftEnd::release);
        true
    }
}

/// An end of a mapped ring that is no longer used to read. Its position stays in the shared memory,
/// even after a drop, because without it the publisher would treat the messages after it as
/// finished.
#[derive(Debug)]
pub(crate) struct LeftEnd(Option<Consumer<Ring>>);

impl LeftEnd {
    pub(crate) fn new(end: Consumer<Ring>) -> LeftEnd {
        LeftEnd(Some(end))
    }

    /// Removes the position: the publisher no longer waits for it.
    pub(crate) fn release(mut self) {
        drop(self.0.take());
    }
}

impl Drop for LeftEnd {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end.leave_in_place();
        }
    }
}

/// Returns the earlier one of two positions. Positions wrap.
pub(crate) fn first(one: usize, other: usize) -> usize {
    if one.wrapping_sub(other).cast_signed() > 0 { other } else { one }
}

// The size of a ring on the heap, or in shared memory, where it takes whole pages.
//
// Node plans and rings use the same functions, so a memory budget is exact. Nothing here allocates.

/// The page size of a ring in shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageSize {
    /// Pages of 4 KiB.
    #[default]
    Small,
    /// Pages of 2 MiB, which the system has to reserve (`vm.nr_hugepages`).
    Huge,
}

impl PageSize {
    /// Returns the size of one page in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            PageSize::Small => 4 << 10,
            PageSize::Huge => 2 << 20,
        }
    }

    /// Returns the number of huge pages that processes can still get; 0 if the system has none.
    #[must_use]
    pub fn free_huge() -> usize {
        #[cfg(all(target_os = "linux", not(miri)))]
        {
            let read = |name| {
                let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}_hugepages");
                std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok()
            };
            let read = |name| read(name).unwrap_or(0);
            // Some free pages are promised to other processes; the system can make surplus pages on
            // request.
            let reserved = read("free").saturating_sub(read("resv"));
            reserved + read("nr_overcommit").saturating_sub(read("surplus"))
        }
        #[cfg(any(not(target_os = "linux"), miri))]
        0
    }
}

impl Schema {
    /// Returns the bytes of a ring on the heap, with `readers` entries for gating readers. Returns
    /// `None` if that is more than memory can hold.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::local::{PageSize, Schema, TraceArea};
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     values: [u64; 8],
    /// }
    ///
    /// let schema = Schema::of::<Tick>();
    /// if cfg!(target_pointer_width = "64") {
    ///     // Slots of 9 words, 64 entries, and the words of the writer.
    ///     let (area, pages) = (TraceArea::Absent, PageSize::Small);
    ///     assert_eq!(schema.heap_bytes(1024, 64, area), Some(1024 * 72 + 64 * 256 + 256));
    ///     // Slots of 16 words, 64 entries, and the header; rounded up to pages.
    ///     let bytes = 1024 * 128 + 64 * 256 + 4096;
    ///     assert_eq!(schema.shared_bytes(1024, 64, area, pages), Some(bytes));
    ///     assert_eq!(schema.shared_bytes(1024, 64, area, PageSize::Huge), Some(2 << 20));
    ///     // Slots of 13 words with the traces of messages, rounded up to two cache lines.
    ///     let area = TraceArea::Present;
    ///     assert_eq!(schema.heap_bytes(1024, 64, area), Some(1024 * 128 + 64 * 256 + 256));
    /// }
    /// ```
    #[must_use]
    pub fn heap_bytes(&self, capacity: usize, readers: usize, area: TraceArea) -> Option<usize> {
        let entries = readers.checked_mul(size_of::<ReaderWords>())?;
        let slots = self.layout(capacity, area).bytes()?;
        slots.checked_add(entries)?.checked_add(size_of::<WriterWords>())
    }

    /// Returns the bytes of a ring in shared memory, in whole pages, with `readers` entries. Its
    /// slots take whole cache lines ([`shared_layout`](Schema::shared_layout)). Returns `None` if
    /// that is more than memory can hold.
    #[must_use]
    pub fn shared_bytes(
        &self,
        capacity: usize,
        readers: usize,
        area: TraceArea,
        pages: PageSize,
    ) -> Option<usize> {
        let words = data_words(self.shared_layout(capacity, area), readers)?;
        let bytes = words.checked_mul(size_of::<usize>())?;
        bytes.checked_next_multiple_of(pages.bytes())
    }

    /// Returns the layout of a ring of `capacity` such messages in shared memory.
    #[must_use]
    pub fn shared_layout(&self, capacity: usize, area: TraceArea) -> Layout {
        self.layout(capacity, area).in_lines()
    }
}

/// Returns the bytes of the region with the positions of `readers` subscriptions in a ring of
/// another process, in whole pages. Returns `None` if that is more than memory can hold.
///
/// ```
/// # use mycelium_transports::local::cursor_bytes;
/// # #[cfg(target_arch = "x86_64")]
/// assert_eq!((cursor_bytes(15), cursor_bytes(16)), (Some(4096), Some(8192)));
/// ```
#[must_use]
pub fn cursor_bytes(readers: usize) -> Option<usize> {
    let bytes = cursor_words(readers)?.checked_mul(size_of::<usize>())?;
    bytes.checked_next_multiple_of(PageSize::Small.bytes())
}

#[cfg(test)]
mod tests {
    use mycelium_core::message;

    use super::*;

    #[message(topic = "tests", id = 1)]
    struct Words {
        values: [u64; 7],
    }

    #[test]
    fn more_than_memory_is_none() {
        let schema = Schema::of::<Words>();
        for (capacity, readers) in [(usize::MAX / 2 + 1, 1), (2, usize::MAX)] {
            for area in [TraceArea::Absent, TraceArea::Present] {
                assert_eq!(schema.heap_bytes(capacity, readers, area), None);
                assert_eq!(schema.shared_bytes(capacity, readers, area, PageSize::Small), None);
            }
        }
        assert_eq!(cursor_bytes(usize::MAX), None);
    }
}
