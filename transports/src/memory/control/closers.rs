//! Closes descriptors of peers on other threads.
//!
//! Closing a descriptor may wait for as long as a peer likes: if the file is on a file system that
//! a process of the peer serves, it waits for an answer of that process; if it is a TCP socket with
//! `SO_LINGER`, it waits for the other end. This concerns a descriptor that a peer passed, and a
//! socket on which such a descriptor is still unread when it is closed. So the control thread
//! closes neither of them.
//!
//! A peer may keep one of these threads waiting for ever. When [`THREADS`] threads wait,
//! descriptors pile up; connections are not accepted then.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::sync::lock;

/// The limit on threads.
const THREADS: usize = 8;

/// How many descriptors may wait while connections are still accepted.
const WAITING: usize = 64;

/// How long [`Closers::settle`] waits for descriptors that are not slow.
const SETTLE: Duration = Duration::from_secs(1);

/// Threads that close descriptors. They end when there is no descriptor left.
#[derive(Clone)]
pub(super) struct Closers(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when a thread ends.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Send>>,
    threads: usize,
}

impl Closers {
    pub(super) fn new() -> Closers {
        Closers(Arc::new(Shared { state: Mutex::default(), ended: Condvar::new() }))
    }

    /// Whether the threads keep up with the descriptors.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.0.state).waiting.len() < WAITING
    }

    /// Drops a descriptor, or several.
    pub(super) fn close(&self, descriptor: impl Send + 'static) {
        let mut state = lock(&self.0.state);
        state.waiting.push_back(Box::new(descriptor));
        // Starts another thread, unless there are too many, because the running ones may all wait.
        if state.threads == THREADS {
            return;
        }
        let closers = self.clone();
        let started = thread::Builder::new().name("close".to_owned()).spawn(move || closers.run());
        // If no thread started, the next one closes this descriptor.
        state.threads += usize::from(started.is_ok());
    }

    /// Waits until all descriptors are closed, except those that are slow.
    pub(super) fn settle(&self) {
        let state = lock(&self.0.state);
        // A panic of another thread does not matter here.
        let _ = self.0.ended.wait_timeout_while(state, SETTLE, |state| state.threads > 0);
    }

    fn run(&self) {
        loop {
            let mut state = lock(&self.0.state);
            let Some(descriptor) = state.waiting.pop_front() else {
                state.threads -= 1;
                self.0.ended.notify_all();
                return;
            };
            drop(state);
            drop(descriptor);
        }
    }
}
