//! Which services a column has, and where they run.

use std::path::Path;
use std::sync::Arc;

use mycelium::{Builder, Execution, Node, Topology, WaitStrategy};

use super::services::{Client48, Client64, Echo48, Echo64, Listener, Pacer, Sink, Source, Task};
use crate::affinity::{Cores, Side};
use crate::harness::Mismatch;
use crate::loops::executor::host::{OnGlommio, OnSmol, OnTokio, run_node};

pub(super) const FITS: &str = "the services fit together";

/// The two services of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Round trips of 48 bytes.
    Trip48,
    /// Round trips of 64 bytes.
    Trip64,
    /// 56 bytes one way.
    Flow,
    /// The same to this process, at their due times.
    Load,
}

impl Pair {
    /// The names of the services.
    pub(super) fn names(self) -> [&'static str; 2] {
        match self {
            Pair::Trip48 => ["Client48", "Echo48"],
            Pair::Trip64 => ["Client64", "Echo64"],
            Pair::Flow => ["Source", "Sink"],
            Pair::Load => ["Listener", "Pacer"],
        }
    }

    /// The subscription that may lose messages, so that the two services cannot block each other.
    /// None is lost, because only one is on its way.
    fn answers(self) -> &'static str {
        match self {
            Pair::Trip48 => "Client48.pongs-48",
            Pair::Trip64 => "Client64.pongs-64",
            Pair::Flow => "Source.tallies",
            Pair::Load => "Pacer.tallies",
        }
    }

    pub(super) fn of(name: &str) -> Pair {
        let all = [Pair::Trip48, Pair::Trip64, Pair::Flow, Pair::Load];
        all.into_iter().find(|pair| pair.names()[0] == name).expect("a name of a service")
    }

    pub(super) fn topology(self, directory: Option<&Path>) -> Topology {
        let [here, there] = self.names();
        let policy = format!("[subscription.\"{}\"]\npolicy = \"drop-oldest\"\n", self.answers());
        let Some(directory) = directory else {
            return Topology::parse("bench", &policy).expect(FITS);
        };
        let text = format!(
            "[node.here]\nservices = [\"{here}\"]\n[node.there]\nservices = [\"{there}\"]\n\
             [link.default]\ntransport = \"shm\"\nretry = \"1ms\"\nmax_retry = \"5ms\"\n{policy}"
        );
        Topology::parse("bench", &text).expect(FITS).in_directory(directory)
    }

    pub(super) fn add(self, builder: Builder, task: &Arc<Task>) -> Builder {
        let task = task.clone();
        match self {
            Pair::Trip48 => builder.service(move || Client48(task.clone())).service(|| Echo48),
            Pair::Trip64 => builder.service(move || Client64(task.clone())).service(|| Echo64),
            Pair::Flow => builder.service(move || Source(task.clone())).service(|| Sink),
            Pair::Load => {
                let pacer = task.clone();
                let builder = builder.service(move || Listener(task.clone()));
                builder.service(move || Pacer(pacer.clone()))
            }
        }
    }
}

/// Where the services run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As tasks of an executor.
    Tokio,
    /// As tasks of an executor.
    Smol,
    /// As tasks of an executor.
    Glommio,
    /// On a pinned thread with a loop of its own.
    Thread,
}

impl Place {
    /// The name in jobs.
    pub(super) fn slug(self) -> &'static str {
        match self {
            Place::Tokio => "tokio",
            Place::Smol => "smol",
            Place::Glommio => "glommio",
            Place::Thread => "thread",
        }
    }

    pub(super) fn of_slug(slug: &str) -> Place {
        let all = [Place::Tokio, Place::Smol, Place::Glommio, Place::Thread];
        all.into_iter().find(|place| place.slug() == slug).expect("a place")
    }

    pub(super) fn execution(self, cores: &Cores, side: Side, wait: WaitStrategy) -> Execution {
        let own = match (self, cores.of(side)) {
            (Place::Thread, Some(core)) => Execution::pinned([core]),
            (Place::Thread, None) => Execution::dedicated(),
            _ => Execution::shared(),
        };
        own.wait(wait)
    }

    pub(super) fn run(self, name: &'static str, node: Node) -> Result<(), Mismatch> {
        match self {
            Place::Tokio | Place::Thread => run_node::<OnTokio>(name, node),
            Place::Smol => run_node::<OnSmol>(name, node),
            Place::Glommio => run_node::<OnGlommio>(name, node),
        }
    }
}
