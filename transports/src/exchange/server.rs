//! Serves the topics of this process to whoever connects.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::select;
use mycelium_core::link::{CloseReason, ConfigError};
use mycelium_executor::{Executor, Listener, Peer, Stream, yield_now};

use super::admission::{Admission, AdmissionTicket};
use super::connection::Connection;
use super::control::{BusyGuard, LinkPhase, PeerEnd};
use super::names::{NameBindings, NameError};
use super::served_topic::TopicEgress;
use super::{Control, Identity, LinkConfig, Notice, Observer, Redelivery};
use crate::counters::{Line, LinkValue, Region, plain};
use crate::local::{Policy, Topic, TopicError};
use crate::stream::{NodeLink, STREAMS};
use crate::sync::{AtomicU64, Ordering};

/// A topic that others may read.
#[derive(Clone, Debug)]
pub struct ExportedTopic {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The nodes that may; `None` for whoever may connect.
    pub readers: Option<Vec<String>>,
}

impl ExportedTopic {
    pub(super) fn admits(&self, node: &str) -> bool {
        self.readers.is_none() || self.names(node)
    }

    /// Whether the topic says by name that a node may read it.
    pub(super) fn names(&self, node: &str) -> bool {
        self.readers.iter().flatten().any(|reader| reader == node)
    }
}

/// Serves topics. See the [module](super).
pub struct TopicServer {
    pub(super) identity: Identity,
    pub(super) config: LinkConfig,
    pub(super) executor: Arc<dyn Executor>,
    offers: BTreeMap<String, ExportedTopic>,
    /// How links with some peers are.
    links: BTreeMap<String, LinkConfig>,
    /// What becomes of messages that a dead process had, by topic.
    redelivery: BTreeMap<String, Redelivery>,
    /// What was not confirmed when links had to stop: reader, topic and number of messages.
    undelivered: Mutex<Vec<(String, String, usize)>>,
    /// How many messages readers have confirmed.
    confirmed: AtomicU64,
    remotes: Mutex<BTreeMap<String, Remote>>,
    control: Arc<Control>,
    counters: Arc<Region>,
    pub(super) observer: Observer,
    names: NameBindings,
    pub(super) admission: Admission,
}

/// What is known of a peer, connected or not.
#[derive(Default)]
struct Remote {
    /// The topics for which it was announced, and how it reads them. If there are any, it is waited for.
    announced: BTreeMap<String, Policy>,
    connected: bool,
    boot: Option<u64>,
    /// Its taps while it is not connected.
    taps: Vec<TopicEgress>,
    /// Topics that were announced and it has not asked for yet.
    awaited: Vec<String>,
    /// Topics of which it was said that nothing more will come, which it may not have heard.
    ended: BTreeSet<String>,
}

impl Remote {
    fn is_announced(&self) -> bool {
        !self.announced.is_empty()
    }
}

impl TopicServer {
    /// A server that nobody can connect to yet.
    #[must_use]
    pub fn new(
        identity: Identity,
        config: LinkConfig,
        executor: Arc<dyn Executor>,
        control: Arc<Control>,
        counters: Arc<Region>,
        observer: Observer,
    ) -> TopicServer {
        let label = format!("link={} role=server", plain(&identity.node));
        let admission = Admission::new(&config, counters.line(&label));
        TopicServer {
            identity,
            config,
            executor,
            offers: BTreeMap::new(),
            links: BTreeMap::new(),
            redelivery: BTreeMap::new(),
            undelivered: Mutex::default(),
            confirmed: AtomicU64::new(0),
            remotes: Mutex::default(),
            control,
            counters,
            observer,
            names: NameBindings::default(),
            admission,
        }
    }

    /// Serves a topic, before the server is [run](TopicServer::run).
    pub fn add(&mut self, offer: ExportedTopic) {
        self.offers.insert(offer.topic.name().to_owned(), offer);
    }

    /// Says how the link with one peer is to be, once it has said who it is: how it batches, how often each side says that
    /// it lives, and how long the peer may be silent. Until then the server's own settings hold.
    ///
    /// # Errors
    /// If there can be no such link.
    pub fn link(&mut self, peer: &str, config: LinkConfig) -> Result<(), ConfigError> {
        config.link(&self.identity).check()?;
        self.links.insert(peer.to_owned(), config);
        Ok(())
    }

