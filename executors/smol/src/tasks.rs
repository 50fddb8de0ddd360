//! The tasks of an executor that this crate runs, which end with it.
//!
//! To drop an executor of [`async_executor`] is not enough: a task that another thread wakes at
//! that moment may enter the executor's queue after the drop has emptied the queue, and is then
//! never dropped. So the tasks are cancelled while the executor still runs.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use async_executor::Task;
use mycelium_executor::{SpawnError, contain};
use slab::Slab;

/// The tasks that have not ended; `None` once they are cancelled.
pub(crate) struct Tasks(Mutex<Option<Slab<Task<()>>>>);

impl Tasks {
    pub(crate) fn new() -> Arc<Tasks> {
        Arc::new(Tasks(Mutex::new(Some(Slab::new()))))
    }

    /// Adds a task: `spawn` gets its place, for [`Place::run`].
    pub(crate) fn add(
        self: &Arc<Self>,
        spawn: impl FnOnce(Place) -> Task<()>,
    ) -> Result<(), SpawnError> {
        let mut running = self.lock();
        let entry = running.as_mut().ok_or(SpawnError::Ended)?.vacant_entry();
        let place = Place { tasks: self.clone(), key: entry.key() };
        entry.insert(spawn(place));
        Ok(())
    }

    /// Waits for the end of `body`. Then refuses other tasks, cancels all, and waits until they are
    /// dropped, for which the executor must run.
    pub(crate) async fn end_after<T>(&self, body: impl Future<Output = T>) -> T {
        let result = body.await;
        let running = mem::take(&mut *self.lock());
        let tasks = running.into_iter().flatten();
        let mut ends: Vec<_> = tasks.map(|(_, task)| Box::pin(task.cancel())).collect();
        // Cancels all before it waits for one, so that none of them runs meanwhile.
        poll_fn(|context| {
            ends.retain_mut(|end| end.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        for end in ends {
            end.await;
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Option<Slab<Task<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

/// The place of a task among the others, which is free once this is dropped.
pub(crate) struct Place {
    tasks: Arc<Tasks>,
    key: usize,
}

impl Place {
    /// Runs the task, and then frees its place.
    pub(crate) async fn run(self, task: impl Future<Output = ()> + Unpin) {
        contain(task).await;
        drop(self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let task = self.tasks.lock().as_mut().and_then(|running| running.try_remove(self.key));
        if let Some(task) = task {
            task.detach();
        }
    }
}
