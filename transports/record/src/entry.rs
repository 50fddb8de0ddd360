//! The entries that a reader returns.

use std::sync::Arc;

use mycelium_transports::local::GapReason;
use mycelium_transports::untyped::Layout;

use crate::{Recorded, Stream, StreamId};

/// An entry of a recording, in the order in which they were recorded. Times are nanoseconds since
/// 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// A stream begins.
    Began {
        /// The number of the stream, which is the next one.
        id: StreamId,
        /// The stream.
        stream: &'a Arc<Stream>,
        /// The layout of the messages.
        layout: &'a Arc<Layout>,
        /// The sequence of the next message.
        first: u64,
        /// When the stream began.
        at: u64,
    },
    /// A message, which matches the layout of its stream.
    Message {
        /// The number of the stream.
        id: StreamId,
        /// The stream.
        stream: &'a Arc<Stream>,
        /// The layout of the message.
        layout: &'a Arc<Layout>,
        /// The message.
        message: Recorded<'a>,
    },
    /// Messages are missing.
    Gap {
        /// The number of the stream.
        id: StreamId,
        /// The stream.
        stream: &'a Arc<Stream>,
        /// The sequence after the missing messages.
        next: u64,
        /// The number of missing messages.
        missed: u64,
        /// The reason.
        reason: GapReason,
        /// When the gap was noticed.
        at: u64,
    },
    /// A publisher has ended, and all messages that it sent are recorded or in gaps.
    Ended {
        /// The number of the stream.
        id: StreamId,
        /// The stream.
        stream: &'a Arc<Stream>,
        /// The sequence after the last message.
        next: u64,
        /// When the end was noticed.
        at: u64,
    },
    /// A publisher has ended while it was not connected: how many messages are missing is unknown.
    Lost {
        /// The number of the stream.
        id: StreamId,
        /// The stream.
        stream: &'a Arc<Stream>,
        /// The sequence after the last message that is recorded, or in a gap.
        next: u64,
        /// When the end was noticed.
        at: u64,
    },
    /// A connection was lost.
    Disconnected {
        /// The node.
        node: &'a str,
        /// The topic.
        topic: &'a str,
        /// The reason.
        reason: &'a str,
        /// When the loss was noticed.
        at: u64,
    },
}
