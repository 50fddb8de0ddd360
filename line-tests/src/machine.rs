//! A simulated machine: the thread sets the core on which it runs, and every access that it reports
//! goes to that core's cache.

use std::cell::RefCell;
use std::marker::PhantomData;

use mycelium_core::sync::lines::{Access, Kind, watch};

use crate::caches::{Caches, Counts, LINE};

struct State {
    caches: Caches,
    core: usize,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// The machine that this thread simulates. A thread has one at a time, until this value is dropped.
#[derive(Debug)]
pub struct Machine(PhantomData<*const ()>);

impl Machine {
    /// Creates a machine with empty caches, each of `lines` lines.
    ///
    /// # Panics
    /// If this thread simulates a machine already.
    pub fn new(cores: usize, lines: usize) -> Machine {
        let state = State { caches: Caches::new(cores, lines), core: 0 };
        let before = STATE.replace(Some(state));
        assert!(before.is_none(), "this thread simulates a machine already");
        watch(Some(observe));
        Machine(PhantomData)
    }

    /// Runs `call` on a core.
    pub fn on<R>(core: usize, call: impl FnOnce() -> R) -> R {
        let before = with(|state| std::mem::replace(&mut state.core, core));
        let result = call();
        with(|state| state.core = before);
        result
    }

    /// The requests of each core so far.
    pub fn counts() -> Vec<Counts> {
        with(|state| state.caches.counts().to_vec())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        watch(None);
        STATE.set(None);
    }
}

fn with<R>(run: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(|state| run(state.as_mut().expect("this thread simulates a machine")))
}

fn observe(access: Access) {
    let last = access.start + access.bytes.max(1) - 1;
    for line in access.start / LINE..=last / LINE {
        with(|state| match access.kind {
            Kind::Load | Kind::LoadAhead => state.caches.load(state.core, line),
            Kind::Store | Kind::StoreAhead => state.caches.store(state.core, line),
        });
    }
}
