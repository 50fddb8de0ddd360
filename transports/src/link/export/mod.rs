//! The publishers' side of links. [`Exports`] has the exported topics of this process and the state
//! of each reader; it outlives connections. `accept` accepts connections of peers for which
//! `admission` has a place, and a `session` serves each of them. A message goes from the topic's
//! tap (`served_topic`) through `outgoing_stream` to the link, or stays in shared memory
//! (`outgoing_memory`, which also has the state of a stream). `redelivery` tracks which messages a
//! reader may have had.

mod accept;
mod admission;
mod outgoing_memory;
mod outgoing_stream;
mod redelivery;
mod served_topic;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use mycelium_core::link::{CloseReason, Config, ConfigError};
use mycelium_executor::{Executor, Peer};

use super::config::{ExportedTopic, Identity, LinkConfig, MemoryUse};
use super::layout::CatalogueEntry;
use super::notice::{Notice, Observer};
use crate::counters::{LinkValue, Region, plain};
use crate::local::{Policy, Topic, TopicError};
use crate::memory::ControlThread;
use crate::seam::{BusyGuard, Control, PeerEnd, Phase};
use crate::stream::NodeLink;
use crate::sync::{AtomicU64, Ordering, lock};
use admission::{Admission, AdmissionTicket, NameBindings};
use outgoing_memory::OutgoingMemory;
use served_topic::TopicTap;

pub use redelivery::Redelivery;

// Exported topics and the state of each reader.
//
// A session asks here whether a reader may have its name and a topic. When its connection ends, it
// leaves here the messages that the reader has not confirmed.

/// Serves topics to readers in other processes. See the [module](crate::link).
pub struct Exports {
    identity: Identity,
    config: LinkConfig,
    executor: Arc<dyn Executor>,
    exported: BTreeMap<String, ExportedTopic>,
    /// Settings of single links, by reader. All other links have the general ones.
    links: BTreeMap<String, LinkConfig>,
    /// What happens to messages in flight when a reader's process dies, by topic.
    redelivery: BTreeMap<String, Redelivery>,
    /// The reader that may get a message more than once, and of which no death is counted.
    recorder: Option<String>,
    /// Topics whose messages are not needed once this process shuts down.
    transient: BTreeSet<String>,
    /// Topics whose streams never move to shared memory.
    on_socket: BTreeSet<String>,
    /// The readers that may read a topic with a list of readers over plain TCP, by topic.
    believed: BTreeMap<String, BTreeSet<String>>,
    /// The messages that were not confirmed when links had to stop: reader, topic, number of
    /// messages.
    undelivered: Mutex<Vec<(String, String, usize)>>,
    /// How many messages readers have confirmed.
    confirmed: AtomicU64,
    readers: Mutex<BTreeMap<String, RemoteReader>>,
    /// The readers that were not announced and have left.
    past_readers: Mutex<PastReaders>,
    control: Arc<Control>,
    counters: Arc<Region>,
    observer: Observer,
    names: NameBindings,
    admission: Admission,
    /// Passes shared memory to readers; `None` if all messages go over links.
    memory: Option<Arc<ControlThread>>,
}

/// A reader in another process, connected or not.
#[derive(Default)]
struct RemoteReader {
    /// The topics for which the reader was announced, with its policy for each. Publishers wait for
    /// a reader that was announced for at least one topic.
    announced: BTreeMap<String, Policy>,
    connected: bool,
    boot: Option<u64>,
    /// An earlier process of the reader may have read from here.
    is_later: bool,
    /// The reader closed its last connection because its process ends.
    has_left: bool,
    /// The reader has broken the protocol in shared memory, and its messages were dropped.
    is_let_go: bool,
    /// The messages that the reader has not confirmed, while it is not connected.
    parked: Vec<TopicTap>,
    /// The topics for which the reader was announced and to which it has not subscribed yet.
    awaited: Vec<String>,
    /// The topics whose end was sent to the reader, which may not have received it.
    ended: BTreeSet<String>,
}

