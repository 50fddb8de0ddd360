//! `broadcast`: one writer, many readers, every reader sees every message in order; or many writers, in the shared
//! form.
//!
//! A ring of slots that hold messages as bytes. Each slot begins with a **stamp**: the sequence of the message while
//! it is being written, the sequence plus one once it can be read. There is no tail word on the path of a message:
//! readers look at the stamp of the slot that they want next, and the writer looks at nobody until it has used up the
//! room that it saw at its last look.
//!
//! Two kinds of reader share one ring. A **gating** reader has an entry with its cursor in the ring, and the writer
//! never passes it: it loses nothing, and when it stands still the ring is full. An **observing** reader has no entry
//! and costs the writer nothing. It copies a message out and looks at the stamp again; if the writer was faster, it
//! is told exactly how many messages it missed.
//!
//! In the **shared form** any number of writers ([`Broadcast::shared_producer`]) claim sequences by compare-and-swap,
//! and readers see all messages in the one order of the claims. A claim that is given up leaves a *skip*, which
//! readers pass over and which no count of messages includes. A message can be read once all claims before it were
//! published or given up: a writer that is interrupted between claim and commit holds up what comes after, and a lap
//! later the other writers, who are told so ([`Blocked::Writer`]).
//!
//! Slots are words, read and written by relaxed atomic loads and stores, so an observer that races with the writer
//! reads a mixture and throws it away: never undefined behaviour. (The stamp protocol is a sequence lock; see Boehm,
//! "Can seqlocks get along with programming language memory models?", 2012.)
//!
//! Sequences are `usize` and wrap. On 32-bit hosts a gap is exact below 2³¹ missed messages, and a message has at most
//! 64 KiB. After claims were given up, a gap is exact if fewer than 2³² of them (2¹⁶ on 32-bit hosts) lie in it.

mod consumer;
mod error;
mod keeping;
mod lead;
#[cfg(not(loom))]
mod lend;
mod places;
mod producer;
mod shared;
mod skips;
mod slot;
mod storage;

use crate::sync::{Ordering, barrier, order};
use slot::{Slot, Stamp, is_after};
use storage::{FREE, GATING, HEADER_WORDS, JOINING, SHARED, SINGLE};

pub use consumer::{Consumer, Look};
pub use error::{Blocked, Full, LayoutError};
pub use keeping::Keeping;
#[cfg(not(loom))]
pub use lend::Messages;
#[cfg(feature = "alloc")]
pub use places::Boxed;
pub use producer::{Grant, Producer};
pub use shared::{SharedGrant, SharedProducer};
pub use storage::{Inline, ReaderWords, Storage, Word, WriterWords, slot_words};

/// A ring with one writer, or several, and many readers. See the [module](self).
///
/// ```
/// use mycelium_core::ring::broadcast::{Broadcast, Inline, Look, slot_words};
///
/// let ring = Broadcast::new(Inline::<{ 4 * slot_words(8) }, 1>::new(), 4, 8)?;
/// let mut writer = Broadcast::producer(&ring).expect("nobody else writes");
/// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
///
/// writer.try_push(&[7], 8).expect("there is room");
/// let mut message = [0];
/// assert_eq!(reader.look(&mut message), Look::Message { sequence: 0, length: 8 });
/// assert_eq!(message, [7]);
/// reader.advance();
/// assert_eq!(reader.look(&mut message), Look::Empty);
/// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct Broadcast<T> {
    storage: T,
    capacity: usize,
    slot_words: usize,
}

impl<T: Storage> Broadcast<T> {
    /// Makes a ring of `capacity` messages of at most `message_bytes` bytes in fresh `storage`.
    ///
    /// # Errors
    /// If the capacity is not a power of two of at least 2, the storage has another size than that takes, or the
    /// message is too long for any ring.
    pub fn new(
        storage: T,
        capacity: usize,
        message_bytes: usize,
    ) -> Result<Broadcast<T>, LayoutError> {
        Ok(Broadcast::over(storage, capacity, message_bytes)?.starting_at(0))
    }

    /// A ring in storage that is one already.
    pub(super) fn over(
        storage: T,
        capacity: usize,
        message_bytes: usize,
    ) -> Result<Broadcast<T>, LayoutError> {
        if !capacity.is_power_of_two() || capacity < 2 {
            return Err(LayoutError::Capacity { given: capacity });
        }
        if message_bytes > LayoutError::LONGEST {
            return Err(LayoutError::Message { given: message_bytes, most: LayoutError::LONGEST });
        }
        let slot_words = slot_words(message_bytes);
        let (expected, found) = (capacity.checked_mul(slot_words), storage.slots().len());
        if expected != Some(found) {
            return Err(LayoutError::Slots { expected, found });
        }
        Ok(Broadcast { storage, capacity, slot_words })
    }

