//! The names, states and commands of a tree's children and supervisors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mycelium_bundle::{Failures, Restart};

use crate::supervise::strategy::{Lifetime, Strategy};

/// The index of a slot, and its generation: the number of previous uses of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// The time of an event, and a random number, by which the pause before a restart varies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) now: Duration,
    pub(crate) jitter: u64,
}

/// The id of a child of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChildId(pub(super) Key);

/// The id of a supervisor of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SupervisorId(pub(super) Key);

/// How a child is supervised.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChildSpec {
    pub(crate) lifetime: Lifetime,
    /// The pauses before restarts, and the restart limit of this child alone. Many children share
    /// one value.
    pub(crate) restart: Arc<Restart>,
}

/// How a supervisor supervises.
#[derive(Clone, Debug)]
pub(crate) struct SupervisorSpec {
    pub(crate) name: Arc<str>,
    pub(crate) strategy: Strategy,
    /// The restart limit of all its children together, and the pauses before its parent restarts
    /// it.
    pub(crate) restart: Restart,
}

/// What happens when a supervisor directly below the root has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtTop {
    /// The child that failed has ended permanently, and the others continue: the owner of the tree
    /// ends them itself, and [drains](super::Tree::drain) the tree.
    Drain,
    /// All children of the supervisor are stopped, the last one first, and end permanently.
    Stop,
}

/// How a run of a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// The child returned by itself, without an error.
    Returned,
    /// The run had an error or a panic, or did not start within its deadline.
    Failed,
    /// The run had an error that every further run would have, too.
    FailedForGood,
    /// The run was dropped, on command of the supervisor.
    Stopped,
    /// The run has ended as its owner requested: the child is not restarted, whatever its lifetime.
    Asked,
}

/// Why a child has ended permanently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The child returned, or its owner has ended it.
    Completed,
    /// The child is temporary, and failed or was stopped because of another child.
    NotRestarted,
    /// The child failed permanently, or was restarted too often: beyond its own limit, or the limit
    /// of this supervisor.
    GaveUp { restarts: u32, window: Duration, supervisor: Option<Arc<str>> },
    /// The supervisor of the child has ended.
    SupervisorEnded,
}

/// A command of the tree to the task of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The child begins a run, not before this time. A later command may revoke this: [`begin`]
    /// returns whether the run may begin.
    ///
    /// [`begin`]: super::Tree::begin
    Start { child: ChildId, at: Duration },
    /// The child ends its run, and reports [`RunEnd::Stopped`].
    Stop { child: ChildId },
    /// The child has ended permanently, and its id is no longer valid.
    End { child: ChildId, why: Why },
}

/// The state of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The child has no run, and waits for the command to start.
    Waiting,
    /// The child was commanded to begin a run at this time.
    Told {
        at: Duration,
    },
    /// The child runs, and has not reported that it has started.
    Starting,
    Running,
    /// The child was commanded to end its run.
    Stopping,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) spec: ChildSpec,
    /// The child's failures; `None` if it has never failed.
    pub(super) failures: Option<Box<Failures>>,
    pub(super) state: State,
    /// Whether one of its runs has started.
    pub(super) has_started: bool,
}

#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) spec: SupervisorSpec,
    /// The restarts of its children within the window.
    pub(super) restarts: Failures,
    /// The failures of the supervisor itself, as a child of its parent.
    pub(super) failures: Failures,
    /// The children, by their order.
    pub(super) children: BTreeMap<u64, Key>,
    pub(super) next_order: u64,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// No child runs: the parent has not started the supervisor, or has stopped it.
    Down,
    /// All children were commanded to start.
    Up,
    /// The children are being started in order: the child with the order `next` is starting, or
    /// starts next.
    Starts { next: u64, at: Duration },
    /// The children from the order `from` on are being stopped, the last one first: children after
    /// `until` are already stopped.
    Stops { from: u64, until: u64, then: Then },
}

/// The next step after a supervisor's children have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The children are started again.
    Start { at: Duration },
    /// The supervisor has failed. The failure of this child was the last one.
    Fail { culprit: ChildId },
    /// The supervisor is down: its parent has stopped it.
    Down,
    /// The supervisor has ended permanently.
    End,
}

impl ChildId {
    /// Returns a number that no other existing child has.
    pub(crate) fn index(self) -> usize {
        self.0.index as usize
    }
}
