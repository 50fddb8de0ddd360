//! The arena of a ring: a cyclic area of words for messages that do not fit into a slot.
//!
//! The slot of such a message has its place and its length. The arena has one writer, which claims
//! contiguous places: what is left before the end of the area is skipped. A place is free again
//! when its slot is: the same cursors of readers free both, so there is no allocator and no count
//! of references. The writer keeps where each message begins in memory of its own, and loads no
//! slot to free one.
//!
//! A gating reader keeps the writer from its bytes as it does from its slots ([`Full`]). An
//! observing reader copies: before the writer stores over bytes, it invalidates the stamps of the
//! slots that they belong to, so a reader that finds its stamp unchanged after the copy has a whole
//! message.
//!
//! A message that fits is in the slot itself, without a place in the arena.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::num::NonZeroUsize;

use zerocopy::IntoBytes;

use super::entry::Claim;
#[cfg(loom)]
use super::slot::Slot;
use super::slot::borrow;
use super::storage::{Full, Storage};
use super::{Broadcast, BroadcastHandle, Consumer, Peek, Producer, RetainingConsumer, Word};
use crate::ring::is_after;
use crate::sync::{Ordering, barrier, load_all, needed, prefetch, store_all};

/// The size of a slot's content in a ring with an arena, in words: with its stamp a slot is one
/// cache line. Models have short messages in the arena.
pub const CONTENT: usize = if cfg!(loom) { 2 } else { 64 / size_of::<usize>() - 1 };
const WORD: usize = size_of::<usize>();
/// The size of a cache line in bytes, on most processors.
const LINE: usize = 64;

/// The writer's view of an arena: where the messages of the ring begin.
///
/// Places are counted in words and never wrap at the end of the area, only with `usize`.
#[derive(Debug)]
pub struct ArenaWriter {
    /// The number of words, a power of two.
    size: usize,
    /// Where the next message may begin.
    head: usize,
    /// The writer may store before this place without a look at its readers.
    limit: usize,
    /// Where the message in each slot begins.
    starts: Box<[usize]>,
    /// The oldest message whose bytes are whole.
    oldest: usize,
}

impl ArenaWriter {
    /// Creates the view for the writer of a new ring. Returns `None` if the ring has no arena, or
    /// has had messages.
    pub fn new<H: BroadcastHandle>(producer: &Producer<H>) -> Option<ArenaWriter> {
        let size = producer.ring.ring.storage.arena().len();
        let sequence = producer.sequence();
        (size > 0 && sequence == 0).then(|| ArenaWriter {
            size,
            head: 0,
            limit: size,
            starts: alloc::vec![0; producer.ring.capacity()].into(),
            oldest: sequence,
        })
    }

