//! Words of one owner on cache lines of their own.
//!
//! The padding is atomic words, too: another process may write to all bytes of its memory, and for
//! Rust the bytes between two fields do not change while a reference to their struct lives.

use core::ops::Deref;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicUsize, const_unless_loom, repeat};

/// The words of padding behind a `T`, which consists of words. The model checker needs none.
pub(super) const fn padding<T>() -> usize {
    let line = align_of::<CachePadded<usize>>();
    assert!(cfg!(loom) || size_of::<T>() <= line, "this is for the words of one line");
    if cfg!(loom) { 0 } else { (line - size_of::<T>()) / size_of::<usize>() }
}

/// A `T`, which consists of atomic words, alone on its cache lines. `PADDING` is what [`padding`]
/// says.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Padded<T, const PADDING: usize> {
    alignment: [CachePadded<usize>; 0],
    content: T,
    padding: [AtomicUsize; PADDING],
}

impl<T, const PADDING: usize> Padded<T, PADDING> {
    const_unless_loom! {
        pub(super) const fn new(content: T) -> Padded<T, PADDING> {
            Padded { alignment: [], content, padding: repeat!(AtomicUsize::new(0); PADDING) }
        }
    }
}

impl<T, const PADDING: usize> Deref for Padded<T, PADDING> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.content
    }
}
