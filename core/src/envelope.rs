//! The data that accompanies a message: its sender, its sequence number, and extensions.

use crate::message::Message;
use crate::trace::TraceContext;

/// What a frame says about its payload. Type, stream and sequence are always present; the rest
/// costs no bytes unless it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Envelope {
    /// The type of the payload: [`Message::ID`], or 0 for control frames.
    pub type_id: u16,
    /// The sender's stream number: one run of a publisher on one topic.
    pub stream: u32,
    /// The position of the message in its stream.
    pub sequence: u64,
    /// The trace of the message.
    pub trace: Option<TraceContext>,
    /// The number that connects a reply with its request.
    pub correlation: Option<u128>,
    /// The key of the receiver.
    pub destination: Option<u64>,
    /// When the message becomes obsolete, in nanoseconds since 1970 UTC.
    pub deadline: Option<u64>,
    /// Whether the message may have been delivered to an earlier process of the reader.
    pub redelivered: bool,
    /// When the message was sent, in nanoseconds since 1970 UTC.
    pub sent_at: Option<u64>,
}

impl Envelope {
    /// Creates the envelope of an `M` without extensions.
    ///
    /// # Examples
    ///
    /// ```
    /// use mycelium_core::{Envelope, message};
    ///
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     price: u64,
    /// }
    ///
    /// let envelope = Envelope { deadline: Some(1_000), ..Envelope::of::<Tick>(4, 0) };
    /// assert_eq!(envelope.type_id, 1);
    /// ```
    #[inline]
    pub fn of<M: Message>(stream: u32, sequence: u64) -> Self {
        Self { type_id: M::ID, stream, sequence, ..Self::default() }
    }
}
