//! Many messages at once, for a writer that has them one after the other in memory.

use super::BroadcastHandle;
use super::error::Full;
use super::producer::Producer;
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
        let count = items.len() / stride;
        let mut known = self.known_room();
        if known < count {
            match self.find_room() {
                Ok(room) => known = room,
                Err(full) if known == 0 && count > 0 => return Err(full),
                Err(_) => {}
            }
        }
        let (count, first) = (known.min(count), self.sequence());
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
            let slot = self.slot_for(sequence, message.len());
            // As in `Grant`: an observer must not take what it copies now for the message of the
            // lap before.
            slot.stamp.store(sequence, Ordering::Relaxed);
            barrier!("broadcast.overwrite-fence", Release);
            slot.copy_in(message);
            // Release, pairs with the Acquire of `broadcast.look`: the words of the message.
            slot.stamp.store(sequence.wrapping_add(1), order!("broadcast.publish", Release));
        }
    }
}
