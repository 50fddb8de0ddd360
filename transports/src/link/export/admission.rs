//! Admission control: which peers get a connection to this process, and which connection is evicted
//! when a new one finds no place.
//!
//! A connection is *pending* until it has sent a name. A connection with the name of an announced
//! reader has a reserved place. All others, pending or named, share the rest, and never exclude an
//! announced reader:
//!
//! | peer | limit | when the limit is reached |
//! | --- | --- | --- |
//! | an announced reader | one for each name | never: its place is reserved |
//! | another name | `connections` minus the announced readers; `per_process` for one process | it is rejected |
//! | pending | `handshakes`; `per_process` for one process | the oldest connection of the process or address with the most of them is evicted |
//!
//! When the system has no descriptor or memory for another connection, the oldest pending one is
//! evicted; if none is pending, the oldest with a name that was not announced. A spare descriptor
//! is kept for the new connection, so none is evicted before a peer connects. An evicted connection
//! holds its descriptor until its task has ended, so no connection is accepted while many are
//! leaving.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use event_listener::Event;
use mycelium_executor::Peer;

use crate::counters::{Line, LinkValue};
use crate::endpoint::{NameProof, oldest_of_most, process};
use crate::link::config::LinkConfig;
use crate::seam::Control;
use crate::sync::{AtomicBool, Ordering, lock};

pub(super) struct Admission {
    connections: usize,
    pub(super) handshakes: usize,
    per_process: usize,
    state: Mutex<State>,
    /// Notified when a connection has ended.
    departed: Event,
}

struct State {
    /// Connections without a name, the oldest first.
    pending: VecDeque<Arc<AdmissionTicket>>,
    /// Connections with a name that was not announced, the oldest first.
    unannounced: VecDeque<Arc<AdmissionTicket>>,
    /// The number of evicted connections that have not ended.
    leaving: usize,
    line: Line<LinkValue>,
}

/// The state of one connection in admission control.
#[derive(Debug)]
pub(super) struct AdmissionTicket {
    pub(super) peer: Peer,
    /// The proof of the peer's name; empty if there is none.
    proof: OnceLock<Arc<dyn NameProof>>,
    evicted: AtomicBool,
    leave: Event,
}

impl AdmissionTicket {
    /// Records that the connection is secured, with the proof of the peer's name.
    pub(super) fn prove(&self, proof: Option<Arc<dyn NameProof>>) {
        if let Some(proof) = proof {
            // Cannot fail, because a connection is secured once.
            _ = self.proof.set(proof);
        }
    }

    /// Returns the proof of the peer's name, if there is one.
    pub(super) fn proof(&self) -> Option<&dyn NameProof> {
        self.proof.get().map(|proof| &**proof)
    }

    /// Whether the peer's name is a mere claim: it connects over TCP without a certificate. For a
    /// peer on this machine the system reports the user, and perhaps the process.
    pub(super) fn is_unproven(&self) -> bool {
        matches!(self.peer, Peer::Tcp(_)) && self.proof().is_none()
    }

    /// Whether the connection was evicted.
    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }

    /// Waits until the connection is evicted.
    pub(super) async fn evicted(&self) {
        while !self.is_evicted() {
            let leave = self.leave.listen();
            if self.is_evicted() {
                return;
            }
            leave.await;
        }
    }

    fn process(&self) -> Option<u32> {
        process(&self.peer)
    }

    /// Whether both are connections of one process, as far as the system reports it.
    fn is_of_process(&self, other: &AdmissionTicket) -> bool {
        self.process().is_some_and(|process| other.process() == Some(process))
    }
}

impl Admission {
    pub(super) fn new(config: &LinkConfig, line: Line<LinkValue>) -> Admission {
        let (pending, unannounced) = (VecDeque::new(), VecDeque::new());
        Admission {
            connections: config.connections,
            handshakes: config.handshakes.max(1),
            per_process: config.per_process.max(1),
            state: Mutex::new(State { pending, unannounced, leaving: 0, line }),
            departed: Event::new(),
        }
    }

    /// Adds a new connection without a name. Evicts older ones if there are too many.
    pub(super) fn enter(&self, peer: &Peer) -> Arc<AdmissionTicket> {
        let (peer, proof, evicted) = (peer.clone(), OnceLock::new(), AtomicBool::new(false));
        let ticket = Arc::new(AdmissionTicket { peer, proof, evicted, leave: Event::new() });
        let mut state = lock(&self.state);
        let mut own = state.pending.iter().filter(|pending| pending.is_of_process(&ticket));
        if let Some(oldest) = own.next().cloned()
            && 2 + own.count() > self.per_process
        {
            state.evict(&oldest);
        }
        state.pending.push_back(ticket.clone());
        // The new connection is the youngest, so an older one is evicted.
        if state.pending.len() > self.handshakes
            && let Some(oldest) = state.dispensable()
        {
            state.evict(&oldest);
        }
        ticket
    }

    /// Records that a connection has sent its name. Returns false if no place is free: the
    /// connection stays pending until it is closed.
    pub(super) fn name(
        &self,
        ticket: &Arc<AdmissionTicket>,
        is_announced: bool,
        announced: usize,
    ) -> bool {
        let mut state = lock(&self.state);
        if ticket.is_evicted() {
            return false;
        }
        if !is_announced {
            let room = self.connections.saturating_sub(announced);
            let own = state.unannounced.iter().filter(|other| other.is_of_process(ticket));
            if state.unannounced.len() >= room || own.count() >= self.per_process {
                return false;
            }
            state.unannounced.push_back(ticket.clone());
        }
        state.pending.retain(|pending| !Arc::ptr_eq(pending, ticket));
        true
    }

