//! Tasks that stay on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use async_executor::LocalExecutor;
use mycelium_executor::{MakeLocal, SpawnError};

use crate::tasks::Tasks;

thread_local! {
    /// The local executors of this thread with their keys, rarely more than one.
    static LOCAL: RefCell<Vec<(u64, Rc<LocalExecutor<'static>>)>> = const { RefCell::new(Vec::new()) };
}

/// Identifies a local executor. It may be sent to other threads, which cannot use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalHandle {
    thread: ThreadId,
    key: u64,
}

impl LocalHandle {
    pub(crate) fn spawn(self, make: MakeLocal, all: &Arc<Tasks>) -> Result<(), SpawnError> {
        if self.thread != thread::current().id() {
            return Err(SpawnError::WrongThread);
        }
        let is_this = |(key, _): &&(u64, _)| *key == self.key;
        let found = LOCAL
            .try_with(|local| local.borrow().iter().find(is_this).map(|(_, tasks)| tasks.clone()));
        // While the thread ends, its thread-local values are gone. The executor then counts as
        // ended.
        let tasks = found.ok().flatten().ok_or(SpawnError::Ended)?;
        let task = make();
        all.add(|place| tasks.spawn(place.run(task)))
    }
}

/// A local executor. While the guard lives, its handle spawns tasks on this thread.
pub(crate) struct LocalGuard {
    pub(crate) handle: LocalHandle,
    pub(crate) tasks: Rc<LocalExecutor<'static>>,
}

impl LocalGuard {
    pub(crate) fn new() -> LocalGuard {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        let tasks = Rc::new(LocalExecutor::new());
        LOCAL.with(|local| local.borrow_mut().push((key, tasks.clone())));
        LocalGuard { handle: LocalHandle { thread: thread::current().id(), key }, tasks }
    }
}

impl Drop for LocalGuard {
    fn drop(&mut self) {
        // The handle finds the executor no longer. Its tasks are dropped already.
        let key = self.handle.key;
        let _ = LOCAL.try_with(|local| local.borrow_mut().retain(|(other, _)| *other != key));
    }
}
