//! `broadcast`: one writer, many readers, every reader sees every message in order.
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
//! Slots are words, read and written by relaxed atomic loads and stores, so an observer that races with the writer
//! reads a mixture and throws it away: never undefined behaviour. (The stamp protocol is a sequence lock; see Boehm,
//! "Can seqlocks get along with programming language memory models?", 2012.)
//!
//! Sequences are `usize` and wrap. On 32-bit hosts a gap is exact below 2³¹ missed messages.

mod storage;

use core::ops::Deref;

use crate::sync::{AtomicUsize, Ordering, barrier, order};
use storage::{CLOSED, FREE, GATING, HEADER_WORDS, JOINING, TAKEN};

pub use storage::{Inline, ReaderWords, Storage, Word, WriterWords, slot_words};

/// Why memory cannot be a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The capacity is not a power of two, or below 2.
    Capacity {
        /// The capacity that was asked for.
        given: usize,
    },
    /// The storage does not hold as many words as capacity and message size need.
    Slots {
        /// The words that the slots would take; `None` if that is more than memory can hold.
        expected: Option<usize>,
        /// The words that the storage has.
        found: usize,
    },
}

impl core::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            LayoutError::Capacity { given } => {
                write!(f, "capacity {given} is not a power of two of at least 2")
            }
            LayoutError::Slots { expected: Some(expected), found } => {
                write!(f, "slots take {expected} words, the storage has {found}")
            }
            LayoutError::Slots { expected: None, .. } => {
                write!(f, "slots take more words than memory can hold")
            }
        }
    }
}

impl core::error::Error for LayoutError {}

/// A ring with one writer and many readers. See the [module](self).
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
    /// If the capacity is not a power of two of at least 2, or the storage has another size than that takes.
    pub fn new(
        storage: T,
        capacity: usize,
        message_bytes: usize,
    ) -> Result<Broadcast<T>, LayoutError> {
        if !capacity.is_power_of_two() || capacity < 2 {
            return Err(LayoutError::Capacity { given: capacity });
        }
        let slot_words = slot_words(message_bytes);
        let (expected, found) = (capacity.checked_mul(slot_words), storage.slots().len());
        if expected != Some(found) {
            return Err(LayoutError::Slots { expected, found });
        }
        Ok(Broadcast { storage, capacity, slot_words })
    }

    /// The writer's end, or `None` while somebody has it or after it was closed.
    pub fn producer<H: Handle<Storage = T>>(ring: H) -> Option<Producer<H>> {
        let writer = &ring.storage.writer().0;
        writer
            .state
            // Acquire: the tail that the writer before left behind.
            .compare_exchange(0, TAKEN, order!("broadcast.take-over", Acquire), Ordering::Relaxed)
            .ok()?;
        let next = writer.tail.load(Ordering::Relaxed);
        Some(Producer { ring, next, limit: next })
    }

    /// A reader that the writer never passes, or `None` if all entries are in use.
    ///
    /// It starts at the first message whose push began after this call returned; a message whose push overlaps the
    /// call may be seen too.
    pub fn gating<H: Handle<Storage = T>>(ring: H) -> Option<Consumer<H>> {
        let readers = ring.storage.readers();
        let (index, entry) = readers.iter().enumerate().find_map(|(index, entry)| {
            let claim = entry.0.state.compare_exchange(
                FREE,
                JOINING,
                order!("broadcast.claim", Acquire),
                Ordering::Relaxed,
            );
            claim.is_ok().then_some((index, &entry.0))
        })?;
        // A Dekker handshake with `Producer::look_for_room`. Either the writer's look comes after this fence and sees
        // the entry, or it came before, and then the tail that the writer stored before that look is seen here: it
        // may go on without another look for one lap from there, which is no further than it is safe to begin.
        let start = ring.newest();
        entry.cursor.store(start, Ordering::Relaxed);
        entry.state.store(GATING, order!("broadcast.join", Release));
        barrier!("broadcast.join-fence", SeqCst);
        let start = ring.published(start);
        entry.cursor.store(start, order!("broadcast.start", Release));
        Some(Consumer { ring, entry: Some(index), cursor: start, looked: false })
    }

    /// A reader that the writer does not wait for. It starts as [`gating`](Broadcast::gating) does.
    pub fn observing<H: Handle<Storage = T>>(ring: H) -> Consumer<H> {
        let start = ring.newest();
        Consumer { ring, entry: None, cursor: start, looked: false }
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

    /// The first sequence that is not published yet, as far as this thread can see; `known` is one that is known to
    /// be at or before it.
    #[must_use]
    pub fn published(&self, known: usize) -> usize {
        let tail = self.storage.writer().0.tail.load(Ordering::Relaxed);
        let mut next = if is_after(tail, known) { tail } else { known };
        // The writer may be at work meanwhile. Two laps suffice for all that was there when this began.
        for _ in 0..2 * self.capacity {
            match self.stamp_at(next) {
                Stamp::Published => next = next.wrapping_add(1),
                Stamp::Overwritten { by } => next = by,
                Stamp::Before => break,
            }
        }
        next
    }

    /// As [`published`](Broadcast::published), for who knows nothing yet.
    fn newest(&self) -> usize {
        self.published(self.storage.writer().0.tail.load(Ordering::Relaxed))
    }

    #[inline]
    fn slot(&self, sequence: usize) -> Slot<'_> {
        let start = (sequence & (self.capacity - 1)) * self.slot_words;
        match &self.storage.slots()[start..][..self.slot_words] {
            [stamp, length, words @ ..] => Slot { stamp: &stamp.0, length: &length.0, words },
            // `new` made it at least as long as its header.
            _ => unreachable!("a slot without a header"),
        }
    }

    #[inline]
    fn stamp_at(&self, sequence: usize) -> Stamp {
        // Acquire, with the Release of `Grant::commit`: the words of the message.
        let stamp = self.slot(sequence).stamp.load(order!("broadcast.look", Acquire));
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

/// A message's place: its stamp, its length in bytes, and its words.
#[derive(Clone, Copy, Debug)]
struct Slot<'a> {
    stamp: &'a AtomicUsize,
    length: &'a AtomicUsize,
    words: &'a [Word],
}

