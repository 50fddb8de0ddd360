//! The bytes that one call of a stream has moved, and where links count them.

use crate::counters::{Line, LinkValue};

/// What one call of a stream has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// This many bytes from the peer.
    Read(usize),
    /// This many bytes to the peer.
    Written(usize),
}

impl Moved {
    /// Adds the bytes to the counters of a link. Only the line's writer may call it.
    pub fn count(self, line: &Line<LinkValue>) {
        match self {
            Moved::Read(bytes) => line.add(LinkValue::BytesReceived, bytes as u64),
            Moved::Written(bytes) => {
                line.add(LinkValue::BytesSent, bytes as u64);
                line.add(LinkValue::Batches, 1);
            }
        }
    }
}
