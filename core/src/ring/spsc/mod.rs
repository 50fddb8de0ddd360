//! `spsc`: one writer, one reader, FIFO; the layout with an index.
//!
//! The writer publishes its position after each push or each batch.
//! ([`stamped`](crate::ring::stamped) has the same ends, but publishes items in another way.) The
//! reader publishes its position every few pops: after an eighth of the capacity, at most 64 items,
//! when it finds the ring empty, or on request ([`Consumer::flush`], [`Consumer::show_every`]).
//! Each side caches the position of the other side and loads it again only when the cached one is
//! used up. So an empty ring of `n` slots always takes `n` items, and a writer may be refused while
//! up to an eighth of the items was popped but not published. Rings of fewer than 16 slots publish
//! each pop. A larger ring does so after `show_every(1)`, which protocols need that send one item
//! for each item received.
//!
//! A reader that is as fast as the writer checks after each item, and each check takes the cache
//! line that the writer writes next. [`Consumer::slipping`] skips some of these checks.
//!
//! The algorithm is Lamport's ("Specifying Concurrent Program Modules", 1983) with the cached
//! positions of Lee, Bu and Chandranmenon ("MCRingBuffer", 2009).
//!
//! Positions are `usize` and wrap.
//!
//! Read this file, `layout.rs` (what both ends share), `producer.rs` and `consumer.rs`.

#![allow(unsafe_code)]

mod consumer;
mod layout;
mod producer;

#[cfg(target_has_atomic = "ptr")]
use super::Handle;
use super::cell::Cell;
#[cfg(feature = "alloc")]
use super::slots::Heap;
use super::slots::Slots;
use super::{CapacityError, Storage};
use crate::sync::{Ordering, const_unless_loom};

pub use super::cell::Slot;
pub use consumer::{Consumer, Items};
#[doc(hidden)]
pub use layout::Ring;
pub use layout::{SideState, SlotLayout};
pub use producer::{Grant, Producer};

/// A ring with one writer and one reader. See the [module](self).
///
/// ```
/// use mycelium_core::ring::{PopError, PushError, spsc};
///
/// static RING: spsc::Inline<u32, 4> = spsc::Inline::new();
///
/// let mut writer = spsc::Spsc::producer(&RING).expect("the only writer");
/// let mut reader = spsc::Spsc::consumer(&RING).expect("the only reader");
/// for number in 0..4 {
///     writer.try_push(number)?;
/// }
/// assert_eq!(writer.try_push(4), Err(PushError::Full(4)));
/// assert_eq!(reader.try_pop(), Ok(0));
/// writer.close();
/// assert_eq!(reader.by_ref().collect::<Vec<_>>(), [1, 2, 3]);
/// assert_eq!(reader.try_pop(), Err(PopError::Closed));
/// # Ok::<(), PushError<u32>>(())
/// ```
#[derive(Debug)]
// The order of the fields makes slots in an array begin with a cache line.
#[repr(C)]
pub struct Spsc<S: Storage<Slot: SlotLayout>> {
    writer: SideState,
    reader: SideState,
    slots: S,
}

