//! What the caller writes to the connection: bytes of the link's buffer, and bytes of a run, which
//! stay in the caller's memory.

use super::ids::OutgoingId;

/// The layout of a run's messages. Each is in an item of `stride` bytes: `skip` bytes without a
/// meaning, `length` bytes of message, and a rest without a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunShape {
    /// The bytes from one message to the next, a multiple of 8.
    pub stride: u32,
    /// The bytes before a message, a multiple of 8.
    pub skip: u16,
    /// The bytes of a message. All of them are its fixed part.
    pub length: u16,
}

impl RunShape {
    /// The message in an item.
    #[must_use]
    pub fn message<'a>(&self, item: &'a [u8]) -> &'a [u8] {
        let (skip, length) = (usize::from(self.skip), usize::from(self.length));
        item.get(skip..skip + length).unwrap_or_default()
    }

    /// Whether messages can have this layout.
    pub(super) fn check(&self) -> bool {
        let message = u32::from(self.skip) + u32::from(self.length);
        self.length > 0
            && self.stride.is_multiple_of(8)
            && self.skip.is_multiple_of(8)
            && message <= self.stride
    }
}

/// Bytes of a run that the caller must write from its own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunBytes {
    /// The stream of the run.
    pub stream: OutgoingId,
    /// The sequence of its first message.
    pub first: u64,
    /// The layout of its messages.
    pub shape: RunShape,
    /// How many of its bytes are already written.
    pub offset: usize,
    /// How many bytes are left, at least one.
    pub length: usize,
}

/// What to write next: bytes of the link, then bytes of a run.
#[derive(Debug)]
pub struct Transmit<'a> {
    /// Bytes of the link's buffer. Empty if only bytes of a run are left.
    pub bytes: &'a [u8],
    /// Bytes of a run, which follow.
    pub run: Option<RunBytes>,
}
