//! Memory that two processes map: how it is created, sealed, checked, mapped and unmapped. Nearly
//! all `unsafe` code of this crate is here.
//!
//! The owner creates the memory, allocates all of it, maps it writable and seals it. After that no
//! process can change its size, map it writable or free a part of it. A peer that maps it can read
//! every word at any time, even after the end of the owner. The peer relies only on the seals,
//! which it checks before it maps.
//!
//! **Panic contract.** Descriptors come from peers that may be hostile. No descriptor makes
//! [`Mapping::attach`] panic or wait, and no access to a mapping fails (`SIGBUS`): `attach` says
//! why.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;

use mycelium_core::ring::broadcast::{Layout, Word};
use mycelium_core::ring::region::{
    CursorRegion, DataRegion, Memory, RegionError, RingIdentity, cursor_words, data_words, words_at,
};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::Resource;

use super::error::MemoryError;
use crate::sync::ForeignWords;

/// Memory of this process that peers can read, or memory of a peer that this process can read.
/// Dropping it unmaps it; other processes that have mapped it keep it.
///
/// ```
/// use mycelium_core::ring::region::Memory;
/// use mycelium_transports::memory::{Mapping, MemoryError};
///
/// let (own, descriptor) = Mapping::create(512, "ring of ticks", false)?;
/// // Another process gets the descriptor, and accepts 512 words at most, no huge pages.
/// let peers = Mapping::attach(descriptor, 512, false)?;
/// assert_eq!((own.words().len(), peers.words().len()), (512, 512));
/// assert!(own.is_writable() && !peers.is_writable());
/// # Ok::<(), MemoryError>(())
/// ```
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<usize>,
    words: usize,
    writable: bool,
}

