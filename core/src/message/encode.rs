//! Writing a message: the fixed part first, then the bodies in the order of the fields.

// Only fields on the heap, and types of serde, have bodies.
#![cfg_attr(not(all(feature = "alloc", feature = "serde")), allow(dead_code))]

/// A body begins at a multiple of this number of bytes from the start of its message.
pub(super) const ALIGNMENT: usize = 8;

/// The end of the bodies of a message that serde cannot encode. More bodies do not make it smaller.
pub(super) const UNKNOWN_END: usize = usize::MAX & !(ALIGNMENT - 1);

/// Returns where a body of `len` bytes ends, if the bodies before it end at `end`. A body without
/// bytes takes no place.
#[inline]
pub(super) fn end_of_body(end: usize, len: usize) -> usize {
    if len == 0 {
        return end;
    }
    // No message is as long as the largest number, so one that reaches it is refused.
    let place = end.saturating_add(ALIGNMENT - 1) & !(ALIGNMENT - 1);
    place.saturating_add(len)
}

/// The bytes that a message is written to: as many as it has.
#[derive(Debug)]
pub struct Encoder<'a> {
    bytes: &'a mut [u8],
    /// The end of the bodies so far. From there on nothing is written yet, but the bytes up to where
    /// the next body begins are zero.
    end: usize,
    /// Whether a field could not be written.
    has_failed: bool,
}

impl<'a> Encoder<'a> {
    /// Clears the part of the message, which has `part` bytes, and begins.
    #[inline]
    pub(super) fn new(bytes: &'a mut [u8], part: usize) -> Self {
        match bytes.get_mut(..part.next_multiple_of(ALIGNMENT)) {
            Some(padded) => padded.fill(0),
            // A message without bodies ends with its part.
            None => bytes[..part].fill(0),
        }
        Self { bytes, end: part, has_failed: false }
    }

    /// Returns whether each field was written, and the message has all its bytes.
    pub(super) fn is_complete(&self) -> bool {
        !self.has_failed && self.end == self.bytes.len()
    }

    /// Writes a field whose body is a list of bytes. `write` gets the room that is left. It returns
    /// how many bytes it has used, or `None` if it fails.
    pub(super) fn list_with(&mut self, at: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let place = self.end.next_multiple_of(ALIGNMENT).min(self.bytes.len());
        let Some(len) = write(&mut self.bytes[place..]) else {
            self.has_failed = true;
            return;
        };
        if len == 0 {
            return;
        }
        self.write(at, &(place as u32).to_le_bytes());
        self.write(at + 4, &(len as u32).to_le_bytes());
        self.end = place + len;
        let padded = self.end.next_multiple_of(ALIGNMENT).min(self.bytes.len());
        self.bytes[self.end..padded].fill(0);
    }

    /// Writes bytes of a part.
    #[inline(always)]
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        match self.bytes.get_mut(at..at + bytes.len()) {
            Some(place) => place.copy_from_slice(bytes),
            // A value of serde has taken the room of this one: it has more bytes than a moment ago.
            None => self.has_failed = true,
        }
    }

    /// Writes the part of a field with a body: the body's place and `count`; both are 0 if it has
    /// no bytes. Appends the body, whose `len` bytes the caller must write, and returns its place.
    #[inline]
    fn append(&mut self, at: usize, count: usize, len: usize) -> usize {
        if len == 0 {
            return self.end;
        }
        let place = self.end.next_multiple_of(ALIGNMENT);
        // Both fit, because a message has 64 MiB at most, which `encoded_len` checks.
        self.write(at, &(place as u32).to_le_bytes());
        self.write(at + 4, &(count as u32).to_le_bytes());
        self.end = place + len;
        // Clears the last bytes and those behind them at once: a call for some of them costs more.
        let last = self.end & !(ALIGNMENT - 1);
        if let Some(word) = self.bytes.get_mut(last..last + ALIGNMENT) {
            word.fill(0);
        }
        place
    }

    /// Appends the body of a list whose items, of `size` bytes each, are not written yet. Returns
    /// the place of the first.
    #[inline]
    pub(super) fn empty_list(&mut self, at: usize, count: usize, size: usize) -> usize {
        let len = count * size;
        let place = self.append(at, count, len);
        match self.bytes.get_mut(place..place + len) {
            Some(list) => list.fill(0),
            None => self.has_failed = true,
        }
        place
    }

    /// Writes a field whose body is a list of `count` items with these bytes.
    #[inline]
    pub(super) fn bytes(&mut self, at: usize, count: usize, bytes: &[u8]) {
        let place = self.append(at, count, bytes.len());
        self.write(place, bytes);
    }
}
