//! The cursor region: the side of one reading process.

use super::error::RegionError;
use super::header::{Header, Kind, RingIdentity};
use super::memory::{Memory, Region};
use crate::doorbell::{Alarm, SleepWord, WakePath};
use crate::ring::broadcast::{Layout, ReaderFault, ReaderWords, SeenReader};
use crate::sync::Ordering;

/// The words of the cursor region of a process with at most `readers` gating readers; `None` if
/// that is more than memory can hold. With 15 readers it is a page of 4,096 bytes on 64-bit hosts.
///
/// ```
/// # #[cfg(target_arch = "x86_64")]
/// assert_eq!(mycelium_core::ring::region::cursor_words(15), Some(512));
/// ```
#[must_use]
pub fn cursor_words(readers: usize) -> Option<usize> {
    // They do not depend on the layout.
    Header::words_of(Kind::Cursors, Layout::exact(2, 0), readers)
}

/// The cursor region, in the process that writes it: a sleep word and an entry for each of its
/// gating readers. It becomes a part of a [`ForeignRing`](super::ForeignRing).
#[derive(Debug)]
pub struct CursorRegion<M>(pub(super) Region<M>);

impl<M: Memory> CursorRegion<M> {
    /// Lays out the region at the start of the memory, for a ring with this layout and identity.
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
        let header = Header::new(Kind::Cursors, layout, readers, identity);
        Ok(CursorRegion(Region::create(memory, header)?))
    }

    /// Says to the writer's process whether the reader with this number sleeps; `None` if it is
    /// beyond the places. From now on the writer loads this word and those before it.
    #[must_use]
    pub fn asleep(&self, reader: usize) -> Option<&SleepWord> {
        let word = self.0.sleep_words().get(reader)?;
        // Relaxed, as the word itself: the fence of `SleepWord::sleep` comes after it, too. Several
        // threads may do this. The number never falls, so it is stored only when it grows: the
        // writer's process reads its line after each message.
        let sleepers = self.0.sleepers();
        if sleepers.load(Ordering::Relaxed) <= reader {
            sleepers.fetch_max(reader + 1, Ordering::Relaxed);
        }
        Some(word)
    }

    /// The position of the slowest observer of this process; `None` if there is none.
    #[must_use]
    pub fn observed(&self) -> Option<usize> {
        ReaderWords::slowest_observer(self.0.entries())
    }

    /// The memory.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.0.memory
    }
}

/// The cursor region of another process. It may be mapped read-only.
#[derive(Clone, Debug)]
pub struct ForeignCursors<M>(Region<M>);

impl<M: Memory> ForeignCursors<M> {
    /// The region that another process laid out in this memory for the ring with this layout and
    /// identity, and as many readers, after all fields of its header were checked.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn attach(
        memory: M,
        layout: Layout,
        readers: usize,
        identity: RingIdentity,
    ) -> Result<ForeignCursors<M>, RegionError> {
        let header = Header::read(memory.words(), Kind::Cursors)?;
        header.compare(&Header::new(Kind::Cursors, layout, readers, identity))?;
        Ok(ForeignCursors(Region { memory, header }))
    }

    /// The position of the slowest gating reader of the process; `None` if there is none. An
    /// `exact` look also sees what readers have not shown yet. It may be any number, which
    /// [`ProxyReader::import`](crate::ring::broadcast::ProxyReader::import) clamps.
    #[must_use]
    pub fn position(&self, exact: bool) -> Option<usize> {
        ReaderWords::slowest(self.0.entries(), exact)
    }

    /// Checks the words of all readers against those of the last check, which `seen` has: one for
    /// each of the [entries](ForeignCursors::readers). `tail` returns the sequence of the next
    /// message. A wrong position between the last one and the next message is not found: it may be
    /// true.
    ///
    /// # Errors
    /// If the process has written what no reader writes: the first entry, and its fault.
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

    /// The position of the slowest observer of the process; `None` if there is none. It may be any
    /// number.
    #[must_use]
    pub fn observed(&self) -> Option<usize> {
        ReaderWords::slowest_observer(self.0.entries())
    }

    /// How many gating readers the process has now.
    #[must_use]
    pub fn gating(&self) -> usize {
        self.0.entries().iter().filter(|words| words.is_gating()).count()
    }

    /// Ringer, after [`announce`](crate::doorbell::announce): whether the reader with this entry
    /// sleeps, and must be rung for that now, and how ([`Alarm::rings`]).
    #[must_use]
    pub fn rings(&self, entry: usize, alarm: &Alarm) -> Option<WakePath> {
        alarm.rings(self.0.sleep_words().get(entry)?)
    }

    /// The same for all readers at once, each with its alarm: calls `ring` once for each path by
    /// which some of them must be rung.
    #[inline]
    pub fn ring_all(&self, alarms: &[Alarm], ring: impl FnMut(WakePath)) {
        let (mut by_executor, mut by_thread) = (None, None);
        // The number may be any value.
        let sleepers = self.0.sleepers().load(Ordering::Relaxed);
        // All are checked, because an alarm remembers for what it has rung.
        for (word, alarm) in self.0.sleep_words().iter().zip(alarms).take(sleepers) {
            match alarm.rings(word) {
                path @ Some(WakePath::Executor) => by_executor = path,
                path @ Some(WakePath::Thread) => by_thread = path,
                None => {}
            }
        }
        by_executor.into_iter().chain(by_thread).for_each(ring);
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
}
