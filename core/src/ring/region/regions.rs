//! The data region (the publisher's side of a ring), the cursor region (the side of one reading
//! process), and the ring that a reading process builds from both.

use super::header::{Header, Kind, Memory, Region, RegionError, RingIdentity};
use crate::doorbell::{Alarm, SleepWord, WakePath};
use crate::ring::broadcast::{
    Claim, Layout, ReaderFault, ReaderWords, SeenReader, Storage, Word, WriterWords,
};
use crate::sync::Ordering;

/// Returns the size in words of a data region with entries for `readers` gating readers and
/// processes; `None` if it exceeds all memory.
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
/// processes may read. Readers of this process use the ring like any other.
///
/// Positions of other processes are imported by [`Storage::refresh`], which a wrapper of this
/// storage implements, or by [`ProxyReader::import`](crate::ring::broadcast::ProxyReader::import).
#[derive(Debug)]
pub struct DataRegion<M>(Region<M>);

impl<M: Memory> DataRegion<M> {
    /// Creates the region of a ring at the start of the memory. [`Broadcast::new`] turns it into a
    /// ring.
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
        let header = Header { kind: Kind::Data, layout, readers, identity };
        Region::create(memory, header).map(DataRegion)
    }

    /// Returns the layout of the ring.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.0.header.layout
    }

    /// Returns the identity of the ring.
    #[must_use]
    pub fn identity(&self) -> RingIdentity {
        self.0.header.identity
    }

    /// Returns the word that shows the reading processes whether the writer waits for room.
    #[must_use]
    pub fn asleep(&self) -> &SleepWord {
        self.0.writer().asleep()
    }

    /// Returns the memory.
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

    fn arena(&self) -> &[Word] {
        self.0.arena()
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
pub struct ForeignData<M>(Region<M>);

impl<M: Memory> ForeignData<M> {
    /// Attaches to the ring with this identity that another process created in this memory, after
    /// checking all fields of its header. The ring may have any layout: compare it with the one you
    /// expect.
    ///
    /// # Errors
    /// The first wrong field.
    pub fn attach(memory: M, identity: RingIdentity) -> Result<ForeignData<M>, RegionError> {
        let header = Header::read(memory.words(), Kind::Data)?;
        header.compare(&Header { identity, ..header })?;
        Ok(ForeignData(Region::of(memory, header)))
    }

    /// Returns the layout of the ring.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.0.header.layout
    }

    /// Returns the number of the region's entries.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.0.header.readers
    }

    /// Returns the memory.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.0.memory
    }

    /// Ringer: returns by which path to ring the writer, if it waits for room and was not rung for
    /// that yet ([`Alarm::rings`]). Call [`announce`](crate::doorbell::announce) first.
    #[must_use]
    pub fn rings(&self, alarm: &Alarm) -> Option<WakePath> {
        alarm.rings(self.0.writer().asleep())
    }

    /// Returns whether the reader with this claim is suspended until it moves.
    fn is_suspended(&self, claim: Claim) -> bool {
        let words = self.0.entry(claim.entry);
        words.is_some_and(|words| words.is_held(claim.generation) && words.is_suspended())
    }

    /// Returns whether the writer waits for the reader with this claim, or will once the reader
    /// moves.
    #[must_use]
    pub fn is_held(&self, claim: Claim) -> bool {
        self.0.entry(claim.entry).is_some_and(|words| words.is_held(claim.generation))
    }
}

/// Returns the size in words of the cursor region of a process with at most `readers` gating
/// readers; `None` if it exceeds all memory. With 15 readers it is 4,096 bytes, one page, on 64-bit
/// hosts.
///
/// ```
/// # #[cfg(target_arch = "x86_64")]
/// assert_eq!(mycelium_core::ring::region::cursor_words(15), Some(512));
/// ```
#[must_use]
pub fn cursor_words(readers: usize) -> Option<usize> {
    // The size does not depend on the layout, so any layout will do.
    Header::words_of(Kind::Cursors, Layout::exact(2, 0), readers)
}

