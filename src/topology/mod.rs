//! The topology file: which services make up a node, and the settings of nodes, services, topics,
//! subscriptions and links that differ from the defaults. `read` reads it, and `keys` has its keys
//! and their values. `nodes`, `links`, `legacy`, `subscription` and `requests` return the resulting
//! settings, and `check` compares names. `error` has the errors, `places` finds the place in the
//! file of a `setting`, for an error about it, and `source` has the texts.
//!
//! Without the feature `topology` no file can be read, and a topology has the defaults.
//!
//! A key, service or topic that the program does not know is an error with file, line and the
//! expected value: nothing is ignored silently.

mod check;
mod engines;
mod error;
mod keys;
#[cfg(feature = "topology")]
mod legacy;
#[cfg(feature = "topology")]
mod legacy_addresses;
mod links;
mod nodes;
mod places;
#[cfg(feature = "topology")]
mod read;
mod requests;
mod setting;
mod source;
mod subscription;

#[cfg(feature = "topology")]
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use mycelium_transports::link::Redelivery;
use mycelium_transports::local::{OnStall, Threshold, WorkQueue};

use serde_spanned::Spanned;

pub(crate) use check::RECORDER;
use keys::defaults::{CAPACITY, MEMORY, SHUTDOWN};
pub(crate) use keys::engine::EngineName;
pub(crate) use keys::policies::Retention;
use keys::sections::Sections;
use keys::values::DeathLimit;
use source::Source;

pub(crate) use error::Problem;
pub use error::TopologyError;
#[cfg(feature = "topology")]
pub use keys::legacy_config::LegacyType;
#[cfg(feature = "topology")]
pub(crate) use keys::legacy_config::{ListenerConfig, OnBadFrame, OnSlowClient};
pub(crate) use keys::topic::check_topic;
#[cfg(feature = "describe")]
pub(crate) use nodes::{KINDS, own_features};
#[cfg(feature = "topology")]
pub use nodes::{NodeCommand, ReachError};
pub(crate) use places::Places;
#[cfg(feature = "topology")]
pub use read::{TopologyFiles, TopologyOptions, TopologyPart};
pub(crate) use setting::Setting;

/// The settings of a topology file. The default topology has all services in one node and default
/// capacities, and loses no message.
///
/// Each node is a separate process. Services read topics of other nodes over links.
///
/// ```
/// let topology = mycelium::Topology::parse("bandit.toml", r#"
/// [node.main]
/// services = ["Feed", "Detector"]
/// shutdown = "5s"
///
/// [service.Detector]
/// max_restarts = 100
/// backoff = "10ms"
///
/// [topic.swaps]
/// capacity = 4096
///
/// [subscription."Detector.swaps"]
/// policy = "drop-oldest"
///
/// [node.keeper]
/// services = ["Writer"]
///
/// [link."main-keeper"]
/// preset = "high-throughput"
/// "#)?;
///
/// let text = "[topic.swaps]\ncapacity = 1000";
/// let error = mycelium::Topology::parse("bandit.toml", text).unwrap_err();
/// assert!(error.to_string().starts_with("bandit.toml:2:12: "));
/// # Ok::<(), mycelium::topology::TopologyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Topology {
    file: Source,
    sections: Sections,
    #[cfg(feature = "topology")]
    parts: Vec<TopologyPart>,
    /// The files with the descriptions of programs, as file numbers by node.
    #[cfg(feature = "topology")]
    #[cfg_attr(not(feature = "describe"), allow(dead_code, reason = "the key is an error"))]
    descriptions: BTreeMap<String, usize>,
    directory: Option<PathBuf>,
}

impl Topology {
    /// Sets the directory of the nodes' sockets, except sockets of nodes with the key `socket`. All
    /// processes of a topology must use the same directory. It is created if its parent exists, and
    /// other users have no access to it. The default is a directory of this user, named after the
    /// topology's file.
    #[must_use]
    pub fn in_directory(mut self, directory: impl Into<PathBuf>) -> Topology {
        self.directory = Some(directory.into());
        self
    }

    /// Returns the kind of executor that the topology requests for a node.
    pub(crate) fn executor(&self, node: &str) -> Option<&str> {
        Some(self.sections.node.get(node)?.executor.as_ref()?.as_ref())
    }

    pub(crate) fn shutdown(&self, node: &str) -> Duration {
        let section = self.sections.node.get(node);
        section.and_then(|section| section.shutdown).map_or(SHUTDOWN, |span| span.0)
    }

