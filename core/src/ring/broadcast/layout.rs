//! The layout of a ring: its capacity, the length of its messages, the words of a slot.

use super::LayoutError;

/// The size of a word in bytes.
const WORD: usize = size_of::<usize>();

/// The layout of a ring: its capacity and the size of its messages.
///
/// A slot is a stamp of one word and the message. If messages differ in length, a second word in
/// front of the message contains the length. Slots are dense: with messages of exactly 56 bytes, a
/// slot is one cache line on 64-bit hosts. [`in_lines`](Layout::in_lines) pads them, so that none
/// takes more lines than it needs.
///
/// ```
/// use mycelium_core::ring::broadcast::Layout;
///
/// let word = size_of::<usize>();
/// assert_eq!(Layout::exact(1024, 7 * word).slot_words(), 8);
/// assert_eq!(Layout::up_to(1024, 7 * word).slot_words(), 9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    capacity: usize,
    message_bytes: usize,
    has_length: bool,
    /// Whether slots are padded. Never true if that changes nothing.
    in_lines: bool,
}

/// The words of a cache line.
const LINE: usize = 64 / WORD;

/// The words of a slot with `dense` words, padded to the fewest possible cache lines: a power of
/// two, or whole lines.
pub(super) const fn whole_lines(dense: usize) -> usize {
    if dense <= LINE { dense.next_power_of_two() } else { dense.next_multiple_of(LINE) }
}

impl Layout {
    /// A ring of `capacity` messages that have `message_bytes` bytes each.
    #[must_use]
    pub const fn exact(capacity: usize, message_bytes: usize) -> Layout {
        Layout { capacity, message_bytes, has_length: false, in_lines: false }
    }

    /// A ring of `capacity` messages that have at most `message_bytes` bytes, rounded up to words.
    #[must_use]
    pub const fn up_to(capacity: usize, message_bytes: usize) -> Layout {
        let rounded = message_bytes.checked_next_multiple_of(WORD);
        // A size that cannot be rounded is larger than memory, and `check` refuses it.
        let message_bytes = match rounded {
            Some(bytes) => bytes,
            None => message_bytes,
        };
        Layout { capacity, message_bytes, has_length: true, in_lines: false }
    }

    /// The same layout, with slots that are padded so that none takes more cache lines than it
    /// needs: to a power of two, or to whole lines. For memory where lines are dear, because they
    /// move between processes.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::Layout;
    ///
    /// let (word, line) = (size_of::<usize>(), 64 / size_of::<usize>());
    /// assert_eq!(Layout::exact(4, word).in_lines().slot_words(), 2);
    /// assert_eq!(Layout::exact(4, 64 - 2 * word).in_lines().slot_words(), line);
    /// assert_eq!(Layout::exact(4, 64).in_lines().slot_words(), 2 * line);
    /// ```
    #[must_use]
    pub const fn in_lines(self) -> Layout {
        let dense = self.dense_words();
        Layout { in_lines: whole_lines(dense) != dense, ..self }
    }

    /// How many messages the ring holds.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// The bytes of each message, or the most bytes of a message.
    #[must_use]
    pub const fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// Whether messages may differ in length.
    #[must_use]
    pub const fn has_length(&self) -> bool {
        self.has_length
    }

    /// The words of one slot, padding included: the distance of two slots.
    #[must_use]
    pub const fn slot_words(&self) -> usize {
        let dense = self.dense_words();
        if self.in_lines { whole_lines(dense) } else { dense }
    }

    /// The words of all slots.
    ///
    /// # Panics
    /// If that is more than memory can hold; in a constant that is a compile error.
    #[must_use]
    pub const fn words(&self) -> usize {
        match self.checked_words() {
            Some(words) => words,
            None => panic!("the slots take more words than memory can hold"),
        }
    }

    /// The same as [`words`](Layout::words); `None` if that is more than memory can hold.
    #[must_use]
    pub const fn checked_words(&self) -> Option<usize> {
        self.capacity.checked_mul(self.slot_words())
    }

    /// The bytes of all slots; `None` if that is more than memory can hold.
    #[must_use]
    pub const fn bytes(&self) -> Option<usize> {
        let bytes = match self.checked_words() {
            Some(words) => words.checked_mul(WORD),
            None => None,
        };
        match bytes {
            Some(bytes) if bytes <= isize::MAX.cast_unsigned() => Some(bytes),
            _ => None,
        }
    }

    /// The words of one slot without padding.
    pub(super) const fn dense_words(&self) -> usize {
        self.header_words() + self.message_words()
    }

    /// The words of a message.
    pub(super) const fn message_words(&self) -> usize {
        self.message_bytes.div_ceil(WORD)
    }

    /// The words in front of a message.
    pub(super) const fn header_words(&self) -> usize {
        1 + self.has_length as usize
    }

    /// Whether a ring can have this layout.
    ///
    /// # Errors
    /// If the capacity is not a power of two of at least 2, or the slots take more than memory can
    /// hold.
    pub const fn check(&self) -> Result<(), LayoutError> {
        if !self.capacity.is_power_of_two() || self.capacity < 2 {
            return Err(LayoutError::Capacity { given: self.capacity });
        }
        match self.bytes() {
            Some(_) => Ok(()),
            None => Err(LayoutError::TooLarge),
        }
    }
}
