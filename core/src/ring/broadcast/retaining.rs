//! Readers that keep messages in the ring after reading them: to borrow them in place; to pass them
//! on and retain them until they are confirmed; and on behalf of another process, by a proxy.

#![allow(unsafe_code)]

use zerocopy::IntoBytes;

use super::consumer::{Consumer, Peek};
use super::entry::{Claim, ReaderWords};
use super::slot::{Slot, borrow};
use super::storage::{Storage, may_be_foreign};
use super::{Broadcast, BroadcastHandle};
use crate::ring::is_after;
use crate::sync::{Ordering, barrier, order};

impl<H: BroadcastHandle> Consumer<H> {
    /// Borrows up to `most` of the next messages in place. They stay in the ring until
    /// [`Messages::release`]; the writer waits for that. Only a gating reader of a ring within one
    /// process may borrow: messages that may be overwritten must be copied.
    ///
    /// If it returns `None`, call [`peek`](Consumer::peek): there may be a message that must be
    /// copied.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// for number in [7, 8, 9] {
    ///     writer.try_push(&[number], size_of::<usize>()).expect("there is room");
    /// }
    /// let messages = reader.read(2).expect("there are three");
    /// let bytes = [7_usize.to_ne_bytes(), 8_usize.to_ne_bytes()];
    /// assert_eq!(messages.iter().collect::<Vec<_>>(), bytes);
    /// messages.release(2);
    /// assert_eq!(reader.read(2).map(|messages| messages.count()), Some(1));
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[inline(always)]
    pub fn read(&mut self, most: usize) -> Option<Messages<'_, H>> {
        if !self.ring.may_borrow {
            return None;
        }
        let mut count = 0;
        while count < most && self.is_there(self.cursor.wrapping_add(count)) {
            count += 1;
        }
        if count == 0 {
            self.flush();
            return None;
        }
        Some(Messages { consumer: self, count })
    }

    /// Returns whether this reader may borrow messages by [`read`](Consumer::read).
    #[inline]
    #[must_use]
    pub fn borrows(&self) -> bool {
        self.ring.may_borrow
    }

    /// Returns the words of the next message in place, if this reader
    /// [borrows](Consumer::borrows) messages and there is one.
    #[must_use]
    pub fn front(&self) -> Option<&[usize]> {
        self.in_place(0)
    }

    /// Returns the first `length` bytes of what [`front`](Consumer::front) returns, if all messages
    /// of the ring have `length` bytes. Costs less if that is a constant.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, 8), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let reader = Broadcast::gating(&ring).expect("one entry is free");
    /// assert_eq!(reader.front_exact(8), None);
    /// let word = usize::from_ne_bytes([7; size_of::<usize>()]);
    /// writer.try_push(&[word; 8 / size_of::<usize>()], 8).expect("there is room");
    /// assert_eq!(reader.front_exact(8), Some(&[7; 8][..]));
    /// assert_eq!(reader.front_exact(16), None);
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn front_exact(&self, length: usize) -> Option<&[u8]> {
        let slot = self.ring.slot_of(self.cursor, length)?;
        self.is_in(slot, self.cursor).then(|| self.borrowed(slot))??.as_bytes().get(..length)
    }

    /// Returns the words of the message `ahead` positions after the cursor, as
    /// [`front`](Consumer::front) does.
    #[inline]
    pub(super) fn in_place(&self, ahead: usize) -> Option<&[usize]> {
        let sequence = self.cursor.wrapping_add(ahead);
        self.is_there(sequence).then(|| self.borrowed(self.ring.slot(sequence)))?
    }

    /// Returns the words of the next message in place; the caller has seen its stamp. Returns
    /// `None` if other threads may write to them.
    #[inline(always)]
    pub(super) fn borrowed<'a>(&'a self, slot: Slot<'a>) -> Option<&'a [usize]> {
        // SAFETY: the stamp says that the message was written, and no writer uses the slot again
        // before this gating reader's cursor has passed it, which needs an exclusive reference.
        self.ring.may_borrow.then(|| unsafe { slot.borrow() })
    }

    /// Returns whether the message with this sequence is published.
    #[inline(always)]
    fn is_there(&self, sequence: usize) -> bool {
        self.is_in(self.ring.slot_for(sequence, 0), sequence)
    }

    #[inline(always)]
    fn is_in(&self, slot: Slot<'_>, sequence: usize) -> bool {
        // Acquire, pairs with the Release of `broadcast.publish`: the words of the message.
        slot.stamp.load(order!("broadcast.look", Acquire)) == sequence.wrapping_add(1)
    }
}

