//! The links of a running node: it listens for the nodes that read from it, and connects to the
//! nodes that it reads from.
//!
//! The plan says which nodes these are. [`listen`] keeps the node's endpoints reachable, [`far`]
//! has the certificate that proves its name to nodes of other hosts, and [`log`] logs the events of
//! links; [`peers`] tracks the connections. `mycelium_transports::link` carries topics over a link,
//! and only `mycelium_transports::endpoint` knows the kinds of sockets. [`attached`] has the
//! transports that the program adds. This module depends on the plan and the launcher's members,
//! but on no service.

mod attached;
mod far;
mod listen;
pub(crate) mod log;
mod peers;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use mycelium_core::{Code, Message};
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::Region;
use mycelium_transports::endpoint::Endpoint;
use mycelium_transports::link::{
    ExportedTopic, Exports, Identity, ImportError, Imports, MemoryAccess, MemoryUse, Notice,
    Observer, TopicInterest,
};
use mycelium_transports::local::{Policy, Topic};
use mycelium_transports::memory::{ControlLimits, ControlThread};
use mycelium_transports::seam::{Control, Ends, Transport};

use crate::error::{BuildError, StartError};
use crate::plan::dead_letter::DeadLetter;
use crate::plan::{LinkSettings, Plan};
use crate::supervise::{Failure, caught};
use crate::support::latch::Latch;
use crate::support::members::{MEMBERS, MemberState, Watch};
use crate::topology::Setting;
pub(crate) use attached::{Attached, Engines};
use far::Far;
use listen::Listening;
pub(crate) use listen::bind_error;
use log::Log;
pub(crate) use peers::{Peers, RECONNECT};

