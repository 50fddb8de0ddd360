//! Many messages at once, for a writer that has them one after the other in memory.

use super::BroadcastHandle;
use super::error::Full;
use super::producer::Producer;
use super::slot::Slot;
use crate::sync::{Ordering, barrier, order};

impl<H: BroadcastHandle> Producer<H> {
    /// Appends the messages in `items`, as many as there is room for, and returns how many. Each
    /// item has `stride` words: the first `skip` words are ignored, the message follows. The
    /// position of the writer is stored once, after the last one.
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
    /// [`Full`] if a gating reader blocks the writer and no message was appended.
    ///
    /// # Panics
    /// If messages of the ring differ in length, or an item is too short for a message.
    pub fn push_items(
        &mut self,
        items: &[usize],
        stride: usize,
        skip: usize,
    ) -> Result<usize, Full> {
        let layout = self.ring().layout();
        let words = layout.message_words();
        assert!(!layout.has_length(), "messages of this ring differ in length");
        assert!(stride > 0 && skip + words <= stride, "an item is shorter than a message");
        let (count, first) = (self.room_for(items.len() / stride)?, self.sequence());
        let messages = items.chunks_exact(stride).take(count).map(|item| &item[skip..skip + words]);
        match words {
            // With a constant length, no loop is needed to copy a message.
            7 => self.write_each::<7>(first, messages),
            _ => self.write_all(first, messages),
        }
        // The next check for room comes after this store, as `Broadcast::gating` needs.
        self.store_tail(first.wrapping_add(count));
        Ok(count)
    }

    /// Appends messages of `length` bytes, as many as there is room for, and returns how many. The
    /// position of the writer is stored once, after the last one. If the length is a constant, so
    /// is the size of a slot.
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
    /// [`Full`] if a gating reader blocks the writer and no message was appended.
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
        let known = self.known_room();
        let most = messages.len();
        let most = if most <= known { most } else { self.room_for(most)? };
        // Stored also if the iterator panics: published messages must not be overwritten.
        let mut pushed = Pushed { producer: self, next: first };
        for message in messages.take(most) {
            let slot = self.slot_of(pushed.next, length).expect("all messages have this length");
            let words = message.as_ref();
            assert!(words.len() == slot.words.len(), "the number of words does not fit the length");
            write(slot, words, pushed.next);
            pushed.next = pushed.next.wrapping_add(1);
        }
        Ok(pushed.next.wrapping_sub(first))
    }

    /// For how many of `count` messages there is room: at least for one.
    #[cold]
    fn room_for(&mut self, count: usize) -> Result<usize, Full> {
        let known = self.known_room();
        if known >= count {
            return Ok(count);
        }
        match self.find_room() {
            Ok(room) => Ok(room.min(count)),
            Err(full) if known == 0 => Err(full),
            Err(_) => Ok(known),
        }
    }

    /// The same as `write_all`, for messages of this length.
    #[inline(always)]
    fn write_each<'a, const WORDS: usize>(
        &self,
        first: usize,
        messages: impl Iterator<Item = &'a [usize]>,
    ) {
        let messages = messages.filter_map(|message| message.first_chunk::<WORDS>());
        self.write_all(first, messages.map(<[usize; WORDS]>::as_slice));
    }

    /// Writes messages into slots for which there is room, and publishes each.
    #[inline(always)]
    fn write_all<'a>(&self, first: usize, messages: impl Iterator<Item = &'a [usize]>) {
        for (index, message) in messages.enumerate() {
            let sequence = first.wrapping_add(index);
            write(self.slot_for(sequence, message.len()), message, sequence);
        }
    }
}

/// Stores the position of the writer when it is dropped.
struct Pushed<'a, H: BroadcastHandle> {
    producer: &'a Producer<H>,
    /// The sequence after the last message that was published.
    next: usize,
}

impl<H: BroadcastHandle> Drop for Pushed<'_, H> {
    #[inline(always)]
    fn drop(&mut self) {
        // The next check for room comes after this store, as `Broadcast::gating` needs.
        self.producer.store_tail(self.next);
    }
}

/// Writes a message into a slot for which there is room, and publishes it.
#[inline(always)]
fn write(slot: Slot<'_>, message: &[usize], sequence: usize) {
    // As in `Grant`: an observer must not take what it copies now for the message of the lap
    // before.
    slot.stamp.store(sequence, Ordering::Relaxed);
    barrier!("broadcast.overwrite-fence", Release);
    slot.copy_in(message);
    // Release, pairs with the Acquire of `broadcast.look`: the words of the message.
    slot.stamp.store(sequence.wrapping_add(1), order!("broadcast.publish", Release));
}
