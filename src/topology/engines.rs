//! How the messages of topics travel between nodes: over links, or over an engine of others.

use std::path::{Path, PathBuf};

use super::Topology;
use crate::observe::report::Carrier;
use crate::topology::keys::engine::{EngineName, EngineSections, Route};

impl Topology {
    /// Returns the carrier of a topic's messages on each of its links, if the file sets it.
    pub(crate) fn topic_transport(&self, topic: &str) -> Option<Carrier> {
        match self.route(topic)? {
            Route::Links(carrier) => Some(carrier),
            Route::Engine(_) => None,
        }
    }

    /// Returns the engine that carries a topic's messages in place of links, if there is one.
    pub(crate) fn engine(&self, topic: &str) -> Option<EngineName> {
        match self.route(topic)? {
            Route::Engine(engine) => Some(engine),
            Route::Links(_) => None,
        }
    }

    /// Returns the configuration file of an engine, if the file names one.
    pub(crate) fn engine_config(&self, engine: EngineName) -> Option<PathBuf> {
        let EngineSections { zenoh, nats, jetstream } = &self.sections.engine;
        let section = match engine {
            EngineName::Zenoh => zenoh,
            EngineName::Nats => nats,
            EngineName::JetStream => jetstream,
        };
        let key = section.config.as_ref()?;
        let directory = self.file.file(&key.span()).parent().unwrap_or(Path::new(""));
        Some(directory.join(key.as_ref()))
    }

    fn route(&self, topic: &str) -> Option<Route> {
        Some(self.sections.topic.get(topic)?.transport.as_ref()?.as_ref().0)
    }
}
