//! Blocking work on a pool of threads, one for the process, for adapters whose runtime has no
//! suitable pool.

use crate::thread::Thread;

/// Runs blocking work on a thread of the pool. A panic ends only the work.
///
/// The pool starts threads on demand and ends them when they have been idle for a while. They have
/// the process's cores and the normal class, independent of the calling thread.
pub fn run(work: Box<dyn FnOnce() + Send>) {
    blocking::unblock(unplaced(work)).detach();
}

/// Wraps `work`: first it undoes the placement that the pool's thread has inherited.
fn unplaced<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    || {
        // If the system refuses, the work runs with the inherited placement.
        let _ = Thread::default().apply_to_current();
        work()
    }
}
