//! The ring of a publisher. This file makes it: on the heap, in memory that other processes can
//! map, or over the shared memory of another process.
//!
//! | file | content |
//! | --- | --- |
//! | `memory_size` | how much memory a ring takes |
//! | `shared` | how another process shares a ring |
//! | `numbering`, with `versioned` | the sequences of the messages of another process |
//! | `abandoned` | the messages that subscriptions left unread |
//! | `roster` | a list of which each member knows its place |
//! | `ready`, `crowd` | which of many publishers a reader has to check |

pub(crate) mod abandoned;
pub(crate) mod crowd;
pub(crate) mod memory_size;
pub(crate) mod numbering;
pub(crate) mod ready;
pub(crate) mod roster;
pub(crate) mod shared;
pub(crate) mod versioned;

use std::sync::Arc;

use mycelium_core::ring::broadcast::{Broadcast, Claim, HeapStorage, Layout, LayoutError};
use mycelium_core::ring::region::{
    CursorRegion, ForeignData, ForeignRing, RingIdentity, TopicStorage,
};

use super::trace::TraceArea;
use crate::descriptor::OwnedFd;
use crate::local::values::Schema;
use crate::memory::{Mapping, MemoryError, data_region};
use abandoned::LeftEnd;
use memory_size::PageSize;
use shared::{FLOOR, Imports, Ring};

/// The shape of every publisher's ring of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingShape {
    pub(crate) layout: Layout,
    pub(crate) area: TraceArea,
    pub(crate) readers: Readers,
    pub(crate) memory: RingMemory,
}

/// How many gating subscriptions a topic has: each takes an entry of 256 bytes in each ring.
///
/// Made of a number alone, it allows that many and expects one.
///
/// ```
/// use mycelium_transports::local::Readers;
///
/// assert_eq!(Readers::from(64), Readers { expected: 1, most: 64 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readers {
    /// A ring has entries for this many subscriptions from the start.
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

/// Where the rings of a topic lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingMemory {
    /// On the heap.
    Heap,
    /// In memory that other processes can map.
    Shared {
        /// The page size of the memory.
        pages: PageSize,
        /// What happens if memory cannot be shared, or there are not enough such pages: no ring is
        /// made, or else it is on the heap.
        is_required: bool,
    },
}

/// Why a ring cannot be made.
pub(crate) enum RingError {
    Layout(LayoutError),
    Memory(MemoryError),
}

/// Makes a ring, with the descriptor of its memory or the reason why other processes cannot map it.
/// Messages of another process are not sent to a third one, so their rings are on the heap.
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

/// Makes a ring for one reader, which no other process reads. `None` if memory cannot hold it.
pub(crate) fn private(layout: Layout) -> Option<Ring> {
    let ring = Broadcast::new(on_heap(layout, 1.into()).ok()?, layout).ok()?;
    Some(Arc::new(ring))
}

fn on_heap(layout: Layout, readers: Readers) -> Result<TopicStorage<Mapping, Imports>, RingError> {
    let Readers { expected, most } = readers;
    let storage = HeapStorage::growing(layout, expected, most).map_err(RingError::Layout)?;
    Ok(TopicStorage::Heap(storage))
}

/// The ring of a publisher in another process. It holds the publisher up where it is until the
/// subscriptions of this process have joined.
#[derive(Debug)]
pub struct MappedRing {
    pub(crate) ring: Ring,
    /// A position before all messages. Without it the publisher would find that no reader gates.
    pub(crate) floor: LeftEnd,
    /// The number of sleep words.
    pub(crate) readers: usize,
    /// Whether the publisher waits for subscriptions of this process.
    pub(crate) is_gated: bool,
    pub(crate) area: TraceArea,
}

impl MappedRing {
    /// Creates the ring over these regions, for messages with this area. `cursors` has room for
    /// `readers`, one of which is the floor. `proxy` is the publisher's entry for this process, if
    /// it gates. `None` if the regions do not fit each other.
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
        // Subscriptions join while the floor holds the publisher up (`Broadcast::gating_from`).
        debug_assert_eq!(floor.entry(), Some(0), "the floor has the lowest entry");
        let is_gated = proxy.is_some();
        Some(MappedRing { ring, floor: LeftEnd::new(floor), readers, is_gated, area })
    }
}
