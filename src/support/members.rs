//! The members of the bundle of this process: which process runs which member, and which members
//! will not run again.
//!
//! The launcher reports this through a pipe, which
//! [`end_with_launcher`](crate::execution::end_with_launcher) reads. [`MEMBERS`] stores it for all
//! nodes of the process; without a launcher it stays empty.

#![cfg_attr(
    not(any(unix, test)),
    expect(dead_code, reason = "only a launcher sets states, and bundles are for Unix")
)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::support::lock::lock;

pub(crate) use mycelium_bundle::protocol::MemberState;

/// The maximum number of stored members.
const MOST: usize = 4096;

/// The members of the bundle of this process.
pub(crate) static MEMBERS: Members = Members::new();

/// The states of all members, and the callbacks for changes.
pub(crate) struct Members(Mutex<Registry>);

struct Registry {
    states: BTreeMap<String, MemberState>,
    watchers: Vec<(u64, Watcher)>,
    next: u64,
}

type Watcher = Arc<Mutex<dyn FnMut(&str, MemberState) + Send>>;

impl Members {
    pub(crate) const fn new() -> Members {
        Members(Mutex::new(Registry { states: BTreeMap::new(), watchers: Vec::new(), next: 0 }))
    }

    /// Returns the state of a member. `None` if the launcher has not named it: there is no
    /// launcher, or the node is not in the bundle.
    pub(crate) fn state(&self, member: &str) -> Option<MemberState> {
        lock(&self.0).states.get(member).copied()
    }

    /// Calls `watcher` with each state now and after each change, until the result is dropped. The
    /// last call for a member has its latest state. An intermediate state may be skipped, and the
    /// latest may be passed twice. Only one thread at a time calls the watcher.
    pub(crate) fn watch(
        &'static self,
        watcher: impl FnMut(&str, MemberState) + Send + 'static,
    ) -> Watch {
        let watcher: Watcher = Arc::new(Mutex::new(watcher));
        let mut registry = lock(&self.0);
        let (id, states) = (registry.next, registry.states.clone());
        registry.next += 1;
        registry.watchers.push((id, watcher.clone()));
        // Releases the lock before the calls, because a watcher may drop a `Watch`, which takes it.
        drop(registry);
        states.keys().for_each(|member| self.notify(member, &watcher));
        Watch { members: self, id }
    }

    /// Stores the state of a member and calls the watchers. Returns false if the name is new and
    /// the limit of names is reached.
    pub(crate) fn set(&self, member: &str, state: MemberState) -> bool {
        let mut registry = lock(&self.0);
        let before = registry.states.get(member).copied();
        if before.is_some_and(|before| before.is_final() || before == state) {
            return true;
        }
        if before.is_none() && registry.states.len() >= MOST {
            return false;
        }
        registry.states.insert(member.to_owned(), state);
        let watchers: Vec<Watcher> =
            registry.watchers.iter().map(|(_, watcher)| watcher.clone()).collect();
        drop(registry);
        watchers.iter().for_each(|watcher| self.notify(member, watcher));
        true
    }

    /// Reads the state under the watcher's lock, so that the last call has the latest state.
    fn notify(&self, member: &str, watcher: &Watcher) {
        let mut watcher = lock(watcher);
        if let Some(state) = self.state(member) {
            watcher(member, state);
        }
    }
}

/// When dropped, removes the watcher, which is then not called any more.
pub(crate) struct Watch {
    members: &'static Members,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.members.0).watchers.retain(|(id, _)| *id != self.id);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let members = Members::new();
        for name in 0..MOST + 10 {
            let has_room = members.set(&name.to_string(), MemberState::Running(1));
            assert_eq!(has_room, name < MOST);
        }
        assert_eq!(lock(&members.0).states.len(), MOST);
        assert_eq!(members.state("nobody"), None);
    }
}