    /// Removes a connection that has ended and has freed its descriptor.
    pub(super) fn leave(&self, ticket: &Arc<AdmissionTicket>) {
        let mut state = lock(&self.state);
        if ticket.is_evicted() {
            state.leaving -= 1;
        } else {
            state.remove(ticket);
        }
        drop(state);
        self.departed.notify(usize::MAX);
    }

    /// Evicts a connection, because the system has no descriptor or memory for another one. Returns
    /// false if all connections are of announced readers.
    pub(super) fn make_room(&self) -> bool {
        let mut state = lock(&self.state);
        if state.leaving == 0 {
            let found = state.dispensable().or_else(|| state.unannounced.front().cloned());
            let Some(found) = found else { return false };
            state.evict(&found);
        }
        true
    }

    /// Waits until at most `most` evicted connections have not ended.
    pub(super) async fn until_leaving(&self, most: usize) {
        while lock(&self.state).leaving > most {
            let departed = self.departed.listen();
            if lock(&self.state).leaving > most {
                departed.await;
            }
        }
    }

    /// Returns a future that is ready once any connection has ended after this call.
    pub(super) fn departure(&self) -> impl Future<Output = ()> {
        self.departed.listen()
    }

    pub(super) fn count(&self, value: LinkValue) {
        lock(&self.state).line.add(value, 1);
    }
}

impl State {
    /// Returns the oldest pending connection of the process or address that has the most of them.
    fn dispensable(&self) -> Option<Arc<AdmissionTicket>> {
        oldest_of_most(self.pending.iter(), |ticket| &ticket.peer).cloned()
    }

    fn evict(&mut self, ticket: &Arc<AdmissionTicket>) {
        self.remove(ticket);
        self.leaving += 1;
        self.line.add(LinkValue::Evicted, 1);
        ticket.evicted.store(true, Ordering::Release);
        ticket.leave.notify(usize::MAX);
    }

    fn remove(&mut self, ticket: &Arc<AdmissionTicket>) {
        self.pending.retain(|pending| !Arc::ptr_eq(pending, ticket));
        self.unannounced.retain(|unannounced| !Arc::ptr_eq(unannounced, ticket));
    }
}

// The names that a peer may have.
//
// A peer chooses its name freely, unless the name is bound: the topology binds names to a user or
// to this host, and the launcher binds them to a process. Over TCP the process of a peer is not
// known. A peer with a certificate proves its name.

/// The users and the machine to which names of nodes are bound.
#[derive(Debug, Default)]
pub(super) struct NameBindings {
    pub(super) users: BTreeMap<String, u32>,
    /// Nodes of this machine. No peer of another machine may have such a name.
    pub(super) near: BTreeSet<String>,
}

impl NameBindings {
    /// Checks that a peer may have a name at the node `own`.
    pub(super) fn check(
        &self,
        own: &str,
        control: &Control,
        node: &str,
        ticket: &AdmissionTicket,
    ) -> Result<(), String> {
        let peer = &ticket.peer;
        if node.is_empty() {
            return Err("it has no name".to_owned());
        }
        if node == own {
            return Err("this name is the node's own".to_owned());
        }
        if let Some(proof) = ticket.proof() {
            let unproven = |reason| format!("it does not prove this name: {reason}");
            proof.check(node).map_err(unproven)?;
            return self.check_far(node);
        }
        let user = match peer {
            Peer::Unix(credentials) => Some(credentials.user),
            _ => None,
        };
        if let Some(&bound) = self.users.get(node).filter(|bound| user != Some(**bound)) {
            return Err(format!("this name belongs to user {bound}"));
        }
        if matches!(peer, Peer::Tcp(_)) {
            // The process of a peer over TCP is unknown, so `check_far` decides.
            return self.check_far(node);
        }
        match control.bound(node).filter(|bound| !is_of(peer, *bound)) {
            Some(bound) => Err(format!("this name belongs to process {bound}")),
            None => Ok(()),
        }
    }

    /// Checks that a peer of another machine may have a name.
    fn check_far(&self, node: &str) -> Result<(), String> {
        if !self.near.contains(node) {
            return Ok(());
        }
        let reason =
            "this name belongs to a node of the same host, which connects by a Unix socket";
        Err(reason.to_owned())
    }
}

/// Whether a peer is the process `bound` or in the process group that it leads: the launcher may
/// have started a script that starts the node.
fn is_of(peer: &Peer, bound: u32) -> bool {
    let Some(process) = process(peer) else { return false };
    process == bound || group_of(process) == Some(bound)
}

#[cfg(target_os = "linux")]
fn group_of(process: u32) -> Option<u32> {
    let process = rustix::process::Pid::from_raw(i32::try_from(process).ok()?);
    let group = rustix::process::getpgid(process).ok()?;
    u32::try_from(group.as_raw_nonzero().get()).ok()
}

#[cfg(not(target_os = "linux"))]
fn group_of(_: u32) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests;