/// The cursor region, in the process that writes it: a sleep word and an entry for each of its
/// gating readers. It becomes a part of a [`ForeignRing`].
#[derive(Debug)]
pub struct CursorRegion<M>(Region<M>);

impl<M: Memory> CursorRegion<M> {
    /// Creates the region at the start of the memory, for a ring with this layout and identity.
    ///
    /// # Safety
    /// The memory is writable. As long as this value lives, nothing else writes to it: no other
    /// process, no other region.
    ///
    /// # Errors
    /// If the layout is invalid, or the memory is too small or not aligned to
    /// [`ALIGNMENT`](super::ALIGNMENT).
    pub unsafe fn create(
        memory: M,
        layout: Layout,
        readers: usize,
        identity: RingIdentity,
    ) -> Result<CursorRegion<M>, RegionError> {
        let header = Header { kind: Kind::Cursors, layout, readers, identity };
        Region::create(memory, header).map(CursorRegion)
    }

    /// Returns the word that shows the writer's process whether the reader with this number sleeps;
    /// `None` if the number is too large. From now on the writer loads this word and all before it.
    #[must_use]
    pub fn asleep(&self, reader: usize) -> Option<&SleepWord> {
        let word = self.0.sleep_words().get(reader)?;
        // Relaxed, like the word itself: the fence of `SleepWord::sleep` comes later. Several
        // threads may do this. The number never decreases, and is stored only when it grows,
        // because the writer's process loads its cache line after each message.
        let sleepers = self.0.sleepers();
        if sleepers.load(Ordering::Relaxed) <= reader {
            sleepers.fetch_max(reader + 1, Ordering::Relaxed);
        }
        Some(word)
    }

    /// Returns the position of the slowest observer of this process; `None` if there is none.
    #[must_use]
    pub fn observed(&self) -> Option<usize> {
        ReaderWords::slowest_observer(self.0.entries())
    }

    /// Returns the memory.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.0.memory
    }
}

/// The cursor region of another process. It may be mapped read-only.
#[derive(Clone, Debug)]
pub struct ForeignCursors<M>(Region<M>);

impl<M: Memory> ForeignCursors<M> {
    /// Attaches to the region that another process created in this memory, for a ring with this
    /// layout, identity and number of readers, after checking all fields of its header.
    ///
    /// # Errors
    /// The first wrong field.
    pub fn attach(
        memory: M,
        layout: Layout,
        readers: usize,
        identity: RingIdentity,
    ) -> Result<ForeignCursors<M>, RegionError> {
        let header = Header::read(memory.words(), Kind::Cursors)?;
        header.compare(&Header { kind: Kind::Cursors, layout, readers, identity })?;
        Ok(ForeignCursors(Region::of(memory, header)))
    }

    /// Returns the position of the slowest gating reader of the process; `None` if there is none.
    /// With `exact`, includes what readers have not published yet. It may be any number, which
    /// [`ProxyReader::import`](crate::ring::broadcast::ProxyReader::import) clamps.
    #[must_use]
    pub fn position(&self, exact: bool) -> Option<usize> {
        ReaderWords::slowest(self.0.entries(), exact)
    }

    /// Checks the words of all readers against those of the last check, in `seen`, with one item
    /// for each of the [entries](ForeignCursors::readers). `tail` returns the sequence of the next
    /// message. A false position between the last one and the next message cannot be detected.
    ///
    /// # Errors
    /// The first invalid entry and its fault, if the process has written values that no reader
    /// writes.
    pub fn check(
        &self,
        seen: &mut [SeenReader],
        tail: impl Fn() -> usize,
    ) -> Result<(), (usize, ReaderFault)> {
        let capacity = self.0.header.layout.capacity();
        let mut entries = self.0.entries().iter().zip(seen).enumerate();
        entries.try_for_each(|(entry, (words, seen))| {
            words.check(seen, capacity, &tail).map_err(|fault| (entry, fault))
        })
    }

