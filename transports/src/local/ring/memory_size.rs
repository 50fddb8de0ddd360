//! The size of a ring: on the heap, or in shared memory, where it takes whole pages.
//!
//! Plans of nodes and the rings themselves use the same functions, so a budget is exact. Nothing
//! here allocates.

use mycelium_core::ring::broadcast::{Layout, ReaderWords, WriterWords};
use mycelium_core::ring::region::{cursor_words, data_words};

use crate::local::trace::TraceArea;
use crate::local::values::Schema;

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
    /// The bytes of one page.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            PageSize::Small => 4 << 10,
            PageSize::Huge => 2 << 20,
        }
    }

    /// Returns how many huge pages processes can still get. 0 if the system has none.
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
    /// Returns the bytes of a ring on the heap, with `readers` entries for gating readers. `None`
    /// if that is more than memory can hold.
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

    /// Returns the bytes of a ring in shared memory, with `readers` entries: its slots take whole
    /// cache lines ([`shared_layout`](Schema::shared_layout)), and the ring takes whole pages.
    /// `None` if that is more than memory can hold.
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
/// another process, in whole pages. `None` if that is more than memory can hold.
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
