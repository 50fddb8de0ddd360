//! The settings of links, the name of this process on its links, and the topics that a link sends
//! or asks for.

use std::sync::Arc;
use std::time::Duration;

use mycelium_core::TooLong;
use mycelium_core::frame::Limits;
use mycelium_core::link::{Batching, Config, ConfigError, Confirms, Name};
use mycelium_executor::Backoff;

use crate::local::{Policy, Schema, Start, Topic, TraceArea};

/// The name of this process on its links.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The node's name.
    pub node: Name,
    /// A random number, new at each start of the process.
    pub boot: u64,
}

impl Identity {
    /// Creates the identity of a node.
    ///
    /// # Errors
    /// If the name has more than 62 bytes.
    pub fn new(node: &str, boot: u64) -> Result<Identity, TooLong> {
        Ok(Identity { node: Name::try_from(node)?, boot })
    }
}

/// The settings by which links batch, wait and retry.
///
/// By default the limits are 1,024 connections and 64 handshakes. If the process may have few
/// descriptors (`RLIMIT_NOFILE`), the limits are a half and an eighth of the number of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// The rule when a batch is sent.
    pub batching: Batching,
    /// The time in which a peer must send its name; otherwise the connection is closed.
    pub handshake: Duration,
    /// Keep-alive interval: a ping is sent after this long without other bytes.
    pub keep_alive: Duration,
    /// Silence limit: the link ends after this long without bytes of the peer.
    pub silence: Duration,
    /// How long a confirmation may be delayed.
    pub confirm: Duration,
    /// The longest frame that the peer may send, in bytes.
    pub max_frame: u32,
    /// The size of a link's send buffer, in bytes.
    pub buffer: usize,
    /// The limits on messages of one publisher that are not confirmed yet.
    pub window: Window,
    /// The pauses between two attempts to connect.
    pub retry: Backoff,
    /// How many readers this process may have at once. Each announced reader has a reserved place,
    /// and all other readers share the rest. A reader without a place is rejected.
    pub connections: usize,
    /// The most connections without a name, which are not counted in `connections`. If there are
    /// more, the oldest is evicted.
    pub handshakes: usize,
    /// The most connections without a name of one process, and the most connected readers of one
    /// process that were not announced.
    pub per_process: usize,
    /// Whether the streams of the link use shared memory.
    pub memory: MemoryUse,
}

/// Whether the streams of a link use shared memory. All other streams use its socket.
///
/// ```
/// use mycelium_transports::link::{LinkConfig, MemoryUse};
///
/// assert_eq!(LinkConfig::default().memory, MemoryUse::IfPossible);
/// if cfg!(all(target_os = "linux", target_pointer_width = "64", not(miri))) {
///     assert_eq!(MemoryUse::obstacle(), None);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryUse {
    /// No stream uses shared memory.
    Never,
    /// A stream uses shared memory if both ends can share memory.
    #[default]
    IfPossible,
    /// Every stream must use shared memory. A stream that cannot is reported as an error, and stays
    /// on the socket. One of messages that have grown is only reported.
    Required,
}

impl MemoryUse {
    /// Returns why processes of this system cannot share memory; `None` if they can.
    #[must_use]
    pub const fn obstacle() -> Option<&'static str> {
        if cfg!(miri) {
            Some("shared memory does not work under Miri")
        } else if cfg!(not(target_os = "linux")) {
            Some("shared memory needs Linux, and this program was built for another system")
        } else if cfg!(not(target_pointer_width = "64")) {
            Some(
                "shared memory needs a 64-bit system, and this program was built for a smaller one",
            )
        } else {
            None
        }
    }
}

/// The limits on the unconfirmed messages of one publisher that a link keeps. Both hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The limit on the bytes of the slots that hold the unconfirmed messages.
    pub bytes: usize,
    /// The limit on the number of unconfirmed messages.
    pub messages: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window { bytes: 1 << 20, messages: 16 << 10 }
    }
}

impl Window {
    /// Returns the capacity of a ring for messages of this schema: a power of two, at least 2.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::link::Window;
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
        let slot = schema.layout(2, TraceArea::Absent).slot_words() * size_of::<usize>();
        let slots = (self.bytes / slot).min(self.messages).max(2);
        1 << slots.ilog2()
    }
}

impl Default for LinkConfig {
    fn default() -> LinkConfig {
        let Limits { max_frame, .. } = Limits::default();
        // Uses only a part of the descriptors, because the process needs others for other purposes.
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
            memory: MemoryUse::default(),
        }
    }
}

/// Returns how many descriptors the process may have, if the system has a limit.
fn descriptors() -> Option<usize> {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current.and_then(|limit| usize::try_from(limit).ok())
    }
    #[cfg(any(not(target_os = "linux"), miri))]
    None
}

/// The longest message of a link: the longest that `max` allows, in a call with its numbers.
pub(super) const MAX_MESSAGE: u32 = (64 << 20) + 64;

impl LinkConfig {
    /// Returns settings by which each message is sent alone and at once.
    #[must_use]
    pub fn low_latency() -> LinkConfig {
        LinkConfig { batching: Batching::LOW_LATENCY, ..LinkConfig::default() }
    }

    /// Returns settings by which large batches are written, with a buffer for two batches.
    #[must_use]
    pub fn high_throughput() -> LinkConfig {
        let batching = Batching::HIGH_THROUGHPUT;
        LinkConfig { batching, buffer: 2 * batching.bytes, ..LinkConfig::default() }
    }

    /// Checks that a link can have these settings.
    ///
    /// # Errors
    /// If a setting is outside its limits: contains the first one.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.link(&Identity { node: Name::default(), boot: 0 }).check()
    }

    /// Returns the settings of the link itself.
    pub(crate) fn link(&self, identity: &Identity) -> Config {
        // The arrival of a message confirms nothing, because the message may still be lost with
        // this process. The session confirms a message when the readers have finished it.
        let confirms = Confirms::ByCaller;
        Config {
            limits: Limits { max_frame: self.max_frame },
            batching: self.batching,
            handshake: self.handshake,
            keep_alive: self.keep_alive,
            silence: self.silence,
            confirm: self.confirm,
            confirms,
            max_message: MAX_MESSAGE,
            ..Config::new(identity.node, identity.boot)
        }
    }
}

// The topics at the two ends of a link: exported on one side, imported on the other.

/// A topic that other processes may read.
#[derive(Clone, Debug)]
pub struct ExportedTopic {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The nodes that may read the topic; `None`: every node that can connect. Over plain TCP,
    /// which proves no name, only the nodes that [`believe`](super::Exports::believe) names may
    /// read it.
    pub readers: Option<Vec<String>>,
}

impl ExportedTopic {
    /// Whether the topic names this node as one of its readers.
    pub(crate) fn names(&self, node: &str) -> bool {
        self.readers.iter().flatten().any(|reader| reader == node)
    }
}

/// A topic that is read from a peer.
#[derive(Clone, Debug)]
pub struct TopicInterest {
    /// The topic in this process, whose subscriptions get the peer's messages.
    pub topic: Arc<Topic>,
    /// The strictest policy of these subscriptions, which decides whether the peer's publishers
    /// wait for them.
    pub policy: Policy,
    /// Where to start with publishers that exist already, if the peer keeps none of their messages
    /// for this node. Subscriptions that exist when a stream begins get all of its messages,
    /// whatever the start.
    pub start: Start,
}