/// Whatever leads to a ring: a reference, an `Arc`, a handle of the user's own.
pub trait Handle: Deref<Target = Broadcast<Self::Storage>> {
    /// The storage of the ring.
    type Storage: Storage;
}

impl<H: Deref<Target = Broadcast<T>>, T: Storage> Handle for H {
    type Storage = T;
}

enum Stamp {
    /// Not written yet, or being written.
    Before,
    Published,
    Overwritten {
        by: usize,
    },
}

/// Whether `a` comes after `b` in sequences that wrap.
fn is_after(a: usize, b: usize) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// The ring is full: a gating reader holds the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// The entry of the reader that is furthest behind.
    pub reader: usize,
}

impl core::fmt::Display for Full {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the ring is full: gating reader {} has not moved on", self.reader)
    }
}

impl core::error::Error for Full {}

/// The writer's end of a ring. Dropping it leaves the ring open for the next producer, which goes on in its place.
#[derive(Debug)]
pub struct Producer<H: Handle> {
    ring: H,
    next: usize,
    /// The writer has seen room before this sequence.
    limit: usize,
}

impl<H: Handle> Producer<H> {
    /// Appends a message: `words` are copied, `length` is its length in bytes. Returns its sequence.
    ///
    /// # Errors
    /// [`Full`] if a gating reader holds the writer; nothing was written then.
    ///
    /// # Panics
    /// If the message has more words than a slot.
    #[inline]
    pub fn try_push(&mut self, words: &[usize], length: usize) -> Result<usize, Full> {
        let mut grant = self.grant()?;
        grant.write(words, length);
        Ok(grant.commit())
    }