    /// Returns the position of the slowest observer of the process; `None` if there is none. It may
    /// be any number.
    #[must_use]
    pub fn observed(&self) -> Option<usize> {
        ReaderWords::slowest_observer(self.0.entries())
    }

    /// Returns how many gating readers the process has now.
    #[must_use]
    pub fn gating(&self) -> usize {
        self.0.entries().iter().filter(|words| words.is_gating()).count()
    }

    /// Ringer: returns by which path to ring the reader with this entry, if it sleeps and was not
    /// rung for that yet ([`Alarm::rings`]). Call [`announce`](crate::doorbell::announce) first.
    #[must_use]
    pub fn rings(&self, entry: usize, alarm: &Alarm) -> Option<WakePath> {
        alarm.rings(self.0.sleep_words().get(entry)?)
    }

    /// Ringer: does the same as [`rings`](ForeignCursors::rings) for all readers, each with its
    /// alarm. Calls `ring` once for each path by which a reader must be rung.
    #[inline]
    pub fn ring_all(&self, alarms: &[Alarm], mut ring: impl FnMut(WakePath)) {
        // A bit for each path.
        let mut paths = 0_u16;
        // Another process writes this number, so it may be any value; `zip` limits the loop anyway.
        let sleepers = self.0.sleepers().load(Ordering::Relaxed);
        // Checks all of them, because each alarm remembers for which sleep it has rung.
        for (word, alarm) in self.0.sleep_words().iter().zip(alarms).take(sleepers) {
            if let Some(path) = alarm.rings(word) {
                paths |= 1 << path.to_index();
            }
        }
        while paths != 0 {
            ring(WakePath::of_index(paths.trailing_zeros() as usize));
            paths &= paths - 1;
        }
    }

    /// Returns the number of the region's entries.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.0.header.readers
    }

    /// Returns the memory.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.0.memory
    }
}

/// The storage of a ring whose slots are in the data region of another process, and whose entries
/// are in a cursor region of this one. Its readers copy each message and check its stamp again.
/// Gating readers are evicted together, when the writer no longer waits for this process.
#[derive(Debug)]
pub struct ForeignRing<D, C> {
    data: ForeignData<D>,
    cursors: CursorRegion<C>,
    proxy: Option<Claim>,
}

impl<D: Memory, C: Memory> ForeignRing<D, C> {
    /// Creates the ring of these two regions. `proxy` is the claim of the entry that the writer's
    /// process uses for this one; `None` if all readers observe.
    ///
    /// # Errors
    /// If the cursor region was made for another ring.
    pub fn new(
        data: ForeignData<D>,
        cursors: CursorRegion<C>,
        proxy: Option<Claim>,
    ) -> Result<ForeignRing<D, C>, RegionError> {
        let readers = cursors.0.header.readers;
        let expected = Header { kind: Kind::Cursors, readers, ..data.0.header };
        cursors.0.header.compare(&expected)?;
        Ok(ForeignRing { data, cursors, proxy })
    }

    /// Returns the layout of the ring, for
    /// [`Broadcast::new`](crate::ring::broadcast::Broadcast::new).
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.data.layout()
    }

    /// Returns the data region.
    #[must_use]
    pub fn data(&self) -> &ForeignData<D> {
        &self.data
    }

    /// Returns the cursor region.
    #[must_use]
    pub fn cursors(&self) -> &CursorRegion<C> {
        &self.cursors
    }
}

// SAFETY: parts of memory that stays (`Memory`). The slots and the words of the writer are only
// read; nothing else writes to the entries (the contract of `CursorRegion::create`).
unsafe impl<D: Memory, C: Memory> Storage for ForeignRing<D, C> {
    const FOREIGN: Option<bool> = Some(true);

    fn slots(&self) -> &[Word] {
        self.data.0.slots()
    }

    fn arena(&self) -> &[Word] {
        self.data.0.arena()
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
