//! The settings of a link, and the properties of a subscription to a topic.

use core::time::Duration;

use thiserror::Error;

use super::control::{MAX_CONTROL, Name};
use crate::descriptor::Digest;
use crate::fixed::TooLong;
use crate::frame::Limits;
use crate::message::Message;

/// The settings of one side of a link.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The node's name.
    pub node: Name,
    /// A random number, drawn at each start of the node.
    pub boot: u64,
    /// The longest frame that this side accepts.
    pub limits: Limits,
    /// Longer messages are sent in fragments of at most this many bytes (at least 8). So a long
    /// message delays others by one fragment only, and needs no buffer of its own length.
    pub fragment: usize,
    /// The longest fragmented message that this side accepts, in bytes.
    pub max_message: u32,
    /// The number of fragmented messages that this side accepts at once. With 0, it accepts none.
    pub max_open: u16,
    /// The limits at which a batch is sent.
    pub batching: Batching,
    /// The time limit for the peer's hello.
    pub handshake: Duration,
    /// This side sends a ping after this time without bytes to send. At most a third of the peer's
    /// [`silence`](Config::silence), or the peer ends the link.
    pub keep_alive: Duration,
    /// The link ends when the peer has sent nothing for this time.
    pub silence: Duration,
    /// The longest delay of a confirmation.
    pub confirm: Duration,
    /// When an incoming message is confirmed.
    pub confirms: Confirms,
    /// Whether this side can send and read streams [through shared
    /// memory](super::Link::peer_accepts_memory). Requires that both sides are on one machine, and
    /// that the caller handles [`Event::Memory`](super::Event::Memory) and
    /// [`Event::Region`](super::Event::Region).
    pub memory: bool,
}

impl Config {
    /// The lower limit of [`silence`](Config::silence).
    pub const MIN_SILENCE: Duration = Duration::from_millis(100);

    /// Creates settings that fit most links, for a node with this name and this random number.
    #[must_use]
    pub fn new(node: Name, boot: u64) -> Config {
        Config {
            node,
            boot,
            limits: Limits::default(),
            fragment: 16 << 10,
            max_message: 1 << 20,
            max_open: 8,
            batching: Batching::BALANCED,
            handshake: Duration::from_secs(5),
            keep_alive: Duration::from_secs(5),
            silence: Duration::from_secs(15),
            confirm: Duration::from_millis(10),
            confirms: Confirms::OnArrival,
            memory: false,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If a setting is outside of its limits.
    pub fn check(&self) -> Result<(), ConfigError> {
        let least = MAX_CONTROL as u32;
        if self.limits.max_frame < least {
            return Err(ConfigError::MaxFrame { least });
        }
        if self.fragment < 8 {
            return Err(ConfigError::Fragment);
        }
        if self.silence < Config::MIN_SILENCE || self.keep_alive > self.silence / 3 {
            return Err(ConfigError::Silence);
        }
        if self.keep_alive < Config::MIN_SILENCE / 3 {
            return Err(ConfigError::KeepAlive);
        }
        Ok(())
    }
}

/// When an incoming message is confirmed. Its sender may then drop it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirms {
    /// When it arrives.
    #[default]
    OnArrival,
    /// When the caller confirms it ([`Link::confirm`](super::Link::confirm)). For callers whose
    /// process may end before it has delivered the message.
    ByCaller,
}

/// The limits of a batch. It is sent when it reaches the first of them, or at once after
/// [`Link::flush`](super::Link::flush), so that a sender with little load adds no latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// The number of bytes.
    pub bytes: usize,
    /// The number of frames.
    pub messages: u32,
    /// The time since the first frame of the batch.
    pub delay: Duration,
}

impl Batching {
    /// Sends each frame alone.
    pub const LOW_LATENCY: Batching = Batching { bytes: 1, messages: 1, delay: Duration::ZERO };
    /// Sends messages that are ready at the same time together, up to some pages.
    pub const BALANCED: Batching =
        Batching { bytes: 16 << 10, messages: 256, delay: Duration::from_micros(50) };
    /// Sends large batches.
    pub const HIGH_THROUGHPUT: Batching =
        Batching { bytes: 64 << 10, messages: 4096, delay: Duration::from_millis(1) };
}

impl Default for Batching {
    fn default() -> Batching {
        Batching::BALANCED
    }
}

/// Why these settings are invalid for a link.
#[derive(Clone, Copy, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The send buffer is too small for control frames and a message.
    #[error("send buffer of {found} bytes is too small: expected at least {least}")]
    Buffer {
        /// The smallest valid size in bytes.
        least: usize,
        /// The size of the given buffer in bytes.
        found: usize,
    },
    /// [`Config::limits`] are too small for control frames.
    #[error("`limits.max_frame` is too small: expected at least {least} bytes")]
    MaxFrame {
        /// The smallest valid limit in bytes.
        least: u32,
    },
    /// [`Config::silence`] is below [`Config::MIN_SILENCE`], or less than three times
    /// [`Config::keep_alive`]: each side would take a live peer for a dead one.
    #[error("invalid `silence`: expected at least 100 ms, and three times `keep_alive`")]
    Silence,
    /// [`Config::fragment`] is less than 8 bytes.
    #[error("invalid `fragment`: expected at least 8 bytes")]
    Fragment,
    /// [`Config::keep_alive`] is less than a third of [`Config::MIN_SILENCE`].
    #[error("invalid `keep_alive`: expected at least 34 ms")]
    KeepAlive,
}

