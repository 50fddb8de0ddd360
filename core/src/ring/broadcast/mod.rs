//! `broadcast`: one writer and many readers, each of which gets every message in order.
//!
//! A ring of slots that contain messages as bytes. Each slot begins with a **stamp**: the sequence
//! of the message while it is being written, the sequence plus one once it can be read. Stamp and
//! message reach a reader in one cache line if they fit ([`Layout::exact`]). The writer also stores
//! its position in a separate word, which readers load only to join or to count waiting messages.
//! While messages flow, a reader loads only the stamp of its next slot, and the writer loads no
//! reader's position until it has used up the room of its last check.
//!
//! Two kinds of reader share one ring. A **gating** reader has an entry with its cursor in the
//! ring, and the writer never passes it: it loses nothing, and if it does not move, the ring
//! becomes full. An **observing** reader has no entry and costs the writer nothing. It copies a
//! message out and loads the stamp again; if the writer was faster, it gets the exact number of
//! missed messages.
//!
//! Slots are words, read and written by relaxed atomic loads and stores. An observer that races
//! with the writer reads a mixture of two messages and discards it; this is not undefined
//! behaviour. (The stamp protocol is a sequence lock; see Boehm, "Can seqlocks get along with
//! programming language memory models?", 2012.)
//!
//! Sequences are `usize` and wrap. On 32-bit hosts a gap is exact below 2³¹ missed messages.
//!
//! Read `storage.rs` and `entry.rs` (the words and their layout), this file, `slot.rs` (how an end
//! finds a slot), `producer.rs` and `consumer.rs`; then `retaining.rs` and `heap.rs`.

#[cfg(feature = "alloc")]
mod arena;
mod consumer;
mod entry;
#[cfg(feature = "alloc")]
mod heap;
mod producer;
mod retaining;
mod slot;
mod storage;

use super::is_after;
use crate::sync::{AtomicUsize, Ordering, barrier, const_unless_loom, order, repeat};
use entry::is_gating;

#[cfg(feature = "alloc")]
pub use arena::{ArenaWriter, CONTENT, Place};
pub use consumer::{Consumer, Peek};
pub use entry::{Claim, ReaderFault, ReaderWords, SeenReader};
#[cfg(feature = "alloc")]
pub use heap::HeapStorage;
#[cfg(feature = "alloc")]
pub(super) use heap::{LazyWords, lazy_words};
pub use producer::{Grant, KnownRoom, Producer};
pub use retaining::{Messages, ProxyReader, RetainingConsumer};
pub use storage::{Full, Layout, LayoutError, Storage, Word, WriterWords};

/// A ring with one writer and many readers. See the [module](self).
///
/// ```
/// use mycelium_core::ring::broadcast::{Broadcast, InlineStorage, Layout, Peek};
///
/// const LAYOUT: Layout = Layout::exact(4, size_of::<usize>());
/// let ring = Broadcast::new(InlineStorage::<{ LAYOUT.words() }, 1>::new(), LAYOUT)?;
/// let mut writer = Broadcast::producer(&ring).expect("the only writer");
/// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
///
/// let length = LAYOUT.message_bytes();
/// writer.try_push(&[7], length).expect("there is room");
/// let mut message = [0];
/// assert_eq!(reader.peek(&mut message), Peek::Message { sequence: 0, length });
/// assert_eq!(message, [7]);
/// reader.advance();
/// assert_eq!(reader.peek(&mut message), Peek::Empty);
/// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct Broadcast<T> {
    storage: T,
    layout: Layout,
    /// A hint for the next reader: the index from which to look for a free entry, because most
    /// often no earlier one is free. So many readers that join one after the other do not check
    /// each other's entries.
    first_free: AtomicUsize,
}