// SAFETY: only this value owns the mapping, and a mapping is not bound to a thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives access to atomic words only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Creates memory of at least `words` words, filled with zeros. All of it is allocated: if the
    /// system has not enough memory, this returns an error, and no later access causes a signal.
    /// (The limits of a control group are not checked: the system ends a process that exceeds
    /// them.) The name is for `/proc/<pid>/maps`. With `huge`, the memory consists of huge pages of
    /// the default size.
    ///
    /// Only this mapping can ever write to the memory. The descriptor is for peers; the memory is
    /// freed when all descriptors and mappings are gone. Children of this process do not inherit
    /// the mapping.
    ///
    /// # Errors
    /// [`MemoryError::Exhausted`] and [`MemoryError::HugePages`] if there is not enough memory.
    pub fn create(words: usize, name: &str, huge: bool) -> Result<(Mapping, OwnedFd), MemoryError> {
        if !(1..=MOST_WORDS).contains(&words) {
            return Err(MemoryError::Words { words, most: MOST_WORDS });
        }
        let file = make(name, huge)?;
        let page = page_size(&file, huge)?;
        let bytes = (words as u64 * WORD).next_multiple_of(page);
        let exhausted = |error: Errno| match error {
            Errno::NOMEM | Errno::NOSPC if huge => {
                MemoryError::HugePages { bytes, error: error.into() }
            }
            Errno::NOMEM | Errno::NOSPC | Errno::FBIG => {
                MemoryError::Exhausted { bytes, error: error.into() }
            }
            error => system("allocate shared memory")(error),
        };
        // Checks the available memory, because the system would rather end processes than let the
        // allocation fail.
        if !huge && available_memory().is_some_and(|available| available < bytes) {
            return Err(exhausted(Errno::NOMEM));
        }
        // Checks the limit of file sizes, because a file larger than this limit causes a signal.
        if rustix::process::getrlimit(Resource::Fsize).current.is_some_and(|most| most < bytes) {
            return Err(exhausted(Errno::FBIG));
        }
        rustix::fs::ftruncate(&file, bytes).map_err(exhausted)?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(exhausted)?;
        let mapping = Mapping::map(file.as_fd(), bytes, true).map_err(exhausted)?;
        // `FUTURE_WRITE` does not affect the mapping that exists.
        rustix::fs::fcntl_add_seals(&file, SEALS).map_err(system("seal shared memory"))?;
        Ok((mapping, file))
    }

    /// Maps memory of a peer, read-only, once it is certain that the peer cannot make a read fail:
    /// it must be a memfd of at most `most_words` words that is fully allocated, and that no
    /// process can shrink, grow, map writable from now on or free in parts. With `huge`, it may
    /// consist of huge pages.
    ///
    /// The descriptor is closed, whether this succeeds or not.
    ///
    /// # Errors
    /// If the memory lacks one of these properties: the first one.
    pub fn attach(file: OwnedFd, most_words: usize, huge: bool) -> Result<Mapping, MemoryError> {
        // This call comes first because it never waits, unlike others on a hostile file system.
        let seals = match rustix::fs::fcntl_get_seals(&file) {
            Ok(seals) => seals,
            Err(_) => return Err(MemoryError::Kind { expected: MEMFD, found: "no memfd".into() }),
        };
        let is_sealed = seals.contains(SIZE_SEALS)
            && seals.intersects(SealFlags::FUTURE_WRITE | SealFlags::WRITE);
        if !is_sealed {
            return Err(MemoryError::Seals { expected: EXPECTED_SEALS, found: seal_names(seals) });
        }
        // Only memfds have these seals. They lie on one of two file systems.
        let is_huge = match rustix::fs::fstatfs(&file).map_err(system(EXAMINE))?.f_type {
            TMPFS => false,
            HUGETLBFS if huge => true,
            HUGETLBFS => {
                let expected = "a memfd without huge pages";
                return Err(MemoryError::Kind { expected, found: "huge pages".to_owned() });
            }
            other => {
                let found = format!("a file system of type {other:#x}");
                return Err(MemoryError::Kind { expected: MEMFD, found });
            }
        };
        let page = page_size(&file, is_huge)?;
        let most = (most_words.min(MOST_WORDS) as u64 * WORD).next_multiple_of(page);
        let stat = rustix::fs::fstat(&file).map_err(system(EXAMINE))?;
        let found = u64::try_from(stat.st_size).unwrap_or(0);
        if found == 0 || found > most || found % page != 0 {
            return Err(MemoryError::Size { page, most, found });
        }
        // The first read of a page that is not allocated allocates it. If that fails, the read ends
        // in a signal.
        let allocated = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        if allocated < found {
            return Err(MemoryError::Sparse { expected: found, found: allocated });
        }
        Mapping::map(file.as_fd(), found, false).map_err(system("map a peer's memory"))
    }

    /// Whether this process made the memory and may write to it.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Returns the words, for callers that only read them.
    pub(crate) fn foreign_words(&self) -> ForeignWords<'_> {
        // SAFETY: `map` mapped this number of words there, of 8 bytes on this system, and only
        // `drop` unmaps them. All writes to them are atomic accesses of words.
        ForeignWords::new(unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.words) })
    }

    /// Maps `bytes` of the file, a multiple of its page size.
    fn map(file: BorrowedFd<'_>, bytes: u64, writable: bool) -> Result<Mapping, Errno> {
        let length = usize::try_from(bytes).map_err(|_| Errno::NOMEM)?;
        let access = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address that the system chooses, so no other code uses it.
        let start = unsafe {
            rustix::mm::mmap(ptr::null_mut(), length, access, MapFlags::SHARED, file, 0)
        }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        let mapping = Mapping { start, words: length / size_of::<usize>(), writable };
        // SAFETY: the mapping is `length` bytes long. This advice concerns children only.
        unsafe { rustix::mm::madvise(start.as_ptr().cast(), length, Advice::LinuxDontFork) }?;
        Ok(mapping)
    }
}

