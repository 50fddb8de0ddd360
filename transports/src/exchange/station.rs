//! Serves the topics of this process to whoever connects.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};
use mycelium_core::link::{Batching, CloseReason};
use mycelium_executor::{Executor, Listener, Peer, Stream};

use super::connection::{Connection, Stranger};
use super::control::{Busy, Past, Phase};
use super::served::KeptTap;
use super::{Control, Identity, LinkConfig, Notice, Observer, Redelivery};
use crate::counters::{Line, LinkValue, Region, plain};
use crate::local::{Policy, Topic, TopicError};
use crate::stream::{NodeLink, STREAMS};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// A topic that others may read.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The nodes that may; `None` for whoever may connect.
    pub readers: Option<Vec<String>>,
}

impl Offer {
    pub(super) fn admits(&self, node: &str) -> bool {
        self.readers.as_ref().is_none_or(|readers| readers.iter().any(|reader| reader == node))
    }
}

/// Serves topics. See the [module](super).
pub struct Station {
    pub(super) identity: Identity,
    pub(super) config: LinkConfig,
    pub(super) executor: Arc<dyn Executor>,
    offers: BTreeMap<String, Offer>,
    /// How links with some peers batch.
    batching: BTreeMap<String, Batching>,
    /// What becomes of messages that a dead process had, by topic.
    redelivery: BTreeMap<String, Redelivery>,
    /// What was left when links had to stop: reader, topic, and how many messages.
    undelivered: Mutex<Vec<(String, String, usize)>>,
    /// How many messages have arrived.
    arrived: AtomicU64,
    remotes: Mutex<BTreeMap<String, Remote>>,
    control: Arc<Control>,
    counters: Arc<Region>,
    pub(super) observer: Observer,
    pub(super) connections: AtomicUsize,
    pub(super) handshakes: AtomicUsize,
}

/// What is known of a peer, connected or not.
#[derive(Default)]
struct Remote {
    /// It was announced, and is waited for.
    announced: bool,
    connected: bool,
    boot: Option<u64>,
    /// Its taps while it is not connected.
    taps: Vec<KeptTap>,
    /// Topics that were announced and it has not asked for yet.
    awaited: Vec<String>,
    /// Topics of which it was said that nothing more will come, which it may not have heard.
    ended: BTreeSet<String>,
}

impl Station {
    /// A station that nobody can connect to yet.
    #[must_use]
    pub fn new(
        identity: Identity,
        config: LinkConfig,
        executor: Arc<dyn Executor>,
        control: Arc<Control>,
        counters: Arc<Region>,
        observer: Observer,
    ) -> Station {
        Station {
            identity,
            config,
            executor,
            offers: BTreeMap::new(),
            batching: BTreeMap::new(),
            redelivery: BTreeMap::new(),
            undelivered: Mutex::default(),
            arrived: AtomicU64::new(0),
            remotes: Mutex::default(),
            control,
            counters,
            observer,
            connections: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
        }
    }

    /// Serves a topic, before the station is [run](Station::run).
    pub fn add(&mut self, offer: Offer) {
        self.offers.insert(offer.topic.name().to_owned(), offer);
    }

    /// Says how the link with one peer is to batch.
    pub fn batch(&mut self, peer: &str, batching: Batching) {
        self.batching.insert(peer.to_owned(), batching);
    }

    /// Says what becomes of messages of a topic that were with a process of a reader when it died.
    pub fn redeliver(&mut self, topic: &str, redelivery: Redelivery) {
        self.redelivery.insert(topic.to_owned(), redelivery);
    }

