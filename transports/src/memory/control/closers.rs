//! Closes descriptors of peers on other threads.
//!
//! Closing a descriptor may wait for as long as a peer likes: a file of a file system that is a
//! process of the peer waits for an answer, and a TCP socket with `SO_LINGER` for the other end.
//! That is so for a descriptor that a peer passed, and for a socket to which it was passed and that
//! is closed before it was received. So the control thread closes neither.
//!
//! A peer may keep one of these threads waiting for ever. When [`THREADS`] of them wait,
//! descriptors pile up; connections are not accepted then.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::sync::lock;

/// The largest number of threads.
const THREADS: usize = 8;

/// The number of descriptors that may wait while connections are accepted.
const WAITING: usize = 64;

/// The time in which [`Closers::settle`] waits for descriptors that are not slow.
const SETTLE: Duration = Duration::from_secs(1);

/// Threads that close descriptors. They end when there is none left.
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

    /// Whether they keep up.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.0.state).waiting.len() < WAITING
    }

    /// Drops a descriptor, or several.
    pub(super) fn close(&self, descriptor: impl Send + 'static) {
        let mut state = lock(&self.0.state);
        state.waiting.push_back(Box::new(descriptor));
        // Those that run may wait.
        if state.threads == THREADS {
            return;
        }
        let closers = self.clone();
        let started = thread::Builder::new().name("close".to_owned()).spawn(move || closers.run());
        // Without a thread, the next one closes it.
        state.threads += usize::from(started.is_ok());
    }

    /// Waits until all are closed, but not for those that are slow.
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
