//! The section `engine`, and the key `transport` of a topic: an engine of others, or the carrier of
//! links.

use std::fmt;
use std::path::PathBuf;

use mycelium_transports::seam::Capabilities;
use serde::Deserialize;
use serde_spanned::Spanned;

use crate::observe::report::Carrier;
use crate::topology::keys::values::{FromText, choice};

/// A messaging system of others that carries topics between nodes, in place of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EngineName {
    Zenoh,
    Nats,
    JetStream,
}

impl EngineName {
    const ALL: [EngineName; 3] = [EngineName::Zenoh, EngineName::Nats, EngineName::JetStream];

    /// Returns the name of the engine in the topology.
    pub(crate) const fn key(self) -> &'static str {
        self.carrier().key()
    }

    /// Returns the package with the engine.
    pub(crate) const fn package(self) -> &'static str {
        match self {
            EngineName::Zenoh => "zenoh",
            EngineName::Nats | EngineName::JetStream => "nats",
        }
    }

    /// Returns the name of the engine in Rust.
    pub(crate) const fn type_name(self) -> &'static str {
        match self {
            EngineName::Zenoh => "Zenoh",
            EngineName::Nats => "Nats",
            EngineName::JetStream => "JetStream",
        }
    }

    /// Returns what carries the messages in an overview.
    pub(crate) const fn carrier(self) -> Carrier {
        match self {
            EngineName::Zenoh => Carrier::Zenoh,
            EngineName::Nats => Carrier::Nats,
            EngineName::JetStream => Carrier::JetStream,
        }
    }

    /// Returns the engine's promises, which the checks of a file need without its code.
    pub(crate) const fn capabilities(self) -> Capabilities {
        match self {
            EngineName::Zenoh | EngineName::Nats => Capabilities::NONE,
            EngineName::JetStream => Capabilities { has_work_queues: true, ..Capabilities::STORED },
        }
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.carrier().fmt(f)
    }
}

/// How the messages of a topic travel between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Over links, which all have this carrier.
    Links(Carrier),
    Engine(EngineName),
}

impl FromText for Route {
    fn from_text(text: &str) -> Result<Route, String> {
        let links = Carrier::OF_LINKS.map(|carrier| (carrier.key(), Route::Links(carrier)));
        let engines = EngineName::ALL.map(|engine| (engine.key(), Route::Engine(engine)));
        choice("transport", text, &[&links[..], &engines].concat())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EngineSections {
    pub(crate) zenoh: EngineSection,
    pub(crate) nats: EngineSection,
    pub(crate) jetstream: EngineSection,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EngineSection {
    /// The engine's own configuration file. A relative path starts at the directory of the topology
    /// file.
    pub(crate) config: Option<Spanned<PathBuf>>,
}
