//! What a link is told when it is made.

use std::time::Duration;

use mycelium_core::TooLong;
use mycelium_core::frame::Limits;
use mycelium_core::link::{Batching, Config, Confirms, Name};
use mycelium_executor::Backoff;

use crate::local::Schema;

/// Who this process is to others.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The node's name.
    pub node: Name,
    /// Random, another at each start of the process.
    pub boot: u64,
}

impl Identity {
    /// A node of this name.
    ///
    /// # Errors
    /// If the name is longer than a link can say.
    pub fn new(node: &str, boot: u64) -> Result<Identity, TooLong> {
        Ok(Identity { node: Name::try_from(node)?, boot })
    }
}

/// How links batch, wait and try again. The default suits most. Its numbers of connections are 1,024 and 64, or half and
/// an eighth of the descriptors that the process may have (`RLIMIT_NOFILE`) where that is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// When a batch goes.
    pub batching: Batching,
    /// How long a peer has to say who it is.
    pub handshake: Duration,
    /// After so long without a word of ours the peer is told that this side lives.
    pub keep_alive: Duration,
    /// The peer may be silent for so long at most.
    pub silence: Duration,
    /// The peer is told of messages that this side is done with at the latest after so long.
    pub confirm: Duration,
    /// The longest frame that is taken, in bytes.
    pub max_frame: u32,
    /// The bytes that a link has for what is on its way out.
    pub buffer: usize,
    /// How far a publisher may be ahead of what a reader in the other process is done with.
    pub window: Window,
    /// The pauses before a connection is tried again.
    pub retry: Backoff,
    /// How many readers a server has at once. Announced readers have a place each, and others what is left.
    pub connections: usize,
    /// How many connections may be in the handshake besides; when there are more, the oldest ends.
    pub handshakes: usize,
    /// How many connections of one process may be in the handshake, and how many of its readers may be there without
    /// being announced.
    pub per_process: usize,
}

/// How many messages of one publisher a link keeps until they are confirmed: as many as fit into both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The bytes of their slots.
    pub bytes: usize,
    /// Their number.
    pub messages: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window { bytes: 1 << 20, messages: 16 << 10 }
    }
}

impl Window {
    /// How many such messages these are: the capacity of their ring, a power of two of at least 2.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::exchange::Window;
    /// # use mycelium_transports::local::Schema;
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     values: [u64; 7],
    /// }
    ///
    /// // A slot of such a message takes 64 bytes on a 64-bit host.
    /// let slots = Window::default().slots(&Schema::of::<Tick>());
    /// assert_eq!(slots, 16_384);
    /// ```
    #[must_use]
    pub fn slots(&self, schema: &Schema) -> usize {
        let slot = schema.layout(2).slot_words() * size_of::<usize>();
        let slots = (self.bytes / slot).min(self.messages).max(2);
        1 << slots.ilog2()
    }
}

impl Default for LinkConfig {
    fn default() -> LinkConfig {
        let Limits { max_frame, .. } = Limits::default();
        // A process needs descriptors for other things, too.
        let descriptors = descriptors().unwrap_or(usize::MAX);
        LinkConfig {
            batching: Batching::BALANCED,
            handshake: Duration::from_secs(5),
            keep_alive: Duration::from_secs(5),
            silence: Duration::from_secs(15),
            confirm: Duration::from_millis(10),
            max_frame,
            buffer: 32 << 10,
            window: Window::default(),
            retry: Backoff { first: Duration::from_millis(10), longest: Duration::from_secs(1) },
            connections: (descriptors / 2).clamp(1, 1024),
            handshakes: (descriptors / 8).clamp(1, 64),
            per_process: (descriptors / 8).clamp(1, 64),
        }
    }
}

/// How many descriptors the process may have, if the system tells.
fn descriptors() -> Option<usize> {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current.and_then(|limit| usize::try_from(limit).ok())
    }
    #[cfg(any(not(target_os = "linux"), miri))]
    None
}

impl LinkConfig {
    /// Each message by itself, as soon as it is there.
    #[must_use]
    pub fn low_latency() -> LinkConfig {
        LinkConfig { batching: Batching::LOW_LATENCY, ..LinkConfig::default() }
    }

    /// Large writes, and a buffer that holds two of them.
    #[must_use]
    pub fn high_throughput() -> LinkConfig {
        let batching = Batching::HIGH_THROUGHPUT;
        LinkConfig { batching, buffer: 2 * batching.bytes, ..LinkConfig::default() }
    }

    pub(super) fn link(&self, identity: &Identity) -> Config {
        // A message that lies in a ring would be lost with this process.
        let confirms = Confirms::ByCaller;
        Config {
            limits: Limits { max_frame: self.max_frame },
            batching: self.batching,
            handshake: self.handshake,
            keep_alive: self.keep_alive,
            silence: self.silence,
            confirm: self.confirm,
            confirms,
            ..Config::new(identity.node, identity.boot)
        }
    }
}
