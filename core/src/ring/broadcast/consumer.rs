//! The readers: the writer waits for gating ones, and does not wait for observing ones. The end of
//! the file has the functions by which they join.

use super::entry::{Claim, EVICTABLE, GATING, OBSERVING};
use super::slot::{RingRef, Slot};
use super::storage::{Stamp, Storage, may_be_foreign};
use super::{Broadcast, BroadcastHandle};
use crate::ring::is_after;
use crate::sync::{Ordering, barrier, order, prefetch};

/// The number of words in a cache line, on most processors.
const LINE_WORDS: usize = 64 / size_of::<usize>();

/// The result of a look at a reader's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// A message, which was copied. The cursor stays until [`Consumer::advance`].
    Message {
        /// The message's sequence.
        sequence: usize,
        /// The message's length in bytes.
        length: usize,
    },
    /// The writer has overwritten messages before this reader read them. The reader observes, or
    /// gates but was [suspended](super::Producer::suspend) or began before the tail. The cursor is
    /// at the oldest message left.
    Gap {
        /// The exact number of missed messages.
        missed: usize,
    },
    /// The next message is not published yet.
    Empty,
    /// The ring was closed and all messages were read.
    Closed,
    /// The writer no longer waits for this gating reader, and the reader's next message is gone.
    /// The reader gets no more messages.
    Evicted,
}

/// A reader's end of a ring. Dropping it lets the writer continue without this reader.
///
/// A gating reader publishes its position only now and then, because each load by the writer moves
/// the cache line: after an eighth of the capacity, at most 16 messages
/// ([`with_lag`](Consumer::with_lag) changes this number), when it finds no more messages, and at
/// [`flush`](Consumer::flush). Until then [`try_push`](super::Producer::try_push) may refuse a
/// message although this reader has taken some; [`Producer::find_room`](super::Producer::find_room)
/// loads the exact position. In rings of fewer than 16 messages each position is published.
#[derive(Debug)]
pub struct Consumer<H: BroadcastHandle> {
    pub(super) ring: RingRef<H>,
    pub(super) cursor: usize,
    /// Whether the message at the cursor was read.
    pub(super) peeked: bool,
    /// The position that a gating reader has published last. It is after the cursor of a [late
    /// reader](Broadcast::gating_late) that has not reached it. An observer publishes none; for it,
    /// the position at which it has last taken `lag` messages, or found none.
    shown: usize,
    /// The number of messages after which a gating reader publishes its position.
    lag: u32,
    /// Whether this reader has noticed its eviction.
    evicted: bool,
    /// How many messages ahead the reader prefetches, at most `lag`. 0 after it has found no
    /// message, until it has taken `lag` messages in a row: only then the writer is probably past
    /// that slot.
    ahead: u8,
}

/// Returns a lag of at least one message, in 32 bits, because large ends are costly to return.
fn lag(messages: usize) -> u32 {
    u32::try_from(messages.max(1)).unwrap_or(u32::MAX)
}

impl<H: BroadcastHandle> Consumer<H> {
    pub(super) fn new(ring: RingRef<H>, cursor: usize) -> Consumer<H> {
        let lag = lag((ring.capacity() / 8).min(16));
        Consumer { ring, cursor, peeked: false, shown: cursor, lag, evicted: false, ahead: 0 }
    }

    /// Makes this reader publish its position only at [`show`](Consumer::show). For an
    /// [observer](super::Broadcast::observing_shown) whose owner finishes messages after the reader
    /// has moved past them. Does nothing for other kinds of readers.
    #[must_use]
    pub fn shown_by_hand(mut self) -> Consumer<H> {
        self.ring.show_by_hand();
        self
    }

    /// Publishes this position, at most the cursor, if the reader is [shown by
    /// hand](Consumer::shown_by_hand).
    #[inline]
    pub fn show(&self, sequence: usize) {
        if let Some(words) = self.ring.by_hand() {
            words.take(sequence);
        }
    }

    /// Makes this reader publish its position after every `messages` messages, at most the
    /// capacity; 1 publishes each position at once.
    #[must_use]
    pub fn with_lag(mut self, messages: usize) -> Consumer<H> {
        self.lag = lag(messages.min(self.ring.capacity()));
        self
    }

