//! The child tasks of one run of a service. They end with the run, and the run has ended only when
//! all of them have ended: messages of their publishers count as sent by the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_listener::Event;

use crate::support::latch::{Latch, until};

/// The child tasks of one run.
#[derive(Debug, Default)]
pub(crate) struct RunTasks {
    end: Latch,
    live: AtomicUsize,
    changed: Event,
}

impl RunTasks {
    /// Adds a task. The run waits for it until the returned value is dropped.
    pub(crate) fn add(self: &Arc<RunTasks>) -> LiveTask {
        self.live.fetch_add(1, Ordering::Relaxed);
        LiveTask(self.clone())
    }

    /// Requests the end of all tasks.
    pub(crate) fn end(&self) {
        self.end.set();
    }

    /// Ends the tasks of the last run, waits for them, and begins a new list.
    pub(crate) async fn end_all(tasks: &mut Arc<RunTasks>) {
        tasks.end();
        until(&tasks.changed, || tasks.live.load(Ordering::Acquire) == 0).await;
        *tasks = Arc::default();
    }
}

/// Tells the run, when dropped, that a child task has ended.
pub(crate) struct LiveTask(Arc<RunTasks>);

impl LiveTask {
    /// Waits until the tasks should end.
    pub(crate) async fn end_requested(&self) {
        self.0.end.wait().await;
    }
}

impl Drop for LiveTask {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Release);
        self.0.changed.notify(usize::MAX);
    }
}
