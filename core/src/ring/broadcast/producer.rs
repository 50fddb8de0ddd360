//! The writer. Its position is the ring's tail, a word that only the writer stores. It loads the
//! positions of its readers only once a lap, and whenever it finds no room.

use super::entry::{Claim, is_gating};
use super::slot::{RingRef, Slot};
use super::storage::{CLOSED, Full, Storage, WRITING};
use super::{Broadcast, BroadcastHandle};
use crate::ring::is_after;
use crate::sync::{AtomicUsize, Ordering, barrier, order};

/// The writer's end of a ring. Dropping it leaves the ring open for the next producer, which
/// continues in its place.
#[derive(Debug)]
pub struct Producer<H: BroadcastHandle> {
    pub(super) ring: RingRef<H>,
    /// The writer has room for messages before this sequence, as of its last check.
    limit: usize,
    /// The number of consecutive checks without room.
    refused: u32,
    /// Before this sequence the writer prefetches. The slots that it fills up to `ahead` messages
    /// later are free, and their lines are probably with its readers' cores.
    prefetches_until: usize,
    /// How many messages ahead it does so.
    ahead: u8,
}

/// One in this many consecutive checks without room loads the exact positions of the readers. The
/// other checks leave those cache lines to the readers, which store there for each message.
const EXACT_EVERY: u32 = if cfg!(any(loom, miri)) { 2 } else { 64 };

impl<T: Storage> Broadcast<T> {
    /// Returns the writer's end; `None` while it is taken, after the ring was closed, or if the
    /// writer is in another process.
    pub fn producer<H: BroadcastHandle<Storage = T>>(ring: H) -> Option<Producer<H>> {
        if ring.storage.is_foreign() {
            return None;
        }
        let words = ring.storage.writer();
        // Acquire, pairs with the Release of `broadcast.hand-over`: the tail of the previous
        // writer.
        let order = order!("broadcast.take-over", Acquire);
        words.state.state.compare_exchange(0, WRITING, order, Ordering::Relaxed).ok()?;
        let next = words.tail.load(Ordering::Relaxed);
        Some(Producer::new(ring, next))
    }
}

impl<H: BroadcastHandle> Producer<H> {
    /// Creates the end. The caller has taken the writer's side.
    fn new(ring: H, next: usize) -> Producer<H> {
        let ring = RingRef::new(ring);
        let ahead = ring.ahead();
        Producer { ring, limit: next, refused: 0, prefetches_until: next, ahead }
    }

    /// Appends a message: `words` are copied, `length` is its length in bytes. Returns its
    /// sequence.
    ///
    /// # Errors
    /// [`Full`] if a gating reader blocks the writer, according to its published position. Nothing
    /// was written then.
    ///
    /// # Panics
    /// If the message has more words than a slot, `length` is more than `words` have, or the ring's
    /// messages have one size and this message has another one.
    #[inline(always)]
    pub fn try_push(&mut self, words: &[usize], length: usize) -> Result<usize, Full> {
        if self.sequence() == self.limit {
            self.check_room()?;
        }
        let mut grant = self.begin(words.len());
        grant.write(words, length);
        Ok(grant.commit())
    }

    /// Does the same as [`try_push`](Producer::try_push), if an earlier check has found room and
    /// all messages of the ring have `length` bytes; otherwise does nothing and returns `false`. It
    /// calls no function, so a caller with a separate slow path need not save registers. If the
    /// length is a constant, so is the size of a slot.
    ///
    /// # Panics
    /// If `words` has more or fewer words than a message of `length` bytes.
    #[inline(always)]
    pub fn push_into_known_room(&mut self, words: &[usize], length: usize) -> bool {
        let sequence = self.sequence();
        if sequence == self.limit {
            return false;
        }
        let Some(slot) = self.ring.slot_of(sequence, length) else { return false };
        if is_after(self.prefetches_until, sequence) {
            self.ring.slots().prefetch_after(sequence, length);
        }
        assert!(
            words.len() == slot.words.len(),
            "the number of words does not fit the length of the message"
        );
        let mut grant = Grant::begin(slot, None, sequence, &self.ring.writer().tail);
        grant.write(words, length);
        grant.commit();
        true
    }

