//! Events of a node and its services. `observers.rs` calls the observers with them, and `health.rs`
//! derives the node's health from them.

use std::time::Duration;

use crate::observe::health_state::HealthState;
use crate::observe::report::Outcome;

/// An event of a node or of one of its services, for [observers](crate::Builder::observe).
///
/// The order: a service's own thread starts before any service. The node is ready when all services
/// have started and it has connected with the nodes that it has links with. It drains before any
/// service can see the shutdown. Services stop, then their threads, then the node. See
/// `docs/guarantees.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A service's own thread has started, with its executor. Called on that thread.
    ThreadStarted {
        /// The name of the thread.
        thread: &'a str,
        /// The service.
        service: &'a str,
    },
    /// The service of a thread has stopped, and the thread is about to end. Called on that thread.
    ThreadStopped {
        /// The name of the thread.
        thread: &'a str,
        /// The service.
        service: &'a str,
    },
    /// A service is about to run for the first time. Observers are called on its thread.
    ServiceStarted {
        /// The name of the service.
        service: &'a str,
    },
    /// A service that failed is about to run again. Observers are called on its thread.
    ServiceRestarted {
        /// The name of the service.
        service: &'a str,
        /// The error or panic that ended the previous run.
        error: &'a str,
    },
    /// A run of a service failed, and the next one begins after a pause. Observers are called on
    /// its thread.
    ServiceBackingOff {
        /// The name of the service.
        service: &'a str,
        /// The error or panic that ended the run.
        error: &'a str,
        /// The pause. A shutdown ends it early.
        pause: Duration,
    },
    /// A supervisor has ended a run of a service because another service failed, and will start it
    /// again. Observers are called on its thread.
    ServiceHalted {
        /// The name of the service.
        service: &'a str,
        /// The supervisor.
        supervisor: &'a str,
    },
    /// A service has stopped and will not be restarted, or was abandoned.
    ServiceStopped {
        /// The name of the service.
        service: &'a str,
        /// How the service ended.
        outcome: &'a Outcome,
    },
    /// All services have started, and the node has connected with the nodes that it has links with.
    NodeReady {
        /// The name of the node.
        node: &'a str,
    },
    /// The node is about to end: it shuts down, a service failed permanently, or all services
    /// have stopped.
    NodeDraining {
        /// The name of the node.
        node: &'a str,
    },
    /// The node has ended.
    NodeStopped {
        /// The name of the node.
        node: &'a str,
    },
    /// The ring of a service's publisher is nearly full: its depth has reached the topic's
    /// threshold. Called where the publisher or one of its readers runs, after a poll.
    BackpressureStarted {
        /// The service.
        service: &'a str,
        /// The topic.
        topic: &'a str,
        /// The number of messages that the slowest gating reader still needs.
        depth: usize,
        /// The number of slots of the ring.
        capacity: usize,
    },
    /// The depth of the ring has fallen to three quarters of the threshold. Called where the
    /// publisher or one of its readers runs, after a poll.
    BackpressureEnded {
        /// The service.
        service: &'a str,
        /// The topic.
        topic: &'a str,
        /// The number of messages that the slowest gating reader still needs.
        depth: usize,
        /// The number of slots of the ring.
        capacity: usize,
    },
    /// A publisher of a service no longer waits for a reader, because the topic's `on_stall` says
    /// so. Called where the publisher runs.
    ReaderEvicted {
        /// The service.
        service: &'a str,
        /// The topic.
        topic: &'a str,
        /// The reader: a subscription, or another node.
        reader: &'a str,
        /// How long the reader had stalled the publisher.
        stalled: Duration,
    },
    /// An evicted reader reads again, so the publisher waits for it again; or the reader has left.
    /// Called where the reader takes its gap, or where the publisher notices that it reads again:
    /// at the latest when the publisher has sent a full ring of further messages.
    ReaderReturned {
        /// The service that publishes.
        service: &'a str,
        /// The topic.
        topic: &'a str,
        /// The reader: a subscription, or another node.
        reader: &'a str,
    },
    /// A link with another node of the topology is connected. Called where the node's links run.
    LinkConnected {
        /// The other node.
        peer: &'a str,
        /// Whether this node reads from the other one. If false, the other one reads from this one.
        reads: bool,
    },
    /// A link with another node has lost its connection, or has ended. Called where the node's
    /// links run.
    LinkDisconnected {
        /// The other node.
        peer: &'a str,
        /// Whether this node reads from the other one.
        reads: bool,
        /// Whether the link has ended: one of the nodes has closed it permanently, or will not run
        /// again.
        is_over: bool,
    },
    /// The health of a service or of the node has changed. Called after the event that changed it,
    /// on the thread of that event or of a later one.
    HealthChanged {
        /// The service; `None` for the node.
        service: Option<&'a str>,
        /// The previous state.
        before: HealthState,
        /// The new state.
        now: HealthState,
    },
    /// A poll of a service or of one of its child tasks has lasted longer than the watchdog's limit
    /// and has not ended: it blocks all other tasks of its thread. Called on the watchdog's thread.
    PollHangs {
        /// The service.
        service: &'a str,
        /// The limit.
        limit: Duration,
    },
    /// A fast handler has run for longer than the watchdog's limit and has not ended: it blocks the
    /// thread of its publisher. If the publisher is a service, its poll hangs, too. Called on the
    /// watchdog's thread.
    FastHandlerHangs {
        /// The handler.
        handler: &'a str,
        /// The topic.
        topic: &'a str,
        /// The publisher: the service, or the name of a publisher outside the services.
        publisher: &'a str,
        /// The limit.
        limit: Duration,
    },
    /// A poll that was reported as hanging has ended. Called on the watchdog's thread.
    PollEnded {
        /// The service.
        service: &'a str,
        /// The approximate duration of the poll.
        lasted: Duration,
    },
}
