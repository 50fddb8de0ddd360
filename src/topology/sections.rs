//! The sections and keys of a topology file. A new key is added here first, then its accessor in
//! `topology.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback};
use mycelium_transports::local::{Policy, Start};
use serde::Deserialize;
use serde_spanned::Spanned;

use super::addresses::{Addresses, HostAddresses, Port};
#[cfg(feature = "topology")]
use super::legacy_section::LegacySection;
use super::link::LinkSection;
use super::policies::{Keys, StallRule};
use super::telemetry_section::{Share, TelemetrySection};
use super::values::{
    Budget, Bytes, Capacity, DeathLimit, Delivery, Latency, Mode, Percentage, Shares, Span, Text,
    ThreadName, TopicName,
};
use crate::observe::report::Carrier;
use crate::supervise::execution::Run;
use crate::supervise::{Lifetime, Strategy};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sections {
    pub(super) host: BTreeMap<Spanned<String>, HostSection>,
    pub(super) tls: Option<Spanned<TlsSection>>,
    pub(super) telemetry: TelemetrySection,
    pub(super) bundle: BundleSection,
    pub(super) node: BTreeMap<Spanned<String>, NodeSection>,
    pub(super) service: BTreeMap<Spanned<String>, ServiceSection>,
    pub(super) supervisor: BTreeMap<Spanned<String>, SupervisorSection>,
    pub(super) topic: BTreeMap<Spanned<String>, TopicSection>,
    pub(super) subscription: BTreeMap<Spanned<String>, SubscriptionSection>,
    pub(super) link: BTreeMap<Spanned<String>, LinkSection>,
    #[cfg(feature = "topology")]
    pub(super) legacy: BTreeMap<Spanned<String>, LegacySection>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostSection {
    pub(super) address: Spanned<HostAddresses>,
}

/// The files with which nodes prove their names. Relative paths are in the directory of the
/// topology file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "the section itself is an error"))]
pub(super) struct TlsSection {
    pub(super) certificate: Spanned<PathBuf>,
    pub(super) key: Spanned<PathBuf>,
    pub(super) authorities: Spanned<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BundleSection {
    pub(super) command: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeSection {
    pub(super) services: Option<Vec<Spanned<String>>>,
    pub(super) host: Option<Spanned<String>>,
    pub(super) port: Option<Spanned<Port>>,
    pub(super) address: Option<Spanned<Addresses>>,
    pub(super) listen: Option<Spanned<Addresses>>,
    pub(super) executor: Option<Spanned<String>>,
    pub(super) shutdown: Option<Span>,
    pub(super) memory: Option<Spanned<Bytes>>,
    pub(super) huge_pages: Option<Spanned<bool>>,
    pub(super) socket: Option<Spanned<PathBuf>>,
    pub(super) users: Option<Spanned<Vec<u32>>>,
    pub(super) group: Option<Spanned<u32>>,
    pub(super) mode: Option<Spanned<Mode>>,
    pub(super) owner: Option<u32>,
    pub(super) observers: Option<bool>,
    pub(super) watchdog: Option<Span>,
    pub(super) listen_metrics: Option<Spanned<Text<SocketAddr>>>,
    pub(super) shares: Option<Spanned<Shares>>,
    pub(super) latency: Option<Spanned<Latency>>,
    pub(super) actors_for: Option<Vec<Spanned<String>>>,
    pub(super) command: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceSection {
    pub(super) max_restarts: Option<u32>,
    pub(super) restart_window: Option<Span>,
    pub(super) backoff: Option<Span>,
    pub(super) max_backoff: Option<Span>,
    pub(super) run: Option<Spanned<Text<Run>>>,
    pub(super) wait: Option<Text<WaitStrategy>>,
    pub(super) thread: Option<Spanned<ThreadName>>,
    pub(super) class: Option<Spanned<Text<Class>>>,
    pub(super) if_refused: Option<Spanned<Text<PlacementFallback>>>,
    pub(super) budget: Option<Budget>,
    pub(super) executor: Option<Spanned<String>>,
    pub(super) shares: Option<Spanned<Shares>>,
    pub(super) latency: Option<Spanned<Latency>>,
    pub(super) lifetime: Option<Text<Lifetime>>,
    pub(super) start_deadline: Option<Span>,
    #[serde(default)]
    pub(super) ports: BTreeMap<Spanned<String>, Spanned<TopicName>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SupervisorSection {
    pub(super) strategy: Option<Text<Strategy>>,
    pub(super) children: Option<Vec<Spanned<String>>>,
    pub(super) max_restarts: Option<u32>,
    pub(super) restart_window: Option<Span>,
    pub(super) backoff: Option<Span>,
    pub(super) max_backoff: Option<Span>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopicSection {
    pub(super) capacity: Option<Spanned<Capacity>>,
    pub(super) backpressure_threshold: Option<Spanned<Percentage>>,
    pub(super) on_stall: Option<Spanned<StallRule>>,
    pub(super) delivery: Option<Spanned<Text<Delivery>>>,
    pub(super) dead_letter_after: Option<Spanned<DeathLimit>>,
    pub(super) readers: Option<Vec<Spanned<String>>>,
    pub(super) writers: Option<Vec<Spanned<String>>>,
    pub(super) transport: Option<Spanned<Text<Carrier>>>,
    pub(super) trace: Option<bool>,
    pub(super) latency_sample: Option<Spanned<Share>>,
    /// The program has added it for the requests of another topic, or for their answers.
    #[serde(skip)]
    pub(super) carries_requests: bool,
    /// These are requests of actors, by a node that `actors_for` names.
    #[serde(skip)]
    pub(super) is_of_actors: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionSection {
    pub(super) policy: Option<Spanned<Text<Policy>>>,
    pub(super) key: Option<Spanned<String>>,
    pub(super) keys: Option<Spanned<Keys>>,
    pub(super) start: Option<Text<Start>>,
}