    /// Returns the room for the next message, if an earlier check has found it. Like
    /// [`push_into_known_room`](Producer::push_into_known_room), it calls no function, nor does what
    /// it returns.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
    ///
    /// let layout = Layout::exact(2, 3 * size_of::<usize>());
    /// let ring = Broadcast::boxed(layout, 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// writer.claim().expect("there is room");
    /// let room = writer.known_room().expect("a check has found it");
    /// assert_eq!(room.sequence(), 0);
    /// assert!(room.push([&[1, 2], &[3]], layout.message_bytes()));
    /// let mut message = [0; 3];
    /// reader.peek(&mut message);
    /// assert_eq!(message, [1, 2, 3]);
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[inline(always)]
    pub fn known_room(&mut self) -> Option<KnownRoom<'_, H>> {
        let sequence = self.sequence();
        if sequence == self.limit {
            return None;
        }
        let prefetches = is_after(self.prefetches_until, sequence);
        Some(KnownRoom { ring: &self.ring, sequence, prefetches })
    }

    /// Grants the next slot, to be written in place. [`Grant::commit`] publishes the message;
    /// dropping the grant returns the slot, and readers see nothing.
    ///
    /// # Errors
    /// [`Full`] if a gating reader blocks the writer.
    #[inline]
    pub fn grant(&mut self) -> Result<Grant<'_>, Full> {
        if self.sequence() == self.limit {
            self.check_room()?;
        }
        let words = self.ring.message_words;
        Ok(self.begin(words))
    }

    /// Claims the next slot if there is room for a message: nobody else can take the slot, so the
    /// next push has room. Unlike a [`grant`](Producer::grant) it does not touch the slot, which
    /// keeps the message of the previous lap.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
    ///
    /// let layout = Layout::exact(2, size_of::<usize>());
    /// let ring = Broadcast::boxed(layout, 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::observing(&ring);
    /// for message in [7, 8] {
    ///     writer.try_push(&[message], layout.message_bytes()).expect("nobody is waited for");
    /// }
    /// writer.claim().expect("nobody is waited for");
    /// let mut message = [0];
    /// assert!(matches!(reader.peek(&mut message), Peek::Message { .. }));
    /// assert_eq!(message, [7]);
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    ///
    /// # Errors
    /// [`Full`] if a gating reader blocks the writer, according to its published position.
    pub fn claim(&mut self) -> Result<(), Full> {
        if self.sequence() == self.limit { self.check_room() } else { Ok(()) }
    }

    /// Returns the sequence of the next message: the number of messages so far (modulo
    /// wrap-around).
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> usize {
        // Relaxed: no other thread stores to it while this end exists.
        self.ring.writer().tail.load(Ordering::Relaxed)
    }

    /// Returns for how many messages there is room now, as far as this thread can see.
    #[must_use]
    pub fn room(&mut self) -> usize {
        self.find_room().unwrap_or(0)
    }

    /// Returns the room by the exact positions of the readers, even if unpublished; at least 1. For
    /// a writer that is about to sleep, and for protocols where the other side sends one message
    /// for each message that it takes.
    ///
    /// # Errors
    /// [`Full`] if a gating reader blocks the writer.
    pub fn find_room(&mut self) -> Result<usize, Full> {
        let (limit, reader) = self.ring.room(self.sequence(), true);
        self.set_limit(limit, reader)?;
        Ok(self.limit.wrapping_sub(self.sequence()))
    }

    /// Returns the gating readers that still need a message before this sequence, in the order of
    /// their entries, with their exact positions.
    pub fn behind(&self, sequence: usize) -> impl Iterator<Item = (Claim, usize)> {
        let readers = self.ring.entries().filter_map(|(index, entry)| {
            let (state, position) = (entry.state(), entry.taken.load(Ordering::Relaxed));
            is_gating(state).then(|| (Claim::of(index, state), position))
        });
        readers.filter(move |(_, position)| is_after(sequence, *position))
    }

    /// Suspends the reader with this claim, if it can be [evicted](Broadcast::evict): the writer
    /// does not wait for it, until a check for room finds that the reader has moved. Returns
    /// whether it did. The reader gets the messages that are still in the ring, a
    /// [`Peek::Gap`](super::Peek::Gap) with the exact number of overwritten ones, and then the
    /// messages after them.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
    ///
    /// let (layout, length) = (Layout::exact(2, size_of::<usize>()), size_of::<usize>());
    /// let ring = Broadcast::boxed(layout, 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating_evictable(&ring).expect("one entry is free");
    /// for message in [7, 8] {
    ///     writer.try_push(&[message], length).expect("there is room");
    /// }
    /// let full = writer.try_push(&[9], length).unwrap_err();
    /// assert_eq!(writer.behind(1).collect::<Vec<_>>(), [(full.reader, 0)]);
    /// assert!(writer.suspend(full.reader));
    /// writer.try_push(&[9], length).expect("nobody is waited for");
    /// assert_eq!(reader.peek(&mut [0]), Peek::Gap { missed: 1 });
    /// // It has moved.
    /// writer.try_push(&[10], length).expect("an earlier check found room");
    /// assert!(writer.try_push(&[11], length).is_err());
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    pub fn suspend(&mut self, reader: Claim) -> bool {
        let words = self.ring.storage.reader(reader.entry);
        words.is_some_and(|words| words.suspend(reader.generation))
    }

    /// Returns the ring.
    pub fn ring(&self) -> &H {
        &self.ring.ring
    }

    /// Closes the ring: no more messages follow. Readers get the messages in the ring, then
    /// [`Peek::Closed`](super::Peek).
    pub fn close(self) {
        // Release, pairs with the Acquire of `broadcast.closed`: every message in the ring. No
        // other thread stores to this word while this end exists.
        let state = &self.ring.writer().state.state;
        state.store(WRITING | CLOSED, order!("broadcast.close", Release));
    }

    /// Returns for how many messages the last check found room.
    fn known_count(&self) -> usize {
        self.limit.wrapping_sub(self.sequence())
    }

    #[inline(always)]
    fn begin(&mut self, words: usize) -> Grant<'_> {
        let sequence = self.sequence();
        if is_after(self.prefetches_until, sequence) {
            self.ring.prefetch::<true>(sequence, self.ahead);
        }
        let slot = self.ring.slot_for(sequence, words);
        let exact = (!self.ring.has_length).then_some(self.ring.message_bytes);
        Grant::begin(slot, exact, sequence, &self.ring.writer().tail)
    }

    /// Loads the positions of the readers. Runs once a lap, and whenever a gating reader blocks the
    /// writer.
    #[cold]
    #[inline(never)]
    fn check_room(&mut self) -> Result<(), Full> {
        let (limit, reader) = self.ring.room(self.sequence(), false);
        if limit == self.sequence() {
            self.refused = self.refused.wrapping_add(1);
            if self.refused.is_multiple_of(EXACT_EVERY) {
                return self.find_room().map(drop);
            }
        }
        self.set_limit(limit, reader)
    }

    fn set_limit(&mut self, limit: usize, reader: Claim) -> Result<(), Full> {
        if limit == self.sequence() {
            return Err(Full { reader });
        }
        (self.limit, self.refused) = (limit, 0);
        let (sequence, capacity) = (self.sequence(), self.ring.capacity());
        // A reader at the writer's heels loads each slot before it has a message, and so takes back
        // the line of a prefetch.
        let unread = capacity.saturating_sub(limit.wrapping_sub(sequence));
        let is_ahead = unread >= capacity.div_ceil(4);
        self.prefetches_until =
            if is_ahead { limit.wrapping_sub(self.ahead.into()) } else { sequence };
        Ok(())
    }
}