/// The types and constructors of the ring with one kind of slot. They are the same for both kinds,
/// but cannot be generic in a const context.
macro_rules! ring_types {
    ($(#[$pair:meta])* $slot:ident) => {
        /// A ring that contains its slots, for a `static` or a field.
        pub type Inline<T, const N: usize> = Spsc<[$slot<T>; N]>;

        /// A ring in a borrowed slice of slots.
        pub type InSlice<'a, T> = Spsc<&'a mut [$slot<T>]>;

        /// A ring with slots on the heap.
        #[cfg(feature = "alloc")]
        pub type Boxed<T> = Spsc<Heap<$slot<T>>>;

        impl<T, const N: usize> Inline<T, N> {
            const_unless_loom! {
                /// Creates an empty ring of `N` slots. It compiles if `N` is a power of two and at
                /// least 2.
                ///
                /// ```compile_fail
                /// use mycelium_core::ring::spsc;
                /// static RING: spsc::Inline<u32, 3> = spsc::Inline::new();
                /// ```
                #[must_use]
                pub const fn new() -> Self {
                    const { assert!(CapacityError::allows(N), "a ring has a power of two of slots, at least 2") };
                    Spsc::unchecked(crate::sync::repeat!($slot::new(); N))
                }
            }
        }

        impl<T, const N: usize> Default for Inline<T, N> {
            fn default() -> Self {
                Self::new()
            }
        }

        #[cfg(feature = "alloc")]
        impl<T> Boxed<T> {
            /// Creates an empty ring of `capacity` slots on the heap.
            ///
            /// # Errors
            /// If the capacity is not a power of two or is less than 2, or there is not enough
            /// memory.
            pub fn with_capacity(capacity: usize) -> Result<Self, CapacityError> {
                CapacityError::check(capacity)?;
                Spsc::in_slots(Heap::new(capacity, $slot::new)?)
            }
        }

        /// Creates both ends of a new ring of `capacity` slots on the heap, which is freed with the
        /// last end.
        ///
        $(#[$pair])*
        ///
        /// # Errors
        /// If the capacity is not a power of two or is less than 2, or there is not enough memory.
        #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
        #[allow(clippy::type_complexity)]
        pub fn pair<T>(
            capacity: usize,
        ) -> Result<
            (Producer<alloc::sync::Arc<Boxed<T>>>, Consumer<alloc::sync::Arc<Boxed<T>>>),
            CapacityError,
        > {
            const NEW: &str = "the ring is new";
            let ring = alloc::sync::Arc::new(Boxed::with_capacity(capacity)?);
            Ok((Spsc::producer(ring.clone()).expect(NEW), Spsc::consumer(ring).expect(NEW)))
        }
    };
}

pub(super) use ring_types;

ring_types! {
    /// ```
    /// use mycelium_core::ring::spsc;
    ///
    /// let (mut writer, mut reader) = spsc::pair(16)?;
    /// std::thread::spawn(move || writer.try_push(7));
    /// let item = loop {
    ///     if let Ok(item) = reader.try_pop() {
    ///         break item;
    ///     }
    /// };
    /// assert_eq!(item, 7);
    /// # Ok::<(), mycelium_core::ring::CapacityError>(())
    /// ```
    Slot
}

impl<S: Storage<Slot: SlotLayout>> Spsc<S> {
    const_unless_loom! {
        pub(super) const fn unchecked(slots: S) -> Spsc<S> {
            Spsc { writer: SideState::new(), reader: SideState::new(), slots }
        }
    }

    /// Creates an empty ring in these slots. Items that another ring left in them are forgotten.
    ///
    /// # Errors
    /// If their number is not a power of two or is less than 2.
    pub fn in_slots(slots: S) -> Result<Spsc<S>, CapacityError> {
        CapacityError::check(slots.slots().len())?;
        SlotLayout::reset(&Slots::new(slots.slots()), 0);
        Ok(Spsc::unchecked(slots))
    }

    /// Returns both ends of a ring that is not shared; `None` if one of them was closed or
    /// forgotten. On targets without compare-and-swap this is the only way to get the ends.
    #[allow(clippy::type_complexity)]
    pub fn split(&mut self) -> Option<(Producer<&Self>, Consumer<&Self>)> {
        if !self.writer.take_exclusive() {
            return None;
        }
        if !self.reader.take_exclusive() {
            self.writer.release();
            return None;
        }
        let ring = &*self;
        Some((Producer::new(ring), Consumer::new(ring)))
    }

    /// Sets the ring's position as if this number of items had passed through it.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(self, position: usize) -> Spsc<S> {
        self.writer.position.store(position, Ordering::Relaxed);
        self.reader.position.store(position, Ordering::Relaxed);
        SlotLayout::reset(&Slots::new(self.slots.slots()), position);
        self
    }

    /// Returns the writer's end, or `None` while it is taken or after it was closed.
    #[cfg(target_has_atomic = "ptr")]
    pub fn producer<H: Handle<Target = Spsc<S>>>(ring: H) -> Option<Producer<H>> {
        ring.writer.take().then(|| Producer::new(ring))
    }

    /// Returns the reader's end, or `None` while it is taken or after it was closed.
    #[cfg(target_has_atomic = "ptr")]
    pub fn consumer<H: Handle<Target = Spsc<S>>>(ring: H) -> Option<Consumer<H>> {
        ring.reader.take().then(|| Consumer::new(ring))
    }

    /// Returns how many items the ring has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.slots().len()
    }

    /// Returns how many items are in the ring, as far as this thread can see, including items that
    /// were popped and not published.
    #[must_use]
    pub fn len(&self) -> usize {
        let head = self.reader.position.load(Ordering::Relaxed);
        SlotLayout::count(&self.writer, &Slots::new(self.slots.slots()), head)
    }

    /// Returns whether nothing is in the ring, as far as this thread can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the largest number of items that an end has found in the ring at a check. With an
    /// index the reader counts, whenever it has taken all items that it knew of. With stamps the
    /// writer counts, at least once a lap, and includes items that were popped but not published.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.reader.high_water().max(self.writer.high_water())
    }
}

impl<S: Storage<Slot: SlotLayout>> Drop for Spsc<S> {
    fn drop(&mut self) {
        if !core::mem::needs_drop::<<S::Slot as Cell>::Item>() {
            return;
        }
        let (writer, reader) = (&self.writer, &self.reader);
        // A forgotten end may have moved without publishing it, so it is unknown which items are
        // left, and none is dropped.
        if writer.is_taken() || reader.is_taken() {
            return;
        }
        let (mut head, tail) =
            (reader.position.load(Ordering::Relaxed), writer.position.load(Ordering::Relaxed));
        let slots = Slots::new(self.slots.slots());
        while head != tail {
            // SAFETY: the memory is alive.
            let slot = unsafe { slots.at(head) };
            // SAFETY: no end exists, so this drop owns every item from head to tail.
            drop(unsafe { slot.take() });
            head = head.wrapping_add(1);
        }
    }
}

impl<S: Storage<Slot: SlotLayout>> Ring for Spsc<S> {
    type Slot = S::Slot;

    fn writer(&self) -> &SideState {
        &self.writer
    }

    fn reader(&self) -> &SideState {
        &self.reader
    }

    fn slots(&self) -> &[S::Slot] {
        self.slots.slots()
    }
}