    /// As if so many messages had gone through it already.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(self, sequence: usize) -> Broadcast<T> {
        let words = self.storage.writer();
        words.own.tail.store(sequence, Ordering::Relaxed);
        words.shared.claim.store(sequence, Ordering::Relaxed);
        words.shared.limit.store(sequence, Ordering::Relaxed);
        for ahead in 0..self.capacity {
            // Every slot looks as if the message of a lap ago were there: a writer of the shared form waits for that.
            let next = sequence.wrapping_add(ahead);
            let stamp = next.wrapping_sub(self.capacity).wrapping_add(1);
            self.slot(next).stamp.store(stamp, Ordering::Relaxed);
        }
        self
    }

    /// The writer's end, or `None` while somebody writes or after the ring was closed.
    pub fn producer<H: Handle<Storage = T>>(ring: H) -> Option<Producer<H>> {
        let words = ring.storage.writer();
        // Acquire: what the writers before left behind.
        let order = order!("broadcast.take-over", Acquire);
        words.own.state.compare_exchange(0, SINGLE, order, Ordering::Relaxed).ok()?;
        let next = words.shared.claim.load(Ordering::Relaxed);
        Some(Producer::take_up(ring, next))
    }

    /// The end of one writer of many, or `None` while the single writer's end is out, after the ring was closed, or if
    /// the ring's memory is shared between processes: there each word has one writer.
    pub fn shared_producer<H: Handle<Storage = T>>(ring: H) -> Option<SharedProducer<H>> {
        let state = &ring.storage.writer().own.state;
        let mut found = state.load(Ordering::Relaxed);
        while !T::FOREIGN && found.is_multiple_of(SHARED) {
            // Acquire, with the Release of a single writer's end: where it was. (Of each other, writers of this form see
            // enough by compare-and-swap and by stamp.)
            let (one_more, order) = (found + SHARED, order!("shared.join", Acquire));
            match state.compare_exchange_weak(found, one_more, order, Ordering::Relaxed) {
                Ok(_) => return Some(SharedProducer::take_up(ring)),
                Err(now) => found = now,
            }
        }
        None
    }

    /// A reader that the writer never passes, or `None` if all entries are in use.
    ///
    /// It starts at the first message whose push began after this call returned; a message whose push overlaps the
    /// call may be seen too.
    pub fn gating<H: Handle<Storage = T>>(ring: H) -> Option<Consumer<H>> {
        let (index, entry) = ring.entries().find_map(|(index, entry)| {
            let claim = entry.0.state.compare_exchange(
                FREE,
                JOINING,
                order!("broadcast.claim", Acquire),
                Ordering::Relaxed,
            );
            claim.is_ok().then_some((index, &entry.0))
        })?;
        // A Dekker handshake with `Broadcast::room`. Either the writer's look comes after this fence and sees the
        // entry, or it came before, and then the tail or the claim that the writer knew before that look is seen here:
        // it may go on without another look for one lap from there, which is no further than it is safe to begin.
        let start = ring.newest();
        entry.cursor.store(start, Ordering::Relaxed);
        entry.state.store(GATING, order!("broadcast.join", Release));
        barrier!("broadcast.join-fence", SeqCst);
        let mut start = ring.published(start);
        let claimed = ring.storage.writer().shared.claim.load(Ordering::Relaxed);
        if !T::FOREIGN && is_after(claimed, start) {
            start = claimed;
        }
        entry.cursor.store(start, order!("broadcast.start", Release));
        // A gating reader has no gaps: it need not know how many claims were given up.
        Some(Consumer::new(ring, Some(index), start, 0))
    }

    /// A reader that the writer does not wait for. It starts with the first message that was not published yet. (In
    /// the shared form what stands behind an unfinished message is not published, though its push may be over.)
    pub fn observing<H: Handle<Storage = T>>(ring: H) -> Consumer<H> {
        let (start, skips) = ring.skips_from(|_| ring.newest(), 0);
        Consumer::new(ring, None, start, skips)
    }

    /// How many messages the ring holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The most bytes that a message can have, rounded up to words.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        (self.slot_words - HEADER_WORDS) * size_of::<usize>()
    }

    /// The most messages that a gating reader was behind, as the writers saw at their looks: once a lap, and whenever
    /// the ring was full.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.storage.writer().own.high_water.load(Ordering::Relaxed)
    }

    /// How many claims of the shared form were given up, ever (modulo wrap-around).
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.storage.writer().shared.skips.load(Ordering::Relaxed)
    }

    /// How far the slowest gating reader is behind, as far as this thread can see; nothing if there is none.
    #[must_use]
    pub fn depth(&self) -> usize {
        let published = self.newest();
        self.slowest(published).map_or(0, |(behind, _)| behind)
    }

    /// The first sequence that is not published yet, as far as this thread can see; `known` is one that is known to
    /// be at or before it.
    #[must_use]
    pub fn published(&self, known: usize) -> usize {
        let words = self.storage.writer();
        let later = |a, b| if is_after(a, b) { a } else { b };
        // What was claimed a lap ago is finished, and what stands before it. (A single writer claims nothing: then this
        // is old.)
        let finished = |next| {
            let claimed = words.shared.claim.load(Ordering::Relaxed);
            if T::FOREIGN { next } else { later(claimed.wrapping_sub(self.capacity), next) }
        };
        let mut next = finished(later(words.own.tail.load(Ordering::Relaxed), known));
        // The writer may be at work meanwhile. Two laps suffice for all that was there when this began.
        for _ in 0..2 * self.capacity {
            match self.stamp_at(next) {
                Stamp::Published => next = next.wrapping_add(1),
                // Of many writers, one may be finished a lap later, and another one not yet in between.
                Stamp::Overwritten { by } => match finished(next) {
                    same if same == next => next = by,
                    later => next = later,
                },
                Stamp::Before => break,
            }
        }
        // Stamps that lie can lead once around.
        if T::FOREIGN && is_after(known, next) { known } else { next }
    }

    /// As [`published`](Broadcast::published), for who knows nothing yet.
    fn newest(&self) -> usize {
        self.published(self.storage.writer().own.tail.load(Ordering::Relaxed))
    }

    fn entries(&self) -> impl Iterator<Item = (usize, &ReaderWords)> {
        (0..).map_while(|index| Some((index, self.storage.reader(index)?)))
    }

    /// The look at the readers of a writer that knows all sequences before `tail` to be claimed: up to where may it
    /// go? In the second place the entry that is furthest behind.
    fn room(&self, tail: usize) -> (usize, usize) {
        let (behind, reader) = self.slowest(tail).unwrap_or((0, 0));
        let high_water = &self.storage.writer().own.high_water;
        if behind > high_water.load(Ordering::Relaxed) {
            // Other writers may note theirs at the same time.
            high_water.fetch_max(behind, Ordering::Relaxed);
        }
        (tail.wrapping_add(self.capacity - behind), reader)
    }

    /// How far the slowest gating reader is behind `tail`, and its entry.
    fn slowest(&self, tail: usize) -> Option<(usize, usize)> {
        let mut slowest = None;
        for (index, entry) in self.entries() {
            // Acquire, with the reader's Release of its state and its cursor: it is done with the slots before it.
            if entry.0.state.acquire(T::FOREIGN, order!("broadcast.room", Acquire)) != GATING {
                continue;
            }
            let cursor = entry.0.cursor.acquire(T::FOREIGN, order!("broadcast.room", Acquire));
            // A reader in another process may write what it likes: what it says is clamped to the last lap. One in
            // this process may have joined a shared ring ahead of the `tail` that this writer knows.
            let behind = if is_after(cursor, tail) { 0 } else { tail.wrapping_sub(cursor) };
            let behind = behind.min(self.capacity);
            if slowest.is_none_or(|(most, _)| behind > most) {
                slowest = Some((behind, index));
            }
        }
        slowest
    }

    /// As an end's [`Lead`](lead::Lead) finds it, for who has no end.
    fn slot(&self, sequence: usize) -> Slot<'_> {
        let start = (sequence & (self.capacity - 1)) * self.slot_words;
        match &self.storage.slots()[start..][..self.slot_words] {
            [stamp, length, words @ ..] => Slot { stamp: &stamp.0, length: &length.0, words },
            // `over` made it at least as long as its header.
            _ => unreachable!("a slot without a header"),
        }
    }

    #[inline]
    fn stamp_at(&self, sequence: usize) -> Stamp {
        // Acquire, with the Release of a commit: the words of the message.
        let stamp =
            self.slot(sequence).stamp.acquire(T::FOREIGN, order!("broadcast.published", Acquire));
        self.judge(stamp, sequence)
    }

    /// What the stamp of its slot says about the message `sequence`.
    #[inline]
    fn judge(&self, stamp: usize, sequence: usize) -> Stamp {
        let published = sequence.wrapping_add(1);
        if stamp == published {
            Stamp::Published
        } else if !is_after(stamp, published) {
            Stamp::Before
        } else {
            // The slot holds, or is being given, a message some whole laps later.
            let laps = stamp.wrapping_sub(published).div_ceil(self.capacity);
            Stamp::Overwritten { by: sequence.wrapping_add(laps * self.capacity) }
        }
    }
}

/// Whatever leads to a ring of this kind: a reference, an `Arc`, a [handle](super::Handle) of the user's own.
pub trait Handle: super::Handle<Target = Broadcast<Self::Storage>> {
    /// The storage of the ring.
    type Storage: Storage;
}

impl<H: super::Handle<Target = Broadcast<T>>, T: Storage> Handle for H {
    type Storage = T;
}