    /// Returns the longest message in bytes: half of the area, so that a message always fits into
    /// an empty one.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.size / 2 * WORD
    }

    /// Appends a message: `words` are copied, `length` is its length in bytes. Its slot ends with
    /// `area`; if that is empty, the end of the slot stays as it is. Returns the message's sequence.
    ///
    /// # Errors
    /// [`Full`] if a gating reader still needs the slot or the bytes. Nothing was written then.
    ///
    /// # Panics
    /// If the message is longer than [`longest`](ArenaWriter::longest), `words` has more or fewer
    /// words than a message of `length` bytes, or the slot has no room for `area`.
    #[inline]
    pub fn try_push<H: BroadcastHandle>(
        &mut self,
        producer: &mut Producer<H>,
        words: &[usize],
        length: usize,
        area: &[usize],
    ) -> Result<usize, Full> {
        assert!(words.len() == length.div_ceil(WORD), "the words do not fit the length");
        if words.len() < CONTENT {
            producer.claim()?;
            return self.push_slot(producer, [self.head, 0], length, words, area);
        }
        let place = self.reserve(producer, length)?;
        place.store(producer, 0, words);
        self.push_slot(producer, [place.start, words.len()], length, &[], area)
    }

    /// Reserves the place of the next message, which has `length` bytes, at least
    /// [`CONTENT`] words. From now on no reader finds the messages whose bytes it takes. The caller
    /// writes the message ([`write`](ArenaWriter::write), [`Place::words`]) and
    /// [sends](ArenaWriter::commit) it; if it does not, the next message takes the place.
    ///
    /// # Errors
    /// As [`try_push`](ArenaWriter::try_push).
    ///
    /// # Panics
    /// If the message is empty, or longer than [`longest`](ArenaWriter::longest).
    // Always inlined, so that the place stays in registers: a place that is stored and loaded at
    // once would wait until all earlier stores have left the core.
    #[inline(always)]
    pub fn reserve<H: BroadcastHandle>(
        &mut self,
        producer: &mut Producer<H>,
        length: usize,
    ) -> Result<Place, Full> {
        assert!(length <= self.longest(), "the message is longer than half of the arena");
        producer.claim()?;
        let words = NonZeroUsize::new(length.div_ceil(WORD)).expect("the message is empty");
        let start = self.place(producer, words.get())?;
        let end = start.wrapping_add(words.get());
        self.give_up_before(producer, end.wrapping_sub(self.size), producer.sequence());
        Ok(Place { start, words })
    }

    /// Reserves a place as [`reserve`](ArenaWriter::reserve) does, and gives up more: the messages
    /// whose bytes follow the place, up to an eighth of the area, but neither those that a gating
    /// reader needs nor the newest. No reader finds them from now on. Returns the place, and the
    /// [end](ArenaWriter::end_of_next) of the bytes that were given up.
    ///
    /// # Errors
    /// As [`try_push`](ArenaWriter::try_push).
    ///
    /// # Panics
    /// As [`reserve`](ArenaWriter::reserve).
    #[inline]
    pub fn reserve_ahead<H: BroadcastHandle>(
        &mut self,
        producer: &mut Producer<H>,
        length: usize,
    ) -> Result<(Place, usize), Full> {
        let place = self.reserve(producer, length)?;
        let end = place.end();
        let next = producer.sequence();
        // Where the newest message would be given up; before `end` if the place takes it.
        let newest = self.start_of(next.wrapping_sub(1), next).wrapping_add(self.size);
        let most = if is_after(end, newest) { 0 } else { newest.wrapping_sub(end) };
        let eighth = if cfg!(loom) { LINE } else { self.size / 8 };
        let until = end.wrapping_add(self.limit.wrapping_sub(end).min(most).min(eighth));
        self.give_up_before(producer, until.wrapping_sub(self.size), next);
        Ok((place, until))
    }

    /// Returns where the next message ends if it has `length` bytes, as
    /// [`claimed`](ArenaWriter::claimed) counts.
    #[must_use]
    pub fn end_of_next(&self, length: usize) -> usize {
        let words = length.div_ceil(WORD);
        self.start_of_next(words).wrapping_add(words)
    }

    /// Appends the message of `length` bytes that was written to the place which was reserved last.
    /// `area`: as for [`try_push`](ArenaWriter::try_push). Returns the message's sequence.
    ///
    /// # Errors
    /// [`Full`] if the slot is not free, which [`reserve`](ArenaWriter::reserve) has checked.
    ///
    /// # Panics
    /// If the message has fewer than [`CONTENT`] words, or more than were reserved, or the place was
    /// not reserved here, or not since the last message.
    pub fn commit<H: BroadcastHandle>(
        &mut self,
        producer: &mut Producer<H>,
        place: Place,
        length: usize,
        area: &[usize],
    ) -> Result<usize, Full> {
        let words = length.div_ceil(WORD);
        let is_right = words >= CONTENT && words <= place.words.get();
        assert!(is_right, "the length is not that of the place");
        assert!(self.is_free(place), "the place is taken");
        self.push_slot(producer, [place.start, words], length, &[], area)
    }

    /// Writes words of a message to the place that was reserved last, from its word `at` on.
    ///
    /// # Panics
    /// If the place has fewer words, or is not free, as for [`commit`](ArenaWriter::commit).
    pub fn write<H: BroadcastHandle>(
        &self,
        producer: &Producer<H>,
        place: Place,
        at: usize,
        words: &[usize],
    ) {
        assert!(self.is_free(place), "the place is taken");
        place.store(producer, at, words);
    }

    /// Whether no message has taken the place, and no reader needs its bytes.
    fn is_free(&self, place: Place) -> bool {
        !is_after(self.head, place.start) && !is_after(place.end(), self.limit)
    }

    /// Appends the slot of a message, which is `inline`, or has `words` words from `start` on.
    #[inline(always)]
    fn push_slot<H: BroadcastHandle>(
        &mut self,
        producer: &mut Producer<H>,
        [start, words]: [usize; 2],
        length: usize,
        inline: &[usize],
        area: &[usize],
    ) -> Result<usize, Full> {
        // The slot is written word by word, and its unused words keep what they had: a copy that is
        // made here and loaded again at once would wait until all earlier stores have left the core.
        let head = [length, start & (self.size - 1)];
        let content = if words == 0 { [&head[..1], inline] } else { [&head[..], &[]] };
        let bytes = producer.ring.message_bytes;
        let mut grant = producer.grant()?;
        if area.is_empty() {
            grant.write_parts(content, bytes);
        } else {
            let mut whole = [0; CONTENT];
            let words = content.into_iter().flatten();
            whole.iter_mut().zip(words).for_each(|(to, word)| *to = *word);
            grant.write_parts([&whole, area], bytes);
        }
        let sequence = grant.commit();
        self.keep(producer, sequence, [start, start.wrapping_add(words)]);
        Ok(sequence)
    }

    /// Keeps the bytes of the message that was just pushed, and requests from the cores of the
    /// readers the lines of the next one, and of the slot whose message that one overwrites.
    #[inline]
    fn keep<H: BroadcastHandle>(
        &mut self,
        producer: &Producer<H>,
        sequence: usize,
        [start, end]: [usize; 2],
    ) {
        (self.starts[sequence & (self.starts.len() - 1)], self.head) = (start, end);
        let next = producer.ring.ring.storage.arena().get(end & (self.size - 1)..);
        for line in next.unwrap_or_default().chunks(LINE / WORD).take(2) {
            prefetch::<true>(line.as_ptr().cast());
        }
        producer.ring.prefetch::<true>(self.oldest, 0);
    }

    /// Checks that there is room for a message of `length` bytes. Changes nothing that readers see.
    ///
    /// # Errors
    /// [`Full`] if a gating reader still needs the slot or the bytes.
    pub fn claim<H: BroadcastHandle>(
        &mut self,
        producer: &mut Producer<H>,
        length: usize,
    ) -> Result<(), Full> {
        producer.claim()?;
        let words = length.div_ceil(WORD);
        if words < CONTENT { Ok(()) } else { self.place(producer, words).map(drop) }
    }

    /// Returns the number of bytes that no reader needs, by the exact positions of the readers, and
    /// the slowest reader. A message may have to skip some of them, before the end of the area. There
    /// is none while a reader that has joined late stands at bytes that are given away.
    pub fn room<H: BroadcastHandle>(&mut self, producer: &Producer<H>) -> (usize, Claim) {
        let reader = self.look(producer, producer.sequence());
        let free = self.limit.wrapping_sub(self.head);
        (if free > self.size { 0 } else { free * WORD }, reader)
    }

    /// Returns the number of words that were claimed so far, with those that were skipped.
    #[must_use]
    pub fn claimed(&self) -> usize {
        self.head
    }

    /// Returns how many words the messages from `kept` to the `next` one take, with those that were
    /// skipped. There are at most as many of these messages as the ring has slots.
    #[must_use]
    pub fn taken(&self, kept: usize, next: usize) -> usize {
        self.head.wrapping_sub(self.start_of(kept, next))
    }

    /// Returns the first message after `kept` from which on the messages take at most `words`.
    #[must_use]
    pub fn first_within(&self, words: usize, kept: usize, next: usize) -> usize {
        let (mut before, mut count) = (kept, next.wrapping_sub(kept));
        while count > 0 {
            let middle = before.wrapping_add(count / 2);
            match self.taken(middle, next) > words {
                true => (before, count) = (middle.wrapping_add(1), count - count / 2 - 1),
                false => count /= 2,
            }
        }
        before
    }

    /// Returns where a message begins, or where the next one will begin.
    fn start_of(&self, message: usize, next: usize) -> usize {
        if message == next { self.head } else { self.starts[message & (self.starts.len() - 1)] }
    }

    /// Returns a place for this number of words that no gating reader needs.
    fn place<H: BroadcastHandle>(
        &mut self,
        producer: &Producer<H>,
        words: usize,
    ) -> Result<usize, Full> {
        let start = self.start_of_next(words);
        let end = start.wrapping_add(words);
        if is_after(end, self.limit) {
            let reader = self.look(producer, producer.sequence());
            if is_after(end, self.limit) {
                return Err(Full { reader });
            }
        }
        Ok(start)
    }

    /// Returns where the next message begins, if it has this number of words.
    #[inline]
    fn start_of_next(&self, words: usize) -> usize {
        let offset = self.head & (self.size - 1);
        let skipped = if offset + words > self.size { self.size - offset } else { 0 };
        self.head.wrapping_add(skipped)
    }

    /// Finds out how far the writer may store, and returns the slowest reader.
    ///
    /// With the fence of a check for room: a reader that joins meanwhile either is seen, or starts
    /// at the tail, whose bytes are not reached before the next check.
    fn look<H: BroadcastHandle>(&mut self, producer: &Producer<H>, next: usize) -> Claim {
        let (limit, reader) = producer.ring.room(next, true);
        let kept = limit.wrapping_sub(producer.ring.capacity());
        self.limit = self.start_of(kept, next).wrapping_add(self.size);
        reader
    }

    /// Invalidates the stamps of the messages that begin before this place.
    fn give_up_before<H: BroadcastHandle>(
        &mut self,
        producer: &Producer<H>,
        place: usize,
        next: usize,
    ) {
        let capacity = producer.ring.capacity();
        // Earlier slots were overwritten. That of the last lap will be, but only after these bytes.
        let last_lap = next.wrapping_sub(capacity);
        if is_after(last_lap, self.oldest) {
            self.oldest = last_lap;
        }
        let before = self.oldest;
        while self.oldest != next && is_after(place, self.start_of(self.oldest, next)) {
            // The stamp that the slot has while the message of the next lap is written.
            let stamp = self.oldest.wrapping_add(capacity);
            let slot = producer.ring.slot(self.oldest);
            needed!("broadcast.give-up", slot.stamp.store(stamp, Ordering::Relaxed));
            self.oldest = self.oldest.wrapping_add(1);
        }
        if self.oldest != before {
            producer.ring.writer().state.oldest.store(self.oldest, Ordering::Relaxed);
            // From here on an observer that copies these bytes must not take them for a message
            // that was there: pairs with `broadcast.recheck-fence`.
            barrier!("broadcast.arena-fence", Release);
        }
    }
}

