//! The *kind* of an actor: the counters that all actors of one type share.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mycelium_transports::counters::{ActorValue, Line, Region, RequesterValue};

use crate::inbox::request::{MailboxState, Responders};
use crate::support::lock::lock;

/// The type of an actor, from which its kind is made.
#[derive(Clone, Copy)]
pub(crate) struct ActorType {
    pub(crate) id: TypeId,
    pub(crate) name: &'static str,
    pub(crate) calls: &'static [&'static str],
}

/// A type of actors in one set of actors.
pub(crate) struct ActorKind {
    pub(crate) name: &'static str,
    pub(crate) line: Line<ActorValue>,
    /// The counters of the requests and calls that the actors answer, by number.
    responders: Arc<Responders>,
    /// The counters of the requests and calls that are made to the actors, by topic or name.
    requesters: Mutex<BTreeMap<&'static str, Arc<Line<RequesterValue>>>>,
}

impl ActorKind {
    pub(crate) fn new(ActorType { name, calls, .. }: ActorType, region: &Arc<Region>) -> ActorKind {
        let responders = Responders::default();
        for topic in calls {
            responders.add(region.line(&format!("topic={topic} responder={name}")));
        }
        ActorKind {
            name,
            line: region.line(&format!("actor={name}")),
            responders: Arc::new(responders),
            requesters: Mutex::default(),
        }
    }

    /// Creates the state of a mailbox of an actor of this type.
    pub(crate) fn mailbox(&self) -> MailboxState {
        MailboxState::counted_by(self.responders.clone())
    }

    pub(crate) fn count(&self, value: ActorValue) {
        self.line.count(value);
    }

    /// Returns the counters of the requests of this topic, or the calls of this name, that
    /// references make.
    pub(crate) fn requester(
        &self,
        topic: &'static str,
        region: &Arc<Region>,
    ) -> Arc<Line<RequesterValue>> {
        let mut lines = lock(&self.requesters);
        let line = || {
            let label = format!("topic={topic} requester=to.{}", self.name);
            Arc::new(region.line(&label))
        };
        lines.entry(topic).or_insert_with(line).clone()
    }
}
