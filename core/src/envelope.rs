//! What travels with a message: who sent it, in which order, and what the sender attached.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::message::Message;

/// What a frame says about its payload. Stream and sequence are always there; the rest costs
/// nothing unless it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Envelope {
    /// The type of the payload: [`Message::ID`], or 0 for the link's own.
    pub type_id: u16,
    /// The number the sender's catalogue gives to one start of a publisher on one topic.
    pub stream: u32,
    /// The place of the message in its stream.
    pub sequence: u64,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
    /// What ties a reply to its request.
    pub correlation: Option<u128>,
    /// The key of the one it is meant for.
    pub destination: Option<u64>,
    /// When it is no longer wanted, in nanoseconds since 1970 UTC.
    pub deadline: Option<u64>,
    /// Whether an earlier process of the reader may have had it.
    pub redelivered: bool,
}

impl Envelope {
    /// The envelope of an `M` without anything attached.
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

/// The trace a message belongs to, in the bytes of W3C Trace Context: ids in the order in which
/// `traceparent` spells them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it that sent the message.
    pub span_id: [u8; 8],
    /// Bit 0: the trace is sampled.
    pub flags: u8,
}