/// A place in an arena that is reserved for one message: [`ArenaWriter::reserve`].
#[derive(Clone, Copy, Debug)]
pub struct Place {
    start: usize,
    words: NonZeroUsize,
}

impl Place {
    #[inline]
    fn end(self) -> usize {
        self.start.wrapping_add(self.words.get())
    }

    #[inline]
    fn store<H: BroadcastHandle>(self, producer: &Producer<H>, at: usize, words: &[usize]) {
        store_all(&self.cells(producer)[at..][..words.len()], |word: &Word| &word.0, words);
    }

    /// Returns the words of the message in place. They are zero, or those of earlier messages and
    /// places of this writer.
    ///
    /// # Safety
    /// - The place is the last one that was reserved at the arena of `producer`, and no message was
    ///   appended since.
    /// - After it was reserved, or an earlier [`reserve_ahead`](ArenaWriter::reserve_ahead) had
    ///   given up all its bytes, there was a moment when every reader in this process was one that
    ///   the writer waits for, and had begun at the tail of the time of its join, not at an older
    ///   message.
    /// - A reader that joins later sees the stamps that were invalidated before that moment.
    #[cfg(not(loom))]
    pub unsafe fn words<H: BroadcastHandle>(self, producer: &mut Producer<H>) -> &mut [usize] {
        let cells = self.cells(producer);
        // SAFETY: a `Word` is an atomic word and nothing else, and may be written through a shared
        // reference. Nobody else reads or writes these: readers that the writer waits for have
        // passed the messages whose bytes these were, and readers that have joined since do not
        // find those (this function's contract); `producer` is borrowed as long as the result, so
        // nothing is pushed.
        unsafe { core::slice::from_raw_parts_mut(cells.as_ptr().cast_mut().cast(), cells.len()) }
    }