    /// Copies the next message to `message`: as many words as both have. Ignore the words of
    /// `message` unless a message is returned: they may be a mixture of two messages.
    ///
    /// Another call before [`advance`](Consumer::advance) returns the same message, if the writer
    /// always waits for this reader. Otherwise (the reader observes, can be evicted, or is in
    /// another process) the message may be overwritten meanwhile: the call then returns
    /// [`Peek::Gap`] or [`Peek::Evicted`].
    #[inline(always)]
    pub fn peek(&mut self, message: &mut [usize]) -> Peek {
        match self.find(self.ring.slot(self.cursor), self.cursor, message) {
            Ok(length) => self.found(length),
            Err(stamp) => self.peek_slow(stamp, message),
        }
    }

    /// Does the same as [`peek`](Consumer::peek), if the next message is published and all messages
    /// of the ring have `length` bytes. Returns the message's sequence. If it returns `None`, call
    /// [`peek`](Consumer::peek): there may be a message.
    ///
    /// If the length is a constant and `message` a local array, the compiler can keep the words in
    /// registers.
    #[inline(always)]
    pub fn peek_exact(&mut self, message: &mut [usize], length: usize) -> Option<usize> {
        match self.find(self.ring.slot_of(self.cursor, length)?, self.cursor, message) {
            Ok(_) => {
                self.peeked = true;
                Some(self.cursor)
            }
            Err(_) => None,
        }
    }

    /// Does the same as [`peek_exact`](Consumer::peek_exact) for the message `ahead` positions
    /// after the cursor: for a gating reader that takes several messages at once. The message does
    /// not count as read; [`advance_by`](Consumer::advance_by) moves past it.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// for message in [7, 8] {
    ///     writer.try_push(&[message], size_of::<usize>()).expect("there is room");
    /// }
    /// let mut message = [0];
    /// assert_eq!(reader.peek_ahead(1, &mut message, size_of::<usize>()), Some(1));
    /// assert_eq!(message, [8]);
    /// assert_eq!(reader.peek_ahead(2, &mut message, size_of::<usize>()), None);
    /// reader.advance_by(2);
    /// assert_eq!((reader.cursor(), reader.depth()), (2, 0));
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[inline]
    pub fn peek_ahead(
        &mut self,
        ahead: usize,
        message: &mut [usize],
        length: usize,
    ) -> Option<usize> {
        let sequence = self.cursor.wrapping_add(ahead);
        if ahead >= self.ring.capacity() || self.ring.entry().is_none() {
            return None;
        }
        self.find(self.ring.slot_of(sequence, length)?, sequence, message).ok().map(|_| sequence)
    }

    /// Moves past this number of messages, which [`peek`](Consumer::peek) and
    /// [`peek_ahead`](Consumer::peek_ahead) have returned. A larger number, at most the capacity,
    /// also skips messages that are not published yet.
    pub fn advance_by(&mut self, messages: usize) {
        self.peeked = false;
        self.move_to(self.cursor.wrapping_add(messages.min(self.ring.capacity())));
    }

    /// Moves past the message that [`peek`](Consumer::peek) returned. Returns whether it did: if no
    /// message was read, the cursor stays.
    #[inline(always)]
    pub fn advance(&mut self) -> bool {
        let peeked = core::mem::take(&mut self.peeked);
        if peeked {
            self.move_to(self.cursor.wrapping_add(1));
        }
        peeked
    }

    /// Does the same as [`advance`](Consumer::advance), but the writer keeps the message for this
    /// gating reader until the reader moves past a later message, finds no more messages, or calls
    /// [`show_passed`](Consumer::show_passed).
    pub fn advance_unshown(&mut self) {
        if core::mem::take(&mut self.peeked) {
            self.cursor = self.cursor.wrapping_add(1);
        }
    }

    /// Publishes the position of this gating reader if it has moved past a gap, or a message by
    /// [`advance_unshown`](Consumer::advance_unshown). Other messages that it has taken stay
    /// unpublished.
    #[inline]
    pub fn show_passed(&mut self) {
        if let Some(words) = self.ring.reader()
            && is_after(self.cursor, words.taken.load(Ordering::Relaxed))
        {
            words.show(self.cursor);
            self.shown = self.cursor;
        }
    }

