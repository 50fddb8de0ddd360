//! The threads that a node has started and that have not ended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use event_listener::Event;

use crate::support::latch::until;
use crate::support::lock::lock;

/// The threads that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    alive: Mutex<Alive>,
    gone: Event,
}

#[derive(Debug, Default)]
struct Alive {
    names: BTreeMap<usize, String>,
    started: usize,
}

impl Threads {
    /// Adds a thread that is about to start.
    pub(crate) fn start(self: &Arc<Threads>, name: &str) -> ThreadGuard {
        let mut alive = lock(&self.alive);
        alive.started += 1;
        let number = alive.started;
        alive.names.insert(number, name.to_owned());
        ThreadGuard { threads: self.clone(), number }
    }

    /// Waits until all threads have ended.
    pub(crate) async fn gone(&self) {
        until(&self.gone, || lock(&self.alive).names.is_empty()).await;
    }

    /// Returns the names of the threads that have not ended.
    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.alive).names.values().cloned().collect()
    }
}

/// When dropped, removes a thread from its `Threads`: the thread has ended.
#[derive(Debug)]
pub(crate) struct ThreadGuard {
    threads: Arc<Threads>,
    number: usize,
}

impl ThreadGuard {
    /// Moves the guard into the calling thread, where it is dropped at the thread's end, after the
    /// thread's executor.
    pub(crate) fn of_this_thread(self) {
        thread_local! {
            static HERE: RefCell<Vec<ThreadGuard>> = const { RefCell::new(Vec::new()) };
        }
        HERE.with_borrow_mut(|here| here.push(self));
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        lock(&self.threads.alive).names.remove(&self.number);
        self.threads.gone.notify(usize::MAX);
    }
}