    /// Does the same for the model checker: stores plain words, which report a race with a reader.
    ///
    /// # Safety
    /// As above.
    #[cfg(loom)]
    pub unsafe fn write_in_place<H: BroadcastHandle>(
        self,
        producer: &Producer<H>,
        words: &[usize],
    ) {
        for (cell, word) in self.cells(producer).iter().zip(words) {
            // SAFETY: this function's contract; loom reports it if the caller is wrong.
            unsafe { cell.0.unsync_store(*word) };
        }
    }

    #[inline]
    fn cells<H: BroadcastHandle>(self, producer: &Producer<H>) -> &[Word] {
        let arena = producer.ring.ring.storage.arena();
        &arena[self.start & (arena.len() - 1)..][..self.words.get()]
    }
}

impl<H: BroadcastHandle> Consumer<H> {
    /// Copies the next message of a ring with an arena: the content of its slot to `content`, as
    /// [`peek`](Consumer::peek) does, and the message to `message`. The length in the result is
    /// that of the message. Ignore the words of both unless a message is returned.
    ///
    /// If a writer in another process claims bytes outside of its arena, or more than `message` has
    /// room for, or gives a message up and restores it, the message has the length 0.
    pub fn peek_body(&mut self, content: &mut [usize], message: &mut [usize]) -> Peek {
        // At the second look a message that was given up is a gap.
        for _ in 0..2 {
            let sequence = match self.peek(content) {
                Peek::Message { sequence, .. } => sequence,
                other => return other,
            };
            if let Some(length) = self.copy_body(sequence, content, message) {
                return Peek::Message { sequence, length };
            }
        }
        Peek::Message { sequence: self.cursor, length: 0 }
    }