impl RemoteReader {
    fn is_announced(&self) -> bool {
        !self.announced.is_empty()
    }
}

/// Methods of the owner, which sets the exports up and reads the results.
impl Exports {
    /// Creates exports without topics, which accept no connections yet.
    #[must_use]
    pub fn new(
        identity: Identity,
        config: LinkConfig,
        executor: Arc<dyn Executor>,
        control: Arc<Control>,
        counters: Arc<Region>,
        observer: Observer,
    ) -> Exports {
        let label = format!("link={} role=server", plain(&identity.node));
        let admission = Admission::new(&config, counters.line(&label));
        Exports {
            identity,
            config,
            executor,
            exported: BTreeMap::new(),
            links: BTreeMap::new(),
            redelivery: BTreeMap::new(),
            recorder: None,
            transient: BTreeSet::new(),
            on_socket: BTreeSet::new(),
            believed: BTreeMap::new(),
            undelivered: Mutex::default(),
            confirmed: AtomicU64::new(0),
            readers: Mutex::default(),
            past_readers: Mutex::default(),
            control,
            counters,
            observer,
            names: NameBindings::default(),
            admission,
            memory: None,
        }
    }

    /// Exports a topic. Call it before [`run`](Exports::run).
    pub fn add(&mut self, topic: ExportedTopic) {
        self.exported.insert(topic.topic.name().to_owned(), topic);
    }

    /// Sets how the link with one peer batches, and its keep-alive interval and silence limit. The
    /// general settings apply until the peer has sent its name.
    ///
    /// # Errors
    /// If no link can have these settings.
    pub fn link(&mut self, peer: &str, config: LinkConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.links.insert(peer.to_owned(), config);
        Ok(())
    }

    /// Lets readers on this machine read topics in shared memory, if their rings lie in
    /// [`RingMemory::Shared`](crate::local::RingMemory::Shared). `control` must listen where the
    /// [`MemoryAccess`](crate::link::MemoryAccess) of the readers says.
    pub fn share_memory(&mut self, control: Arc<ControlThread>) {
        self.memory = Some(control);
    }

    /// Sets what happens to the messages of a topic that are in flight when a reader's process
    /// dies.
    pub fn redeliver(&mut self, topic: &str, redelivery: Redelivery) {
        self.redelivery.insert(topic.to_owned(), redelivery);
    }

    /// Sets the reader that records: a message in flight when its process dies is sent to its next
    /// one, whatever the topic says, and is not to blame.
    pub fn set_recorder(&mut self, reader: &str) {
        self.recorder = Some(reader.to_owned());
    }

    /// Marks a topic as transient: at a shutdown, links do not wait until readers have confirmed
    /// its messages, and unconfirmed messages do not count as undelivered.
    pub fn set_transient(&mut self, topic: &str) {
        self.transient.insert(topic.to_owned());
    }

    /// Keeps the messages of a topic on the sockets of its links, even where these links use shared
    /// memory.
    pub fn keep_on_socket(&mut self, topic: &str) {
        self.on_socket.insert(topic.to_owned());
    }

    /// Lets the peer that states this name read a topic over plain TCP, if the topic's `readers`
    /// name it. Otherwise such a topic is not sent over plain TCP, which proves no name.
    pub fn believe(&mut self, reader: &str, topic: &str) {
        self.believed.entry(topic.to_owned()).or_default().insert(reader.to_owned());
    }

    /// Binds the name of a node to a user: processes of other users may not have it.
    pub fn bind_user(&mut self, node: &str, user: u32) {
        self.names.users.insert(node.to_owned(), user);
    }

    /// Binds the name of a node to this machine, where it connects by a Unix socket. A peer over
    /// TCP cannot have the name.
    pub fn bind_near(&mut self, node: &str) {
        self.names.near.insert(node.to_owned());
    }

