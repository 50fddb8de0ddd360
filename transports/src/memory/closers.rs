//! Closes descriptors that peers passed although nobody asked for them.
//!
//! Closing such a descriptor may wait for as long as the peer likes: a file of a file system that
//! is a process of the peer waits for its answer. So another thread closes it. A peer may keep that
//! one waiting for ever; with [`MOST`] of them, descriptors are no longer received.

use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};

use mycelium_executor::Thread;

use crate::sync::{AtomicUsize, Ordering};

/// The threads that may wait at the same time.
const MOST: usize = 8;

/// The number of threads that close a descriptor.
#[derive(Clone)]
pub(super) struct Closers(Arc<AtomicUsize>);

impl Closers {
    pub(super) fn new() -> Closers {
        Closers(Arc::new(AtomicUsize::new(0)))
    }

    /// Whether one more descriptor can be closed.
    pub(super) fn has_room(&self) -> bool {
        self.0.load(Ordering::Relaxed) < MOST
    }

    /// Closes these descriptors, on another thread.
    pub(super) fn close(&self, descriptors: Vec<OwnedFd>) {
        let (sender, receiver) = mpsc::channel::<Vec<OwnedFd>>();
        let running = self.0.clone();
        running.fetch_add(1, Ordering::Relaxed);
        let request = Thread { name: "close".to_owned(), ..Thread::default() };
        let work = move || {
            drop(receiver.recv());
            running.fetch_sub(1, Ordering::Relaxed);
        };
        let sent = match request.start(move || Ok(work)) {
            Ok(_) => sender.send(descriptors).map_err(|unsent| unsent.0),
            Err(_) => Err(descriptors),
        };
        // Without a thread they stay open. They still count as one that waits.
        if let Err(unsent) = sent {
            unsent.into_iter().for_each(std::mem::forget);
        }
    }
}
