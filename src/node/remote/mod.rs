//! Requests that are answered in another node. Two services of this crate carry them, through the
//! public interface of services. In the requesting node, the [`Client`] answers the topic by
//! sending calls to the other node. There, the [`Server`] makes the requests, and sends answers
//! back.
//!
//! ```text
//! ctx.request ─▶ mailbox ─▶ Client ─ topic of calls ─▶ Server ─▶ mailbox ─▶ Asked
//!                             ▲                          │                    │
//!                             └──── topic of answers ────┴──◀── reply ────────┘
//! ```
//!
//! Calls and answers are messages of topics. Each requesting node has one pair of topics, which
//! links carry like all others, over sockets and in shared memory. Both topics deliver at most
//! once: a request whose connection or process is lost fails, and is never taken twice.
//!
//! Requests to actors of other nodes are carried in the same way: the `desk` of a node answers the
//! topic of its actors, and `nodes` gives the actors of a node access to the other nodes.
//!
//! A client has at most half as many calls open as a ring has slots. So answers always have room,
//! and a client and a server that send to each other cannot deadlock.

mod client;
#[cfg(feature = "actors")]
mod desk;
#[cfg(feature = "actors")]
mod nodes;
mod open_calls;
mod server;

use std::sync::Arc;

#[cfg(feature = "actors")]
use mycelium_core::Message;

#[cfg(feature = "actors")]
use crate::actor::WatchCall;
use crate::inbox::request::Failure;
use crate::links::Peers;

pub(crate) use client::Client;
#[cfg(feature = "actors")]
pub(crate) use desk::ActorDesk;
#[cfg(feature = "actors")]
pub(crate) use nodes::RemoteNodes;
pub(crate) use server::Server;

/// The value of `outcome` in an answer with a reply.
const REPLIED: u64 = 0;

/// The value of `outcome` in an answer whose number is that of a [pair](Peers::pair): the node that
/// answers cannot read the calls.
const OTHER_LAYOUT: u64 = 10;

/// What a client and a server know of the other node.
#[derive(Clone)]
pub(crate) struct OtherNode {
    pub(crate) name: String,
    /// The topic that this node reads from it: the calls or the answers.
    pub(crate) topic: String,
    /// The capacity of the topic of requests.
    pub(crate) capacity: usize,
    /// The connections with other nodes.
    pub(crate) peers: Arc<Peers>,
}

impl OtherNode {
    fn process(&self) -> Option<u64> {
        self.peers.get(&self.name)
    }

    /// Returns whether the layouts of the other node differ.
    fn differs(&self) -> bool {
        self.peers.is_unreadable(&self.name, &self.topic)
    }
}

/// Returns the value of `outcome` in an answer without a reply. `docs/wire-format.md` lists the
/// values.
fn outcome_of(failure: Failure) -> u64 {
    match failure {
        Failure::Dropped => 1,
        Failure::Gone => 2,
        Failure::Refused => 3,
        Failure::Late => 4,
        Failure::LateHeld | Failure::LateSent => 5,
        Failure::ShuttingDown => 6,
        // Never sent: the answering node makes no requests to another node.
        Failure::Lost | Failure::Away => 7,
        Failure::NotFound => 8,
        Failure::Differs | Failure::DiffersSent => OTHER_LAYOUT,
        // A request that is too long is not sent.
        Failure::ReplyTooLong | Failure::TooLong => 9,
    }
}

/// Returns the reason why an answer has no reply. A value that this version does not know counts as
/// a failure of the service.
fn failure_of(outcome: u64) -> Failure {
    // The first of those with the same number, but a request that is too long is never sent.
    let mut known = Failure::ALL.into_iter().filter(|failure| *failure != Failure::TooLong);
    known.find(|failure| outcome_of(*failure) == outcome).unwrap_or(Failure::Dropped)
}

/// Returns the names of the topics of calls and answers, for the requests of one node.
pub(crate) fn topics(topic: &str, node: &str) -> (String, String) {
    (format!("{topic}@{node}.calls"), format!("{topic}@{node}.answers"))
}

/// Returns the names of the two services: the client in the requesting node, and the server in the
/// answering node.
pub(crate) fn services(topic: &str, node: &str) -> (String, String) {
    (format!("calls:{topic}@{node}"), format!("answers:{topic}@{node}"))
}

/// Returns whether an open request of a type with this topic lasts until an actor ends.
#[cfg(feature = "actors")]
fn is_watch(topic: &str) -> bool {
    topic == WatchCall::TOPIC
}

#[cfg(not(feature = "actors"))]
fn is_watch(_: &str) -> bool {
    false
}

/// Returns how many calls a client of a topic with this capacity can have open.
fn most_open(capacity: usize) -> usize {
    (capacity / 2).max(1)
}