    /// Announces that the node `reader` will subscribe to a topic. From now on, `policy` decides
    /// whether messages wait for it or are counted as missed.
    ///
    /// # Errors
    /// If the topic has too many gating readers.
    pub fn announce(
        &mut self,
        reader: &str,
        topic: &Arc<Topic>,
        policy: Policy,
    ) -> Result<(), TopicError> {
        let mut tap = TopicTap::new(topic, reader, policy)?;
        tap.is_new = false;
        tap.parked = Some(BusyGuard::new(&self.control));
        self.control.expect(1);
        let mut readers = lock(&self.readers);
        let reader = readers.entry(reader.to_owned()).or_default();
        reader.announced.insert(topic.name().to_owned(), tap.reader.policy());
        reader.awaited.push(topic.name().to_owned());
        reader.parked.push(tap);
        Ok(())
    }

    /// Releases messages that are kept for unconnected readers: those of a reader that will not run
    /// again, and all others when links have to stop. Run this future beside [`run`](Exports::run).
    pub async fn wait_for_readers(self: Arc<Self>) {
        loop {
            let (phase, ended) = (self.control.phase(), self.control.ended_peer_names());
            ended.iter().for_each(|node| self.release_ended(node));
            match phase {
                Phase::Run => {}
                Phase::Drain => self.release_idle(),
                Phase::Stop | Phase::Over => break,
            }
            self.control.until_beyond(phase, ended.len()).await;
        }
        let mut readers = lock(&self.readers);
        for (node, reader) in &mut *readers {
            self.count_undelivered(node, std::mem::take(&mut reader.parked));
        }
    }

    /// Returns the announced readers that have not confirmed all of their messages.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        let readers = lock(&self.readers);
        let unfinished = |reader: &RemoteReader| reader.connected || !reader.parked.is_empty();
        let unfinished =
            readers.iter().filter(|(_, reader)| reader.is_announced() && unfinished(reader));
        unfinished.map(|(node, _)| node.clone()).collect()
    }

    /// Returns the messages that were not confirmed when links were [stopped](Control::stop):
    /// reader, topic and number of messages. The list is complete once links have
    /// [ended](Control::ended).
    #[must_use]
    pub fn undelivered(&self) -> Vec<(String, String, usize)> {
        lock(&self.undelivered).clone()
    }

    /// Whether a reader has broken the protocol in shared memory. No messages are kept for it after
    /// that, so its messages are undelivered, even if the links had enough time.
    #[must_use]
    pub fn has_let_go(&self, reader: &str) -> bool {
        lock(&self.readers).get(reader).is_some_and(|reader| reader.is_let_go)
    }

    /// Returns how many messages readers have confirmed.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Releases the kept messages of a reader that will not run again. A reader that has completed
    /// needs none of them.
    fn release_ended(&self, node: &str) {
        self.expect_no_more(node);
        let mut readers = lock(&self.readers);
        let Some(reader) = readers.get_mut(node) else { return };
        // While the reader is connected, its session has the kept messages, and nothing is parked
        // here.
        if self.control.peer_end(node) == Some(PeerEnd::Completed) {
            reader.parked.clear();
        }
    }

    /// Drops the messages of a reader that has broken the protocol. No messages are kept for it any
    /// more, and publishers do not wait for it.
    fn let_go(&self, node: &str, taps: Vec<TopicTap>) {
        self.expect_no_more(node);
        if let Some(reader) = lock(&self.readers).get_mut(node) {
            reader.is_let_go = true;
        }
        self.count_undelivered(node, taps);
    }

    /// Counts parked messages that were kept for a reader as undelivered.
    fn count_undelivered(&self, node: &str, mut parked: Vec<TopicTap>) {
        // An observer gets gaps for messages that it misses, so they are not undelivered.
        let kept = parked.iter_mut().filter(|tap| self.is_kept(tap));
        let left = kept.map(|tap| (tap.topic().to_owned(), tap.reader.held()));
        let mut undelivered = lock(&self.undelivered);
        for (topic, count) in left.filter(|(_, count)| *count > 0) {
            let mut known = undelivered.iter_mut();
            match known.find(|known| (&*known.0, &*known.1) == (node, &*topic)) {
                Some(known) => known.2 += count,
                None => undelivered.push((node.to_owned(), topic, count)),
            }
        }
    }

    /// Drops parked messages that need not be kept, once no publisher sends any more.
    fn release_idle(&self) {
        for (node, reader) in &mut *lock(&self.readers) {
            let is_expected = self.is_expected(node, reader);
            reader.parked.retain_mut(|tap| self.keeps(tap, is_expected));
        }
    }

    /// Whether a reader will probably connect (again): it has connected before, or the launcher
    /// runs it or will run it; and it has not left since.
    fn is_expected(&self, node: &str, reader: &RemoteReader) -> bool {
        let is_known = reader.boot.is_some() || self.control.bound(node).is_some();
        is_known && !reader.has_left && self.control.peer_end(node).is_none()
    }
}