    /// Publishes the position of this gating reader now.
    #[inline]
    pub fn flush(&mut self) {
        if is_after(self.cursor, self.shown) {
            if let Some(words) = self.ring.reader() {
                words.show(self.cursor);
            }
            self.shown = self.cursor;
        }
    }

    /// Moves to the newest message. Returns how many messages it skipped.
    pub fn skip_to_latest(&mut self) -> usize {
        let published = self.ring.published(self.cursor);
        let waiting = published.wrapping_sub(self.cursor);
        if waiting < 2 {
            return 0;
        }
        let last = published.wrapping_sub(1);
        // If that last message is already overwritten, the cursor moves past it.
        let is_gone = matches!(self.ring.stamp_at(last), Stamp::Overwritten { .. });
        let skipped = if is_gone { waiting } else { waiting - 1 };
        self.peeked = false;
        self.move_to(self.cursor.wrapping_add(skipped));
        self.ahead = 0;
        skipped
    }

    /// Moves past at most `count` published messages without reading them. Returns the number,
    /// which includes overwritten messages.
    pub fn skip(&mut self, count: usize) -> usize {
        let skipped = count.min(self.depth());
        if skipped > 0 {
            self.peeked = false;
            self.move_to(self.cursor.wrapping_add(skipped));
            self.ahead = 0;
        }
        skipped
    }

    /// Returns whether the next message is not published yet, as far as this thread can see.
    /// Cheaper than [`peek`](Self::peek), which finds all other cases. As in `peek`, a gating
    /// reader that finds nothing publishes its position.
    #[inline]
    #[must_use]
    pub fn is_waiting(&mut self) -> bool {
        let waiting = self.ring.stamp_at(self.cursor) == Stamp::Before
            && !self.ring.is_closed()
            && !self.is_evicted();
        if waiting {
            self.flush();
            self.ahead = 0;
        }
        waiting
    }

    /// Returns how many messages wait for this reader, as far as this thread can see, including
    /// messages that it has already missed. If the writer is in another process, the result is at
    /// most the capacity for a reader that the writer waits for, and may be any number for other
    /// readers.
    #[must_use]
    pub fn depth(&self) -> usize {
        let waiting = self.ring.published(self.cursor).wrapping_sub(self.cursor);
        let storage = &self.ring.storage;
        // The tail of a writer in another process may have any value, so it is limited for readers
        // that the writer waits for.
        let is_bounded = storage.is_foreign()
            && self.ring.entry().is_some()
            && !self.ring.evictable_entry().is_some_and(|entry| storage.is_suspended(entry));
        if is_bounded { waiting.min(self.ring.capacity()) } else { waiting }
    }

    /// Returns the sequence of the next message for this reader.
    #[inline]
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Returns the index of the entry of a gating reader, or of an observer that publishes its
    /// position.
    #[must_use]
    pub fn entry(&self) -> Option<usize> {
        self.ring.entry()
    }

