//! The `[link]` sections: how links between nodes batch and wait.

use std::ops::Range;
use std::time::Duration;

use mycelium_core::link::ConfigError;
use mycelium_transports::link::{LinkConfig, MemoryUse, Window};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_spanned::Spanned;

use crate::observe::report::Carrier;
use crate::topology::keys::values::{Buffer, Bytes, FromText, Span, Text, choice};

/// The settings of a link. A missing key has the value in `[link.default]`, or else its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkSection {
    transport: Option<Spanned<Text<Carrier>>>,
    trust: Option<Text<Trust>>,
    preset: Option<Text<LinkConfig>>,
    batch_bytes: Option<Buffer>,
    batch_messages: Option<u32>,
    batch_delay: Option<Span>,
    keep_alive: Option<Spanned<Span>>,
    silence: Option<Spanned<Span>>,
    handshake: Option<Pause>,
    retry: Option<Pause>,
    max_retry: Option<Pause>,
    buffer: Option<Spanned<Buffer>>,
    window: Option<Bytes>,
    confirm: Option<Pause>,
}

/// Whether a link over plain TCP trusts the name that a peer sends: `"network"` trusts every
/// process that can connect; `"nobody"` trusts no process on another host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    pub(crate) is_network: bool,
}

/// The transport of a link or a topic.
impl FromText for Carrier {
    fn from_text(text: &str) -> Result<Carrier, String> {
        choice("transport", text, &Carrier::OF_LINKS.map(|carrier| (carrier.key(), carrier)))
    }
}

impl FromText for Trust {
    fn from_text(text: &str) -> Result<Trust, String> {
        let is_network = choice("trust", text, &[("network", true), ("nobody", false)])?;
        Ok(Trust { is_network })
    }
}

/// A preset for batching and the buffer of a link.
impl FromText for LinkConfig {
    fn from_text(text: &str) -> Result<LinkConfig, String> {
        let presets = [
            ("low-latency", LinkConfig::low_latency()),
            ("balanced", LinkConfig::default()),
            ("high-throughput", LinkConfig::high_throughput()),
        ];
        choice("preset", text, &presets)
    }
}

/// A duration greater than zero.
#[derive(Clone, Copy, Debug)]
struct Pause(Duration);

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pause, D::Error> {
        let Span(pause) = Span::deserialize(deserializer)?;
        if pause.is_zero() {
            return Err(D::Error::custom(
                "invalid pause `0`: expected a duration greater than zero",
            ));
        }
        Ok(Pause(pause))
    }
}

impl LinkSection {
    /// Returns where the section sets the transport, if it does.
    pub(crate) fn place_of_transport(&self) -> Option<Range<usize>> {
        self.transport.as_ref().map(Spanned::span)
    }

    /// Returns where the section sets the value that causes this error.
    pub(crate) fn place_of(&self, error: &ConfigError) -> Option<Range<usize>> {
        let keep_alive = self.keep_alive.as_ref().map(Spanned::span);
        match error {
            ConfigError::Silence => self.silence.as_ref().map(Spanned::span).or(keep_alive),
            ConfigError::KeepAlive => keep_alive,
            ConfigError::Buffer { .. } => self.buffer.as_ref().map(Spanned::span),
            // The other values cannot be set by a file.
            _ => None,
        }
    }

    pub(crate) fn transport(&self) -> Option<Carrier> {
        self.transport.as_ref().map(|transport| transport.as_ref().0)
    }

    /// Returns whether every process of the network is trusted; `None` if the section has no such
    /// key.
    pub(crate) fn trusts_network(&self) -> Option<bool> {
        self.trust.map(|trust| trust.0.is_network)
    }

    pub(crate) fn apply(&self, config: &mut LinkConfig) {
        if let Some(Text(preset)) = self.preset {
            (config.batching, config.buffer) = (preset.batching, preset.buffer);
        }
        let LinkConfig { batching, retry, .. } = config;
        set(&mut batching.bytes, self.batch_bytes.map(|bytes| bytes.0));
        set(&mut batching.messages, self.batch_messages);
        set(&mut batching.delay, self.batch_delay.map(|span| span.0));
        set(&mut retry.first, self.retry.map(|pause| pause.0));
        set(&mut retry.longest, self.max_retry.map(|pause| pause.0));
        set(&mut config.keep_alive, self.keep_alive.as_ref().map(|span| span.as_ref().0));
        set(&mut config.silence, self.silence.as_ref().map(|span| span.as_ref().0));
        set(&mut config.handshake, self.handshake.map(|pause| pause.0));
        set(&mut config.buffer, self.buffer.as_ref().map(|bytes| bytes.as_ref().0));
        let messages = usize::MAX;
        set(&mut config.window, self.window.map(|bytes| Window { bytes: bytes.0, messages }));
        set(&mut config.memory, self.transport().map(memory_use));
        set(&mut config.confirm, self.confirm.map(|pause| pause.0));
    }
}

fn memory_use(carrier: Carrier) -> MemoryUse {
    match carrier {
        Carrier::SharedMemory => MemoryUse::Required,
        Carrier::UnixSocket
        | Carrier::Tcp
        | Carrier::Tls
        | Carrier::Zenoh
        | Carrier::Nats
        | Carrier::JetStream => MemoryUse::Never,
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
