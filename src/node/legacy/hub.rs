//! The *hub* of one listener, the state that its services and connections share: its clients, and
//! the paths of messages from and to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use event_listener::Event;
use mycelium_core::legacy::ContractDigest;
use mycelium_executor::{Executor, Listener, Peer};
use mycelium_transports::counters::{LegacyValue, Line};
use mycelium_transports::endpoint::{BindError, BoundEndpoint, oldest_of_most};

use super::intake::{Intake, MakeIntake};
use super::outbox::Outbox;
use crate::links::log::{Level, Log};
use crate::support::latch::{Countdown, Latch, until};
use crate::support::lock::lock;
use crate::topology::{ListenerConfig, OnSlowClient};

/// The maximum number of subjects (types or digests) that get their own log lines for each cause.
const NAMED: usize = 32;

/// The state of one listener.
pub(crate) struct Hub {
    pub(crate) config: ListenerConfig,
    intakes: BTreeMap<u16, Box<dyn MakeIntake>>,
    /// The number of services that send to clients and have not ended.
    pub(super) outgoing: Countdown,
    /// Set when clients are no longer read.
    pub(super) is_closing: Latch,
    clients: Mutex<Clients>,
    /// Notified when a connection has ended.
    departed: Event,
    running: OnceLock<Started>,
    /// The causes and subjects that have already been logged.
    named: Mutex<BTreeSet<(&'static str, Subject)>>,
    /// The open address, until the service that accepts clients takes it.
    open: Mutex<Option<Open>>,
}

/// The parts of a hub that exist after its node has started.
struct Started {
    line: Line<LegacyValue>,
    log: Arc<Log>,
}

/// The address on which the listener accepts clients.
pub(super) struct Open {
    pub(super) bound: BoundEndpoint,
    pub(super) listener: Listener,
}

#[derive(Default)]
struct Clients {
    /// The clients, in the order in which they connected.
    connected: Vec<Arc<Client>>,
    next: u64,
    /// The number of connections whose tasks have not ended.
    live: usize,
}

/// When dropped, counts down `Hub::outgoing`, because a service that sends to clients has ended
/// permanently.
pub(crate) struct OutgoingGuard(pub(crate) Arc<Hub>);

impl Drop for OutgoingGuard {
    fn drop(&mut self) {
        self.0.outgoing.count_down();
    }
}

/// When dropped, stops the reading from clients, because the service that accepts clients has ended
/// permanently.
pub(crate) struct ListenerGuard(pub(crate) Arc<Hub>);

impl Drop for ListenerGuard {
    fn drop(&mut self) {
        self.0.close_intakes();
    }
}

/// One client.
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) peer: Peer,
    pub(super) outbox: Outbox,
    /// Whether the client has sent its hello, or a whole frame if no hello is needed. If so, no new
    /// client takes its place.
    is_admitted: AtomicBool,
    /// The number of messages that the client missed because its queue was full.
    pub(super) dropped: AtomicU64,
    /// Why the client is evicted; empty while it is not.
    eviction: OnceLock<Eviction>,
    evicted: Latch,
}

/// The subject of a log line, in addition to its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// A type.
    Type(u16),
    /// The digest of a contract.
    Digest([u8; 32]),
}

/// Why a client is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    /// The client's queue was full.
    Slow,
    /// Another client needed the place of this client, which was not admitted yet.
    Displaced,
}

impl Hub {
    pub(crate) fn new(config: ListenerConfig) -> Hub {
        let outgoing = config.types.iter().filter(|it| it.to_clients).count();
        Hub {
            config,
            intakes: BTreeMap::new(),
            outgoing: Countdown::new(outgoing),
            is_closing: Latch::default(),
            clients: Mutex::default(),
            departed: Event::new(),
            running: OnceLock::new(),
            named: Mutex::default(),
            open: Mutex::default(),
        }
    }

    /// Adds the intake of a type that clients can send.
    pub(crate) fn add_intake(&mut self, type_id: u16, intake: Box<dyn MakeIntake>) {
        self.intakes.insert(type_id, intake);
    }