    /// Says what becomes of messages of a topic that were with a process of a reader when it died.
    pub fn redeliver(&mut self, topic: &str, redelivery: Redelivery) {
        self.redelivery.insert(topic.to_owned(), redelivery);
    }

    /// What becomes of messages of a topic that were with a process of a reader when it died.
    pub(super) fn redelivery(&self, topic: &str) -> Redelivery {
        self.redelivery.get(topic).copied().unwrap_or_default()
    }

    /// Binds the name of a node to a user: nobody else's process may have it.
    pub fn bind_user(&mut self, node: &str, user: u32) {
        self.names.bind(node, user);
    }

    /// Messages that were not confirmed when links were [stopped](Control::stop): reader, topic and
    /// number of messages. The list is complete once links have [ended](Control::ended).
    #[must_use]
    pub fn undelivered(&self) -> Vec<(String, String, usize)> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many messages readers have confirmed.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Announces that the node `reader` will want a topic of this server: from now on its messages wait for it, or are
    /// counted as missed, as `policy` says.
    ///
    /// # Errors
    /// If the topic has too many gating readers.
    pub fn announce(
        &mut self,
        reader: &str,
        topic: &Arc<Topic>,
        policy: Policy,
    ) -> Result<(), TopicError> {
        // On the way to the reader all that observe are the same: so the tap is the one that the peer will ask for.
        let policy = if policy.is_gating() { policy } else { Policy::DropOldest };
        let mut tap = TopicEgress::new(topic, reader, policy)?;
        tap.waits = Some(BusyGuard::new(&self.control));
        self.control.expect(1);
        let mut remotes = self.remotes();
        let remote = remotes.entry(reader.to_owned()).or_default();
        remote.announced.insert(topic.name().to_owned(), policy);
        remote.awaited.push(topic.name().to_owned());
        remote.taps.push(tap);
        Ok(())
    }

    /// Accepts connections until links are to stop. `welcome` says who may connect, or why not.
    pub async fn run(
        self: Arc<Self>,
        mut listener: Listener,
        welcome: impl Fn(&Peer) -> Result<(), String> + Send,
    ) {
        let stopped = self.control.until_stopped();
        let accepting = async {
            loop {
                self.admission.until_leaving(self.admission.most_leaving()).await;
                match listener.accept().await {
                    Ok((stream, peer)) => self.receive(stream, &peer, &welcome),
                    Err(error) => self.refused(&error).await,
                }
                // Tasks of connections, which may be in this executor, find out who they are.
                yield_now().await;
            }
        };
        select(pin!(accepting), pin!(stopped)).await;
    }

