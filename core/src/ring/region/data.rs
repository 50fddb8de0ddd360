//! The data region: the publisher's side of a ring.

use super::error::RegionError;
use super::header::{Header, Kind, RingIdentity};
use super::memory::{Memory, Region};
use crate::doorbell::{Alarm, SleepWord, WakePath};
use crate::ring::broadcast::{Claim, Layout, ReaderWords, Storage, Word, WriterWords};

/// The words of the data region of a ring with entries for `readers` gating readers and processes;
/// `None` if that is more than memory can hold.
///
/// ```
/// use mycelium_core::ring::broadcast::Layout;
/// use mycelium_core::ring::region::data_words;
///
/// let layout = Layout::exact(1024, 48).in_lines();
/// assert!(data_words(layout, 4).is_some_and(|words| words > layout.words()));
/// assert_eq!(data_words(layout, usize::MAX), None);
/// ```
#[must_use]
pub fn data_words(layout: Layout, readers: usize) -> Option<usize> {
    Header::words_of(Kind::Data, layout, readers)
}

/// The data region, in the process that writes it: the storage of a ring whose slots other
/// processes may read. Readers of this process use it like any ring.
///
/// Positions of other processes come in by [`Storage::refresh`], which a storage around this one
/// implements, or by [`ProxyReader::import`](crate::ring::broadcast::ProxyReader::import).
#[derive(Debug)]
pub struct DataRegion<M>(Region<M>);

impl<M: Memory> DataRegion<M> {
    /// Lays out a ring at the start of the memory. [`Broadcast::new`] makes it a ring.
    ///
    /// # Safety
    /// The memory is writable. As long as this value lives, nothing else writes to it: no other
    /// process, no other region, no test.
    ///
    /// # Errors
    /// If the layout is invalid, or the memory is too small or not aligned to
    /// [`ALIGNMENT`](super::ALIGNMENT).
    ///
    /// [`Broadcast::new`]: crate::ring::broadcast::Broadcast::new
    pub unsafe fn create(
        memory: M,
        layout: Layout,
        readers: usize,
        identity: RingIdentity,
    ) -> Result<DataRegion<M>, RegionError> {
        let header = Header::new(Kind::Data, layout, readers, identity);
        Ok(DataRegion(Region::create(memory, header)?))
    }

    /// The layout of the ring.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.0.header.layout
    }

    /// Which ring it is.
    #[must_use]
    pub fn identity(&self) -> RingIdentity {
        self.0.header.identity
    }

    /// Says to the reading processes whether the writer waits for room.
    #[must_use]
    pub fn asleep(&self) -> &SleepWord {
        self.0.writer().asleep()
    }

    /// The memory.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.0.memory
    }
}

// SAFETY: parts of memory that stays (`Memory`), one after the other, that nothing else writes to
// (the contract of `create`).
unsafe impl<M: Memory> Storage for DataRegion<M> {
    fn slots(&self) -> &[Word] {
        self.0.slots()
    }

    fn writer(&self) -> &WriterWords {
        self.0.writer()
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.0.entry(index)
    }
}

/// The data region, in a process that reads it. It may be mapped read-only.
#[derive(Clone, Debug)]
pub struct ForeignData<M>(pub(super) Region<M>);

impl<M: Memory> ForeignData<M> {
    /// The ring with this identity that another process laid out in this memory, after all fields
    /// of its header were checked. Its layout may be any: compare it with what you expect.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn attach(memory: M, identity: RingIdentity) -> Result<ForeignData<M>, RegionError> {
        let header = Header::read(memory.words(), Kind::Data)?;
        header.compare(&Header { identity, ..header })?;
        Ok(ForeignData(Region { memory, header }))
    }

    /// The layout of the ring.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.0.header.layout
    }

    /// The number of its entries.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.0.header.readers
    }

    /// The memory.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.0.memory
    }

    /// Ringer, after [`announce`](crate::doorbell::announce): whether the writer waits for room,
    /// and must be rung for that now, and how ([`Alarm::rings`]).
    #[must_use]
    pub fn rings(&self, alarm: &Alarm) -> Option<WakePath> {
        alarm.rings(self.0.writer().asleep())
    }

    /// Whether the reader with this claim is suspended: the writer waits for it again when it
    /// moves.
    pub(super) fn is_suspended(&self, claim: Claim) -> bool {
        let words = self.0.entry(claim.entry);
        words.is_some_and(|words| words.is_held(claim.generation) && words.is_suspended())
    }

    /// Whether the writer still waits for the reader with this claim, or will when it moves.
    #[must_use]
    pub fn is_held(&self, claim: Claim) -> bool {
        self.0.entry(claim.entry).is_some_and(|words| words.is_held(claim.generation))
    }
}
