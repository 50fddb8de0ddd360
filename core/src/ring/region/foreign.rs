//! Slots of `spsc` in memory that another process may read, or write to, at any time.

#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::ring::cell::Cell;
use crate::ring::pair::SideWords;
use crate::ring::slots::Slots;
use crate::ring::spsc::Layout;
use crate::sync::{AtomicUsize, Ordering, SharedCell, order};

/// A slot in memory that another process may write to: words, copied one by one by atomic accesses. So it holds plain
/// data only, of which every value of the bytes is one.
#[derive(Debug)]
#[repr(transparent)]
pub struct Foreign<T>(SharedCell<WholeWords<T>>);

/// A value that begins with a word, and ends with one.
#[derive(Debug)]
#[repr(C)]
struct WholeWords<T> {
    value: MaybeUninit<T>,
    begin: [usize; 0],
}

// SAFETY: the content is reached by atomic accesses only, and holds plain data.
unsafe impl<T: Send> Sync for Foreign<T> {}

impl<T> Foreign<T> {
    #[inline]
    fn words(&self) -> &[AtomicUsize] {
        let count = size_of::<Self>() / size_of::<usize>();
        // SAFETY: so many words, which are aligned (`WholeWords`); all of them lie in a cell, so they may change while a
        // reference lives, and nothing here reaches them but by the atomic accesses of this type.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), count) }
    }
}

// SAFETY: the bytes of the value are copied in and out. Whoever else is at the cell spoils the value, and nothing more.
unsafe impl<T: Copy + FromBytes + IntoBytes + Immutable> Cell for Foreign<T> {
    type Item = T;

    #[inline]
    unsafe fn put(&self, item: T) {
        for (word, bytes) in self.words().iter().zip(item.as_bytes().chunks(size_of::<usize>())) {
            let mut whole = [0; size_of::<usize>()];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(usize::from_ne_bytes(whole), Ordering::Relaxed);
        }
    }

    #[inline]
    unsafe fn take(&self) -> T {
        let mut item = T::new_zeroed();
        let bytes = item.as_mut_bytes().chunks_mut(size_of::<usize>());
        for (word, bytes) in self.words().iter().zip(bytes) {
            let whole = word.load(Ordering::Relaxed).to_ne_bytes();
            bytes.copy_from_slice(&whole[..bytes.len()]);
        }
        item
    }
}

// SAFETY: the position is stored after the items were put, with Release, and loaded with Acquire. A position of another
// process may be anything, and so may the items.
unsafe impl<T> Layout for Foreign<T>
where
    Foreign<T>: Cell,
{
    const FOREIGN: bool = true;

    #[inline]
    fn look(writer: &SideWords, slots: &Slots<Self>, position: usize, most: usize) -> usize {
        let _ = (slots, most);
        // Acquire, with the Release of `show`: the items. Named apart from the look at a slot of one's own, because no model
        // reaches it.
        writer.position.acquire(true, order!("region.look", Acquire)).wrapping_sub(position)
    }
}