    /// Listens on the address, before any service runs.
    pub(crate) fn bind(&self, executor: &dyn Executor) -> Result<(), BindError> {
        *lock(&self.open) = Some(self.listen(executor)?);
        Ok(())
    }

    pub(super) fn listen(&self, executor: &dyn Executor) -> Result<Open, BindError> {
        let bound = self.config.endpoint.bind()?;
        let listener = bound.listener(executor).map_err(|error| {
            let address = self.config.endpoint.to_string();
            let text = format!("cannot listen at `{address}`: {error}");
            BindError::Tcp { address, error: io::Error::new(error.kind(), text) }
        })?;
        Ok(Open { bound, listener })
    }

    /// Takes the open address. `None` after the first call.
    pub(super) fn take_open(&self) -> Option<Open> {
        lock(&self.open).take()
    }

    pub(crate) fn start(&self, line: Line<LegacyValue>, log: Arc<Log>) {
        _ = self.running.set(Started { line, log });
    }

    pub(super) fn count(&self, value: LegacyValue, count: u64) {
        if let Some(started) = self.running.get().filter(|_| count > 0) {
            started.line.count_many(value, count);
        }
    }

    /// Logs a line, unless there was a line for this cause and client within the last minute.
    pub(super) fn log(
        &self,
        level: Level,
        cause: &'static str,
        who: &str,
        words: &dyn fmt::Display,
    ) {
        if let Some(started) = self.running.get() {
            let name = &self.config.name;
            started.log.limited(
                level,
                (cause, who.to_owned()),
                &format_args!("legacy listener `{name}`: {words}"),
            );
        }
    }

    /// Returns the subject as the key by which log lines of a cause are limited. Empty if the cause
    /// already has its maximum of subjects, so that a client cannot fill the log.
    pub(super) fn named(&self, cause: &'static str, subject: Subject) -> String {
        let mut named = lock(&self.named);
        let of_cause = named.iter().filter(|(other, _)| *other == cause).count();
        let is_named =
            named.contains(&(cause, subject)) || of_cause < NAMED && named.insert((cause, subject));
        match subject {
            _ if !is_named => String::new(),
            Subject::Type(type_id) => type_id.to_string(),
            Subject::Digest(digest) => ContractDigest(digest).to_string(),
        }
    }

    /// Logs how often each cause has occurred since its last line.
    pub(super) fn finish_log(&self) {
        if let Some(started) = self.running.get() {
            started.log.finish();
        }
    }

    /// Returns whether clients may send messages of this type.
    pub(super) fn takes(&self, type_id: u16) -> bool {
        self.intakes.contains_key(&type_id)
    }

    pub(super) fn intake(&self, type_id: u16) -> Option<Box<dyn Intake>> {
        self.intakes.get(&type_id)?.intake()
    }

    pub(super) fn has_intakes(&self) -> bool {
        !self.intakes.is_empty()
    }

    /// Stops reading from clients; messages that they have already sent are published.
    pub(super) fn close_intakes(&self) {
        self.is_closing.set();
        self.intakes.values().for_each(|intake| intake.close());
    }

    /// Adds a client that has connected. `None` if the listener is full.
    pub(super) fn enter(&self, peer: &Peer) -> Option<Arc<Client>> {
        let mut clients = lock(&self.clients);
        if clients.connected.len() >= self.config.connections && !clients.displace() {
            return None;
        }
        clients.next += 1;
        clients.live += 1;
        let client = Arc::new(Client {
            number: clients.next,
            peer: peer.clone(),
            outbox: Outbox::new(self.config.queue),
            is_admitted: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            eviction: OnceLock::new(),
            evicted: Latch::default(),
        });
        clients.connected.push(client.clone());
        Some(client)
    }

    /// Removes a client whose connection has ended and whose descriptor is closed.
    pub(super) fn leave(&self, client: &Arc<Client>) {
        let mut clients = lock(&self.clients);
        clients.connected.retain(|other| !Arc::ptr_eq(other, client));
        clients.live -= 1;
        drop(clients);
        self.count(LegacyValue::Dropped, client.outbox.abandon());
        self.departed.notify(usize::MAX);
    }