impl<H: BroadcastHandle> Drop for Producer<H> {
    fn drop(&mut self) {
        let state = &self.ring.writer().state.state;
        let rest = state.load(Ordering::Relaxed) & !WRITING;
        // Release, pairs with the Acquire of `broadcast.take-over`: the next writer continues from
        // the tail.
        state.store(rest, order!("broadcast.hand-over", Release));
    }
}

/// Room for a message. See [`Producer::known_room`].
#[derive(Debug)]
pub struct KnownRoom<'a, H: BroadcastHandle> {
    ring: &'a RingRef<H>,
    sequence: usize,
    prefetches: bool,
}

impl<H: BroadcastHandle> KnownRoom<'_, H> {
    /// Returns the sequence of the message that the room is for.
    #[inline(always)]
    #[must_use]
    pub fn sequence(&self) -> usize {
        self.sequence
    }

    /// Appends a message in two parts, like those of [`Grant::write_parts`], if all messages of the
    /// ring have `length` bytes; otherwise does nothing and returns `false`. If the length is a
    /// constant, so is the size of a slot.
    ///
    /// # Panics
    /// If the parts have more words than a message of `length` bytes.
    #[inline(always)]
    pub fn push(self, parts: [&[usize]; 2], length: usize) -> bool {
        let KnownRoom { ring, sequence, prefetches } = self;
        let Some(slot) = ring.slot_of(sequence, length) else { return false };
        if prefetches {
            ring.slots().prefetch_after(sequence, length);
        }
        let mut grant = Grant::begin(slot, None, sequence, &ring.writer().tail);
        grant.write_parts(parts, length);
        grant.commit();
        true
    }
}