impl<T: Storage> Broadcast<T> {
    /// Creates a ring in new `storage`. If the storage [is foreign](Storage::is_foreign), the other
    /// process has already created the ring, which is not changed.
    ///
    /// # Errors
    /// If the capacity is not a power of two or is less than 2, or the size of the storage does not
    /// fit the layout.
    pub fn new(storage: T, layout: Layout) -> Result<Broadcast<T>, LayoutError> {
        layout.check()?;
        let expected = layout.checked_words().ok_or(LayoutError::TooLarge)?;
        let found = storage.slots().len();
        if expected != found {
            return Err(LayoutError::Slots { expected, found });
        }
        let (expected, found) = (layout.arena_words(), storage.arena().len());
        if expected != found {
            return Err(LayoutError::Arena { expected, found });
        }
        Ok(Broadcast { storage, layout, first_free: AtomicUsize::new(0) }.starting_at(0))
    }

    /// Sets the ring's position as if this number of messages had passed through it. Does nothing
    /// for the ring of another process.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(self, sequence: usize) -> Broadcast<T> {
        if self.storage.is_foreign() {
            return self;
        }
        self.storage.writer().tail.store(sequence, Ordering::Relaxed);
        for ahead in 0..self.capacity() {
            // Every slot gets the stamp of the message of the previous lap.
            let next = sequence.wrapping_add(ahead);
            let stamp = next.wrapping_sub(self.capacity()).wrapping_add(1);
            self.stamp_of(next).0.store(stamp, Ordering::Relaxed);
        }
        self
    }

    /// Returns how many messages fit into the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.layout.capacity()
    }

    /// Returns the layout of the ring.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the memory of the ring.
    #[must_use]
    pub fn storage(&self) -> &T {
        &self.storage
    }

    /// Evicts the reader with this claim, if it is evictable: the writer no longer waits for it.
    /// Returns whether it did; it does not if the reader has left, even if another reader has its
    /// entry now. The evicted reader gets the messages that are still in the ring, then
    /// [`Peek::Evicted`].
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(2, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating_evictable(&ring).expect("one entry is free");
    /// for message in [7, 8] {
    ///     writer.try_push(&[message], size_of::<usize>()).expect("there is room");
    /// }
    /// let full = writer.try_push(&[9], size_of::<usize>()).unwrap_err();
    /// assert!(ring.evict(full.reader));
    /// writer.try_push(&[9], size_of::<usize>()).expect("nobody is waited for");
    /// assert_eq!(reader.peek(&mut [0]), Peek::Evicted);
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    pub fn evict(&self, reader: Claim) -> bool {
        let words = self.storage.reader(reader.entry);
        words.is_some_and(|words| words.evict(reader.generation))
    }

    /// Returns whether the reader with this claim is suspended ([`Producer::suspend`]). The reader
    /// may have moved already, which the writer finds out at its next check.
    #[must_use]
    pub fn is_suspended(&self, reader: Claim) -> bool {
        let words = self.storage.reader(reader.entry);
        words.is_some_and(|words| words.is_suspended() && words.is_held(reader.generation))
    }

    /// Returns the largest number of messages that a gating reader was behind at a check of the
    /// writer. The writer checks once a lap, and whenever the ring is full.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.storage.writer().state.high_water.load(Ordering::Relaxed)
    }

    /// Returns how many messages the slowest gating reader is behind, as far as this thread can
    /// see; 0 if there is none.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth_of(|_| true)
    }

    /// Returns the same as [`depth`](Broadcast::depth), for readers whose entries `counts` accepts.
    #[must_use]
    pub fn depth_of(&self, counts: impl Fn(usize) -> bool) -> usize {
        let tail = self.tail();
        let cursor = |entry: &ReaderWords| entry.taken.load(Ordering::Relaxed);
        let entries = self.entries().filter(|(index, _)| counts(*index));
        let slowest = self.slowest(entries, tail, ReaderWords::state, cursor);
        slowest.map_or(0, |(behind, _)| behind)
    }

    /// Returns whether every gating reader has taken the messages before this sequence, as far as
    /// this thread can see. Does not load the position of the writer.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(2, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// writer.try_push(&[7], size_of::<usize>()).expect("there is room");
    /// assert!(ring.is_taken(0) && !ring.is_taken(1));
    /// reader.peek(&mut [0]);
    /// reader.advance();
    /// assert!(ring.is_taken(1));
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[must_use]
    pub fn is_taken(&self, sequence: usize) -> bool {
        let mut gating = self.entries().filter(|(_, entry)| is_gating(entry.state()));
        gating.all(|(_, entry)| !is_after(sequence, entry.taken.load(Ordering::Relaxed)))
    }

    /// Returns the first sequence that is not published yet, as far as this thread can see.
    #[inline]
    #[must_use]
    pub fn tail(&self) -> usize {
        self.storage.writer().tail.load(Ordering::Relaxed)
    }

    /// Returns whether the writer has closed the ring. If so, the [`tail`](Broadcast::tail) is
    /// final.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let state = &self.storage.writer().state.state;
        // Acquire, pairs with the Release of `broadcast.close`: all messages that were published
        // before it.
        let closed = order!("broadcast.closed", Acquire);
        state.acquire(T::FOREIGN != Some(false), closed) & storage::CLOSED != 0
    }

    /// Returns the [`tail`](Broadcast::tail), given that all messages before `known` are published.
    fn published(&self, known: usize) -> usize {
        let tail = self.tail();
        if is_after(tail, known) { tail } else { known }
    }

    /// Frees the entry of a reader.
    fn leave(&self, entry: usize) {
        if let Some(words) = self.storage.reader(entry) {
            words.leave();
        }
        if entry < self.first_free.load(Ordering::Relaxed) {
            self.first_free.store(entry, Ordering::Relaxed);
        }
    }

    fn entries(&self) -> impl Iterator<Item = (usize, &ReaderWords)> {
        self.entries_from(0)
    }

    fn entries_from(&self, first: usize) -> impl Iterator<Item = (usize, &ReaderWords)> {
        (first..).map_while(|index| Some((index, self.storage.reader(index)?)))
    }

    /// Checks for room, for the writer at `tail`. Returns the sequence up to which it may write,
    /// and the slowest reader. With `exact`, uses positions that readers have not published yet.
    fn room(&self, tail: usize, exact: bool) -> (usize, Claim) {
        // The other half of the handshake with a joining reader, see `Broadcast::join`. The tail
        // was stored with the last message.
        barrier!("broadcast.room-fence", SeqCst);
        // Positions in other processes are also loaded after the fence, because a reader there
        // joins by the same handshake.
        self.storage.refresh(exact, &mut |claim: Claim, position| {
            if let Some(words) = self.storage.reader(claim.entry) {
                words.import(claim.generation, tail, position);
            }
        });
        let cursor = |entry: &ReaderWords| {
            let cursor = if exact { &entry.taken } else { &entry.shown.cursor };
            // Acquire, pairs with the Release of the reader's position: it no longer uses the slots
            // before it.
            cursor.load(order!("broadcast.room", Acquire))
        };
        let slowest = self.slowest(self.entries(), tail, ReaderWords::resumed_state, cursor);
        let (behind, reader) = slowest.unwrap_or((0, Claim::NONE));
        let high_water = &self.storage.writer().state.high_water;
        if behind > high_water.load(Ordering::Relaxed) {
            high_water.store(behind, Ordering::Relaxed);
        }
        (tail.wrapping_add(self.capacity() - behind), reader)
    }

    /// Returns how many messages the slowest gating reader of these entries is behind `tail`, and
    /// its claim.
    fn slowest<'a>(
        &self,
        entries: impl Iterator<Item = (usize, &'a ReaderWords)>,
        tail: usize,
        state: impl Fn(&ReaderWords) -> usize,
        cursor: impl Fn(&ReaderWords) -> usize,
    ) -> Option<(usize, Claim)> {
        let behind = entries.filter_map(|(index, entry)| {
            let state = state(entry);
            if !is_gating(state) {
                return None;
            }
            let cursor = cursor(entry);
            // A writer in another process may write any tail, so it is clamped to one lap.
            let behind = if is_after(cursor, tail) { 0 } else { tail.wrapping_sub(cursor) };
            Some((behind.min(self.capacity()), Claim::of(index, state)))
        });
        // If several readers are equally far behind, the first one counts.
        behind.reduce(|most, next| if next.0 > most.0 { next } else { most })
    }

    /// Returns the stamp of a slot, for code without a [`RingRef`](slot::RingRef).
    fn stamp_of(&self, sequence: usize) -> &Word {
        &self.storage.slots()[(sequence & (self.capacity() - 1)) * self.layout.slot_words()]
    }
}