/// Messages that a reader borrows in place. See [`Consumer::read`].
#[derive(Debug)]
pub struct Messages<'a, H: BroadcastHandle> {
    consumer: &'a mut Consumer<H>,
    count: usize,
}

impl<H: BroadcastHandle> Messages<'_, H> {
    /// Returns how many messages are borrowed, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the sequence of the first borrowed message; the others follow.
    #[must_use]
    pub fn sequence(&self) -> usize {
        self.consumer.cursor
    }

    /// Returns the bytes of the message with this index, aligned to a word.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.count {
            return None;
        }
        let slot = self.consumer.ring.slot(self.consumer.cursor.wrapping_add(index));
        // SAFETY: `read` saw the message, and no writer uses its slot again before this gating
        // reader's cursor has passed it, which needs the exclusive reference that this value has.
        let words = unsafe { slot.borrow() };
        words.as_bytes().get(..self.consumer.length(slot))
    }

    /// Returns the bytes of all messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).filter_map(|index| self.get(index))
    }

    /// Moves past the first `count` messages, or all if there are fewer. The writer may then reuse
    /// their slots.
    #[inline]
    pub fn release(self, count: usize) {
        let cursor = self.consumer.cursor.wrapping_add(count.min(self.count));
        self.consumer.peeked = false;
        self.consumer.move_to(cursor);
    }
}

/// A reader's end with two positions: the *cursor*, which moves at
/// [`advance`](RetainingConsumer::advance), and behind it the first *retained* message, which moves
/// at [`release`](RetainingConsumer::release). The messages between the two can be read again after
/// [`rewind`](RetainingConsumer::rewind). A gating reader blocks the writer at its first retained
/// message. An observer's retained messages may be overwritten, and are then a gap. Dropping this
/// end lets the writer continue without it.
///
/// ```
/// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
///
/// let ring = Broadcast::boxed(Layout::exact(2, 8), 1)?;
/// let mut writer = Broadcast::producer(&ring).expect("the only writer");
/// let mut reader = Broadcast::gating(&ring).expect("one entry is free").retaining();
///
/// for message in [7, 8] {
///     writer.try_push(&[message], 8).expect("there is room");
///     assert!(matches!(reader.peek(&mut [0]), Peek::Message { .. }));
///     reader.advance();
/// }
/// assert!(writer.try_push(&[9], 8).is_err(), "both are retained");
/// reader.release(1);
/// writer.try_push(&[9], 8).expect("the first one was released");
/// reader.rewind(1);
/// let mut message = [0];
/// assert_eq!(reader.peek(&mut message), Peek::Message { sequence: 1, length: 8 });
/// assert_eq!(message, [8]);
/// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct RetainingConsumer<H: BroadcastHandle> {
    held: Held<H>,
    kept: usize,
    /// Whether no thread writes to the retained messages.
    may_borrow: bool,
}

/// A reader that reads like an observer, because its entry has another position than the cursor.
/// Dropping it lets the writer continue without it.
#[derive(Debug)]
struct Held<H: BroadcastHandle> {
    reader: Consumer<H>,
    entry: Option<usize>,
    /// Whether the writer may stop waiting for the reader of the entry.
    can_be_evicted: bool,
}

impl<H: BroadcastHandle> Held<H> {
    fn words(&self) -> Option<&ReaderWords> {
        let ring = &self.reader.ring;
        self.entry.and_then(|index| ring.storage.reader(index))
    }
}

impl<H: BroadcastHandle> Drop for Held<H> {
    fn drop(&mut self) {
        let ring = &self.reader.ring;
        self.entry.into_iter().for_each(|entry| ring.leave(entry));
    }
}