    /// Returns the bytes of the message `ahead` positions after the cursor of a ring with an arena
    /// in place, if this reader [borrows](Consumer::borrows) messages and there is one.
    ///
    /// # Safety
    /// All messages of the ring are pushed by its only [`ArenaWriter`], with this ring's producer.
    #[must_use]
    pub unsafe fn borrow_body(&self, ahead: usize) -> Option<&[u8]> {
        let content = self.in_place(ahead)?;
        // SAFETY: `in_place` has found that the message is published, and that the writer waits for
        // this gating reader, whose cursor passes the message only by an exclusive reference. Until
        // then the arena's writer stores nothing to the bytes that it has claimed for the message
        // (this function's contract), and nothing else writes to this storage (it is not foreign).
        unsafe { borrowed_body(&*self.ring, content) }
    }

    /// Copies the message `ahead` positions after the cursor of a ring with an arena, for a gating
    /// reader that takes several messages at once. Returns its length, which is 0 as in
    /// [`peek_body`](Consumer::peek_body). Returns `None` if there is none, or the writer does not
    /// wait for this reader and has overwritten it.
    pub fn peek_body_ahead(&self, ahead: usize, message: &mut [usize]) -> Option<usize> {
        let (sequence, mut content) = (self.cursor.wrapping_add(ahead), [0; CONTENT]);
        if ahead >= self.ring.capacity() || self.ring.entry().is_none() {
            return None;
        }
        self.find(self.ring.slot(sequence), sequence, &mut content).ok()?;
        self.copy_body(sequence, &content, message)
    }

