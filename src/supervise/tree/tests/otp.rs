//! The reference model for the tree: OTP's `supervisor`, written from `supervisor.erl`,
//! independently of the tree. Like OTP, it handles each exit completely before the next one.
//!
//! Where Mycelium differs on purpose (`docs/actors.md`), the model differs, too: a transient
//! child that returned without an error is deleted, not kept for a later restart of its siblings.

use std::time::Duration;

use crate::supervise::strategy::{Lifetime, Strategy};

/// The visible actions of a supervisor: which children it starts and terminates, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Start(usize),
    Terminate(usize),
    /// The child is removed from the list of children.
    Delete(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Supervisor {
    pub(super) strategy: Strategy,
    /// The limit of restarts: `intensity` restarts within `period`.
    pub(super) intensity: usize,
    pub(super) period: Duration,
    pub(super) children: Vec<Child>,
    restarts: Vec<Duration>,
}

#[derive(Clone, Debug)]
pub(super) enum Child {
    Worker {
        name: usize,
        lifetime: Lifetime,
        is_alive: bool,
    },
    /// A supervisor, which is always permanent.
    Supervisor(Supervisor),
}

/// How a child has exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Normal,
    Error,
}

impl Supervisor {
    pub(super) fn new(
        strategy: Strategy,
        intensity: usize,
        period: Duration,
        children: Vec<Child>,
    ) -> Supervisor {
        Supervisor { strategy, intensity, period, children, restarts: Vec::new() }
    }

    /// Corresponds to `init_children`.
    pub(super) fn start(&mut self, acts: &mut Vec<Act>) {
        self.restarts.clear();
        start_children(&mut self.children, acts);
    }

    /// Handles the `'EXIT'` of a worker at any depth. Returns whether the supervisor gave up: it
    /// has terminated its children and exits.
    pub(super) fn exit(
        &mut self,
        name: usize,
        exit: Exit,
        now: Duration,
        acts: &mut Vec<Act>,
    ) -> bool {
        for place in 0..self.children.len() {
            match &mut self.children[place] {
                Child::Worker { name: own, is_alive, .. } if *own == name => {
                    *is_alive = false;
                    return self.restart_child(place, exit, now, acts);
                }
                Child::Worker { .. } => {}
                Child::Supervisor(below) => {
                    if below.exit(name, exit, now, acts) {
                        return self.restart_child(place, Exit::Error, now, acts);
                    }
                }
            }
        }
        false
    }

    /// Corresponds to `restart_child/4` and `do_restart/3`.
    fn restart_child(
        &mut self,
        place: usize,
        exit: Exit,
        now: Duration,
        acts: &mut Vec<Act>,
    ) -> bool {
        if let Child::Worker { name, lifetime, .. } = self.children[place] {
            let is_deleted = match lifetime {
                Lifetime::Permanent => false,
                Lifetime::Transient => exit == Exit::Normal,
                Lifetime::Temporary => true,
            };
            if is_deleted {
                self.children.remove(place);
                acts.push(Act::Delete(name));
                return false;
            }
        }
        self.restart(place, now, acts)
    }

    /// Corresponds to `restart/2` with `add_restart/1`.
    fn restart(&mut self, place: usize, now: Duration, acts: &mut Vec<Act>) -> bool {
        self.restarts.retain(|at| now - *at <= self.period);
        self.restarts.push(now);
        if self.restarts.len() > self.intensity {
            terminate_children(&mut self.children, acts);
            return true;
        }
        match self.strategy {
            Strategy::OneForOne => start_children(&mut self.children[place..=place], acts),
            Strategy::RestForOne => {
                let mut after = self.children.split_off(place);
                terminate_children(&mut after, acts);
                start_children(&mut after, acts);
                self.children.append(&mut after);
            }
            Strategy::OneForAll => {
                terminate_children(&mut self.children, acts);
                start_children(&mut self.children, acts);
            }
        }
        false
    }

    /// Returns the names of the living workers at any depth, in order.
    pub(super) fn alive(&self) -> Vec<usize> {
        let alive = self.children.iter().flat_map(|child| match child {
            Child::Worker { name, is_alive, .. } => Vec::from_iter(is_alive.then_some(*name)),
            Child::Supervisor(below) => below.alive(),
        });
        alive.collect()
    }
}

/// Corresponds to `start_children/2`: starts the children in order.
fn start_children(children: &mut [Child], acts: &mut Vec<Act>) {
    for child in children {
        match child {
            Child::Worker { name, is_alive, .. } => {
                if !std::mem::replace(is_alive, true) {
                    acts.push(Act::Start(*name));
                }
            }
            Child::Supervisor(below) => below.start(acts),
        }
    }
}

/// Corresponds to `terminate_children/2`: terminates the last child first, and deletes temporary
/// ones.
pub(super) fn terminate_children(children: &mut Vec<Child>, acts: &mut Vec<Act>) {
    for place in (0..children.len()).rev() {
        match &mut children[place] {
            Child::Worker { name, lifetime, is_alive } => {
                let (name, lifetime) = (*name, *lifetime);
                if std::mem::replace(is_alive, false) {
                    acts.push(Act::Terminate(name));
                    if lifetime == Lifetime::Temporary {
                        children.remove(place);
                        acts.push(Act::Delete(name));
                    }
                }
            }
            Child::Supervisor(below) => terminate_children(&mut below.children, acts),
        }
    }
}
