//! The sections and keys of a topology file. A new key is added here first, then a method of
//! `Topology` that returns it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback};
use mycelium_transports::local::{Policy, Start};
use serde::Deserialize;
use serde_spanned::Spanned;

use crate::supervise::execution::Run;
use crate::supervise::{Lifetime, Strategy};
use crate::topology::keys::addresses::{Addresses, HostAddresses, Port};
use crate::topology::keys::engine::{EngineSections, Route};
#[cfg(feature = "topology")]
use crate::topology::keys::legacy_section::LegacySection;
use crate::topology::keys::link::LinkSection;
use crate::topology::keys::policies::{Keys, Retention, StallRule};
use crate::topology::keys::telemetry_section::{Share, TelemetrySection};
use crate::topology::keys::values::{
    Budget, Buffer, Bytes, Capacity, DeathLimit, Delivery, Latency, Mode, Percentage, Shares, Span,
    Text, ThreadName, TopicName,
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sections {
    pub(crate) host: BTreeMap<Spanned<String>, HostSection>,
    pub(crate) tls: Option<Spanned<TlsSection>>,
    pub(crate) telemetry: TelemetrySection,
    pub(crate) bundle: BundleSection,
    pub(crate) node: BTreeMap<Spanned<String>, NodeSection>,
    pub(crate) service: BTreeMap<Spanned<String>, ServiceSection>,
    pub(crate) supervisor: BTreeMap<Spanned<String>, SupervisorSection>,
    pub(crate) topic: BTreeMap<Spanned<String>, TopicSection>,
    pub(crate) subscription: BTreeMap<Spanned<String>, SubscriptionSection>,
    pub(crate) link: BTreeMap<Spanned<String>, LinkSection>,
    pub(crate) engine: EngineSections,
    pub(crate) recorder: Option<Spanned<RecorderSection>>,
    #[cfg(feature = "topology")]
    pub(crate) legacy: BTreeMap<Spanned<String>, LegacySection>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostSection {
    pub(crate) address: Spanned<HostAddresses>,
}

/// The files with which nodes prove their names. Relative paths start at the directory of the
/// topology file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "the section itself is an error"))]
pub(crate) struct TlsSection {
    pub(crate) certificate: Spanned<PathBuf>,
    pub(crate) key: Spanned<PathBuf>,
    pub(crate) authorities: Spanned<PathBuf>,
}

/// What the service `Recorder` reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecorderSection {
    pub(crate) topics: Vec<Spanned<TopicName>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BundleSection {
    pub(crate) command: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeSection {
    pub(crate) services: Option<Vec<Spanned<String>>>,
    pub(crate) host: Option<Spanned<String>>,
    pub(crate) port: Option<Spanned<Port>>,
    pub(crate) address: Option<Spanned<Addresses>>,
    pub(crate) listen: Option<Spanned<Addresses>>,
    pub(crate) executor: Option<Spanned<String>>,
    pub(crate) shutdown: Option<Span>,
    pub(crate) memory: Option<Spanned<Bytes>>,
    pub(crate) huge_pages: Option<Spanned<bool>>,
    pub(crate) socket: Option<Spanned<PathBuf>>,
    pub(crate) users: Option<Spanned<Vec<u32>>>,
    pub(crate) group: Option<Spanned<u32>>,
    pub(crate) mode: Option<Spanned<Mode>>,
    pub(crate) owner: Option<u32>,
    pub(crate) observers: Option<bool>,
    pub(crate) watchdog: Option<Span>,
    pub(crate) listen_metrics: Option<Spanned<Text<SocketAddr>>>,
    pub(crate) shares: Option<Spanned<Shares>>,
    pub(crate) latency: Option<Spanned<Latency>>,
    pub(crate) actors_for: Option<Vec<Spanned<String>>>,
    pub(crate) command: Option<Spanned<Vec<Spanned<String>>>>,
    /// The file with the description of the node's program. A relative path starts at the directory
    /// of the topology file.
    pub(crate) description: Option<Spanned<PathBuf>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceSection {
    pub(crate) max_restarts: Option<u32>,
    pub(crate) restart_window: Option<Span>,
    pub(crate) backoff: Option<Span>,
    pub(crate) max_backoff: Option<Span>,
    pub(crate) run: Option<Spanned<Text<Run>>>,
    pub(crate) wait: Option<Text<WaitStrategy>>,
    pub(crate) thread: Option<Spanned<ThreadName>>,
    pub(crate) class: Option<Spanned<Text<Class>>>,
    pub(crate) if_refused: Option<Spanned<Text<PlacementFallback>>>,
    pub(crate) budget: Option<Budget>,
    pub(crate) executor: Option<Spanned<String>>,
    pub(crate) shares: Option<Spanned<Shares>>,
    pub(crate) latency: Option<Spanned<Latency>>,
    pub(crate) lifetime: Option<Text<Lifetime>>,
    pub(crate) start_deadline: Option<Span>,
    #[serde(default)]
    pub(crate) ports: BTreeMap<Spanned<String>, Spanned<TopicName>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SupervisorSection {
    pub(crate) strategy: Option<Text<Strategy>>,
    pub(crate) children: Option<Vec<Spanned<String>>>,
    pub(crate) max_restarts: Option<u32>,
    pub(crate) restart_window: Option<Span>,
    pub(crate) backoff: Option<Span>,
    pub(crate) max_backoff: Option<Span>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicSection {
    pub(crate) capacity: Option<Spanned<Capacity>>,
    pub(crate) arena: Option<Spanned<Buffer>>,
    pub(crate) backpressure_threshold: Option<Spanned<Percentage>>,
    pub(crate) on_stall: Option<Spanned<StallRule>>,
    pub(crate) retain: Option<Spanned<Retention>>,
    pub(crate) delivery: Option<Spanned<Text<Delivery>>>,
    pub(crate) dead_letter_after: Option<Spanned<DeathLimit>>,
    pub(crate) readers: Option<Vec<Spanned<String>>>,
    pub(crate) writers: Option<Vec<Spanned<String>>>,
    pub(crate) transport: Option<Spanned<Text<Route>>>,
    pub(crate) work_queue: Option<Spanned<bool>>,
    pub(crate) trace: Option<bool>,
    pub(crate) latency_sample: Option<Spanned<Share>>,
    /// Whether the program has added the topic for the requests of another topic, or for their
    /// answers.
    #[serde(skip)]
    pub(crate) carries_requests: bool,
    /// Whether these requests are to actors, from a node in `actors_for`.
    #[serde(skip)]
    pub(crate) is_of_actors: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionSection {
    pub(crate) policy: Option<Spanned<Text<Policy>>>,
    pub(crate) key: Option<Spanned<String>>,
    pub(crate) keys: Option<Spanned<Keys>>,
    pub(crate) start: Option<Text<Start>>,
}
