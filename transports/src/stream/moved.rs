//! The bytes that one call of a stream has read or written, and where links count them.

use crate::counters::{Line, LinkValue};

/// The bytes that one call of a stream has read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// This many bytes were read from the peer.
    Read(usize),
    /// This many bytes were written to the peer.
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