/// The parts of a node that its links use.
pub(crate) struct LinkSetup<'a> {
    pub(crate) plan: &'a Plan,
    /// All topics of the node.
    pub(crate) topics: Vec<Arc<Topic>>,
    pub(crate) executor: &'a Arc<dyn Executor>,
    /// Notifies the links that the node starts to leave, drains, or stops.
    pub(crate) control: &'a Arc<Control>,
    pub(crate) counters: &'a Arc<Region>,
    /// The connections with nodes that this one reads from.
    pub(crate) peers: &'a Arc<Peers>,
    /// Called for each notice of the links to nodes that this node reads from, in addition to the
    /// log.
    pub(crate) on_notice: Arc<dyn Fn(&Notice<'_>) + Send + Sync>,
    /// Called like `on_notice`, for the links to nodes that read from this node.
    pub(crate) on_reader_notice: Arc<dyn Fn(&Notice<'_>) + Send + Sync>,
    /// Called if a transport of the program fails while the node runs.
    pub(crate) on_failure: Arc<dyn Fn(StartError) + Send + Sync>,
}

/// The links of a running node.
pub(crate) struct Links {
    control: Arc<Control>,
    exports: Option<Arc<Exports>>,
    /// Shares memory with other nodes; `None` if no link uses shared memory.
    memory: Option<Arc<ControlThread>>,
    /// Why links that should use shared memory do not.
    memory_problem: Option<String>,
    /// Applies the launcher's reports about other members to `control`, until the watch is dropped.
    watch: Option<Watch>,
    /// Each is set when one of the node's addresses is free again.
    closed: Vec<Arc<Latch>>,
}

impl Links {
    /// Announces the topics to the nodes that read them, listens for those nodes, and starts to
    /// connect to the nodes that publish.
    pub(crate) fn start(
        setup: &LinkSetup<'_>,
        attached: Vec<Attached>,
    ) -> Result<Links, StartError> {
        let mut links = Links {
            control: setup.control.clone(),
            exports: None,
            memory: None,
            memory_problem: None,
            watch: None,
            closed: Vec::new(),
        };
        attached.into_iter().try_for_each(|attached| setup.start(attached))?;
        let has_observers = setup.plan.settings.admits_observers;
        if setup.plan.peer_topics.is_empty() && !has_observers {
            return Ok(links);
        }
        let log = Log::new(&setup.plan.node, setup.executor.clone());
        let far = Far::load(setup.plan, &log)?;
        let boot = setup.executor.entropy();
        setup.peers.set_own(boot);
        let identity = Identity::new(&setup.plan.node, boot).map_err(|_| {
            let place = setup.plan.places.of(Setting::Node(&setup.plan.node));
            setup.failed(place, "the name of the node has more than 62 bytes")
        })?;
        setup.spawn(log.clone().run(links.control.clone()))?;
        let observer = |on_notice: &Arc<dyn Fn(&Notice<'_>) + Send + Sync>| -> Observer {
            let (on_notice, log) = (on_notice.clone(), log.clone());
            Arc::new(move |notice| {
                on_notice(&notice);
                log.note(&notice);
            })
        };
        if setup.plan.carriers.use_memory() {
            match share_memory(setup) {
                Ok(control) => links.memory = Some(control),
                Err(problem) => links.memory_problem = Some(setup.without_memory(problem)?),
            }
        }
        if !setup.plan.peer_topics.readers.is_empty() || has_observers {
            let exports = links.serve(setup, &far, identity, observer(&setup.on_reader_notice))?;
            links.exports = Some(exports);
        }
        for (peer, topics) in &setup.plan.peer_topics.publishers {
            let endpoint = far.of_peer(setup.plan, peer)?;
            let observer = observer(&setup.on_notice);
            links.connect(setup, identity, (peer, endpoint), topics, observer)?;
        }
        links.watch = Some(links.watch_members());
        Ok(links)
    }

    /// Applies the launcher's reports about other members: only the process that runs a member may
    /// connect under the member's name, and links do not wait for a member that will not run again.
    fn watch_members(&self) -> Watch {
        let (control, mut bound) = (Arc::downgrade(&self.control), BTreeSet::new());
        MEMBERS.watch(move |member, standing| {
            let Some(control) = control.upgrade() else { return };
            match standing {
                // From now on no other process may read from this node under this name.
                MemberState::Running(process) => control.bind(member, process),
                // The name stays bound to its last process, so that its connection can be read to
                // the end.
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

    fn serve(
        &mut self,
        setup: &LinkSetup<'_>,
        far: &Far,
        identity: Identity,
        observer: Observer,
    ) -> Result<Arc<Exports>, StartError> {
        let plan = setup.plan;
        let mut exports = Exports::new(
            identity,
            plan.settings.default_link,
            setup.executor.clone(),
            self.control.clone(),
            setup.counters.clone(),
            observer.clone(),
        );
        for (other, user) in &plan.settings.owners {
            exports.bind_user(other, *user);
        }
        plan.settings.recorder.iter().for_each(|recorder| exports.set_recorder(recorder));
        for (reader, topics) in &setup.plan.peer_topics.readers {
            let link = exports.link(reader, setup.plan.links[reader].config);
            link.map_err(|error| setup.refused(reader, &error.into()))?;
            for (topic, policy) in topics {
                let announced = setup.topic(topic);
                let announced = announced.map(|topic| exports.announce(reader, topic, *policy));
                announced.transpose().map_err(BuildError::Topic)?;
            }
        }
        for topic in setup.topics.iter().filter(|topic| topic.name() != DeadLetter::TOPIC) {
            let settings = plan.topic(topic.name());
            exports.redeliver(topic.name(), settings.redelivery);
            if settings.stays_on_socket() {
                exports.keep_on_socket(topic.name());
            }
            if settings.carries_requests {
                exports.set_transient(topic.name());
            }
            settings.believed.iter().for_each(|reader| exports.believe(reader, topic.name()));
            exports.add(ExportedTopic { topic: topic.clone(), readers: settings.readers.clone() });
        }
        if let Some(control) = &self.memory {
            exports.share_memory(control.clone());
        }
        for near in setup.near_readers() {
            exports.bind_near(near);
        }
        let exports = Arc::new(exports);
        // All endpoints are bound before the first one is served.
        let mut listening = Vec::new();
        for (endpoint, place) in setup.endpoints(far)? {
            let bound = endpoint.bind();
            let bound = bound.map_err(|error| bind_error(plan, &endpoint, place, error))?;
            let listener = bound.listener(&**setup.executor);
            let listener = listener
                .map_err(|error| setup.failed(None, &format!("listen at `{endpoint}`: {error}")))?;
            crate::support::log::info!(
                node = plan.node,
                endpoint = endpoint.listens_at(),
                "node listens"
            );
            let memory = self.memory.clone().filter(|_| endpoint.control_socket().is_some());
            let observer = observer.clone();
            listening.push((Listening { endpoint, bound, memory, observer }, listener));
        }
        setup.spawn(exports.clone().wait_for_readers())?;
        for (listening, listener) in listening {
            let listening = listening.run(exports.clone(), listener, setup.executor.clone());
            let closed = Arc::new(Latch::default());
            self.closed.push(closed.clone());
            setup.spawn(async move {
                listening.await;
                closed.set();
            })?;
        }
        Ok(exports)
    }

    fn connect(
        &self,
        setup: &LinkSetup<'_>,
        identity: Identity,
        (peer, endpoint): (&str, Endpoint),
        topics: &[(Arc<str>, Policy)],
        observer: Observer,
    ) -> Result<(), StartError> {
        let mut interests: Vec<TopicInterest> = Vec::new();
        for (name, policy) in topics {
            // Adds each topic once, even if it is listed once for each of its publishers.
            let is_new = interests.iter().all(|interest| interest.topic.name() != &**name);
            let topic = setup.topic(name).filter(|_| is_new).cloned();
            let start = setup.plan.peer_topics.start(name);
            interests.extend(topic.map(|topic| TopicInterest { topic, policy: *policy, start }));
        }
        let (peers, name) = (setup.peers.clone(), peer.to_owned());
        let observer: Observer = Arc::new(move |notice| {
            let connection = match notice {
                Notice::Connected { boot, .. } => Some(Some(boot)),
                Notice::Disconnected { .. } => Some(None),
                _ => None,
            };
            // Calls the observer before updating `peers`, where the observer reads whether the peer
            // was connected so far.
            observer(notice);
            connection.into_iter().for_each(|boot| peers.set(&name, boot));
        });
        let executor = setup.executor.clone();
        let control = self.memory.clone().filter(|_| setup.plan.carriers.in_memory(peer));
        let memory = control.zip(endpoint.control_socket());
        let memory = memory.map(|(control, (path, access))| MemoryAccess { control, path, access });
        let imports = Imports {
            peer: peer.to_owned(),
            connect: Box::new(move || endpoint.connect(&executor)),
            interests,
            identity,
            config: setup.plan.links[peer].config,
            executor: setup.executor.clone(),
            memory,
            control: self.control.clone(),
            counters: setup.counters.clone(),
            observer,
        };
        let reading = imports.run().map_err(|error| setup.refused(peer, &error));
        setup.spawn(reading?)
    }

    /// Returns why links that should use shared memory do not.
    pub(crate) fn memory_problem(&self) -> Option<&str> {
        self.memory_problem.as_deref()
    }

    /// Waits until this node has connected with all nodes that it reads from, and with all that
    /// read from it; false if it never will.
    pub(crate) async fn ready(&self) -> bool {
        self.control.ready().await
    }

    /// Notifies the links that the last readers of this node are about to leave: messages that
    /// these have not finished stay unconfirmed.
    pub(crate) fn leave(&self) {
        self.control.leave();
    }

    /// Stops reading, and delivers what publishers have sent.
    pub(crate) fn drain(&self) {
        self.control.drain();
    }

    /// Waits until all links have ended, after [`drain`](Links::drain).
    pub(crate) async fn ended(&self) {
        self.control.ended().await;
    }

    /// Ends all links immediately. Completes when they have ended, and another process can listen
    /// on the node's address.
    pub(crate) async fn stop(&self) {
        self.control.stop();
        self.control.ended().await;
        for closed in &self.closed {
            closed.wait().await;
        }
    }

    /// Drops the transports of the program that have not ended. Completes when they are gone.
    pub(crate) async fn abandon(&self) {
        self.control.abandon();
        self.control.ended().await;
    }

    /// Returns the messages that readers had not confirmed when all links had ended: the node or
    /// the reader of a transport, the topic, and the number of messages.
    pub(crate) fn undelivered(&self) -> Vec<(String, String, usize)> {
        let mut left = self.control.left();
        left.extend(self.exports.iter().flat_map(|exports| exports.undelivered()));
        left
    }

    /// Returns the readers in `left` that were disconnected because they violated the protocol.
    pub(crate) fn let_go(&self, left: &[(String, String, usize)]) -> Vec<String> {
        let nodes: BTreeSet<&String> = left.iter().map(|(node, ..)| node).collect();
        let is_let_go =
            |node: &&String| self.exports.as_ref().is_some_and(|it| it.has_let_go(node));
        nodes.into_iter().filter(is_let_go).cloned().collect()
    }

    /// Returns whether a reader has messages left to take, and the launcher runs that reader or
    /// will run it again.
    pub(crate) fn has_readers_to_come(&self) -> bool {
        let comes = |node: &String| MEMBERS.state(node).is_some_and(|told| !told.is_final());
        self.exports.as_ref().is_some_and(|exports| exports.unfinished().iter().any(comes))
    }

    /// Returns the number of messages that readers have confirmed. While it grows, waiting for
    /// readers makes sense.
    pub(crate) fn progress(&self) -> u64 {
        let linked = self.exports.as_ref().map_or(0, |exports| exports.progress());
        linked + self.control.confirmed()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.control.abandon();
        if let Some(memory) = &self.memory {
            memory.stop();
        }
    }
}

/// Starts the control thread, which listens if other nodes read from this node through shared
/// memory.
fn share_memory(setup: &LinkSetup<'_>) -> Result<Arc<ControlThread>, String> {
    let control = ControlThread::start(&setup.plan.node, ControlLimits::default());
    let control = control.map_err(|error| error.to_string())?;
    let is_read =
        setup.plan.peer_topics.readers.keys().any(|node| setup.plan.carriers.in_memory(node));
    let socket = setup.plan.settings.endpoint.control_socket();
    if let Some((path, access)) = socket.filter(|_| is_read) {
        control.listen(path, access).map_err(|error| error.to_string())?;
    }
    Ok(control)
}

/// Starts a transport. A work queue over one that has none is an error.
fn carry(transport: Box<dyn Transport>, ends: Ends) -> Result<SendFuture<()>, String> {
    let mut topics = ends.sends().iter().chain(ends.receives());
    match topics.find(|topic| topic.work_queue().is_some()) {
        Some(queue) if !transport.capabilities().has_work_queues => Err(format!(
            "topic `{}` is a work queue, and this transport does not give each message to one \
             reader",
            queue.name()
        )),
        _ => transport.carry(ends),
    }
}

/// A process id that no process has.
const NO_PROCESS: u32 = 0;

impl LinkSetup<'_> {
    /// Returns the nodes of this host that read from this node and do not connect over TCP.
    fn near_readers(&self) -> impl Iterator<Item = &String> {
        self.plan.peer_topics.readers.keys().filter(|node| !self.plan.carriers.over_tcp(node))
    }

    /// Returns the endpoints at which the node listens, each with its place in the topology.
    fn endpoints(&self, far: &Far) -> Result<Vec<(Endpoint, Option<String>)>, StartError> {
        let (node, plan) = (&*self.plan.node, self.plan);
        let is_near = self.near_readers().next().is_some() || plan.settings.admits_observers;
        let near = is_near
            .then(|| (plan.settings.endpoint.clone(), plan.places.of(Setting::Socket(node))));
        // Listens at TCP only for readers: observers connect to the Unix socket, because plain TCP
        // does not prove names.
        let is_read = !plan.peer_topics.readers.is_empty();
        let plain = plan.settings.tcp.clone().filter(|_| is_read);
        let far = plain.map(|plain| far.of_self(plan, plain));
        let far = far.transpose()?.map(|far| (far, plan.places.of(Setting::Tcp(node))));
        Ok(near.into_iter().chain(far).collect())
    }

    /// Starts a transport that the program attached. The transport creates its taps, through which
    /// it reads topics for another process, before any service runs.
    fn start(&self, attached: Attached) -> Result<(), StartError> {
        let topics =
            |names: &[String]| names.iter().filter_map(|it| self.topic(it)).cloned().collect();
        let (sends, receives) = (topics(&attached.sends), topics(&attached.receives));
        let (node, executor) = (&self.plan.node, self.executor.clone());
        let ends = Ends::new(node, sends, receives, executor, self.control);
        let (node, transport) = (node.clone(), attached.transport.name().to_owned());
        let (from, of) = (transport.clone(), node.clone());
        let ends = ends.warning(move |problem| {
            crate::support::log::warn!(transport = from, node = of, "warns: {problem}");
        });
        let on_notice = self.on_notice.clone();
        let ends =
            ends.dead_letters(move |undelivered| on_notice(&Notice::DeadLettered { undelivered }));
        let failed = move |problem: String| {
            let problem = format!("transport `{transport}` of node `{node}` failed: {problem}");
            StartError::at(None, Code::TRANSPORT, problem)
        };
        let mut carried = match carry(attached.transport, ends) {
            Ok(carried) => AssertUnwindSafe(carried).catch_unwind(),
            Err(problem) => return Err(failed(problem)),
        };
        let (control, on_failure) = (self.control.clone(), self.on_failure.clone());
        self.spawn(async move {
            let ended = match select(&mut carried, pin!(control.abandoned())).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => Ok(()),
            };
            let mut carried = Some(carried);
            if let Err(panic) = ended.and(caught(&mut || carried = None)) {
                on_failure(failed(Failure::of_panic(panic).to_string()));
            }
        })
    }

    fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.iter().find(|topic| topic.name() == name)
    }

    /// Returns `problem`, the reason why links use sockets, or an error if a link requires shared
    /// memory.
    fn without_memory(&self, problem: String) -> Result<String, StartError> {
        let needs = |link: &LinkSettings| link.config.memory == MemoryUse::Required;
        let mut links = self.plan.links.iter();
        let Some((peer, link)) = links.find(|(_, link)| needs(link)) else { return Ok(problem) };
        let (node, places) = (&self.plan.node, &self.plan.places);
        let of_topic = |topic: &String| places.of(Setting::Transport(topic));
        let place = link.topic_in_memory.as_ref().and_then(of_topic);
        let place = place.or_else(|| places.of(Setting::LinkTransport(node, peer)));
        Err(StartError::without_memory(node, place, &problem))
    }

    /// Returns the error of a link with `peer` that cannot be created as the topology requests.
    fn refused(&self, peer: &str, error: &ImportError) -> StartError {
        self.failed(None, &format!("link with node `{peer}`: {error}"))
    }

    fn failed(&self, place: Option<String>, problem: &str) -> StartError {
        let problem = format!("node `{}` cannot have its links: {problem}", self.plan.node);
        StartError::at(place, Code::NO_LINKS, problem)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), StartError> {
        let service = || format!("(the links of {})", self.plan.node);
        let spawned = self.executor.spawn(Box::pin(task));
        spawned.map_err(|error| StartError::Spawn { service: service(), error })
    }
}