/// Methods for sessions.
impl Exports {
    /// Whether a topic names a peer as one of its readers, and the name is proven or believed.
    fn grants(&self, exported: &ExportedTopic, peer: &str, ticket: &AdmissionTicket) -> bool {
        let is_believed = || {
            let believed = self.believed.get(exported.topic.name());
            believed.is_some_and(|readers| readers.contains(peer))
        };
        exported.names(peer) && (!ticket.is_unproven() || is_believed())
    }

    /// Whether a peer may read a topic.
    fn admits(&self, exported: &ExportedTopic, peer: &str, ticket: &AdmissionTicket) -> bool {
        exported.readers.is_none() || self.grants(exported, peer, ticket)
    }

    /// Returns the topics that a peer may read.
    fn catalogue(&self, peer: &str, ticket: &AdmissionTicket) -> Vec<CatalogueEntry> {
        let exported = self.exported.values();
        let admitted = exported.filter(|exported| self.admits(exported, peer, ticket));
        admitted.map(|exported| CatalogueEntry::of(&exported.topic)).collect()
    }

    /// Returns the settings of the link with a reader.
    fn link_with(&self, node: &str) -> &LinkConfig {
        self.links.get(node).unwrap_or(&self.config)
    }

    /// Creates the shared memory of a connection with this reader; `None` if the reader uses none.
    fn memory_for(&self, node: &str, peer: &Peer) -> Option<OutgoingMemory> {
        let control = self.memory.as_ref()?;
        match peer {
            Peer::Unix(credentials) if self.link_with(node).memory != MemoryUse::Never => {
                Some(OutgoingMemory::new(control, credentials.process, &self.executor))
            }
            _ => None,
        }
    }

    /// Returns the settings of a link whose reader is not known yet.
    fn link_config(&self) -> Config {
        Config { memory: self.memory.is_some(), ..self.config.link(&self.identity) }
    }

    /// Returns the size of a link's buffer in bytes. It is large enough for every reader, because
    /// the peer is not known yet.
    fn buffer(&self) -> usize {
        let links = self.links.values().chain([&self.config]);
        let buffers = links.map(|config| config.buffer.max(config.batching.bytes));
        buffers.max().unwrap_or(0).max(NodeLink::MIN_BUFFER)
    }

    /// Returns what happens to the messages of a topic that are in flight when a reader's process
    /// dies.
    fn redelivery(&self, reader: &str, topic: &str) -> Redelivery {
        if self.is_recorder(reader) {
            return Redelivery::AtLeastOnce { deaths: 0 };
        }
        self.redelivery.get(topic).copied().unwrap_or_default()
    }

    fn is_recorder(&self, reader: &str) -> bool {
        self.recorder.as_deref() == Some(reader)
    }

    /// Checks that a peer may have a name.
    ///
    /// # Errors
    /// If the peer may not have the name: the reason as text.
    fn check_name(&self, ticket: &AdmissionTicket, node: &str) -> Result<(), String> {
        self.names.check(&self.identity.node, &self.control, node, ticket)
    }