/// A [handle](super::Handle) to a broadcast ring: a reference, an `Arc`, or your own type.
pub trait BroadcastHandle: super::Handle<Target = Broadcast<Self::Storage>> {
    /// The storage of the ring.
    type Storage: Storage;
}

impl<H: super::Handle<Target = Broadcast<T>>, T: Storage> BroadcastHandle for H {
    type Storage = T;
}

/// Storage in arrays, for a `static` or a field. `WORDS` must be [`Layout::words`]; `READERS`
/// limits the number of gating readers.
#[derive(Debug)]
// The order and alignment of the fields make slots begin with a cache line.
#[repr(C, align(64))]
pub struct InlineStorage<const WORDS: usize, const READERS: usize> {
    slots: [Word; WORDS],
    writer: WriterWords,
    readers: [ReaderWords; READERS],
}

impl<const WORDS: usize, const READERS: usize> InlineStorage<WORDS, READERS> {
    const_unless_loom! {
        /// Creates new storage.
        #[must_use]
        pub const fn new() -> InlineStorage<WORDS, READERS> {
            InlineStorage {
                slots: repeat!(Word::new(); WORDS),
                writer: WriterWords::new(),
                readers: repeat!(ReaderWords::new(); READERS),
            }
        }
    }
}

impl<const WORDS: usize, const READERS: usize> Default for InlineStorage<WORDS, READERS> {
    fn default() -> InlineStorage<WORDS, READERS> {
        InlineStorage::new()
    }
}