    /// Returns the claim of the reader's [entry](Consumer::entry), to compare with
    /// [`Full::reader`](super::Full::reader).
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let (entry, words) = self.ring.entry().zip(self.ring.reader())?;
        Some(words.claim_of(entry))
    }

    /// Returns whether the writer no longer waits for this gating reader, as far as this thread can
    /// see. The reader may still get messages that are in the ring, and then [`Peek::Evicted`].
    #[inline]
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        let entry = self.ring.evictable_entry();
        entry.is_some_and(|entry| self.evicted || self.ring.storage.is_evicted(entry))
    }

    /// Returns the ring.
    pub fn ring(&self) -> &H {
        &self.ring.ring
    }

    /// Sets the cursor of a new gating reader to an earlier message.
    fn begin_at(&mut self, sequence: usize) {
        if is_after(self.cursor, sequence) {
            self.cursor = sequence;
            self.ring.may_borrow = false;
        }
    }

    /// Sets the cursor of a reader without an entry.
    pub(super) fn go_to(&mut self, sequence: usize) {
        self.peeked = false;
        self.cursor = sequence;
    }

    /// Returns the length of the message in a slot.
    #[inline(always)]
    pub(super) fn length(&self, slot: Slot<'_>) -> usize {
        let most = self.ring.message_bytes;
        // A writer in another process may write any value, so it is clamped.
        slot.length.map_or(most, |length| length.load(Ordering::Relaxed).min(most))
    }

    /// Copies the message of this sequence from its slot if it is published, and returns its
    /// length. Otherwise returns the stamp of the slot.
    #[inline(always)]
    pub(super) fn find(
        &self,
        slot: Slot<'_>,
        sequence: usize,
        message: &mut [usize],
    ) -> Result<usize, usize> {
        // Acquire, pairs with the Release of `broadcast.publish`: the words of the message.
        let stamp =
            slot.stamp.acquire(may_be_foreign::<H::Storage>(), order!("broadcast.look", Acquire));
        if stamp != sequence.wrapping_add(1) {
            return Err(stamp);
        }
        // With 0 it is the line that was just loaded, which costs less than a branch.
        self.ring.prefetch::<false>(sequence, self.ahead);
        let length = self.length(slot);
        // If messages differ in length, words that a longer message left in the slot are not
        // copied.
        let most = slot.length.map_or(message.len(), |_| length.div_ceil(size_of::<usize>()));
        let most = most.min(message.len());
        let message = &mut message[..most];
        if let Some(words) = self.borrowed(slot) {
            // Copies in the largest pieces, as the caller's next copy does: a load of bytes that two
            // stores have just written waits until both have reached the cache.
            let most = message.len().min(words.len());
            message[..most].copy_from_slice(&words[..most]);
            return Ok(length);
        }
        if self.evicted {
            return Err(stamp);
        }
        slot.copy_out(message);
        // The writer does not wait for an observer, and may stop waiting for an evictable reader or
        // for another process. So the stamp is checked again: did the writer use the slot
        // meanwhile?
        barrier!("broadcast.recheck-fence", Acquire);
        let stamp = slot.stamp.load(Ordering::Relaxed);
        if stamp != sequence.wrapping_add(1) {
            return Err(stamp);
        }
        Ok(length)
    }

    #[inline]
    fn found(&mut self, length: usize) -> Peek {
        self.peeked = true;
        Peek::Message { sequence: self.cursor, length }
    }

    /// Finds the result of a peek that found no message at first.
    #[inline(never)]
    fn peek_slow(&mut self, mut stamp: usize, message: &mut [usize]) -> Peek {
        let mut closed = false;
        // After the ring was seen closed, all messages are visible, so this tries once more.
        loop {
            let found = Stamp::of(stamp, self.cursor, self.ring.capacity());
            if matches!(found, Stamp::Overwritten { .. }) {
                // The writer has suspended or evicted a gating reader before it overwrote these
                // messages. If this is not visible yet, a later peek finds an eviction.
                if self.is_evicted() {
                    return self.leave_evicted();
                }
                return Peek::Gap { missed: self.go_to_oldest() };
            }
            self.flush();
            if self.evicted {
                return Peek::Evicted;
            }
            if closed {
                return Peek::Closed;
            }
            if !self.ring.is_closed() {
                self.ahead = 0;
                self.request_second_line();
                return if self.is_evicted() { self.leave_evicted() } else { Peek::Empty };
            }
            closed = true;
            match self.find(self.ring.slot(self.cursor), self.cursor, message) {
                Ok(length) => return self.found(length),
                Err(now) => stamp = now,
            }
        }
    }

    /// Prefetches the second line of the next slot, if the slot has one and the writer is in
    /// another process. The loads then run ahead of the stamp that the next peek waits for, so that
    /// both lines of a message arrive together.
    #[inline]
    fn request_second_line(&self) {
        if may_be_foreign::<H::Storage>()
            && !self.ring.may_borrow
            && let Some(word) = self.ring.slot(self.cursor).words.get(LINE_WORDS - 1)
        {
            prefetch::<false>(core::ptr::from_ref(word).cast());
        }
    }

    /// Ends reading after an eviction: this reader gets no more messages.
    fn leave_evicted(&mut self) -> Peek {
        (self.evicted, self.peeked) = (true, false);
        Peek::Evicted
    }

    /// Moves to the oldest message left. Returns how many messages were missed.
    ///
    /// A process that dies resumes at its published position. So that position passes the gap only
    /// after the owner has handled the gap: at the next message, or at
    /// [`show_passed`](Consumer::show_passed). A writer of the same process may learn the new
    /// position at once.
    #[cold]
    #[inline(never)]
    fn go_to_oldest(&mut self) -> usize {
        let ring = &*self.ring;
        // The message at the cursor is gone, even if this thread still sees an old tail.
        let next = self.cursor.wrapping_add(1);
        let last_lap = ring.published(next).wrapping_sub(ring.capacity());
        let mut oldest = if is_after(last_lap, next) { last_lap } else { next };
        if !ring.storage.arena().is_empty() {
            // A writer in another process may write any value, so it is clamped to the tail.
            let whole = ring.storage.writer().state.oldest.load(Ordering::Relaxed);
            if is_after(whole, oldest) && !is_after(whole, ring.published(next)) {
                oldest = whole;
            }
        }
        // The writer may have begun to overwrite some of these slots.
        for _ in 0..ring.capacity() {
            match self.ring.stamp_at(oldest) {
                Stamp::Overwritten { .. } => oldest = oldest.wrapping_add(1),
                Stamp::Before | Stamp::Published => break,
            }
        }
        let missed = oldest.wrapping_sub(self.cursor);
        self.peeked = false;
        if ring.storage.is_foreign() {
            self.cursor = oldest;
        } else {
            self.move_to(oldest);
        }
        missed
    }

    #[inline(always)]
    pub(super) fn move_to(&mut self, sequence: usize) {
        self.cursor = sequence;
        if sequence.wrapping_sub(self.shown) >= self.lag as usize {
            // A late reader moves to what it has published already.
            if is_after(sequence, self.shown) {
                if let Some(words) = self.ring.reader() {
                    words.show(sequence);
                }
                self.shown = sequence;
                if self.ahead == 0 {
                    let lag = u8::try_from(self.lag).unwrap_or(u8::MAX);
                    self.ahead = self.ring.ahead().min(lag);
                }
            }
        } else if let Some(words) = self.ring.reader() {
            words.take(sequence);
        }
    }

    /// Drops the end but leaves its entry unchanged: a gating reader still blocks the writer. Call
    /// it at the end of a process if another process reads the last positions from its memory.
    pub fn leave_in_place(mut self) {
        self.flush();
        _ = self.ring.take_entry();
    }
}

