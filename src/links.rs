//! How the nodes of a topology are joined: what each reads of the others, and the links that carry it.
//!
//! A node reads from every node whose services emit what its own services read, and dials these; it listens if others
//! read from it. Which they are follows from the topology and from what all services of the program declare, so both
//! sides know of each other before either runs.

mod log;
mod socket;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use mycelium_core::Message;
use mycelium_executor::{Executor, Listener, SpawnError};
use mycelium_transports::exchange::{
    Control, Dialer, Identity, Notice, Observer, Offer, Station, Want,
};
use mycelium_transports::local::Policy;

use crate::dead_letter::DeadLetter;
use crate::error::{BuildError, StartError};
use crate::members::{MEMBERS, MemberState, Watch};
use crate::shared::Shared;
use log::Log;
use socket::{Socket, connect};

/// The links of a running node.
pub(crate) struct Links {
    control: Arc<Control>,
    station: Option<Arc<Station>>,
    /// Has the control told which nodes have ended for good.
    watch: Option<Watch>,
}

impl Links {
    /// Announces the readers, listens for them, and dials the publishers.
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Links, StartError> {
        let mut links = Links { control: Arc::default(), station: None, watch: None };
        let neighbours = &shared.plan.peer_topics;
        if neighbours.publishers.is_empty() && neighbours.readers.is_empty() {
            return Ok(links);
        }
        let node = &shared.plan.node;
        let identity = Identity::new(node, shared.executor.entropy())
            .map_err(|_| StartError::Link { node: node.clone(), problem: NAME.to_owned() })?;
        let log = Log::new(node, shared.executor.clone());
        spawn(&*shared.executor, node, log.clone().run(links.control.clone()))?;
        let observer = observer(shared, &log);
        if !neighbours.readers.is_empty() {
            links.station = Some(links.listen(shared, identity, observer.clone())?);
        }
        for (peer, topics) in &neighbours.publishers {
            links.dial(shared, identity, peer, topics, observer.clone())?;
        }
        links.watch = Some(links.follow());
        Ok(links)
    }

    /// Does what the launcher says of other members: their names belong to their processes, and nobody waits for those
    /// that will not come again.
    fn follow(&self) -> Watch {
        let (control, mut bound) = (Arc::downgrade(&self.control), BTreeSet::new());
        MEMBERS.watch(move |member, standing| {
            let Some(control) = control.upgrade() else { return };
            match standing {
                // No other process may read from here by this name.
                MemberState::Running(process) => control.bind(member, process),
                // A name that belonged to a process still does: its connection is read to the end.
                _ if bound.contains(member) => {}
                _ => control.bind(member, NO_PROCESS),
            }
            bound.insert(member.to_owned());
            match standing {
                MemberState::Completed => control.completed(member),
                MemberState::Gone => control.gone(member),
                MemberState::Expected | MemberState::Running(_) => {}
            }
        })
    }

    fn listen(
        &self,
        shared: &Arc<Shared>,
        identity: Identity,
        observer: Observer,
    ) -> Result<Arc<Station>, StartError> {
        let (plan, executor) = (&shared.plan, &shared.executor);
        let failed = |problem: String| StartError::Link { node: plan.node.clone(), problem };
        let mut station = Station::new(
            identity,
            plan.topology.default_link(),
            executor.clone(),
            self.control.clone(),
            shared.topics.counters().clone(),
            observer.clone(),
        );
        for (other, user) in plan.topology.owners() {
            station.bind_user(other, user);
        }
        for (reader, topics) in &plan.peer_topics.readers {
            let link = station.link(reader, plan.topology.link(&plan.node, reader));
            link.map_err(|error| failed(format!("with `{reader}`: {error}")))?;
            for (topic, policy) in topics {
                let announced = shared.topics.named(topic);
                let announced = announced.map(|topic| station.announce(reader, &topic, *policy));
                announced.transpose().map_err(BuildError::Topic)?;
            }
        }
        for topic in shared.topics.all().filter(|topic| topic.name() != DeadLetter::TOPIC) {
            station.redeliver(topic.name(), plan.topology.redelivery(topic.name()));
            let readers = plan.topology.readers(topic.name());
            station.add(Offer { topic, readers });
        }
        let path = plan.topology.socket(&plan.node);
        let socket = Socket::at(&plan.node, &path, plan.topology.access(&plan.node))?;
        let listener = socket.listener(&**executor).map_err(failed)?;
        let station = Arc::new(station);
        tracing::info!(node = plan.node, socket = %path.display(), "node listens");
        let waiting = station.clone().wait_for_readers();
        let serving = listen(station.clone(), socket, listener, executor.clone(), observer);
        spawn(&**executor, &plan.node, waiting)?;
        spawn(&**executor, &plan.node, serving)?;
        Ok(station)
    }

