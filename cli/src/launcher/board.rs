//! The *board*: the state of the bundle that the threads of a launcher share.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mycelium_bundle::{BundleHandle, MemberPhase, MemberStatus};

use super::members::Manner;
use super::plan::Plan;
use super::printer::Printer;
use super::sign::{Sign, status};
use crate::bundle::place::Place;
use crate::bundle::wire::{NodeStatus, UpRequest};

/// The state of the bundle that the threads of a launcher share.
#[derive(Debug)]
pub struct Board {
    /// The directory of the bundle.
    pub place: Place,
    /// How the launcher runs the members of the bundle.
    pub manner: Manner,
    /// The output of the launcher.
    pub printer: Printer,
    /// The handle of the bundle. A change by it waits for the thread of the bundle, which may wait
    /// for this board: never change the bundle while the board is locked.
    pub handle: BundleHandle,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    request: UpRequest,
    /// The sign of readiness of each process.
    signs: BTreeMap<u32, Sign>,
    /// The states of the nodes, as of the last time that the bundle had any. At first, the nodes of
    /// the first plan.
    last: Vec<NodeStatus>,
    /// Whether a request or a signal ends the bundle.
    is_stopping: bool,
    /// `None` while the bundle runs. After its end `Some`, with its error if it had one.
    ended: Option<Option<String>>,
    /// The number of connections being served.
    connections: usize,
}

impl Board {
    /// Creates the board of a bundle that has not begun.
    pub fn new(place: Place, manner: Manner, printer: Printer, handle: BundleHandle) -> Board {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Board { place, manner, printer, handle, state, changed }
    }

    /// Returns the plan that the bundle follows, and the request of this plan.
    pub fn plan(&self) -> (Plan, UpRequest) {
        let state = self.lock();
        (state.plan.clone(), state.request.clone())
    }

    /// Returns the number of nodes of the plan.
    pub fn planned(&self) -> usize {
        self.lock().plan.nodes.len()
    }

    /// Replaces the plan. The nodes of the first plan are shown even before the bundle has them.
    pub fn set_plan(&self, plan: Plan, request: UpRequest) {
        let mut state = self.lock();
        if state.last.is_empty() {
            let planned = |node: &String| {
                let state = "waiting".to_owned();
                NodeStatus { node: node.clone(), state, ..NodeStatus::default() }
            };
            state.last = plan.nodes.keys().map(planned).collect();
        }
        (state.plan, state.request) = (plan, request);
        self.changed.notify_all();
    }

    /// Records that something has happened to a member.
    pub fn note(&self) {
        let mut state = self.lock();
        self.refresh(&mut state);
        self.changed.notify_all();
    }

    /// Returns the members of the bundle that are in this phase.
    pub fn members(&self, phase: MemberPhase) -> impl Iterator<Item = MemberStatus> {
        self.handle.members().into_iter().filter(move |member| member.phase == phase)
    }

    /// Records the signs of the processes.
    pub fn set_signs(&self, signs: BTreeMap<u32, Sign>) {
        let mut state = self.lock();
        if state.signs != signs {
            state.signs = signs;
            self.changed.notify_all();
        }
    }

    /// Returns the current states of the nodes, or the last ones of a bundle that has ended.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let mut state = self.lock();
        self.refresh(&mut state);
        state.last.clone()
    }

    /// Records that a request or a signal ends the bundle.
    pub fn set_stopping(&self) {
        self.lock().is_stopping = true;
        self.changed.notify_all();
    }

    /// Returns whether a request or a signal ends the bundle.
    pub fn is_stopping(&self) -> bool {
        self.lock().is_stopping
    }

    /// Records the end of the bundle.
    pub fn end(&self, problem: Option<String>) {
        self.lock().ended = Some(problem);
        self.changed.notify_all();
    }

    /// Returns the end of the bundle: `None` while it runs, and then `Some` with its error, if any.
    pub fn ended(&self) -> Option<Option<String>> {
        self.lock().ended.clone()
    }

    /// Waits until something changes, at most for this time.
    pub fn wait(&self, time: Duration) {
        let state = self.lock();
        // Drops the result, because the caller reads the whole state again.
        drop(self.changed.wait_timeout(state, time));
    }

    /// Waits until the bundle has ended, and returns its error.
    pub fn wait_until_ended(&self) -> Option<String> {
        let state = self.changed.wait_while(self.lock(), |state| state.ended.is_none());
        state.unwrap_or_else(PoisonError::into_inner).ended.clone().flatten()
    }

    /// Counts a connection. Returns `false` if there are already `most`.
    pub fn connect(&self, most: usize) -> bool {
        let mut state = self.lock();
        let has_room = state.connections < most;
        state.connections += usize::from(has_room);
        has_room
    }

    /// Counts the end of a connection.
    pub fn disconnect(&self) {
        self.lock().connections -= 1;
        self.changed.notify_all();
    }

    /// Returns whether any connection is being served.
    pub fn is_serving(&self) -> bool {
        self.lock().connections > 0
    }

    /// Waits until no connection is served, at most for this time.
    pub fn wait_for_connections(&self, limit: Duration) {
        let is_serving = |state: &mut State| state.connections > 0;
        // Drops the result, because the launcher ends in both cases.
        drop(self.changed.wait_timeout_while(self.lock(), limit, is_serving));
    }

    fn refresh(&self, state: &mut State) {
        let members = self.handle.members();
        if members.is_empty() {
            return;
        }
        let sign = |pid: Option<u32>| pid.and_then(|pid| state.signs.get(&pid).copied());
        let nodes = members.iter().map(|it| status(it, sign(it.pid).unwrap_or(Sign::Nothing)));
        let mut nodes: Vec<NodeStatus> = nodes.collect();
        nodes.sort_by(|one, other| one.node.cmp(&other.node));
        state.last = nodes;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