    pub(crate) fn watchdog(&self, node: &str) -> Option<Duration> {
        Some(self.sections.node.get(node)?.watchdog?.0)
    }

    pub(crate) fn memory(&self, node: &str) -> usize {
        let section = self.sections.node.get(node);
        section.and_then(|section| section.memory.as_ref()).map_or(MEMORY, |key| key.as_ref().0)
    }

    /// Returns whether a node listens on its Unix socket even if no other node reads from it. The
    /// recorder asks each node for its topics.
    pub(crate) fn admits_observers(&self, node: &str) -> bool {
        let observers = self.sections.node.get(node).and_then(|section| section.observers);
        observers.unwrap_or(false) || self.sections.recorder.is_some()
    }

    /// Returns whether the rings of a node in shared memory have huge pages.
    pub(crate) fn huge_pages(&self, node: &str) -> bool {
        let section = self.sections.node.get(node);
        section.and_then(|section| section.huge_pages.as_ref()).is_some_and(|key| *key.as_ref())
    }

    pub(crate) fn capacity(&self, topic: &str) -> usize {
        let section = self.sections.topic.get(topic);
        let capacity = section.and_then(|section| section.capacity.as_ref());
        capacity.map_or(CAPACITY, |capacity| capacity.as_ref().0)
    }

    /// Returns the size of the arenas of a topic in bytes, if the file sets it.
    pub(crate) fn arena(&self, topic: &str) -> Option<usize> {
        Some(self.sections.topic.get(topic)?.arena.as_ref()?.as_ref().0)
    }

    /// Returns what each publisher of a topic retains.
    pub(crate) fn retention(&self, topic: &str) -> Option<&Retention> {
        Some(self.sections.topic.get(topic)?.retain.as_ref()?.as_ref())
    }

    /// Returns whether the messages of a topic have traces, if the node has a tracer.
    pub(crate) fn is_traced(&self, topic: &str) -> bool {
        self.sections.topic.get(topic).and_then(|section| section.trace).unwrap_or(true)
    }

    /// Returns the share of a topic's messages whose latency is measured, if the file sets it.
    pub(crate) fn latency_sample(&self, topic: &str) -> Option<f64> {
        Some(self.sections.topic.get(topic)?.latency_sample.as_ref()?.as_ref().0)
    }

    /// Returns the backpressure threshold of a topic, if the file sets it.
    pub(crate) fn threshold(&self, topic: &str) -> Option<Threshold> {
        Some(self.sections.topic.get(topic)?.backpressure_threshold.as_ref()?.as_ref().0)
    }

    /// Returns what happens to readers that stall the publishers of a topic, if the file sets it.
    pub(crate) fn on_stall(&self, topic: &str) -> Option<OnStall> {
        Some(self.sections.topic.get(topic)?.on_stall.as_ref()?.as_ref().0)
    }

    /// Returns what happens to messages that were in flight to a reader's process when the process
    /// died.
    pub(crate) fn redelivery(&self, topic: &str) -> Redelivery {
        let section = self.sections.topic.get(topic);
        let delivery = section.and_then(|section| section.delivery.as_ref());
        if delivery.is_some_and(|name| name.as_ref().0.is_at_most_once) {
            return Redelivery::AtMostOnce;
        }
        match section.and_then(|section| section.dead_letter_after.as_ref()).map(Spanned::as_ref) {
            Some(&DeathLimit(deaths)) => Redelivery::AtLeastOnce { deaths },
            None => Redelivery::default(),
        }
    }

    /// Returns the settings of a topic as a work queue, if the file makes it one.
    pub(crate) fn work_queue(&self, topic: &str) -> Option<WorkQueue> {
        let is_queue = self.sections.topic.get(topic)?.work_queue.as_ref()?;
        let most_deaths = match self.redelivery(topic) {
            Redelivery::AtLeastOnce { deaths } if deaths > 0 => Some(deaths),
            // At most once: it is refused.
            _ => None,
        };
        is_queue.as_ref().then_some(WorkQueue { most_deaths })
    }

    /// Returns the topic to which the file binds a service's named port, if it does.
    pub(crate) fn port(&self, service: &str, port: &str) -> Option<&str> {
        let topic = self.sections.service.get(service)?.ports.get(port)?;
        Some(&topic.as_ref().0)
    }
}

#[cfg(all(test, feature = "topology"))]
mod tests;