impl<H: BroadcastHandle> Drop for Consumer<H> {
    fn drop(&mut self) {
        if let Some(entry) = self.ring.entry() {
            self.ring.leave(entry);
        }
    }
}

impl<T: Storage> Broadcast<T> {
    /// Creates a reader that the writer always waits for. Returns `None` if all entries are in use.
    ///
    /// It starts with the first message whose push began after this call returned; it may also see
    /// a message whose push overlaps the call.
    pub fn gating<H: BroadcastHandle<Storage = T>>(ring: H) -> Option<Consumer<H>> {
        Broadcast::join(ring, GATING, None)
    }

    /// Creates a [gating](Broadcast::gating) reader that starts with the message of this sequence.
    /// Another reader must retain the messages from there on until this call has returned, or they
    /// may be gone. That reader must have a lower [entry](Consumer::entry): the writer checks one
    /// entry after the other, so it may check the new entry before this reader joins, and a later
    /// entry after the other reader has left. The new reader copies messages and borrows none if it
    /// starts before the [tail](Broadcast::tail).
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, size_of::<usize>()), 2)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let retaining = Broadcast::gating(&ring).expect("an entry is free").retaining();
    /// for message in [7, 8] {
    ///     writer.try_push(&[message], size_of::<usize>()).expect("there is room");
    /// }
    /// let mut reader = Broadcast::gating_from(&ring, retaining.kept() + 1).expect("one is left");
    /// assert!(matches!(reader.peek(&mut [0]), Peek::Message { sequence: 1, .. }));
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    pub fn gating_from<H: BroadcastHandle<Storage = T>>(
        ring: H,
        sequence: usize,
    ) -> Option<Consumer<H>> {
        Broadcast::join(ring, GATING, Some(sequence))
    }

    /// Creates a reader that starts with the message of this sequence, as an
    /// [observer](Broadcast::observing_from) does, and for which the writer waits from the
    /// [tail](Broadcast::tail) on: it may get a [gap](Peek::Gap) before that. For writers whose free
    /// slots are promised to somebody, so that no reader may take any back. It copies messages and
    /// borrows none if it starts before the tail.
    pub fn gating_late<H: BroadcastHandle<Storage = T>>(
        ring: H,
        sequence: usize,
    ) -> Option<Consumer<H>> {
        let mut reader = Broadcast::join(ring, GATING, None)?;
        reader.begin_at(sequence);
        Some(reader)
    }

    /// Creates a [gating](Broadcast::gating) reader that can be evicted ([`Broadcast::evict`]) and
    /// suspended ([`suspend`](super::Producer::suspend)). Therefore it borrows nothing: it copies
    /// each message and checks the stamp again.
    pub fn gating_evictable<H: BroadcastHandle<Storage = T>>(ring: H) -> Option<Consumer<H>> {
        Broadcast::join(ring, EVICTABLE, None)
    }

    /// Creates a reader as [`gating_from`](Broadcast::gating_from) does, which can be evicted and
    /// suspended like a reader of [`gating_evictable`](Broadcast::gating_evictable).
    pub fn gating_evictable_from<H: BroadcastHandle<Storage = T>>(
        ring: H,
        sequence: usize,
    ) -> Option<Consumer<H>> {
        Broadcast::join(ring, EVICTABLE, Some(sequence))
    }

    /// Creates a reader that the writer does not wait for. It starts with the first message that is
    /// not published yet.
    pub fn observing<H: BroadcastHandle<Storage = T>>(ring: H) -> Consumer<H> {
        let start = ring.tail();
        Broadcast::observing_from(ring, start)
    }

    /// Creates an [observing](Broadcast::observing) reader that starts with the message of this
    /// sequence. If messages are gone by then, it gets a [gap](super::Peek::Gap).
    pub fn observing_from<H: BroadcastHandle<Storage = T>>(
        ring: H,
        sequence: usize,
    ) -> Consumer<H> {
        Consumer::new(RingRef::new(ring), sequence)
    }

    /// Creates an [observing](Broadcast::observing) reader that publishes its position in an entry.
    /// It starts with the message of this sequence, if one is given. Returns `None` if all entries
    /// are in use.
    pub fn observing_shown<H: BroadcastHandle<Storage = T>>(
        ring: H,
        from: Option<usize>,
    ) -> Option<Consumer<H>> {
        Broadcast::join(ring, OBSERVING, from)
    }

    fn join<H: BroadcastHandle<Storage = T>>(
        ring: H,
        state: usize,
        from: Option<usize>,
    ) -> Option<Consumer<H>> {
        let first = ring.first_free.load(Ordering::Relaxed);
        let mut seen = first;
        let (index, entry) = loop {
            let mut later =
                ring.entries_from(seen.max(first)).inspect(|(index, _)| seen = index + 1);
            if let Some(claimed) = later.find(|(_, entry)| entry.claim()) {
                break claimed;
            }
            let mut earlier = ring.entries().take(first);
            if let Some(claimed) = earlier.find(|(_, entry)| entry.claim()) {
                break claimed;
            }
            // Comes before the fence below, so that the writer finds a new entry as reliably as the
            // old ones.
            if !ring.storage.grow(seen) {
                return None;
            }
        };
        ring.first_free.store(index + 1, Ordering::Relaxed);
        // A Dekker handshake with `Broadcast::room`. Either the writer's check comes after this
        // fence and sees the entry, or it came before, and then the tail that the writer stored
        // before that check is visible here. The writer may then continue without a check for one
        // lap from that tail, which does not pass the position where this reader starts.
        //
        // The first cursor is stored with Release, too: a writer may still see the state of the
        // previous reader together with this cursor, and must then see that the previous reader no
        // longer uses its slots.
        entry.show(from.unwrap_or_else(|| ring.tail()));
        entry.join(state);
        barrier!("broadcast.join-fence", SeqCst);
        let tail = ring.tail();
        let start = from.unwrap_or(tail);
        entry.show(start);
        // The writer may pass a reader that starts before the tail, unless another reader blocks
        // the writer.
        let may_borrow = state == GATING && !is_after(tail, start);
        let ring = RingRef::of_reader(ring, index, may_borrow, state == EVICTABLE);
        Some(Consumer::new(ring, start))
    }
}