impl<H: BroadcastHandle> Consumer<H> {
    /// Makes this reader retain messages after reading them, until they are released.
    #[must_use]
    pub fn retaining(mut self) -> RetainingConsumer<H> {
        self.flush();
        let (may_borrow, kept) = (self.ring.may_borrow, self.cursor());
        let can_be_evicted = self.ring.evictable_entry().is_some();
        let entry = self.ring.take_entry();
        let held = Held { reader: self, entry, can_be_evicted };
        RetainingConsumer { held, kept, may_borrow }
    }
}

impl<H: BroadcastHandle> RetainingConsumer<H> {
    /// Does the same as [`Consumer::peek`].
    #[inline]
    pub fn peek(&mut self, message: &mut [usize]) -> Peek {
        self.held.reader.peek(message)
    }

    /// Does the same as [`Consumer::peek_body`].
    #[cfg(feature = "alloc")]
    pub fn peek_body(&mut self, content: &mut [usize], message: &mut [usize]) -> Peek {
        self.held.reader.peek_body(content, message)
    }

    /// Does the same as [`Consumer::advance`], and retains the message.
    #[inline]
    pub fn advance(&mut self) -> bool {
        self.held.reader.advance()
    }

    /// Releases the messages before this sequence, which is at most the cursor.
    pub fn release(&mut self, sequence: usize) {
        if is_after(sequence, self.held.reader.cursor()) || !is_after(sequence, self.kept) {
            return;
        }
        self.kept = sequence;
        // A late reader moves to what it has published already.
        if let Some(words) = self.held.words()
            && is_after(sequence, words.taken.load(Ordering::Relaxed))
        {
            words.show(sequence);
        }
    }

    /// Moves the cursor back to a retained message.
    pub fn rewind(&mut self, sequence: usize) {
        if !is_after(sequence, self.held.reader.cursor()) && !is_after(self.kept, sequence) {
            self.held.reader.go_to(sequence);
        }
    }

    /// Moves the cursor forward, at most to the next message to be published. Retains the messages
    /// in between.
    pub fn skip_to(&mut self, sequence: usize) {
        let ring = &self.held.reader.ring;
        if is_after(sequence, self.held.reader.cursor()) && !is_after(sequence, ring.tail()) {
            self.held.reader.go_to(sequence);
        }
    }

