//! Lists of waiters that grow: blocks on the heap, each allocated once and kept until the list is
//! dropped.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::ptr;

use super::list::{FURTHER, Growth, WaiterList};
use crate::sync::{AtomicPtr, Ordering, const_unless_loom, order};

/// How many places a list has without an allocation.
const FIRST: usize = if cfg!(loom) { 1 } else { 15 };

/// A list of waiters for any number of tasks: its `register` never returns `None`.
///
/// ```
/// use mycelium_core::doorbell::{GrowingWaiterList, Waiters};
///
/// let waiters = GrowingWaiterList::growing();
/// let keys: Vec<_> = (0..1_000).map_while(|_| waiters.register()).collect();
/// assert_eq!(keys.len(), 1_000);
/// ```
pub type GrowingWaiterList = WaiterList<FIRST, OnHeap>;

/// A list that grows: the place of the next block.
#[derive(Debug)]
pub struct OnHeap(AtomicPtr<WaiterList<FURTHER, OnHeap>>);

impl OnHeap {
    const_unless_loom! {
        const fn new() -> OnHeap {
            OnHeap(AtomicPtr::new(ptr::null_mut()))
        }
    }
}

impl GrowingWaiterList {
    const_unless_loom! {
        /// A list without waiters.
        #[must_use]
        pub const fn growing() -> GrowingWaiterList {
            WaiterList::with(OnHeap::new())
        }
    }
}

impl Default for GrowingWaiterList {
    fn default() -> GrowingWaiterList {
        WaiterList::growing()
    }
}

impl Growth for OnHeap {
    const GROWS: bool = true;

    fn next(&self) -> Option<&WaiterList<FURTHER, OnHeap>> {
        // Acquire, pairs with the Release of `on-heap.add`: the block.
        let block = self.0.load(order!("on-heap.next", Acquire));
        // SAFETY: null, or what `next_or_new` made of a box that is freed when `self` is dropped.
        unsafe { block.as_ref() }
    }

    fn next_or_new(&self) -> Option<&WaiterList<FURTHER, OnHeap>> {
        if let Some(block) = self.next() {
            return Some(block);
        }
        let made = Box::into_raw(Box::new(WaiterList::with(OnHeap::new())));
        // Release, pairs with the Acquire of `on-heap.next`, and of `on-heap.added` in a thread
        // that loses here: the block.
        let placed = self.0.compare_exchange(
            ptr::null_mut(),
            made,
            order!("on-heap.add", Release),
            order!("on-heap.added", Acquire),
        );
        let block = match placed {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: made above, and not shared.
                drop(unsafe { Box::from_raw(made) });
                other
            }
        };
        // SAFETY: made of a box, here or by another thread, which is freed when `self` is dropped.
        Some(unsafe { &*block })
    }
}

impl Drop for OnHeap {
    fn drop(&mut self) {
        let block = self.0.load(Ordering::Relaxed);
        if !block.is_null() {
            // SAFETY: `next_or_new` made it of a box, and every reference to it borrowed `self`.
            drop(unsafe { Box::from_raw(block) });
        }
    }
}
