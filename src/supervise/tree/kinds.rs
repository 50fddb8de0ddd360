//! The names, states and commands of a tree's children and supervisors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mycelium_bundle::{Failures, Restart};

use crate::supervise::strategy::{Lifetime, Strategy};

/// A place, and how often it was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// When something happens, and any random number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) now: Duration,
    pub(crate) jitter: u64,
}

/// Names a child of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChildId(pub(super) Key);

/// Names a supervisor of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SupervisorId(pub(super) Key);

/// How a child is supervised.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChildSpec {
    pub(crate) lifetime: Lifetime,
    /// Its pauses, and the most restarts of this child alone. Many children share it.
    pub(crate) restart: Arc<Restart>,
}

/// How a supervisor supervises.
#[derive(Clone, Debug)]
pub(crate) struct SupervisorSpec {
    pub(crate) name: Arc<str>,
    pub(crate) strategy: Strategy,
    /// The most restarts of all of its children together, and the pauses before it is itself
    /// restarted by its parent.
    pub(crate) restart: Restart,
}

/// What happens when a supervisor below the root gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtTop {
    /// The child that failed has ended permanently, and the others run on: the owner of the tree
    /// ends them in its own way, and [drains](super::Tree::drain) the tree.
    Drain,
    /// All of its children are stopped, the last one first, and have ended permanently.
    Stop,
}

/// How a run of a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// By itself, and well.
    Returned,
    /// By an error or a panic, or it did not start within its deadline.
    Failed,
    /// By an error that each further run would have, too.
    FailedForGood,
    /// It was dropped, because the supervisor said so.
    Stopped,
    /// It has ended as its owner asked, and is not restarted with any lifetime.
    Asked,
}

/// Why a child has ended permanently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It returned, or its owner has ended it.
    Completed,
    /// It is temporary, and failed, or was stopped because of another child.
    NotRestarted,
    /// It failed permanently, or there were too many restarts: its own, or those of this
    /// supervisor.
    GaveUp { restarts: u32, window: Duration, supervisor: Option<Arc<str>> },
    /// Its supervisor has ended.
    SupervisorEnded,
}

/// What the tree requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The child begins a run, not before this time. A later command may take it back: [`begin`]
    /// has the last word.
    ///
    /// [`begin`]: super::Tree::begin
    Start { child: ChildId, at: Duration },
    /// The child ends its run, and reports [`RunEnd::Stopped`].
    Stop { child: ChildId },
    /// The child has ended permanently, and its name has no meaning any more.
    End { child: ChildId, why: Why },
}

/// How far a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no run, and waits for the command to start.
    Waiting,
    /// It begins a run at this time.
    Told {
        at: Duration,
    },
    /// It runs, and has not started.
    Starting,
    Running,
    /// It has the command to end its run.
    Stopping,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) spec: ChildSpec,
    /// `None` if it has never failed.
    pub(super) failures: Option<Box<Failures>>,
    pub(super) state: State,
    /// One of its runs has started.
    pub(super) has_started: bool,
}

#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) spec: SupervisorSpec,
    /// The restarts of its children that count.
    pub(super) restarts: Failures,
    /// Its own failures as a child of its parent.
    pub(super) failures: Failures,
    /// By their order.
    pub(super) children: BTreeMap<u64, Key>,
    pub(super) next_order: u64,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// No child runs: the parent has not started it, or has stopped it.
    Down,
    /// All children have the command to start.
    Up,
    /// Starts its children in their order: the one with this order is starting, or is the next.
    Starts { next: u64, at: Duration },
    /// Stops its children from `from` on, the last one first: those after `until` are stopped.
    Stops { from: u64, until: u64, then: Then },
}

/// The next step when a supervisor's children have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// They are started again.
    Start { at: Duration },
    /// The supervisor has failed. This child's failure was the last one.
    Fail { culprit: ChildId },
    /// The parent has stopped it.
    Down,
    /// It has ended permanently.
    End,
}

impl ChildId {
    /// Another child that lives at the same time has another one.
    pub(crate) fn index(self) -> usize {
        self.0.index()
    }
}

impl Key {
    /// Its place: another key that lives at the same time has another one.
    pub(super) fn index(self) -> usize {
        self.index as usize
    }
}
