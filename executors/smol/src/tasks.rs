//! The tasks of an executor that this crate runs, which end with it.
//!
//! To drop an executor of [`async_executor`] is not enough: a task that another thread wakes at
//! that moment may enter the executor's queue after the drop has emptied the queue, and is then
//! never dropped. So the tasks are cancelled first, and the executor runs until they are dropped.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use async_executor::{Executor, LocalExecutor, Task};
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

    /// Refuses other tasks, cancels all, and waits until they are dropped, for which the executor
    /// must run.
    async fn end(&self) {
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

/// When dropped, ends the tasks: refuses others, cancels all, and runs the executors until the
/// tasks are dropped. So they end in the same way after a body that returns, one that panics, and
/// one that is dropped half way.
///
/// It blocks its thread while another thread polls or wakes one of the tasks; those of [`local`]
/// are polled by no other thread. It must outlive the future that runs the executors on this
/// thread, because that future holds tasks which it has taken from their queues.
///
/// [`local`]: crate::local()
pub(crate) struct EndOnDrop<'a> {
    pub(crate) all: Arc<Tasks>,
    pub(crate) tasks: &'a Executor<'static>,
    pub(crate) local: Option<&'a LocalExecutor<'static>>,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        let end = self.tasks.run(self.all.end());
        match self.local {
            Some(local) => wait(local.run(end)),
            None => wait(end),
        }
    }
}

/// Blocks this thread until the future is ready. Unlike `async_io::block_on` it cannot panic, needs
/// no reactor, and works while the thread drops its thread-local values.
fn wait(future: impl Future<Output = ()>) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    while future.as_mut().poll(&mut context).is_pending() {
        thread::park();
    }
    // The wait may have taken a wake-up from the code around it.
    thread::current().unpark();
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The place of a task among the others, which is free once this is dropped.
pub(crate) struct Place {
    tasks: Arc<Tasks>,
    key: usize,
}

impl Place {
    /// Runs the task, and then frees its place.
    pub(crate) fn run<F: Future<Output = ()> + Unpin>(self, task: F) -> impl Future<Output = ()> {
        // Outside the block, because the task may be dropped before the first poll.
        let task = contain(task);
        async move {
            task.await;
            drop(self);
        }
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