    /// Returns the sequence of the next message to read.
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.held.reader.cursor()
    }

    /// Returns the sequence of the first retained message.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Returns how many messages wait for this reader or are retained.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.held.reader.depth() + self.cursor().wrapping_sub(self.kept)
    }

    /// Returns the ring.
    pub fn ring(&self) -> &H {
        self.held.reader.ring()
    }

    /// Returns how many messages from the cursor on, at most `most`, are published and can be
    /// [borrowed](RetainingConsumer::borrow). Returns 0 for an observer, because the writer does
    /// not wait for it.
    #[must_use]
    pub fn ready(&self, most: usize) -> usize {
        if !self.can_borrow() {
            return 0;
        }
        let ring: &Broadcast<H::Storage> = self.ring();
        let waiting = ring.published(self.cursor()).wrapping_sub(self.cursor());
        let mut count = waiting.min(most).min(ring.capacity());
        // The tail may become visible before the last messages do, which are then left out.
        while count > 0 && !self.is_published(self.cursor().wrapping_add(count - 1)) {
            count -= 1;
        }
        count
    }

    /// Moves the cursor past `count` [ready](RetainingConsumer::ready) messages, and retains them.
    pub fn pass(&mut self, count: usize) {
        let count = self.ready(count);
        self.skip_to(self.cursor().wrapping_add(count));
    }

    /// Returns whether the message at the cursor was read, so that
    /// [`advance`](RetainingConsumer::advance) moves past it.
    #[must_use]
    pub fn has_peeked(&self) -> bool {
        self.held.reader.peeked
    }

    /// Returns whether this reader can borrow messages: the writer always waits for it, and no
    /// other process writes to the ring. If not, copy them by [`peek`](RetainingConsumer::peek).
    #[must_use]
    pub fn can_borrow(&self) -> bool {
        self.may_borrow
    }

    /// Borrows whole slots in place, for a caller that passes them on unchanged: the slots of
    /// `count` messages from `first` on, all of which are retained or
    /// [ready](RetainingConsumer::ready). Each slot begins with a stamp, and the message follows
    /// ([`Layout::slot_words`](super::Layout::slot_words)). There are two pieces if the slots wrap
    /// around the end of the ring; otherwise the second piece is empty.
    ///
    /// Returns `None` if not all of them can be borrowed.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(2, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free").retaining();
    /// writer.try_push(&[7], size_of::<usize>()).expect("there is room");
    /// assert_eq!(reader.ready(2), 1);
    /// reader.pass(1);
    /// let [slots, rest] = reader.borrow(0, 1).expect("it is retained");
    /// assert_eq!((slots[1], slots.len(), rest.len()), (7, 2, 0));
    /// assert_eq!(reader.borrow(0, 2), None, "there is one");
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[must_use]
    pub fn borrow(&self, first: usize, count: usize) -> Option<[&[usize]; 2]> {
        let ring: &Broadcast<H::Storage> = self.ring();
        // With wrapping arithmetic, a released message counts as far ahead, so it is refused.
        let (capacity, ahead) = (ring.capacity(), first.wrapping_sub(self.kept()));
        let is_kept = ahead <= capacity && count <= capacity - ahead;
        let is_there = count == 0 || self.is_published(first.wrapping_add(count - 1));
        if !self.can_borrow() || !is_kept || !is_there {
            return None;
        }
        let (place, slot_words) = (first & (capacity - 1), ring.layout.slot_words());
        let here = count.min(capacity - place);
        let words = ring.storage.slots();
        let one = words.get(place * slot_words..(place + here) * slot_words)?;
        let other = words.get(..(count - here) * slot_words)?;
        // SAFETY: the stamp of the last of these slots says that it was written, and so were all
        // before it, because there is one writer. It does not use any of them again before this
        // gating reader has released them (`kept`), which needs an exclusive reference, and nothing
        // else writes to this storage (it is not foreign).
        let one = unsafe { borrow(one) };
        // SAFETY: as above.
        let other = unsafe { borrow(other) };
        Some([one, other])
    }

    /// Returns whether an unreleased message can be read.
    #[inline]
    fn is_published(&self, sequence: usize) -> bool {
        let ring: &Broadcast<H::Storage> = self.ring();
        // Acquire, pairs with the Release of `broadcast.publish`: the words of this message and of
        // all before it.
        let foreign = may_be_foreign::<H::Storage>();
        let stamp = ring.stamp_of(sequence).0.acquire(foreign, order!("broadcast.look", Acquire));
        stamp == sequence.wrapping_add(1)
    }
}

/// An entry by which the writer waits for another process, which reads the ring itself. Its
/// position is [imported](ProxyReader::import) from that process: by the writer at each check for
/// room ([`Storage::refresh`]), and by any other thread that needs it. The entry can be
/// [evicted](ProxyReader::evict). Dropping it also lets the writer continue.
///
/// ```
/// use mycelium_core::ring::broadcast::{Broadcast, Layout};
///
/// let ring = Broadcast::boxed(Layout::exact(2, size_of::<usize>()), 1)?;
/// let mut writer = Broadcast::producer(&ring).expect("the only writer");
/// let reader = Broadcast::gating(&ring).expect("one entry is free").retaining();
/// let proxy = reader.into_proxy().expect("it is a gating reader");
/// for message in [7, 8] {
///     writer.try_push(&[message], size_of::<usize>()).expect("there is room");
/// }
/// assert!(writer.try_push(&[9], size_of::<usize>()).is_err(), "nothing was read");
/// // The other process has read one message.
/// proxy.import(|| Some(1));
/// assert_eq!((proxy.kept(), proxy.depth()), (1, 1));
/// writer.try_push(&[9], size_of::<usize>()).expect("one was read");
/// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct ProxyReader<H: BroadcastHandle> {
    held: Held<H>,
    claim: Claim,
}

impl<T: Storage> Broadcast<T> {
    /// Does the same as [`ProxyReader::import`] for the proxy with this claim. Does nothing if
    /// `look` returns the outer `None`, or the entry has another claim now.
    pub fn import(&self, claim: Claim, look: impl FnOnce() -> Option<Option<usize>>) {
        let Some(words) = self.storage.reader(claim.entry) else { return };
        let tail = self.tail();
        // As in `Broadcast::join`: either `look` sees a reader that joins in the other process, or
        // that reader sees this tail, or a later one, and starts there.
        barrier!("broadcast.import-fence", SeqCst);
        if let Some(position) = look() {
            words.import(claim.generation, tail, position);
        }
    }
}