    /// The next slot, to be written in place. Readers see it after [`Grant::commit`]; dropping the grant gives the slot
    /// back, unseen.
    ///
    /// # Errors
    /// [`Full`] if a gating reader holds the writer.
    #[inline]
    pub fn grant(&mut self) -> Result<Grant<'_>, Full> {
        if self.next == self.limit {
            self.look_for_room()?;
        }
        let slot = self.ring.slot(self.next);
        // From here on no observer may take what it copies for the message of a lap ago.
        slot.stamp.store(self.next, Ordering::Relaxed);
        barrier!("broadcast.overwrite-fence", Release);
        Ok(Grant { slot, next: &mut self.next })
    }

    /// The sequence of the next message, and so the number of messages ever published (modulo wrap-around).
    #[must_use]
    pub fn sequence(&self) -> usize {
        self.next
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Says that there will be no more messages. Readers get what is in the ring, then [`Look::Closed`].
    pub fn close(self) {
        // Release: who sees the ring closed also sees every message in it.
        self.ring.storage.writer().0.state.fetch_or(CLOSED, order!("broadcast.close", Release));
    }

    /// Once a lap, and whenever a gating reader holds the writer: how far may it go?
    #[cold]
    #[inline(never)]
    fn look_for_room(&mut self) -> Result<(), Full> {
        let storage = &self.ring.storage;
        storage.writer().0.tail.store(self.next, Ordering::Relaxed);
        // See `Broadcast::gating`: the other half of the handshake with a reader that joins.
        barrier!("broadcast.room-fence", SeqCst);
        let mut room = self.ring.capacity;
        let mut slowest = 0;
        for (index, entry) in storage.readers().iter().enumerate() {
            // Acquire, with the reader's Release of its state and its cursor: it is done with the slots before it.
            if entry.0.state.load(order!("broadcast.room", Acquire)) == GATING {
                let cursor = entry.0.cursor.load(order!("broadcast.room", Acquire));
                let left = self.ring.capacity.saturating_sub(self.next.wrapping_sub(cursor));
                if left < room {
                    (room, slowest) = (left, index);
                }
            }
        }
        if room == 0 {
            return Err(Full { reader: slowest });
        }
        self.limit = self.next.wrapping_add(room);
        Ok(())
    }
}

impl<H: Handle> Drop for Producer<H> {
    fn drop(&mut self) {
        let writer = &self.ring.storage.writer().0;
        writer.tail.store(self.next, Ordering::Relaxed);
        // Release: the next producer goes on where this one was.
        writer.state.fetch_and(!TAKEN, order!("broadcast.hand-over", Release));
    }
}

/// A slot that the writer may fill. See [`Producer::grant`].
#[derive(Debug)]
pub struct Grant<'a> {
    slot: Slot<'a>,
    /// The producer's next sequence: this slot's.
    next: &'a mut usize,
}

impl Grant<'_> {
    /// Writes the message: `words` are copied, `length` is its length in bytes.
    ///
    /// # Panics
    /// If the message has more words than a slot.
    #[inline]
    pub fn write(&mut self, words: &[usize], length: usize) {
        self.slot.length.store(length, Ordering::Relaxed);
        for (to, word) in self.slot.words[..words.len()].iter().zip(words) {
            to.0.store(*word, Ordering::Relaxed);
        }
    }

    /// Shows the message to the readers and returns its sequence.
    #[inline]
    pub fn commit(self) -> usize {
        let sequence = *self.next;
        *self.next = sequence.wrapping_add(1);
        // Release, with the Acquire of `Consumer::look`: the words of the message.
        self.slot.stamp.store(*self.next, order!("broadcast.publish", Release));
        sequence
    }
}

/// What a reader found at its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A message; it was copied out. The cursor moves at [`Consumer::advance`].
    Message {
        /// Its sequence.
        sequence: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// The writer was faster than this observer, which goes on with the oldest message that is left.
    Gap {
        /// How many messages it missed, exactly.
        missed: usize,
    },
    /// Nothing yet.
    Empty,
    /// Nothing more will come.
    Closed,
}

/// A reader's end of a ring. Dropping it lets the writer pass.
#[derive(Debug)]
pub struct Consumer<H: Handle> {
    ring: H,
    /// The entry of a gating reader.
    entry: Option<usize>,
    cursor: usize,
    looked: bool,
}