    /// Admits a peer that has sent its name. Returns the messages that were kept for it.
    fn admit(
        &self,
        ticket: &Arc<AdmissionTicket>,
        node: &str,
        boot: u64,
    ) -> Result<Vec<TopicTap>, CloseReason> {
        let rejected = |cause, reason: &str| {
            self.reject(node, &ticket.peer, cause, reason);
            Err(cause)
        };
        if let Err(reason) = self.check_name(ticket, node) {
            return rejected(CloseReason::NotAllowed, &reason);
        }
        let mut readers = lock(&self.readers);
        if readers.get(node).is_some_and(|reader| reader.connected) {
            drop(readers);
            // Either the reader's earlier connection is about to end, or another process has its
            // name.
            let reason = "another process with this name is connected";
            return rejected(CloseReason::NameTaken, reason);
        }
        let is_announced = readers.get(node).is_some_and(RemoteReader::is_announced);
        let announced = readers.values().filter(|reader| reader.is_announced()).count();
        if !self.admission.name(ticket, is_announced, announced) {
            drop(readers);
            return rejected(CloseReason::Busy, "the limit of connections is reached");
        }
        let reader = readers.entry(node.to_owned()).or_default();
        (reader.connected, reader.has_left) = (true, false);
        let mut parked = std::mem::take(&mut reader.parked);
        let mut dead_letters = Vec::new();
        let is_later = || lock(&self.past_readers).may_be_later(node, boot);
        reader.is_later |= reader.boot.map_or_else(is_later, |before| before != boot);
        if reader.boot.replace(boot).is_some_and(|before| before != boot) {
            for tap in &mut parked {
                let redelivery = self.redelivery(node, tap.topic());
                dead_letters.append(&mut tap.reader_died(redelivery));
            }
        }
        // Drops the guards of the parked messages: from now on the connection keeps the links busy.
        parked.iter_mut().for_each(|tap| tap.parked = None);
        drop(readers);
        for undelivered in &dead_letters {
            (self.observer)(Notice::DeadLettered { undelivered });
        }
        (self.observer)(Notice::Connected { peer: node, boot });
        Ok(parked)
    }

    /// Counts and reports a peer that is not admitted.
    fn reject(&self, node: &str, peer: &Peer, cause: CloseReason, reason: &str) {
        self.admission.count(LinkValue::RejectedPeers);
        (self.observer)(Notice::PeerRejected { peer: node, from: Some(peer), cause, reason });
    }

    /// Calls `read` with the state of a reader, if it is known.
    fn reader<R>(&self, node: &str, read: impl FnOnce(&mut RemoteReader) -> R) -> Option<R> {
        lock(&self.readers).get_mut(node).map(read)
    }

    /// Returns the policy of a reader that was announced for a topic.
    fn announced(&self, node: &str, topic: &str) -> Option<Policy> {
        self.reader(node, |reader| reader.announced.get(topic).copied())?
    }

    /// Records that a reader has subscribed to a topic.
    fn subscribed(&self, node: &str, topic: &str) {
        let mut readers = lock(&self.readers);
        let Some(reader) = readers.get_mut(node) else { return };
        let before = reader.awaited.len();
        reader.awaited.retain(|awaited| awaited != topic);
        if reader.awaited.len() < before {
            self.control.found();
        }
    }

    /// Stops waiting for subscriptions of a reader that has closed its link or will not run again.
    fn expect_no_more(&self, node: &str) {
        let mut readers = lock(&self.readers);
        let Some(reader) = readers.get_mut(node) else { return };
        reader.awaited.drain(..).for_each(|_| self.control.found());
    }

    /// Records that the end of a topic is sent to a reader.
    fn sent_end(&self, node: &str, topic: &str) {
        let mut readers = lock(&self.readers);
        if let Some(reader) = readers.get_mut(node).filter(|reader| reader.is_announced()) {
            reader.ended.insert(topic.to_owned());
        }
    }