/// A slot that the writer may fill. See [`Producer::grant`].
#[derive(Debug)]
pub struct Grant<'a> {
    slot: Slot<'a>,
    /// The size of every message, if all messages have one size and `write` must compare it.
    exact: Option<usize>,
    sequence: usize,
    tail: &'a AtomicUsize,
    is_written: bool,
}

impl<'a> Grant<'a> {
    #[inline(always)]
    fn begin(
        slot: Slot<'a>,
        exact: Option<usize>,
        sequence: usize,
        tail: &'a AtomicUsize,
    ) -> Grant<'a> {
        // From here on an observer that copies these bytes must not take them for the message of
        // the previous lap.
        slot.stamp.store(sequence, Ordering::Relaxed);
        barrier!("broadcast.overwrite-fence", Release);
        Grant { slot, exact, sequence, tail, is_written: false }
    }

    /// Writes the message: `words` are copied, `length` is its length in bytes.
    ///
    /// # Panics
    /// If the message has more words than a slot, `length` is more than `words` have, or the ring's
    /// messages have one size and this message has another one.
    #[inline(always)]
    pub fn write(&mut self, words: &[usize], length: usize) {
        // All checks come before the first store: a refused message changes nothing.
        assert!(words.len() <= self.slot.words.len(), "the message has more words than a slot");
        assert!(length <= size_of_val(words), "the length is more than that of the words");
        let fits = self.exact.is_none_or(|exact| exact == length);
        assert!(fits, "all messages of this ring have one size, and this one has another");
        self.slot.set_length(length);
        self.slot.copy_in(words);
        self.is_written = true;
    }

    /// Writes a message in two parts: the words of the second follow those of the first. The rest
    /// of the message keeps the words of this slot's previous message, or zeros. For messages whose
    /// rest changes rarely, so that its cache lines stay with the readers.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let layout = Layout::exact(2, 3 * size_of::<usize>());
    /// let ring = Broadcast::boxed(layout, 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// let mut grant = writer.grant().expect("there is room");
    /// grant.write_parts([&[1, 2], &[3]], layout.message_bytes());
    /// grant.commit();
    /// let mut message = [0; 3];
    /// reader.peek(&mut message);
    /// assert_eq!(message, [1, 2, 3]);
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    ///
    /// # Panics
    /// If the message has more words than a slot, the parts have more words than `length` bytes,
    /// or the ring's messages have one size and this message has another one.
    #[inline(always)]
    pub fn write_parts(&mut self, parts: [&[usize]; 2], length: usize) {
        let [first, second] = parts;
        let words = self.slot.words;
        let count = length.div_ceil(size_of::<usize>());
        assert!(count <= words.len(), "the message has more words than a slot");
        let fits = first.len() + second.len() <= count;
        assert!(fits, "the parts have more words than the message");
        let fits = self.exact.is_none_or(|exact| exact == length);
        assert!(fits, "all messages of this ring have one size, and this one has another");
        self.slot.set_length(length);
        let (head, tail) = words.split_at(first.len());
        Slot { words: head, ..self.slot }.copy_in(first);
        Slot { words: tail, ..self.slot }.copy_in(second);
        self.is_written = true;
    }

    /// Publishes the message and returns its sequence. Without a [`write`](Grant::write) the
    /// message is empty, or all zero if all messages have one size.
    #[inline(always)]
    pub fn commit(self) -> usize {
        if !self.is_written {
            self.clear();
        }
        let next = self.sequence.wrapping_add(1);
        // Release, pairs with the Acquire of `broadcast.look`: the words of the message. It comes
        // before the store to the tail, because a store in between could transfer the slot's line a
        // second time. No reader relies on that order: the tail is stored Relaxed, so another
        // thread may see it before the stamp anyway. Code that needs both comes after a later fence
        // or Release.
        self.slot.stamp.store(next, order!("broadcast.publish", Release));
        // While messages flow, no reader loads the cache line of this store.
        self.tail.store(next, Ordering::Relaxed);
        self.sequence
    }

    /// Clears the message of the previous lap.
    #[cold]
    fn clear(&self) {
        self.slot.set_length(0);
        self.slot.words.iter().for_each(|word| word.0.store(0, Ordering::Relaxed));
    }
}

