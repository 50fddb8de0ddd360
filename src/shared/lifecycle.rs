//! The lifecycle of a node: its phases, of which observers are notified in order, and the events
//! that its tasks wait for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mycelium_transports::seam::Control;

use crate::observe::Event;
use crate::shared::observers::Observers;
use crate::support::latch::Latch;
use crate::support::lock::lock;

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
    pub(crate) observers: Observers,
    phases: Mutex<Phases>,
    /// Whether [`shut_down`](Lifecycle::shut_down) was called.
    is_shutdown_requested: AtomicBool,
    /// Notifies the node's links of its end. They learn of a shutdown before any service can,
    /// because publishers that end by the shutdown may come back.
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
    pub(super) fn new(node: &str, observers: Observers) -> Lifecycle {
        Lifecycle {
            node: node.to_owned(),
            observers,
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

    /// Moves the node to a phase, unless it is already past it, and notifies observers of one phase
    /// after the other, whichever threads reach them. If another thread is notifying now, that
    /// thread also notifies of this phase, perhaps after this call returns.
    pub(crate) fn reach(&self, phase: Phase) {
        self.notify(phase);
        // If another thread is notifying now, it makes this check afterwards.
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

    /// Notes that the node has ended.
    pub(crate) fn finish(&self) {
        self.reach(Phase::Draining);
        self.reach(Phase::Stopped);
        self.finished.set();
    }
}