    /// Adds `count` to the messages that readers have confirmed.
    fn add_confirmed(&self, count: u64) {
        self.confirmed.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether to keep messages to which no reader has subscribed, once no publisher sends any
    /// more. A final end is kept even without messages, because it must be sent to the reader. At a
    /// shutdown, links wait for an observing reader only if it [is expected](Self::is_expected).
    fn keeps(&self, tap: &mut TopicTap, is_expected: bool) -> bool {
        let is_needed = self.is_kept(tap) || is_expected && !self.transient.contains(tap.topic());
        !self.control.is_shutdown() || is_needed && tap.reader.depth() > 0
    }

    /// Whether to keep messages of topics to which a connected reader has not subscribed yet.
    fn keeps_any(&self, node: &str, parked: &mut [TopicTap]) -> bool {
        let readers = lock(&self.readers);
        let is_expected = readers.get(node).is_some_and(|reader| self.is_expected(node, reader));
        parked.iter_mut().any(|tap| self.keeps(tap, is_expected))
    }

    /// Whether messages of this topic are kept for an absent reader. Kept messages that are not
    /// confirmed when the node ends count as lost.
    fn is_kept(&self, tap: &TopicTap) -> bool {
        tap.reader.policy().is_gating() && !self.transient.contains(tap.topic())
    }

    /// Handles the end of a connection with the reader `node`. Until this node stops, the
    /// unconfirmed messages are kept for the reader's next connection, if the reader was
    /// [announced](Self::announce) and has not completed.
    fn disconnected(&self, node: &str, mut taps: Vec<TopicTap>) {
        let mut readers = lock(&self.readers);
        let Some(reader) = readers.get_mut(node) else { return };
        reader.connected = false;
        if !reader.is_announced() {
            // Keeps no state for a reader that was not announced: otherwise any peer could fill the
            // memory with names.
            if let Some(RemoteReader { boot: Some(boot), is_later, .. }) = readers.remove(node) {
                lock(&self.past_readers).left(node, boot, is_later);
            }
        } else if self.control.peer_end(node) == Some(PeerEnd::Completed) {
            taps.clear();
        } else if self.control.phase() < Phase::Stop {
            for tap in &mut taps {
                tap.is_new = false;
                tap.parked = Some(BusyGuard::new(&self.control));
            }
            reader.parked = taps;
        } else {
            self.count_undelivered(node, taps);
        }
        drop(readers);
        if self.control.phase() > Phase::Run {
            self.release_idle();
        }
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exports").field("node", &self.identity.node).finish_non_exhaustive()
    }
}

// Past readers, for which no messages are kept. They show whether a process may be a later process
// of its node.

/// The number of readers that are remembered. It is limited because any peer can connect with any
/// name; the oldest are forgotten.
const MOST: usize = 1024;

/// The last process of each reader that has left. Once a reader was forgotten, every unknown reader
/// counts as one with an earlier process.
#[derive(Debug, Default)]
struct PastReaders {
    /// The readers, in the order in which they left.
    readers: VecDeque<PastReader>,
    /// Some readers that have left are no longer remembered.
    has_forgotten: bool,
}

#[derive(Debug)]
struct PastReader {
    node: String,
    boot: u64,
    /// The process was not the first one of its node.
    is_later: bool,
}

impl PastReaders {
    /// Records that a process of a reader has left.
    fn left(&mut self, node: &str, boot: u64, is_later: bool) {
        self.readers.retain(|reader| reader.node != node);
        if self.readers.len() == MOST {
            self.readers.pop_front();
            self.has_forgotten = true;
        }
        self.readers.push_back(PastReader { node: node.to_owned(), boot, is_later });
    }

    /// Whether an earlier process of the node may have read from this process.
    fn may_be_later(&self, node: &str, boot: u64) -> bool {
        let known = self.readers.iter().find(|reader| reader.node == node);
        known.map_or(self.has_forgotten, |known| known.is_later || known.boot != boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_may_have_been() {
        let mut past = PastReaders::default();
        for number in 0..=MOST {
            assert!(!past.may_be_later("new", 1));
            past.left(&number.to_string(), 1, false);
        }
        assert_eq!(past.readers.len(), MOST);
        assert!(past.may_be_later("new", 1) && past.may_be_later("0", 1));
        assert!(!past.may_be_later("1", 1), "it is remembered");
    }
}