    /// What had not arrived when links were [stopped](Control::stop): reader, topic, and how many messages. All of it is
    /// there once they have [ended](Control::ended).
    #[must_use]
    pub fn undelivered(&self) -> Vec<(String, String, usize)> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many messages have arrived at their readers.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Announces that the node `reader` will want a topic of this station: from now on its messages wait for it, or are
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
        let mut tap = KeptTap::new(topic, reader, policy)?;
        tap.waits = Some(Busy::new(&self.control));
        self.control.expect(1);
        let mut remotes = self.remotes();
        let remote = remotes.entry(reader.to_owned()).or_default();
        remote.announced = true;
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
        loop {
            let accepted = {
                let stopped = pin!(self.control.until_stopped());
                match select(pin!(listener.accept()), stopped).await {
                    Either::Left((accepted, _)) => accepted,
                    Either::Right(_) => return,
                }
            };
            match accepted {
                Ok((stream, peer)) => self.receive(stream, &peer, &welcome),
                Err(error) => {
                    (self.observer)(Notice::Deaf { error: &error });
                    // Out of descriptors, say: it may be better later, and is no reason to spin.
                    let wake = self.executor.now() + self.config.retry.longest;
                    select(self.executor.sleep_until(wake), pin!(self.control.until_stopped()))
                        .await;
                }
            }
        }
    }

    /// Gives up what was announced and is not connected, at the latest when links have to stop. Whoever runs a station
    /// runs this, too.
    pub async fn wait_for_readers(self: Arc<Self>) {
        loop {
            let (phase, past) = (self.control.phase(), self.control.past_peers());
            past.iter().for_each(|node| self.passed(node));
            match phase {
                Phase::Run => {}
                Phase::Drain => self.settle(),
                Phase::Stop => break,
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
        let readers = remotes.iter().filter(|(_, remote)| remote.announced && unfinished(remote));
        readers.map(|(node, _)| node.clone()).collect()
    }

    /// A reader will not come again. If it has completed, it wants nothing of what is kept for it.
    fn passed(&self, node: &str) {
        self.forgets(node);
        let mut remotes = self.remotes();
        let Some(remote) = remotes.get_mut(node) else { return };
        // While it is connected its connection has the taps.
        if self.control.past(node) == Some(Past::Completed) {
            remote.taps.clear();
        }
    }

    /// Nobody brings what is left in these any more.
    fn give_up(&self, node: &str, mut taps: Vec<KeptTap>) {
        let left = taps
            .iter_mut()
            .map(|tap| (node.to_owned(), tap.topic().name().to_owned(), tap.depth()));
        let left = left.filter(|(_, _, count)| *count > 0);
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
    }

    fn receive(
        self: &Arc<Self>,
        stream: Stream,
        peer: &Peer,
        welcome: &impl Fn(&Peer) -> Result<(), String>,
    ) {
        let refused = match welcome(peer) {
            Err(reason) => Some(reason),
            Ok(()) if self.connections.load(Ordering::Relaxed) >= self.config.connections => {
                Some(format!("there are {} connections, the most", self.config.connections))
            }
            Ok(()) if self.handshakes.load(Ordering::Relaxed) >= self.config.handshakes => {
                Some(format!("{} others have not said who they are", self.config.handshakes))
            }
            Ok(()) => None,
        };
        if let Some(reason) = refused {
            let peer = peer.to_string();
            return (self.observer)(Notice::TurnedAway { peer: &peer, reason: &reason });
        }
        let (connection, stranger) = (Connection::new(self.clone()), Stranger::new(self.clone()));
        // An executor that has ended drops the task, and the connection with it.
        _ = self.executor.spawn(Box::pin(connection.serve(stream, stranger)));
    }

    /// Lets a peer in that said who it is. Gives out what was kept for it.
    pub(super) fn admit(&self, node: &str, boot: u64) -> Result<Vec<KeptTap>, CloseReason> {
        let mut remotes = self.remotes();
        let remote = remotes.entry(node.to_owned()).or_default();
        if remote.connected {
            // Its connection before is about to end, or somebody has taken its name.
            let (peer, reason) = (&*format!("`{node}`"), "somebody of this name is connected");
            (self.observer)(Notice::TurnedAway { peer, reason });
            return Err(CloseReason::Busy);
        }
        remote.connected = true;
        let mut taps = std::mem::take(&mut remote.taps);
        let mut given_up = Vec::new();
        if remote.boot.replace(boot).is_some_and(|before| before != boot) {
            for tap in &mut taps {
                let redelivery = self.redelivery.get(tap.topic().name()).copied();
                given_up.append(&mut tap.reader_died(redelivery.unwrap_or_default()));
            }
        }
        // From here on its connection is busy with them.
        taps.iter_mut().for_each(|tap| tap.waits = None);
        drop(remotes);
        for undelivered in &given_up {
            (self.observer)(Notice::GivenUp { undelivered });
        }
        (self.observer)(Notice::Up { peer: node });
        Ok(taps)
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
        if let Some(remote) = remotes.get_mut(node).filter(|remote| remote.announced) {
            remote.ended.insert(topic.to_owned());
        }
    }

    /// Whether a peer was told before that nothing more will come of a topic.
    pub(super) fn said_ended(&self, node: &str, topic: &str) -> bool {
        self.remotes().get(node).is_some_and(|remote| remote.ended.contains(topic))
    }

    /// A peer's connection has ended. Its taps wait for it if it was announced.
    pub(super) fn left(&self, node: &str, mut taps: Vec<KeptTap>) {
        let mut remotes = self.remotes();
        let Some(remote) = remotes.get_mut(node) else { return };
        remote.connected = false;
        if !remote.announced {
            // Names of strangers are not collected.
            remotes.remove(node);
        } else if self.control.past(node) == Some(Past::Completed) {
            taps.clear();
        } else if self.control.phase() < Phase::Stop {
            taps.iter_mut().for_each(|tap| tap.waits = Some(Busy::new(&self.control)));
            remote.taps = taps;
        } else {
            self.give_up(node, taps);
        }
        drop(remotes);
        if self.control.phase() > Phase::Run {
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
    pub(super) fn keeps(&self, tap: &mut KeptTap) -> bool {
        !self.control.is_shutdown() || tap.depth() > 0
    }

    pub(super) fn arrived(&self, count: u64) {
        self.arrived.fetch_add(count, Ordering::Relaxed);
    }

    /// Who connects is not known yet, so there is room for whoever it is.
    pub(super) fn buffer(&self) -> usize {
        let batches = self.batching.values().map(|batching| batching.bytes);
        batches.max().unwrap_or(0).max(self.config.buffer).max(NodeLink::LEAST)
    }

    pub(super) fn batching(&self, node: &str) -> Batching {
        self.batching.get(node).copied().unwrap_or(self.config.batching)
    }

    /// A peer has said goodbye: what it has not asked for it does not want.
    pub(super) fn forgets(&self, node: &str) {
        let mut remotes = self.remotes();
        let Some(remote) = remotes.get_mut(node) else { return };
        remote.awaited.drain(..).for_each(|_| self.control.found());
    }

    /// A peer takes no more publishers.
    pub(super) fn crowded(&self, node: &str, topic: &str) {
        (self.observer)(Notice::Crowded { peer: node, topic, limit: STREAMS });
    }

    pub(super) fn offer(&self, topic: &str) -> Option<&Offer> {
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

impl std::fmt::Debug for Station {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Station").field("node", &self.identity.node).finish_non_exhaustive()
    }
}
