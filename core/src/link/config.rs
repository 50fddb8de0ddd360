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
    /// Messages of more bytes are sent in fragments of at most this many. So a long message delays
    /// others by one fragment only, and needs no buffer of its own length. At least 8.
    pub fragment: usize,
    /// The longest fragmented message that this side accepts.
    pub max_message: u32,
    /// How many fragmented messages this side accepts at once. With 0, it accepts none.
    pub max_open: u16,
    /// When a batch is sent.
    pub batching: Batching,
    /// How long the peer has to send its hello.
    pub handshake: Duration,
    /// After this time without bytes to send, this side sends a ping. At most a third of the peer's
    /// [`silence`](Config::silence), or the peer ends the link.
    pub keep_alive: Duration,
    /// The link ends when the peer has sent nothing for this time.
    pub silence: Duration,
    /// A confirmation is sent at the latest after this time.
    pub confirm: Duration,
    /// When an incoming message is confirmed.
    pub confirms: Confirms,
    /// This side can send and read streams [through shared
    /// memory](super::Link::peer_accepts_memory): both sides are on one machine, and the caller
    /// handles [`Event::Memory`](super::Event::Memory) and
    /// [`Event::Region`](super::Event::Region).
    pub memory: bool,
}

impl Config {
    /// The lower limit of [`silence`](Config::silence).
    pub const MIN_SILENCE: Duration = Duration::from_millis(100);

    /// Creates settings for most links, for a node with this name and this random number.
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

/// When an incoming message is confirmed, so that its sender may forget it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirms {
    /// When it arrives.
    #[default]
    OnArrival,
    /// When the caller confirms it ([`Link::confirm`](super::Link::confirm)): for callers whose
    /// process may end before it has delivered the message.
    ByCaller,
}

/// When a batch is sent: at the first of these limits, and at once after
/// [`Link::flush`](super::Link::flush), so that a sender with little load pays no latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// The batch has this many bytes.
    pub bytes: usize,
    /// The batch has this many frames.
    pub messages: u32,
    /// This time has passed since the first frame of the batch.
    pub delay: Duration,
}

impl Batching {
    /// Sends each frame on its own.
    pub const LOW_LATENCY: Batching = Batching { bytes: 1, messages: 1, delay: Duration::ZERO };
    /// Sends together the messages that a sender has ready, up to some pages.
    pub const BALANCED: Batching =
        Batching { bytes: 16 << 10, messages: 256, delay: Duration::from_micros(50) };
    /// Sends in large writes.
    pub const HIGH_THROUGHPUT: Batching =
        Batching { bytes: 64 << 10, messages: 4096, delay: Duration::from_millis(1) };
}

impl Default for Batching {
    fn default() -> Batching {
        Batching::BALANCED
    }
}

/// Why a link cannot be made with these settings.
#[derive(Clone, Copy, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The send buffer is too small for control frames and a message.
    #[error("send buffer of {found} bytes is too small: expected at least {least}")]
    Buffer {
        /// The smallest buffer.
        least: usize,
        /// The size of the buffer.
        found: usize,
    },
    /// [`Config::limits`] are too small for control frames.
    #[error("`limits.max_frame` is too small: expected at least {least} bytes")]
    MaxFrame {
        /// The smallest limit.
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

/// A topic to subscribe to.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// The topic.
    pub topic: Name,
    /// The type of its messages.
    pub type_id: u16,
    /// The digest of their layout.
    pub digest: Digest,
    /// What its publishers do when this side is slower.
    pub mode: ReaderMode,
    /// The first message of publishers that exist already.
    pub start: ReaderStart,
    /// How many messages of each stream this side has room for, at least one.
    pub window: u32,
}

impl Interest {
    /// Interest in the messages `M` on their own topic, from the next one on.
    ///
    /// # Errors
    /// If the topic's name is longer than a [`Name`].
    pub fn of<M: Message>(mode: ReaderMode, window: u32) -> Result<Interest, TooLong> {
        let topic = Name::try_from(M::TOPIC)?;
        let start = ReaderStart::Next;
        Ok(Interest { topic, type_id: M::ID, digest: M::DIGEST, mode, start, window })
    }
}

/// How far [`Link::unsubscribe`](super::Link::unsubscribe) has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsubscribeProgress {
    /// The interest is removed.
    Done,
    /// The peer must confirm: [`Event::Unsubscribed`](super::Event::Unsubscribed) follows.
    Pending,
}

/// What a publisher does when a reader is slower. Its numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderMode {
    /// The publisher waits for the reader.
    Gating = 0,
    /// The publisher does not wait. The reader learns how many messages it missed.
    Observing = 1,
    /// The publisher does not wait, and does not overwrite: a publish fails until the reader has
    /// room. The reader misses no message that was published.
    Rejecting = 2,
}

impl ReaderMode {
    /// Decodes a mode. A mode of a later version counts as observing: no publisher waits for such a
    /// reader.
    pub(super) fn of(code: u8) -> ReaderMode {
        match code {
            0 => ReaderMode::Gating,
            2 => ReaderMode::Rejecting,
            _ => ReaderMode::Observing,
        }
    }
}

/// Where a stream begins that the reader does not know, if the writer has kept no message for this
/// reader. The numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderStart {
    /// The next message.
    Next = 0,
    /// The oldest message that the publisher still has.
    Oldest = 1,
}

impl ReaderStart {
    /// Decodes a start. A start of a later version counts as the next message: nothing is sent
    /// twice.
    pub(super) fn of(code: u8) -> ReaderStart {
        match code {
            1 => ReaderStart::Oldest,
            _ => ReaderStart::Next,
        }
    }
}
