//! A ring whose writer is in another process.

use super::cursors::CursorRegion;
use super::data::ForeignData;
use super::error::RegionError;
use super::memory::Memory;
use crate::doorbell::SleepWord;
use crate::ring::broadcast::{Claim, Layout, ReaderWords, Storage, Word, WriterWords};

/// The storage of a ring whose slots are in the data region of another process, and whose entries
/// are in a cursor region of this one. Its readers copy each message and look at its stamp again;
/// gating ones are evicted together, when the writer no longer waits for this process.
#[derive(Debug)]
pub struct ForeignRing<D, C> {
    data: ForeignData<D>,
    cursors: CursorRegion<C>,
    proxy: Option<Claim>,
}

impl<D: Memory, C: Memory> ForeignRing<D, C> {
    /// The ring of these two regions. `proxy` is the claim of the entry that the writer's process
    /// has taken for this one; `None` if all readers observe.
    ///
    /// # Errors
    /// If the cursor region was made for another ring.
    pub fn new(
        data: ForeignData<D>,
        cursors: CursorRegion<C>,
        proxy: Option<Claim>,
    ) -> Result<ForeignRing<D, C>, RegionError> {
        let expected = data.0.header.of_cursors(cursors.0.header.readers);
        cursors.0.header.compare(&expected)?;
        Ok(ForeignRing { data, cursors, proxy })
    }

    /// The layout of the ring, for [`Broadcast::new`](crate::ring::broadcast::Broadcast::new).
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.data.layout()
    }

    /// The data region.
    #[must_use]
    pub fn data(&self) -> &ForeignData<D> {
        &self.data
    }

    /// The cursor region.
    #[must_use]
    pub fn cursors(&self) -> &CursorRegion<C> {
        &self.cursors
    }

    /// Says whether the reader with this entry sleeps, to the writer's process.
    #[must_use]
    pub fn asleep(&self, entry: usize) -> Option<&SleepWord> {
        self.cursors.asleep(entry)
    }
}

// SAFETY: parts of memory that stays (`Memory`). The slots and the words of the writer are only
// read; nothing else writes to the entries (the contract of `CursorRegion::create`).
unsafe impl<D: Memory, C: Memory> Storage for ForeignRing<D, C> {
    const FOREIGN: Option<bool> = Some(true);

    fn slots(&self) -> &[Word] {
        self.data.0.slots()
    }

    fn writer(&self) -> &WriterWords {
        self.data.0.writer()
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.cursors.0.entry(index)
    }

    fn is_evicted(&self, index: usize) -> bool {
        let own = self.reader(index).is_some_and(ReaderWords::is_evicted);
        own || self.proxy.is_some_and(|proxy| !self.data.is_held(proxy))
    }

    fn is_suspended(&self, _: usize) -> bool {
        self.proxy.is_some_and(|proxy| self.data.is_suspended(proxy))
    }
}
