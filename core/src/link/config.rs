//! What a link is told when it is made.

use core::fmt;
use core::time::Duration;

use super::{LONGEST, Name};
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

/// Why a link cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The buffer has no room for what a link has to say.
    Buffer {
        /// The fewest bytes.
        least: usize,
        /// How many there are.
        found: usize,
    },
    /// The longest frame that is taken is shorter than those of the link.
    MaxFrame {
        /// The shortest limit.
        least: u32,
    },
    /// A silence below [`Config::LEAST_SILENCE`], or a keep-alive of more than a third of it: both sides would give each
    /// other up.
    Silence,
    /// Parts of fewer than 8 bytes.
    Fragment,
    /// A keep-alive of less than a third of [`Config::LEAST_SILENCE`].
    KeepAlive,
}

impl Config {
    /// The shortest silence that ends a link.
    pub const LEAST_SILENCE: Duration = Duration::from_millis(100);

    /// Whether a link can be made with these settings.
    ///
    /// # Errors
    /// If one of them makes a link useless.
    pub fn check(&self) -> Result<(), ConfigError> {
        let least = LONGEST as u32;
        if self.limits.max_frame < least {
            return Err(ConfigError::MaxFrame { least });
        }
        if self.fragment < 8 {
            return Err(ConfigError::Fragment);
        }
        if self.silence < Config::LEAST_SILENCE || self.keep_alive > self.silence / 3 {
            return Err(ConfigError::Silence);
        }
        if self.keep_alive < Config::LEAST_SILENCE / 3 {
            return Err(ConfigError::KeepAlive);
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ConfigError::Buffer { least, found } => {
                write!(f, "a link needs a buffer of {least} bytes, and this one has {found}")
            }
            ConfigError::MaxFrame { least } => {
                write!(f, "a link's own frames take up to {least} bytes")
            }
            ConfigError::Silence => {
                f.write_str("a silence is at least 100 ms, and three times the keep-alive")
            }
            ConfigError::Fragment => f.write_str("parts of messages have at least 8 bytes"),
            ConfigError::KeepAlive => f.write_str("a keep-alive is at least 34 ms"),
        }
    }
}

impl core::error::Error for ConfigError {}