    /// Copies the message with this sequence, whose slot has this content. Returns its length; 0 if
    /// the arena or `message` has no such bytes. Returns `None` if the writer may have overwritten
    /// the message meanwhile.
    fn copy_body(
        &self,
        sequence: usize,
        content: &[usize],
        message: &mut [usize],
    ) -> Option<usize> {
        let length = self.copy(content, message).unwrap_or(0);
        // A gating reader that the writer always waits for needs no second look.
        if self.ring.may_borrow {
            return Some(length);
        }
        barrier!("broadcast.recheck-fence", Acquire);
        let stamp = self.ring.slot(sequence).stamp.load(Ordering::Relaxed);
        (stamp == sequence.wrapping_add(1)).then_some(length)
    }

    /// Copies a message whose slot has this content, if the arena and `message` have such bytes.
    fn copy(&self, content: &[usize], message: &mut [usize]) -> Option<usize> {
        let [length, place, ..] = *content.first_chunk::<CONTENT>()?;
        let words = length.div_ceil(WORD);
        let message = message.get_mut(..words)?;
        if words < CONTENT {
            message.copy_from_slice(&content[1..=words]);
            return Some(length);
        }
        let places = body(&*self.ring, place, words)?;
        // In place, so that the checker reports a writer that does not wait.
        #[cfg(loom)]
        if let Some(words) = self.borrowed(Slot { words: places, ..self.ring.slot(self.cursor) }) {
            message.copy_from_slice(words);
            return Some(length);
        }
        load_all(places, |word: &Word| &word.0, message);
        Some(length)
    }
}

impl<H: BroadcastHandle> RetainingConsumer<H> {
    /// Borrows a message of a ring with an arena, which is retained or
    /// [ready](RetainingConsumer::ready), in place: returns the content of its slot, and its bytes.
    /// Returns `None` if it cannot be borrowed, as [`borrow`](RetainingConsumer::borrow).
    ///
    /// # Safety
    /// As for [`Consumer::borrow_body`].
    #[must_use]
    pub unsafe fn borrow_body(&self, sequence: usize) -> Option<(&[usize], &[u8])> {
        let [slot, _] = self.borrow(sequence, 1)?;
        let (_stamp, content) = slot.split_first()?;
        // SAFETY: `borrow` has found that the message is published and retained, and that the
        // writer waits for this gating reader, which releases it only by an exclusive reference.
        // The rest is as for a `Consumer`.
        let bytes = unsafe { borrowed_body(self.ring(), content) }?;
        Some((content, bytes))
    }
}

/// Returns the bytes of a message whose slot has this content.
///
/// # Safety
/// The slot and its bytes in the arena stay unchanged as long as the result exists.
unsafe fn borrowed_body<'a, T: Storage>(
    ring: &'a Broadcast<T>,
    content: &'a [usize],
) -> Option<&'a [u8]> {
    let (length, content) = content.split_first()?;
    let words = length.div_ceil(WORD);
    if words < CONTENT {
        return content.as_bytes().get(..*length);
    }
    let places = body(ring, *content.first()?, words)?;
    // SAFETY: this function's contract.
    unsafe { borrow(places) }.as_bytes().get(..*length)
}

/// Returns the words of a body, if the arena has them all. Nothing else computes with a place from
/// a slot, which a writer in another process may have set to anything.
fn body<T: Storage>(ring: &Broadcast<T>, place: usize, words: usize) -> Option<&[Word]> {
    ring.storage.arena().get(place..place.checked_add(words)?)
}
