//! Words of counters at a fixed address: in heap pages, or in a sealed memfd that other processes
//! may map. A [`Part`] of the words keeps all of them alive.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
use mycelium_core::ring::region::Memory;

use super::error::MemoryError;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
use super::mapping::Mapping;
use crate::sync::AtomicU64;

/// The number of words in a page.
pub(crate) const PAGE_WORDS: usize = 512;

/// Atomic words that start at a page. New words are zero.
#[derive(Clone)]
pub(crate) struct Words {
    /// Points into the memory of the owner.
    start: NonNull<[AtomicU64]>,
    owner: Arc<Owner>,
}

/// Some of the words of a [`Words`]. A part keeps all of the words alive.
pub(crate) struct Part<const N: usize> {
    /// Points into the memory of the owner.
    start: NonNull<[AtomicU64; N]>,
    _owner: Arc<Owner>,
}

/// The memory of the words, at a fixed address.
enum Owner {
    Heap(Box<[Page]>),
    /// The descriptor stays open, for processes that look for it in `/proc/<pid>/fd`.
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Memfd(Mapping, #[expect(dead_code, reason = "kept open")] std::os::fd::OwnedFd),
}

impl Owner {
    fn words(&self) -> NonNull<[AtomicU64]> {
        let (start, count) = match self {
            Owner::Heap(pages) => (NonNull::from(&**pages).cast(), pages.len() * PAGE_WORDS),
            #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
            Owner::Memfd(mapping, _) => {
                (NonNull::from(mapping.words()).cast(), mapping.words().len())
            }
        };
        NonNull::slice_from_raw_parts(start, count)
    }
}

#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "used by its address")] [AtomicU64; PAGE_WORDS]);

/// The data by which other processes find a memfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The number of the memfd's inode.
    pub(crate) inode: u64,
    /// The memfd's descriptor in this process.
    pub(crate) descriptor: u64,
}

// SAFETY: the words belong to their owner, which any thread may drop, and are atomic.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}
// SAFETY: as above.
unsafe impl<const N: usize> Send for Part<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Part<N> {}

impl Words {
    /// Creates at least `count` words on the heap, in whole pages.
    pub(crate) fn heap(count: usize) -> Words {
        let page = || Page([const { AtomicU64::new(0) }; PAGE_WORDS]);
        let pages: Box<[Page]> = (0..count.div_ceil(PAGE_WORDS)).map(|_| page()).collect();
        Words::new(Owner::Heap(pages))
    }

    fn new(owner: Owner) -> Words {
        // Moves the owner into its `Arc` first, because the pages may not move after that.
        let owner = Arc::new(owner);
        Words { start: owner.words(), owner }
    }

    /// Creates at least `count` words in a sealed memfd with this name, in whole pages. Its
    /// descriptor stays open as long as the words exist.
    ///
    /// # Errors
    /// The same as for [`Mapping::create`](super::Mapping::create).
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    pub(crate) fn memfd(count: usize, name: &str) -> Result<(Words, Found), MemoryError> {
        use std::os::fd::AsRawFd;

        if cfg!(miri) {
            return Err(MemoryError::Unsupported);
        }
        let (mapping, file) = Mapping::create(count, name, false)?;
        let action = "examine shared memory";
        let inode = rustix::fs::fstat(&file)
            .map_err(|error| MemoryError::System { action, error: error.into() })?
            .st_ino;
        let found = Found { inode, descriptor: u64::from(file.as_raw_fd().unsigned_abs()) };
        Ok((Words::new(Owner::Memfd(mapping, file)), found))
    }

    /// Fails: there is no memory to share.
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
    pub(crate) fn memfd(_: usize, _: &str) -> Result<(Words, Found), MemoryError> {
        Err(MemoryError::Unsupported)
    }

    /// Returns the `N` words from `first` on.
    ///
    /// # Panics
    /// If there are fewer words.
    pub(crate) fn part<const N: usize>(&self, first: usize) -> Part<N> {
        let words: &[AtomicU64; N] = self[first..first + N].try_into().expect("of this length");
        Part { start: words.into(), _owner: self.owner.clone() }
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the owner, which this value keeps alive, has these words at this address. No kind
        // of owner moves its memory, and all code accesses it as atomic words only.
        unsafe { self.start.as_ref() }
    }
}

impl<const N: usize> Deref for Part<N> {
    type Target = [AtomicU64; N];

    #[inline]
    fn deref(&self) -> &[AtomicU64; N] {
        // SAFETY: as above.
        unsafe { self.start.as_ref() }
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("count", &self.len()).finish_non_exhaustive()
    }
}

impl<const N: usize> fmt::Debug for Part<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("words", &**self).finish()
    }
}
