//! Which executor runs the sessions of links on a thread.
//!
//! A task that sleeps there may be woken through that executor: while it is busy on this thread,
//! the task could not run either. A task on any other thread must not wait for it.

use std::cell::Cell;
use std::sync::Arc;

use mycelium_executor::Executor;

/// An executor, for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExecutorId(usize);

thread_local! {
    static PRESENT: Cell<Option<ExecutorId>> = const { Cell::new(None) };
}

impl ExecutorId {
    pub(super) fn of(executor: &Arc<dyn Executor>) -> ExecutorId {
        ExecutorId(Arc::as_ptr(executor).cast::<()>().addr())
    }

    /// The executor that has run a session on this thread.
    pub(super) fn present() -> Option<ExecutorId> {
        PRESENT.get()
    }

    /// This executor runs a session on this thread.
    pub(super) fn set_present(self) {
        PRESENT.set(Some(self));
    }
}