    /// The system did not accept a connection: makes room if that is what it lacks, or waits.
    async fn refused(&self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            return;
        }
        if is_shortage(error) && self.admission.make_room() {
            return self.admission.until_leaving(0).await;
        }
        (self.observer)(Notice::AcceptFailed { error });
        // A connection that ends may be what is lacking.
        let departure = self.admission.departure();
        let wake = self.executor.now().saturating_add(self.config.retry.longest);
        select(self.executor.sleep_until(wake), pin!(departure)).await;
    }

    /// Gives up what was announced and is not connected, at the latest when links have to stop. Whoever runs a server
    /// runs this, too.
    pub async fn wait_for_readers(self: Arc<Self>) {
        loop {
            let (phase, past) = (self.control.phase(), self.control.past_peers());
            past.iter().for_each(|node| self.passed(node));
            match phase {
                LinkPhase::Run => {}
                LinkPhase::Drain => self.settle(),
                LinkPhase::Stop => break,
            }
            self.control.until_beyond(phase, past.len()).await;
        }
        let mut remotes = self.remotes();
        for (node, remote) in &mut *remotes {
            self.give_up(node, std::mem::take(&mut remote.taps));
        }
    }

    /// The announced readers that have not taken all that there is for them, or may not have.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        let remotes = self.remotes();
        let unfinished = |remote: &Remote| remote.connected || !remote.taps.is_empty();
        let readers =
            remotes.iter().filter(|(_, remote)| remote.is_announced() && unfinished(remote));
        readers.map(|(node, _)| node.clone()).collect()
    }

    /// A reader will not come again. If it has completed, it wants nothing of what is kept for it.
    fn passed(&self, node: &str) {
        self.forgets(node);
        let mut remotes = self.remotes();
        let Some(remote) = remotes.get_mut(node) else { return };
        // While it is connected its connection has the taps.
        if self.control.past(node) == Some(PeerEnd::Completed) {
            remote.taps.clear();
        }
    }

    /// Nobody brings what is left in these any more.
    fn give_up(&self, node: &str, mut taps: Vec<TopicEgress>) {
        // Of what observers miss nobody was promised anything but to be told.
        let gating = taps.iter_mut().filter(|tap| tap.policy().is_gating());
        let left = gating.map(|tap| (node.to_owned(), tap.topic().name().to_owned(), tap.depth()));
        let left = left.filter(|(_, _, count)| *count > 0);
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
    }

    fn receive(
        self: &Arc<Self>,
        stream: Stream,
        peer: &Peer,
        welcome: &impl Fn(&Peer) -> Result<(), String>,
    ) {
        if let Err(reason) = welcome(peer) {
            return self.turn_away("", peer, CloseReason::NotAllowed, &reason);
        }
        let connection = Connection::new(self.clone(), self.admission.enter(peer));
        // An executor that has ended drops the task, and the connection with it.
        _ = self.executor.spawn(Box::pin(connection.serve(stream)));
    }

    fn turn_away(&self, node: &str, peer: &Peer, cause: CloseReason, reason: &str) {
        self.admission.count(LinkValue::TurnedAway);
        let from = Some(peer);
        (self.observer)(Notice::PeerRejected { peer: node, from, cause, reason });
    }

    /// Whether a peer may have a name.
    pub(super) fn may_have(&self, ticket: &AdmissionTicket, node: &str) -> Result<(), NameError> {
        self.names.check(&self.identity.node, &self.control, node, &ticket.peer)
    }

    /// Lets a peer in that said who it is. Gives out what was kept for it.
    pub(super) fn admit(
        &self,
        ticket: &Arc<AdmissionTicket>,
        node: &str,
        boot: u64,
    ) -> Result<Vec<TopicEgress>, CloseReason> {
        if let Err(error) = self.may_have(ticket, node) {
            self.turn_away(node, &ticket.peer, CloseReason::NotAllowed, &error.to_string());
            return Err(CloseReason::NotAllowed);
        }
        let mut remotes = self.remotes();
        if remotes.get(node).is_some_and(|remote| remote.connected) {
            drop(remotes);
            // Its connection before is about to end, or somebody has taken its name.
            let (cause, reason) =
                (CloseReason::NameTaken, "another process of this name is connected");
            self.turn_away(node, &ticket.peer, cause, reason);
            return Err(cause);
        }
        let is_announced = remotes.get(node).is_some_and(Remote::is_announced);
        let announced = remotes.values().filter(|remote| remote.is_announced()).count();
        if !self.admission.name(ticket, is_announced, announced) {
            drop(remotes);
            let reason = "there are as many connections as there may be";
            self.turn_away(node, &ticket.peer, CloseReason::Busy, reason);
            return Err(CloseReason::Busy);
        }
        let remote = remotes.entry(node.to_owned()).or_default();
        remote.connected = true;
        let mut taps = std::mem::take(&mut remote.taps);
        let mut given_up = Vec::new();
        if remote.boot.replace(boot).is_some_and(|before| before != boot) {
            for tap in &mut taps {
                let redelivery = self.redelivery(tap.topic().name());
                given_up.append(&mut tap.reader_died(redelivery));
            }
        }
        // From here on its connection is busy with them.
        taps.iter_mut().for_each(|tap| tap.waits = None);
        drop(remotes);
        for undelivered in &given_up {
            (self.observer)(Notice::DeadLettered { undelivered });
        }
        (self.observer)(Notice::Connected { peer: node });
        Ok(taps)
    }

    /// How a peer reads a topic for which it was announced.
    pub(super) fn announced(&self, node: &str, topic: &str) -> Option<Policy> {
        self.remotes().get(node)?.announced.get(topic).copied()
    }

    /// A peer has asked for a topic.
    pub(super) fn wanted(&self, node: &str, topic: &str) {
        let mut remotes = self.remotes();
        let Some(remote) = remotes.get_mut(node) else { return };
        let before = remote.awaited.len();
        remote.awaited.retain(|awaited| awaited != topic);
        if remote.awaited.len() < before {
            self.control.found();
        }
    }

    /// A peer is told that nothing more will come of a topic.
    pub(super) fn says_ended(&self, node: &str, topic: &str) {
        let mut remotes = self.remotes();
        if let Some(remote) = remotes.get_mut(node).filter(|remote| remote.is_announced()) {
            remote.ended.insert(topic.to_owned());
        }
    }

    /// Whether a peer was told before that nothing more will come of a topic.
    pub(super) fn said_ended(&self, node: &str, topic: &str) -> bool {
        self.remotes().get(node).is_some_and(|remote| remote.ended.contains(topic))
    }

    /// A peer's connection has ended. Its taps wait for it if it was announced.
    pub(super) fn left(&self, node: &str, mut taps: Vec<TopicEgress>) {
        let mut remotes = self.remotes();
        let Some(remote) = remotes.get_mut(node) else { return };
        remote.connected = false;
        if !remote.is_announced() {
            // NameBindings of strangers are not collected.
            remotes.remove(node);
        } else if self.control.past(node) == Some(PeerEnd::Completed) {
            taps.clear();
        } else if self.control.phase() < LinkPhase::Stop {
            taps.iter_mut().for_each(|tap| tap.waits = Some(BusyGuard::new(&self.control)));
            remote.taps = taps;
        } else {
            self.give_up(node, taps);
        }
        drop(remotes);
        if self.control.phase() > LinkPhase::Run {
            self.settle();
        }
    }

    /// Once no publisher sends any more: gives up taps that have nothing left. If the publishers have ended for good, even
    /// that is something that their readers have to be told.
    fn settle(&self) {
        let mut remotes = self.remotes();
        for remote in remotes.values_mut() {
            remote.taps.retain_mut(|tap| self.keeps(tap));
        }
    }

    /// Whether a tap that nobody has asked for is kept, once no publisher sends any more.
    pub(super) fn keeps(&self, tap: &mut TopicEgress) -> bool {
        !self.control.is_shutdown() || tap.depth() > 0
    }

    /// A reader has confirmed `count` more messages.
    pub(super) fn add_confirmed(&self, count: u64) {
        self.confirmed.fetch_add(count, Ordering::Relaxed);
    }

    /// Who connects is not known yet, so there is room for whoever it is.
    pub(super) fn buffer(&self) -> usize {
        let links = self.links.values().chain([&self.config]);
        let buffers = links.map(|config| config.buffer.max(config.batching.bytes));
        buffers.max().unwrap_or(0).max(NodeLink::MIN_BUFFER)
    }

    pub(super) fn link_with(&self, node: &str) -> &LinkConfig {
        self.links.get(node).unwrap_or(&self.config)
    }

    /// A peer has said goodbye: what it has not asked for it does not want.
    pub(super) fn forgets(&self, node: &str) {
        let mut remotes = self.remotes();
        let Some(remote) = remotes.get_mut(node) else { return };
        remote.awaited.drain(..).for_each(|_| self.control.found());
    }

    /// A peer takes no more publishers.
    pub(super) fn crowded(&self, node: &str, topic: &str) {
        (self.observer)(Notice::StreamLimit { peer: node, topic, limit: STREAMS });
    }

    pub(super) fn offer(&self, topic: &str) -> Option<&ExportedTopic> {
        self.offers.get(topic)
    }

    pub(super) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    pub(super) fn line(&self, node: &str) -> Line<LinkValue> {
        self.counters.line(&format!("link={} role=publisher", plain(node)))
    }

    fn remotes(&self) -> MutexGuard<'_, BTreeMap<String, Remote>> {
        self.remotes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the system has no descriptor or memory for another connection.
fn is_shortage(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        Errno::from_io_error(error).is_some_and(|error| shortages.contains(&error))
    }
    #[cfg(not(target_os = "linux"))]
    {
        error.kind() == io::ErrorKind::OutOfMemory
    }
}

impl std::fmt::Debug for TopicServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicServer").field("node", &self.identity.node).finish_non_exhaustive()
    }
}
