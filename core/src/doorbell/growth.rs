//! Lists of waiters that grow: blocks on the heap, each allocated once and kept until the list is
//! dropped.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::ptr;
use core::task::Waker;

use super::Waiters;
use super::list::{FURTHER, Growth, Key, WaiterList};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, const_unless_loom, order};

/// The number of places before the first allocation. Further tasks get places in blocks on the
/// heap.
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

/// The growth of a list on the heap: the pointer to the next block.
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
        /// Creates a list without waiters.
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

/// A list of waiters that always has a place for one more.
pub trait AlwaysRoom: Waiters {}

impl AlwaysRoom for GrowingWaiterList {}

impl AlwaysRoom for RareWaiterList {}

/// A list of waiters for any number of tasks that seldom wait. It is one pointer until the first
/// task waits. A task takes its place at its first wait, and keeps it.
///
/// ```
/// use core::task::Waker;
/// use mycelium_core::doorbell::{RareWaiterList, Waiters, announce};
///
/// let waiters = RareWaiterList::new();
/// let key = waiters.register().expect("always");
/// waiters.park(&key, Waker::noop()); // the list is allocated
/// announce();
/// waiters.ring();
/// assert!(waiters.unpark(&key));
/// waiters.unregister(&key);
/// ```
#[derive(Debug)]
pub struct RareWaiterList(OnHeap);

/// Identifies a task in a [`RareWaiterList`]: its place, once it has waited.
#[derive(Debug)]
pub struct RareKey(AtomicUsize);

/// The key of a task that has never waited.
const NO_PLACE: usize = usize::MAX;

impl RareKey {
    fn get(&self) -> Option<Key> {
        let place = self.0.load(Ordering::Relaxed);
        (place != NO_PLACE).then_some(Key(place))
    }
}

impl RareWaiterList {
    const_unless_loom! {
        /// Creates a list without waiters.
        #[must_use]
        pub const fn new() -> RareWaiterList {
            RareWaiterList(OnHeap::new())
        }
    }

    fn list(&self) -> &WaiterList<FURTHER, OnHeap> {
        match self.0.next_or_new() {
            Some(list) => list,
            None => unreachable!("a list on the heap grows"),
        }
    }
}

impl Default for RareWaiterList {
    fn default() -> RareWaiterList {
        RareWaiterList::new()
    }
}

impl Waiters for RareWaiterList {
    const SHARED: bool = true;

    type Key = RareKey;

    fn register(&self) -> Option<RareKey> {
        Some(RareKey(AtomicUsize::new(NO_PLACE)))
    }

    fn unregister(&self, key: &RareKey) {
        if let Some(key) = key.get() {
            self.list().unregister(&key);
        }
    }

    fn park(&self, key: &RareKey, waker: &Waker) {
        let list = self.list();
        let Some(taken) = key.get().or_else(|| list.register()) else {
            unreachable!("a list on the heap grows")
        };
        list.park(&taken, waker);
        // Relaxed: only one task has the key.
        key.0.store(taken.0, Ordering::Relaxed);
    }

    fn unpark(&self, key: &RareKey) -> bool {
        key.get().is_some_and(|key| self.list().unpark(&key))
    }

    /// Loses no wake if there is no list yet: a parking task creates the list before its fence, so
    /// either the ringer finds the list, or the task's second check finds what was published.
    #[inline]
    fn ring(&self) {
        if let Some(list) = self.0.next() {
            list.ring();
        }
    }

    #[inline]
    fn ring_all(&self) {
        if let Some(list) = self.0.next() {
            list.ring_all();
        }
    }

    fn starve(&self, key: &RareKey) {
        if let Some(key) = key.get() {
            self.list().starve(&key);
        }
    }

    fn relieve(&self, key: &RareKey) -> bool {
        key.get().is_some_and(|key| self.list().relieve(&key))
    }

    fn pass_turn(&self, key: &RareKey) {
        if let Some(key) = key.get() {
            self.list().pass_turn(&key);
        }
    }

    #[inline]
    fn must_yield(&self, key: &RareKey) -> bool {
        // `NO_PLACE` is not the place of another task.
        self.0.next().is_some_and(|list| list.must_yield(&Key(key.0.load(Ordering::Relaxed))))
    }

    fn ring_first(&self) {
        if let Some(list) = self.0.next() {
            list.ring_first();
        }
    }
}

impl Growth for OnHeap {
    const GROWS: bool = true;

    fn next(&self) -> Option<&WaiterList<FURTHER, OnHeap>> {
        // Acquire, pairs with the Release of `on-heap.add`: the block.
        let block = self.0.load(order!("on-heap.next", Acquire));
        // SAFETY: null, or a box made by `next_or_new`, which is freed when `self` is dropped.
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
        // SAFETY: a box made here or by another thread, which is freed when `self` is dropped.
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
