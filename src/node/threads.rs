//! The threads that a node has started, until the last of them has gone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event;

use crate::shutdown::until;

/// Threads that have not gone yet, by name.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    left: Mutex<Left>,
    gone: Event,
}

#[derive(Debug, Default)]
struct Left {
    names: BTreeMap<usize, String>,
    started: usize,
}

impl Threads {
    /// A thread is about to start.
    pub(crate) fn start(self: &Arc<Threads>, name: &str) -> Presence {
        let mut left = self.left();
        left.started += 1;
        let number = left.started;
        left.names.insert(number, name.to_owned());
        Presence { threads: self.clone(), number }
    }

    /// Ready once all have gone.
    pub(crate) async fn gone(&self) {
        until(&self.gone, || self.left().names.is_empty()).await;
    }

    /// Those that are there.
    pub(crate) fn names(&self) -> Vec<String> {
        self.left().names.values().cloned().collect()
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that has not gone. Dropping it says that it has.
#[derive(Debug)]
pub(crate) struct Presence {
    threads: Arc<Threads>,
    number: usize,
}

impl Presence {
    /// From now on it stands for the calling thread, and lasts as long: beyond the executor that is on it.
    pub(crate) fn of_this_thread(self) {
        thread_local! {
            static HERE: RefCell<Vec<Presence>> = const { RefCell::new(Vec::new()) };
        }
        HERE.with_borrow_mut(|here| here.push(self));
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.threads.left().names.remove(&self.number);
        self.threads.gone.notify(usize::MAX);
    }
}