// SAFETY: `map` mapped this number of words there, aligned to a page, and only `drop` unmaps them.
// The owner writes to them by atomic accesses; no other process can. (A peer's processor may do as
// it likes; these are atomic words here, for which every value is valid.)
unsafe impl Memory for Mapping {
    fn words(&self) -> &[Word] {
        // SAFETY: as above.
        unsafe { words_at(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `map` created this mapping; all references to it have borrowed this value.
        let unmapped = unsafe {
            rustix::mm::munmap(self.start.as_ptr().cast(), self.words * size_of::<usize>())
        };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// Creates an empty memfd that cannot be executed, as some systems demand. Older systems do not
/// know this flag.
fn make(name: &str, huge: bool) -> Result<OwnedFd, MemoryError> {
    let mut flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    flags.set(MemfdFlags::HUGETLB, huge);
    let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
    let made = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        made => made,
    };
    made.map_err(system("make shared memory"))
}

/// Returns the size of the file's pages in bytes.
fn page_size(file: &OwnedFd, huge: bool) -> Result<u64, MemoryError> {
    if !huge {
        return Ok(rustix::param::page_size() as u64);
    }
    let found = rustix::fs::fstatfs(file).map_err(system(EXAMINE))?;
    Ok(u64::try_from(found.f_bsize).unwrap_or(0).max(WORD))
}

/// Returns how many bytes of memory the machine can give to processes; `None` if the system does
/// not report it.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn seal_names(seals: SealFlags) -> String {
    let names: Vec<&str> = seals.iter_names().map(|(name, _)| name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn system(action: &'static str) -> impl Fn(Errno) -> MemoryError {
    move |error| MemoryError::System { action, error: error.into() }
}

const WORD: u64 = size_of::<usize>() as u64;

/// The words of a quarter of a process's addresses.
const MOST_WORDS: usize = 1 << 42;

/// The most bytes of a memfd's name.
const LONGEST_NAME: usize = 249;

/// The seals of memory that this process makes.
const SEALS: SealFlags = SIZE_SEALS.union(SealFlags::FUTURE_WRITE);

/// The seals that a peer's memory must have, beside `WRITE` or `FUTURE_WRITE`. `WRITE` and
/// `FUTURE_WRITE` also prevent that parts are freed. `SEAL` is not needed for safety, but owners of
/// this library always set it.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

const EXPECTED_SEALS: &str = "SHRINK, GROW, SEAL, and FUTURE_WRITE or WRITE";
const MEMFD: &str = "a memfd";
const EXAMINE: &str = "examine a peer's descriptor";

/// The types of the file systems of memfds.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;
const HUGETLBFS: rustix::fs::FsWord = 0x9584_58f6;

// Regions of rings in new memory of this process.

/// Creates a data region in new memory, and the memory's descriptor for readers in other processes.
///
/// # Errors
/// If the system has not enough memory, or no ring can have this layout.
pub fn data_region(
    name: &str,
    layout: Layout,
    readers: usize,
    identity: RingIdentity,
    huge_pages: bool,
) -> Result<(DataRegion<Mapping>, OwnedFd), MemoryError> {
    let words = data_words(layout, readers).ok_or(RegionError::TooLarge)?;
    let (mapping, file) = Mapping::create(words, name, huge_pages)?;
    // SAFETY: the mapping is new and writable, its seals keep others from writing, and only this
    // region has it.
    let region = unsafe { DataRegion::create(mapping, layout, readers, identity) }?;
    Ok((region, file))
}

/// Creates a cursor region in new memory, and the memory's descriptor for the publisher's process.
///
/// # Errors
/// The same as for [`data_region`].
pub fn cursor_region(
    name: &str,
    layout: Layout,
    readers: usize,
    identity: RingIdentity,
) -> Result<(CursorRegion<Mapping>, OwnedFd), MemoryError> {
    let words = cursor_words(readers).ok_or(RegionError::TooLarge)?;
    let (mapping, file) = Mapping::create(words, name, false)?;
    // SAFETY: as above.
    let region = unsafe { CursorRegion::create(mapping, layout, readers, identity) }?;
    Ok((region, file))
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::{MapFlags, Mapping, ProtFlags, SealFlags, ptr};
    use mycelium_core::ring::region::Memory;

    /// Whether the file can be mapped with this access.
    fn maps(file: &impl std::os::fd::AsFd, access: ProtFlags) -> bool {
        let page = rustix::param::page_size();
        // SAFETY: a new mapping, which is not used.
        let mapped =
            unsafe { rustix::mm::mmap(ptr::null_mut(), page, access, MapFlags::SHARED, file, 0) };
        // SAFETY: it was mapped above.
        mapped.is_ok_and(|start| unsafe { rustix::mm::munmap(start, page) }.is_ok())
    }

    #[test]
    fn nobody_else_can_write() {
        let (own, file) = Mapping::create(1, "nobody-else-can-write", false).unwrap();
        assert!(maps(&file, ProtFlags::READ));
        assert!(!maps(&file, ProtFlags::READ | ProtFlags::WRITE));
        let seals = rustix::fs::fcntl_get_seals(&file).unwrap();
        assert!(seals.contains(super::SEALS) && !seals.contains(SealFlags::WRITE), "{seals:?}");
        // SAFETY: no ring is in this memory.
        unsafe { own.words()[0].set(7) };
        let peers = Mapping::attach(file, 512, false).unwrap();
        assert_ne!(own.words().as_ptr(), peers.words().as_ptr());
        // SAFETY: both are mapped, and atomic words are plain ones while no process writes.
        assert_eq!(unsafe { peers.start.read_volatile() }, 7);
    }
}