impl<H: BroadcastHandle> RetainingConsumer<H> {
    /// Returns the claim that the reader's entry would have as a
    /// [proxy](RetainingConsumer::into_proxy), to tell the other process beforehand; `None` if
    /// there is no entry. It differs from the claims of all earlier proxies.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let (entry, words) = self.held.entry.zip(self.held.words())?;
        Some(words.proxy_claim(entry))
    }

    /// Keeps the entry on behalf of another process. The messages that are retained now stay until
    /// that process has read them. From this call on the writer waits for this
    /// [claim](RetainingConsumer::claim); a suspended reader stays suspended.
    ///
    /// # Errors
    /// Returns the reader if the writer does not wait for it, because it observes or was evicted.
    pub fn into_proxy(self) -> Result<ProxyReader<H>, RetainingConsumer<H>> {
        let claim =
            self.claim().filter(|_| self.held.words().is_some_and(ReaderWords::begin_proxy));
        match claim {
            Some(claim) => Ok(ProxyReader { held: self.held, claim }),
            None => Err(self),
        }
    }
}

impl<H: BroadcastHandle> ProxyReader<H> {
    /// Returns the claim of the entry, which the other process must know.
    #[must_use]
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// Returns the sequence of the first message that the other process may still read, as of the
    /// last import.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.held.words().map_or(self.ring().tail(), |words| words.taken.load(Ordering::Relaxed))
    }

    /// Returns how many messages the other process is behind, as of the last import: at most the
    /// capacity unless it is suspended.
    #[must_use]
    pub fn depth(&self) -> usize {
        let ring: &Broadcast<H::Storage> = self.ring();
        let kept = self.kept();
        let behind = ring.published(kept).wrapping_sub(kept);
        let is_suspended = self.held.words().is_some_and(ReaderWords::is_suspended);
        if is_suspended { behind } else { behind.min(ring.capacity()) }
    }

    /// Moves the entry to the position that `look` returns: the position of the slowest reader of
    /// the other process, or `None` if it has no gating reader. The position may be any number: the
    /// entry never moves backwards, and at most to the end of the published messages. `None` moves
    /// it to that end. Does nothing after an eviction. Any number of threads may call this at once.
    ///
    /// `look` runs within this call, not before, because a reader may join meanwhile.
    pub fn import(&self, look: impl FnOnce() -> Option<usize>) {
        let ring: &Broadcast<H::Storage> = self.ring();
        ring.import(self.claim, || Some(look()));
    }

    /// Makes the writer no longer wait for the other process. Returns `false` if it already did not
    /// wait.
    pub fn evict(&self) -> bool {
        self.held.words().is_some_and(|words| words.evict(self.claim.generation))
    }

    /// Returns whether the writer no longer waits for the other process.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.held.words().is_none_or(ReaderWords::is_evicted)
    }

    /// Turns the proxy into a reader in this process, which can read all messages again that the
    /// other process has not read ([`rewind`](RetainingConsumer::rewind)). It borrows nothing
    /// ([`can_borrow`](RetainingConsumer::can_borrow)), because an import may still run. An evicted
    /// reader becomes an observer, and a suspended one stays suspended.
    #[must_use]
    pub fn into_retaining(self) -> RetainingConsumer<H> {
        let ProxyReader { mut held, .. } = self;
        let can_be_evicted = held.can_be_evicted;
        let stays = held.words().is_some_and(|words| words.end_proxy(can_be_evicted));
        let tail = held.reader.ring().tail();
        let kept = held.words().map_or(tail, |words| words.taken.load(Ordering::Relaxed));
        held.reader.go_to(tail);
        if !stays && let Some(entry) = held.entry.take() {
            let ring: &Broadcast<H::Storage> = held.reader.ring();
            ring.leave(entry);
        }
        RetainingConsumer { held, kept, may_borrow: false }
    }

    /// Returns the ring.
    pub fn ring(&self) -> &H {
        self.held.reader.ring()
    }
}
