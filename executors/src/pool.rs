//! Blocking work on a pool of threads, one pool for the process, for adapters whose runtime has no
//! suitable one.

use crate::thread::Thread;

/// Runs blocking work on a thread of the pool. A panic ends the work only.
///
/// The pool starts threads on demand and ends them when they have been idle for a while. They have
/// the process's cores and the normal class, independent of the calling thread.
pub fn run(work: Box<dyn FnOnce() + Send>) {
    blocking::unblock(unplaced(work)).detach();
}

/// Undoes the placement that the pool's thread inherited from the thread that started it.
fn unplaced<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    || {
        // If the system refuses, the work runs where it is.
        let _ = Thread::default().apply_to_current();
        work()
    }
}
