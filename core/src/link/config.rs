//! What a link is told when it is made.

use core::time::Duration;

use thiserror::Error;

use super::{MAX_CONTROL, Name};
use crate::frame::Limits;

/// What this side says of itself, and what it puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The node's name.
    pub node: Name,
    /// Random, another at each start of the node.
    pub boot: u64,
    /// The longest frame that is taken.
    pub limits: Limits,
    /// Messages of more bytes go in parts, none of which has more: so they hold up no others for longer than one part
    /// takes, and need no buffer as long as themselves. At least 8.
    pub fragment: usize,
    /// The longest message that is taken in parts.
    pub max_message: u32,
    /// How many messages at once are taken in parts. With 0, none is.
    pub max_open: u16,
    /// When a batch is full.
    pub batching: Batching,
    /// How long the peer has to say who it is.
    pub handshake: Duration,
    /// After so long without a word of ours the peer is told that this side lives: at most a third of the peer's
    /// [`silence`](Config::silence), or it gives this side up.
    pub keep_alive: Duration,
    /// The peer may be silent for so long at most.
    pub silence: Duration,
    /// The peer is told of confirmed messages at the latest after this time.
    pub confirm: Duration,
    /// When an incoming message counts as confirmed.
    pub confirms: Confirms,
}

impl Config {
    /// The settings that suit most links, for a node of this name, with a random number that is another at each start.
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
        }
    }
}

/// When an incoming message counts as confirmed, so that its sender may forget it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirms {
    /// When it has arrived.
    #[default]
    OnArrival,
    /// When the caller says that it is done with it ([`Link::confirm`](super::Link::confirm)): for callers that would
    /// lose the message with their process before that.
    ByCaller,
}

/// When a batch goes: at the first of these, and at once when the sender has nothing more to do
/// ([`Link::flush`](super::Link::flush)), so that low load pays no latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// When it has this many bytes.
    pub bytes: usize,
    /// When it has this many frames.
    pub messages: u32,
    /// This long after its first frame.
    pub delay: Duration,
}

impl Batching {
    /// Each frame by itself.
    pub const LOW_LATENCY: Batching = Batching { bytes: 1, messages: 1, delay: Duration::ZERO };
    /// What a sender has at hand, up to some pages.
    pub const BALANCED: Batching =
        Batching { bytes: 16 << 10, messages: 256, delay: Duration::from_micros(50) };
    /// Large writes.
    pub const HIGH_THROUGHPUT: Batching =
        Batching { bytes: 64 << 10, messages: 4096, delay: Duration::from_millis(1) };
}

impl Default for Batching {
    fn default() -> Batching {
        Batching::BALANCED
    }
}

/// Why a link cannot be made with these settings.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
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

impl Config {
    /// The shortest silence that ends a link.
    pub const MIN_SILENCE: Duration = Duration::from_millis(100);

    /// Whether a link can be made with these settings.
    ///
    /// # Errors
    /// If one of them makes a link useless.
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