impl<H: BroadcastHandle> Producer<H> {
    /// Appends as many messages from `items` as there is room for, according to the published
    /// positions of the readers. Returns how many. Each item has `stride` words: the first `skip`
    /// words are ignored, then the message follows. The writer's position is stored once, after the
    /// last message.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// assert_eq!(writer.push_items(&[0, 7, 0, 8], 2, 1), Ok(2));
    /// let mut message = [0];
    /// reader.peek(&mut message);
    /// assert_eq!(message, [7]);
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    ///
    /// # Errors
    /// [`Full`] if a gating reader blocks the writer, according to its published position. Nothing
    /// was written then.
    ///
    /// # Panics
    /// If messages of the ring differ in length, or an item is too short for a message.
    pub fn push_items(
        &mut self,
        items: &[usize],
        stride: usize,
        skip: usize,
    ) -> Result<usize, Full> {
        let (layout, word) = (self.ring().layout(), size_of::<usize>());
        let (bytes, words) = (layout.message_bytes(), layout.message_words());
        assert!(!layout.has_length(), "messages of this ring differ in length");
        assert!(stride > 0 && skip + words <= stride, "an item is shorter than a message");
        let messages = items.chunks_exact(stride).map(|item| &item[skip..skip + words]);
        if bytes == 7 * word {
            // With a constant length, copying a message needs no loop.
            return self.push_all(
                7 * word,
                messages
                    .map(|message| message.first_chunk::<7>().expect("a message has seven words")),
            );
        }
        self.push_all(bytes, messages)
    }

    /// Appends messages of `length` bytes, as many as there is room for, according to the published
    /// positions of the readers. Returns how many. The writer's position is stored once, after the
    /// last message. If the length is a constant, so is the size of a slot. Prefetches nothing: a
    /// prefetch in this short loop comes too late.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// assert_eq!(writer.push_all(size_of::<usize>(), (1..7).map(|number| [number])), Ok(4));
    /// for sequence in 0..4 {
    ///     let mut message = [0];
    ///     reader.peek(&mut message);
    ///     assert_eq!(message, [sequence + 1]);
    ///     reader.advance();
    /// }
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    ///
    /// # Errors
    /// [`Full`] if a gating reader blocks the writer, according to its published position. Nothing
    /// was written then.
    ///
    /// # Panics
    /// If the messages of the ring do not all have this length, or a message has another number of
    /// words.
    #[inline(always)]
    pub fn push_all<W: AsRef<[usize]>>(
        &mut self,
        length: usize,
        messages: impl ExactSizeIterator<Item = W>,
    ) -> Result<usize, Full> {
        let first = self.sequence();
        let known = self.known_count();
        let most = messages.len();
        let most = if most <= known { most } else { self.room_for(most)? };
        // `pushed` stores the tail when it is dropped, even if the iterator panics, because
        // published messages must not be overwritten.
        let mut pushed = Pushed { producer: self, next: first };
        // A copy, because the compiler loads fields again after each fence.
        let slots = self.ring.slots();
        for message in messages.take(most) {
            let slot = slots.slot_of(pushed.next, length).expect("all messages have this length");
            let words = message.as_ref();
            assert!(words.len() == slot.words.len(), "the number of words does not fit the length");
            // As in `Grant`: an observer that copies these bytes must not take them for the message
            // of the previous lap.
            slot.stamp.store(pushed.next, Ordering::Relaxed);
            barrier!("broadcast.overwrite-fence", Release);
            slot.copy_in(words);
            // Release, pairs with the Acquire of `broadcast.look`: the words of the message.
            let next = pushed.next.wrapping_add(1);
            slot.stamp.store(next, order!("broadcast.publish", Release));
            pushed.next = next;
        }
        Ok(pushed.next.wrapping_sub(first))
    }

    /// Returns how many of `count` messages there is room for, at least one, according to the
    /// published positions.
    #[cold]
    fn room_for(&mut self, count: usize) -> Result<usize, Full> {
        if self.known_count() == 0 {
            self.check_room()?;
        } else {
            let (limit, reader) = self.ring.room(self.sequence(), false);
            // An earlier check by exact positions may have found more.
            if is_after(limit, self.limit) {
                self.set_limit(limit, reader).expect("there was room before");
            }
        }
        Ok(self.known_count().min(count))
    }
}

/// When dropped, stores the position of the writer: the end of the published messages.
struct Pushed<'a, H: BroadcastHandle> {
    producer: &'a Producer<H>,
    /// The sequence after the last message that was published.
    next: usize,
}

impl<H: BroadcastHandle> Drop for Pushed<'_, H> {
    #[inline(always)]
    fn drop(&mut self) {
        // The next check for room comes after this store, as the handshake in `Broadcast::join`
        // needs.
        self.producer.ring.writer().tail.store(self.next, Ordering::Relaxed);
    }
}
