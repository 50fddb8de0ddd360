//! How much memory a ring takes: on the heap, or in shared memory, where it has whole pages.
//!
//! Plans of nodes and the rings themselves use the same functions, so a budget is exact. Nothing
//! here allocates.

use mycelium_core::ring::broadcast::{ReaderWords, WriterWords};

use super::schema::Schema;

/// The words of a cache line.
const LINE: usize = 8;
/// The bytes in front of the entries of a ring in shared memory: its header and the words of its
/// writer.
const HEADER: usize = 4096;

/// The pages of a ring in shared memory.
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

    /// The number of huge pages that processes can still have. 0 if the system has none.
    #[must_use]
    pub fn free_huge() -> usize {
        #[cfg(all(target_os = "linux", not(miri)))]
        {
            let read = |name| {
                let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}_hugepages");
                std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok()
            };
            let read = |name| read(name).unwrap_or(0);
            // Some are promised to others; more can be made on request.
            let reserved = read("free").saturating_sub(read("resv"));
            reserved + read("nr_overcommit").saturating_sub(read("surplus"))
        }
        #[cfg(any(not(target_os = "linux"), miri))]
        0
    }
}

impl Schema {
    /// The bytes of a ring on the heap, with `readers` entries for gating readers. `None` if that
    /// is more than memory can hold.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::local::{PageSize, Schema};
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     values: [u64; 8],
    /// }
    ///
    /// let schema = Schema::of::<Tick>();
    /// if cfg!(target_pointer_width = "64") {
    ///     // Slots of 9 words, 64 entries, and the words of the writer.
    ///     assert_eq!(schema.heap_bytes(1024, 64), Some(1024 * 72 + 64 * 256 + 256));
    ///     // Slots of 16 words, 64 entries, and the header; rounded up to pages.
    ///     assert_eq!(schema.shared_bytes(1024, 64, PageSize::Small), Some(1024 * 128 + 64 * 256 + 4096));
    ///     assert_eq!(schema.shared_bytes(1024, 64, PageSize::Huge), Some(2 << 20));
    /// }
    /// ```
    #[must_use]
    pub fn heap_bytes(&self, capacity: usize, readers: usize) -> Option<usize> {
        let entries = readers.checked_mul(size_of::<ReaderWords>())?;
        self.layout(capacity).bytes()?.checked_add(entries)?.checked_add(size_of::<WriterWords>())
    }

    /// The bytes of a ring in shared memory, with `readers` entries: its slots take whole cache
    /// lines, and the ring takes whole pages. `None` if that is more than memory can hold.
    #[must_use]
    pub fn shared_bytes(&self, capacity: usize, readers: usize, pages: PageSize) -> Option<usize> {
        let slot = line_words(self.layout(capacity).slot_words())? * size_of::<usize>();
        let entries = readers.checked_mul(size_of::<ReaderWords>())?;
        let bytes = capacity.checked_mul(slot)?.checked_add(entries)?.checked_add(HEADER)?;
        bytes.checked_next_multiple_of(pages.bytes())
    }
}

/// The bytes of the region with the positions of `readers` subscriptions of another process's
/// ring. Its header takes as much as an entry. `None` if that is more than memory can hold.
///
/// ```
/// # use mycelium_transports::local::cursor_bytes;
/// assert_eq!((cursor_bytes(15), cursor_bytes(16)), (Some(4096), Some(8192)));
/// ```
#[must_use]
pub fn cursor_bytes(readers: usize) -> Option<usize> {
    let entries = readers.checked_add(1)?.checked_mul(size_of::<ReaderWords>())?;
    entries.checked_next_multiple_of(PageSize::Small.bytes())
}

/// The words of a slot that does not share its lines with others, or shares one line evenly: a
/// power of two up to a line, then whole lines.
fn line_words(words: usize) -> Option<usize> {
    if words <= LINE {
        words.checked_next_power_of_two()
    } else {
        words.checked_next_multiple_of(LINE)
    }
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
    fn slots_take_a_part_of_a_line_or_whole_lines() {
        let rounded = (1..=17).map(|words| line_words(words).unwrap());
        assert!(rounded.eq([1, 2, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16, 16, 16, 16, 16, 24]));
    }

    #[test]
    fn memory_is_counted_with_entries_and_in_whole_pages() {
        let schema = Schema::of::<Words>();
        let slots = 64 * schema.layout(64).slot_words() * size_of::<usize>();
        assert_eq!(schema.heap_bytes(64, 0), Some(slots + size_of::<WriterWords>()));
        let entry = size_of::<ReaderWords>();
        assert_eq!(schema.heap_bytes(64, 3), Some(slots + size_of::<WriterWords>() + 3 * entry));
        for pages in [PageSize::Small, PageSize::Huge] {
            let bytes = schema.shared_bytes(64, 3, pages).unwrap();
            assert!(bytes >= slots + 3 * entry + HEADER);
            assert!(bytes.is_multiple_of(pages.bytes()));
            assert!(bytes < slots * 2 + 3 * entry + HEADER + pages.bytes());
        }
        // One entry more can need one page more.
        assert_eq!(
            schema.shared_bytes(64, 17, PageSize::Small).unwrap()
                - schema.shared_bytes(64, 16, PageSize::Small).unwrap(),
            4096
        );
    }

    #[test]
    fn more_than_memory_is_none() {
        let schema = Schema::of::<Words>();
        for (capacity, readers) in [(usize::MAX / 2 + 1, 1), (2, usize::MAX)] {
            assert_eq!(schema.heap_bytes(capacity, readers), None);
            assert_eq!(schema.shared_bytes(capacity, readers, PageSize::Small), None);
        }
        assert_eq!(cursor_bytes(usize::MAX), None);
    }
}