impl<H: Handle> Consumer<H> {
    /// Looks at the next message and copies it to `message`, as many words as that holds; looking again gives the
    /// same message until [`advance`](Consumer::advance).
    #[inline]
    pub fn look(&mut self, message: &mut [usize]) -> Look {
        let slot = self.ring.slot(self.cursor);
        // Acquire, with the Release of `Grant::commit`: the words of the message.
        let stamp = slot.stamp.load(order!("broadcast.look", Acquire));
        if stamp != self.cursor.wrapping_add(1) {
            return self.no_message(stamp, message);
        }
        let length = slot.length.load(Ordering::Relaxed);
        for (word, from) in message.iter_mut().zip(slot.words) {
            *word = from.0.load(Ordering::Relaxed);
        }
        if self.entry.is_none() {
            // The writer does not wait for an observer: was it at work in this slot meanwhile?
            barrier!("broadcast.recheck-fence", Acquire);
            let stamp = slot.stamp.load(Ordering::Relaxed);
            if let Stamp::Overwritten { by } = self.ring.judge(stamp, self.cursor) {
                return self.gap(by);
            }
        }
        self.looked = true;
        Look::Message { sequence: self.cursor, length }
    }

    /// Goes on to the message after the one that [`look`](Consumer::look) gave. Says whether it did: without a message
    /// looked at, the cursor stays.
    #[inline]
    pub fn advance(&mut self) -> bool {
        let looked = core::mem::take(&mut self.looked);
        if looked {
            self.move_to(self.cursor.wrapping_add(1));
        }
        looked
    }

    /// Goes on to the newest message and returns how many were skipped.
    pub fn skip_to_latest(&mut self) -> usize {
        let newest = self.ring.published(self.cursor).wrapping_sub(1);
        if !is_after(newest, self.cursor) {
            return 0;
        }
        let skipped = newest.wrapping_sub(self.cursor);
        self.looked = false;
        self.move_to(newest);
        skipped
    }

    /// How many messages wait for this reader, as far as this thread can see.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.ring.published(self.cursor).wrapping_sub(self.cursor)
    }

    /// The sequence of the message that this reader wants next.
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The entry of a gating reader, as [`Full::reader`] names it.
    #[must_use]
    pub fn entry(&self) -> Option<usize> {
        self.entry
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// What there is to say when the stamp of the slot is not that of its message.
    #[inline(never)]
    fn no_message(&mut self, stamp: usize, message: &mut [usize]) -> Look {
        if let Stamp::Overwritten { by } = self.ring.judge(stamp, self.cursor) {
            return self.gap(by);
        }
        // Acquire, with the Release of `Producer::close`: all that was published before it.
        let state = self.ring.storage.writer().0.state.load(order!("broadcast.closed", Acquire));
        if state & CLOSED == 0 {
            return Look::Empty;
        }
        match self.ring.stamp_at(self.cursor) {
            Stamp::Before => Look::Closed,
            Stamp::Published | Stamp::Overwritten { .. } => self.look(message),
        }
    }

    #[cold]
    #[inline(never)]
    fn gap(&mut self, overwritten_by: usize) -> Look {
        let mut oldest = self.ring.published(overwritten_by).wrapping_sub(self.ring.capacity);
        if let Stamp::Overwritten { .. } = self.ring.stamp_at(oldest) {
            // The writer has begun to write in its slot.
            oldest = oldest.wrapping_add(1);
        }
        let missed = oldest.wrapping_sub(self.cursor);
        self.looked = false;
        self.move_to(oldest);
        Look::Gap { missed }
    }

    #[inline]
    fn move_to(&mut self, sequence: usize) {
        self.cursor = sequence;
        if let Some(index) = self.entry {
            let cursor = &self.ring.storage.readers()[index].0.cursor;
            // Release, with the Acquire of the writer's look: this reader is done with the slots before it.
            cursor.store(sequence, order!("broadcast.advance", Release));
        }
    }
}

impl<H: Handle> Drop for Consumer<H> {
    fn drop(&mut self) {
        if let Some(index) = self.entry {
            let state = &self.ring.storage.readers()[index].0.state;
            // Release: this reader is done with the ring, and the entry with it.
            state.store(FREE, order!("broadcast.leave", Release));
        }
    }
}
