//! The lifecycle of a node: its phases, of which observers are notified in order, the events that
//! its tasks wait for, and the error with which it ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium_core::Code;
use mycelium_transports::seam::Control;

use super::failure::Failure;
use crate::error::StartError;
use crate::observe::Event;
use crate::shared::observers::Observers;
use crate::support::latch::Latch;
use crate::support::lock::lock;
use crate::support::log;

/// The phases of a node, in order. A node may end without having been ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    #[default]
    Starting,
    Ready,
    Draining,
    Stopped,
}

/// The lifecycle of a node.
pub(crate) struct Lifecycle {
    node: String,
    pub(crate) observers: Arc<Observers>,
    pub(crate) failure: Failure,
    /// How long a shutdown may take.
    pub(crate) timeout: Duration,
    phases: Mutex<Phases>,
    /// Whether [`shut_down`](Lifecycle::shut_down) was called.
    is_shutdown_requested: AtomicBool,
    /// Notifies the node's links of its end. Links learn of a shutdown before any service, so that
    /// they do not report the end of a publisher that may come back with the next process of the
    /// node.
    pub(crate) links: Arc<Control>,
    /// Set when the node shuts down, after observers were notified that it drains.
    pub(crate) shutdown: Latch,
    /// Set when a second signal has moved the shutdown's deadline to now.
    pub(crate) overdue: Latch,
    /// Set when all services are placed and may run.
    pub(crate) placed: Latch,
    pub(crate) finished: Latch,
}

#[derive(Debug, Default)]
struct Phases {
    reached: Phase,
    /// The last phase of which observers were notified.
    notified: Phase,
    pending: VecDeque<Phase>,
    is_notifying: bool,
}

impl Lifecycle {
    pub(super) fn new(node: &str, timeout: Duration, observers: Arc<Observers>) -> Lifecycle {
        Lifecycle {
            node: node.to_owned(),
            observers,
            failure: Failure::default(),
            timeout,
            phases: Mutex::default(),
            is_shutdown_requested: AtomicBool::new(false),
            links: Arc::default(),
            shutdown: Latch::default(),
            overdue: Latch::default(),
            placed: Latch::default(),
            finished: Latch::default(),
        }
    }

    /// Requests the end of the node. Observers are notified before any service can see it.
    pub(crate) fn shut_down(&self) {
        self.is_shutdown_requested.store(true, Ordering::SeqCst);
        self.reach(Phase::Draining);
    }

    /// Moves the node to a phase, unless the node is already past the phase, and notifies observers
    /// of one phase after the other, even if several threads call this. If another thread is
    /// notifying now, that thread also notifies of this phase, perhaps after this call returns.
    pub(crate) fn reach(&self, phase: Phase) {
        self.notify(phase);
        // If another thread is notifying now, that thread makes this check afterwards.
        if lock(&self.phases).notified >= Phase::Draining
            && self.is_shutdown_requested.load(Ordering::SeqCst)
        {
            self.links.shut_down();
            self.shutdown.set();
        }
    }

    fn notify(&self, phase: Phase) {
        let node = &*self.node;
        let mut phases = lock(&self.phases);
        if phases.reached < phase {
            phases.reached = phase;
            phases.pending.push_back(phase);
        }
        if phases.is_notifying {
            return;
        }
        phases.is_notifying = true;
        while let Some(next) = phases.pending.pop_front() {
            // Releases the lock before the call, because an observer may shut the node down.
            drop(phases);
            self.observers.notify(&match next {
                Phase::Starting | Phase::Ready => Event::NodeReady { node },
                Phase::Draining => Event::NodeDraining { node },
                Phase::Stopped => Event::NodeStopped { node },
            });
            phases = lock(&self.phases);
            phases.notified = next;
        }
        phases.is_notifying = false;
    }

    /// Ends the node with an error.
    pub(crate) fn fail(&self, error: StartError) {
        self.failure.set(error);
        self.shut_down();
    }

    /// Reports services that the node no longer waits for.
    pub(super) fn report_abandoned(&self, services: Vec<String>) {
        log::error!(
            node = self.node,
            ?services,
            code = %Code::ABANDONED,
            "the node no longer waits for services that have not ended by the shutdown's deadline"
        );
        self.failure.abandoned(services, self.waited());
    }

    /// Reports undelivered messages for which the node stops waiting: the reader, the topic and the
    /// number of messages. The nodes in `let_go` have violated the protocol.
    pub(crate) fn report_undelivered(
        &self,
        left: Vec<(String, String, usize)>,
        let_go: Vec<String>,
    ) {
        let error = self.failure.undelivered(left, let_go, self.waited());
        log::error!(
            node = self.node,
            error,
            code = %Code::UNDELIVERED,
            "the node ends with messages that it could not deliver"
        );
    }

    /// Returns how long a shutdown has waited for services. `None` if a second signal ended the
    /// wait.
    fn waited(&self) -> Option<Duration> {
        (!self.overdue.is_set()).then_some(self.timeout)
    }

    /// Notes that the node has ended.
    pub(crate) fn finish(&self) {
        self.reach(Phase::Draining);
        self.reach(Phase::Stopped);
        self.finished.set();
    }
}
