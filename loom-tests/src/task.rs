//! Tasks for models. A lost wake fails an assertion. (loom finds the deadlock too, but then ends
//! the process, so the test of a *twin*, a model with one weakened memory ordering, could not
//! expect the failure.)

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicBool, Ordering};

/// Whether a task was woken. As in executors, setting it publishes what the waking thread did
/// before.
#[derive(Debug)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        // A swap, as in executors: loom may order a plain store before an earlier swap.
        self.0.swap(true, Ordering::AcqRel);
    }
}

/// A future that is polled only when it was woken.
pub struct Task<T> {
    /// `None` once the task has ended: the future is dropped then, as in executors.
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    woken: Arc<Woken>,
    output: Option<T>,
}

impl<T> Task<T> {
    /// Creates a task that was not polled yet. It counts as woken.
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Task { future: Some(Box::pin(future)), woken, output: None }
    }

    /// Wakes the task for no reason.
    #[must_use]
    pub fn woken(self) -> Task<T> {
        self.woken.clone().wake();
        self
    }

    /// Returns whether the task has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.output.is_some()
    }

    /// Polls up to `polls` times, while the task is awake, and returns the task, so that a thread
    /// can return it.
    #[must_use]
    pub fn run(mut self, polls: usize) -> Task<T> {
        for _ in 0..polls {
            let Some(future) = &mut self.future else { break };
            if !self.woken.0.swap(false, Ordering::AcqRel) {
                break;
            }
            let waker = Waker::from(self.woken.clone());
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.output = Some(output);
                self.future = None;
            }
        }
        self
    }
}

/// Runs tasks to their ends, in turn. No other thread may run any more.
///
/// # Panics
/// If no task is awake although some have not ended.
#[must_use]
pub fn finish<T>(mut tasks: Vec<Task<T>>) -> Vec<T> {
    while tasks.iter().any(|task| task.output.is_none()) {
        let awake = |task: &Task<T>| task.output.is_none() && task.woken.0.load(Ordering::Relaxed);
        assert!(tasks.iter().any(awake), "a wake was lost");
        tasks = tasks.into_iter().map(|task| task.run(1)).collect();
    }
    tasks.into_iter().filter_map(|task| task.output).collect()
}

impl<T> std::fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}