    /// Marks a client as admitted: it has sent its hello, or a whole frame. False if it was already
    /// evicted.
    pub(super) fn admit(&self, client: &Arc<Client>) -> bool {
        if client.is_admitted() {
            return true;
        }
        let clients = lock(&self.clients);
        let stays = clients.connected.iter().any(|other| Arc::ptr_eq(other, client));
        client.is_admitted.store(stays, Ordering::Release);
        stays
    }

    /// Frees a descriptor when the system runs out of them: evicts a client that is not admitted,
    /// and waits until it has left. False if there is none.
    pub(super) async fn make_room(&self) -> bool {
        let live = {
            let mut clients = lock(&self.clients);
            // Evicts no client if one is leaving, because that also frees a descriptor.
            if clients.live == clients.connected.len() && !clients.displace() {
                return false;
            }
            clients.live
        };
        until(&self.departed, || lock(&self.clients).live < live).await;
        true
    }

    /// Waits until the tasks of evicted connections have ended.
    pub(super) async fn until_room(&self) {
        until(&self.departed, || lock(&self.clients).live <= self.config.connections).await;
    }

    /// Waits until any connection has ended after this call.
    pub(super) fn departure(&self) -> impl Future<Output = ()> {
        self.departed.listen()
    }

    /// Sends a frame to all clients except the one that sent it.
    pub(super) fn send(&self, header: &[u8], payload: &[u8], from: Option<u64>) {
        let mut clients = lock(&self.clients);
        let needs_hello = !self.config.digests.is_empty();
        clients.connected.retain(|client| {
            if needs_hello && !client.is_admitted() || from == Some(client.number) {
                return true;
            }
            if client.outbox.push(header, payload) {
                return true;
            }
            client.dropped.fetch_add(1, Ordering::Relaxed);
            self.count(LegacyValue::Dropped, 1);
            match self.config.slow {
                OnSlowClient::Drop => {
                    let peer = &client.peer;
                    let words = format_args!("messages for {peer} are dropped: its queue is full");
                    self.log(Level::Warn, "slow", &source(peer), &words);
                    true
                }
                OnSlowClient::End => {
                    client.evict(Eviction::Slow);
                    false
                }
            }
        });
    }

    /// Sends the queued frames to clients, and then the end of the stream. Completes when all
    /// clients have left.
    pub(super) async fn finish(&self) {
        lock(&self.clients).connected.iter().for_each(|client| client.outbox.close());
        until(&self.departed, || lock(&self.clients).live == 0).await;
    }
}

impl Clients {
    /// Evicts a client that is not admitted: the oldest one of the process or address with the most
    /// such clients. False if there is none.
    fn displace(&mut self) -> bool {
        let pending = self.connected.iter().filter(|client| !client.is_admitted());
        let Some(client) = oldest_of_most(pending, |client| &client.peer).cloned() else {
            return false;
        };
        self.connected.retain(|other| !Arc::ptr_eq(other, &client));
        client.evict(Eviction::Displaced);
        true
    }
}

impl Client {
    fn is_admitted(&self) -> bool {
        self.is_admitted.load(Ordering::Acquire)
    }

    fn evict(&self, eviction: Eviction) {
        _ = self.eviction.set(eviction);
        self.evicted.set();
    }

    /// Waits until the client is evicted.
    pub(super) async fn evicted(&self) -> Eviction {
        self.evicted.wait().await;
        self.eviction.get().copied().unwrap_or(Eviction::Displaced)
    }
}

/// Returns the key by which log lines of a peer are limited: its user, or its address without the
/// port.
pub(super) fn source(peer: &Peer) -> String {
    match peer {
        Peer::Tcp(address) => address.ip().to_canonical().to_string(),
        Peer::Unix(credentials) => format!("user {}", credentials.user),
        other => other.to_string(),
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("config", &self.config).finish_non_exhaustive()
    }
}