    fn dial(
        &self,
        shared: &Arc<Shared>,
        identity: Identity,
        peer: &str,
        topics: &[(&'static str, Policy)],
        observer: Observer,
    ) -> Result<(), StartError> {
        let (plan, executor) = (&shared.plan, &shared.executor);
        let mut wants: Vec<Want> = Vec::new();
        for (name, policy) in topics {
            let topic = shared.topics.named(name);
            let topic =
                topic.filter(|topic| wants.iter().all(|want| want.topic.name() != topic.name()));
            wants.extend(topic.map(|topic| Want { topic, policy: *policy }));
        }
        let dialer = Dialer {
            peer: peer.to_owned(),
            connect: connect(executor.clone(), &plan.topology.socket(peer)),
            wants,
            identity,
            config: plan.topology.link(&plan.node, peer),
            executor: executor.clone(),
            control: self.control.clone(),
            counters: shared.topics.counters().clone(),
            observer,
        };
        let reading = dialer.run().map_err(|error| StartError::Link {
            node: plan.node.clone(),
            problem: format!("with `{peer}`: {error}"),
        })?;
        spawn(&**executor, &plan.node, reading)
    }

    /// Ready once all nodes that this one reads from, and all that read from it, have met it; false if they never will.
    pub(crate) async fn ready(&self) -> bool {
        self.control.ready().await
    }

    /// Publishers that end from now on may come back.
    pub(crate) fn shut_down(&self) {
        self.control.shut_down();
    }

    /// The last readers are about to leave.
    pub(crate) fn leave(&self) {
        self.control.leave();
    }

    /// Readers leave, and what publishers sent is brought to its end.
    pub(crate) fn drain(&self) {
        self.control.drain();
    }

    /// Ready once all links have ended, after [`drain`](Links::drain).
    pub(crate) async fn ended(&self) {
        self.control.ended().await;
    }

    /// Ends what is left of them.
    pub(crate) fn stop(&self) {
        self.control.stop();
    }

    /// Messages that readers had not confirmed when all links had ended: reader, topic and number of
    /// messages.
    pub(crate) fn undelivered(&self) -> Vec<(String, String, usize)> {
        self.station.as_ref().map_or_else(Vec::new, |station| station.undelivered())
    }

    /// Whether a reader that the launcher runs, or will run again, has not taken all that there is for it.
    pub(crate) fn has_readers_to_come(&self) -> bool {
        let comes = |node: &String| MEMBERS.state(node).is_some_and(|told| !told.is_final());
        self.station.as_ref().is_some_and(|station| station.unfinished().iter().any(comes))
    }

    /// How many messages readers have confirmed so far: while this grows, it is worth waiting.
    pub(crate) fn progress(&self) -> u64 {
        self.station.as_ref().map_or(0, |station| station.progress())
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.control.stop();
    }
}

/// Runs a station until the links end, on a new listener whenever the socket had to be made again.
async fn listen(
    station: Arc<Station>,
    mut socket: Socket,
    mut listener: Listener,
    executor: Arc<dyn Executor>,
    observer: Observer,
) {
    let welcome = socket.guard();
    loop {
        let serving = pin!(station.clone().run(listener, |peer| welcome.check(peer)));
        let vanished = pin!(socket.made_again(&executor, &observer));
        match select(serving, vanished).await {
            Either::Left(_) => return,
            Either::Right((next, _)) => listener = next,
        }
    }
}

/// No process has this id.
const NO_PROCESS: u32 = 0;
const NAME: &str = "the node's name is longer than 62 bytes";

fn spawn(
    executor: &dyn Executor,
    node: &str,
    task: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    executor.spawn(Box::pin(task)).map_err(|error: SpawnError| StartError::Spawn {
        service: format!("(the links of {node})"),
        error,
    })
}

/// Tells the log, and the node of what it cannot read.
fn observer(shared: &Arc<Shared>, log: &Arc<Log>) -> Observer {
    let log = log.observer();
    // The links belong to it.
    let shared = Arc::downgrade(shared);
    Arc::new(move |notice| {
        if let Notice::LayoutDiffers { peer, topic, mismatch } = &notice
            && let Some(shared) = shared.upgrade()
        {
            shared.cannot_read(peer, topic, mismatch);
        }
        if let Notice::GivenUp { undelivered } = &notice
            && let Some(shared) = shared.upgrade()
        {
            shared.topics.bury(undelivered);
        }
        log(notice);
    })
}