crate::debug_as_display!(ConfigError);

/// Where a stream starts that a publishing side opens.
#[derive(Clone, Copy, Debug)]
pub struct StreamStart {
    /// The publisher's epoch.
    pub epoch: u64,
    /// The sequence of the next message. If the peer wants to resume this stream
    /// ([`Event::Resume`](super::Event::Resume)), the peer's sequence or a later one.
    pub first: u64,
    /// How many unconfirmed messages the publisher can keep.
    pub keeps: u32,
    /// [Retained messages](super::Link::send_retained) and [their end](super::Link::end_retained)
    /// follow before all messages. Only for a peer that [reads them](super::Link::peer_retains).
    pub retains: bool,
}

impl StreamStart {
    /// Returns the start of a stream without retained messages.
    #[must_use]
    pub const fn new(epoch: u64, first: u64, keeps: u32) -> StreamStart {
        StreamStart { epoch, first, keeps, retains: false }
    }
}

/// A topic to subscribe to.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// The topic.
    pub topic: Name,
    /// The type of the topic's messages.
    pub type_id: u16,
    /// The digest of the messages' layout.
    pub digest: Digest,
    /// What the publishers do when this side is slower than they are.
    pub mode: ReaderMode,
    /// Where a stream starts if this side does not know it.
    pub start: ReaderStart,
    /// The credit of each new stream, at least one.
    pub window: u32,
    /// What a message uses of the credit.
    pub unit: Unit,
}

/// What a message uses of its stream's credit: one for each message, or one for each begun number
/// of bytes, if messages differ in length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The unit has 2^bits bytes.
    bits: u8,
}

impl Unit {
    /// Every message uses one credit.
    pub const MESSAGE: Unit = Unit { bits: 63 };

    /// Creates a unit of this number of bytes, rounded up to a power of two.
    #[must_use]
    pub const fn of_bytes(bytes: u32) -> Unit {
        Unit { bits: (u64::BITS - (bytes as u64).saturating_sub(1).leading_zeros()) as u8 }
    }

    /// Returns the unit of 2^bits bytes.
    pub(super) fn of_bits(bits: u16) -> Unit {
        Unit { bits: bits.min(63) as u8 }
    }

    pub(super) fn bits(self) -> u16 {
        self.bits.into()
    }

    /// Returns the credit that a message of `length` bytes uses, at least one.
    #[must_use]
    #[inline(always)]
    pub const fn cost(self, length: usize) -> u64 {
        1 + ((length as u64).saturating_sub(1) >> self.bits)
    }

    /// Returns the most bytes of a message that uses this credit.
    pub(super) fn longest(self, credit: u32) -> u32 {
        let bytes = u64::from(credit).checked_shl(self.bits.into());
        bytes.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(u32::MAX)
    }

    /// Returns how many messages of `length` bytes this credit is enough for.
    #[inline]
    pub(super) fn messages(self, credit: u64, length: usize) -> u64 {
        if self == Unit::MESSAGE { credit } else { credit / self.cost(length) }
    }
}

impl Interest {
    /// Creates an interest in the messages `M` on their default topic, from the next message on.
    ///
    /// # Errors
    /// If the topic's name is longer than a [`Name`].
    pub fn of<M: Message>(mode: ReaderMode, window: u32) -> Result<Interest, TooLong> {
        let topic = Name::try_from(M::TOPIC)?;
        let start = ReaderStart::Next;
        let unit = Unit::MESSAGE;
        Ok(Interest { topic, type_id: M::ID, digest: M::DIGEST, mode, start, window, unit })
    }
}

/// The progress of [`Link::unsubscribe`](super::Link::unsubscribe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsubscribeProgress {
    /// The interest is removed.
    Done,
    /// The peer has yet to confirm: [`Event::Unsubscribed`](super::Event::Unsubscribed) follows.
    Pending,
}

/// What a publisher does when a reader is slower. The discriminants are the numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderMode {
    /// The publisher waits for the reader.
    Gating = 0,
    /// The publisher does not wait. The reader gets a gap with the number of missed messages.
    Observing = 1,
    /// The publisher neither waits nor overwrites: a publish fails until the reader has room. The
    /// reader misses no published message.
    Rejecting = 2,
}

impl ReaderMode {
    /// Decodes a mode. An unknown mode, of a later version, counts as observing: no publisher waits
    /// for such a reader.
    pub(super) fn of(code: u8) -> ReaderMode {
        match code {
            0 => ReaderMode::Gating,
            2 => ReaderMode::Rejecting,
            _ => ReaderMode::Observing,
        }
    }
}

/// Where a stream starts if the reader does not know it, and the publisher has kept no messages for
/// this reader. The discriminants are the numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderStart {
    /// At the next message.
    Next = 0,
    /// At the oldest message that the publisher still has.
    Oldest = 1,
}

impl ReaderStart {
    /// Decodes a start. An unknown start, of a later version, counts as the next message: nothing
    /// is sent twice.
    pub(super) fn of(code: u8) -> ReaderStart {
        match code {
            1 => ReaderStart::Oldest,
            _ => ReaderStart::Next,
        }
    }
}