// SAFETY: separate fields, which nothing else accesses.
#[allow(unsafe_code)]
unsafe impl<const WORDS: usize, const READERS: usize> Storage for InlineStorage<WORDS, READERS> {
    fn slots(&self) -> &[Word] {
        &self.slots
    }

    fn writer(&self) -> &WriterWords {
        &self.writer
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.readers.get(index)
    }
}

#[cfg(not(loom))]
impl<const WORDS: usize, const READERS: usize> Broadcast<InlineStorage<WORDS, READERS>> {
    /// Creates a ring for a `static`, with entries for `READERS` gating readers.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, InlineStorage, Layout};
    ///
    /// const LAYOUT: Layout = Layout::exact(8, 3 * size_of::<usize>());
    /// static RING: Broadcast<InlineStorage<{ LAYOUT.words() }, 2>> = Broadcast::inline(LAYOUT);
    ///
    /// let mut writer = Broadcast::producer(&RING).expect("the only writer");
    /// writer.try_push(&[1, 2, 3], LAYOUT.message_bytes()).expect("there is room");
    /// ```
    ///
    /// # Panics
    /// If the layout is invalid, or `WORDS` is not its number of words; in a `static` that is a
    /// compile error.
    ///
    /// ```compile_fail
    /// use mycelium_core::ring::broadcast::{Broadcast, InlineStorage, Layout};
    /// const LAYOUT: Layout = Layout::exact(7, 24);
    /// static RING: Broadcast<InlineStorage<{ LAYOUT.words() }, 2>> = Broadcast::inline(LAYOUT);
    /// ```
    #[must_use]
    pub const fn inline(layout: Layout) -> Self {
        assert!(layout.check().is_ok(), "a capacity is a power of two of at least 2");
        assert!(WORDS == layout.words(), "WORDS is what the layout says");
        let mut storage = InlineStorage::new();
        let mut slot = 0;
        while slot < layout.capacity() {
            // Does the same as `starting_at`, which is not `const`.
            let stamp = slot.wrapping_sub(layout.capacity()).wrapping_add(1);
            storage.slots[slot * layout.slot_words()] = Word(AtomicUsize::new(stamp));
            slot += 1;
        }
        Broadcast { storage, layout, first_free: AtomicUsize::new(0) }
    }
}
