//! The share of its thread that a task queue gets.

use std::fmt;
use std::time::Duration;

/// The settings of a task queue on an executor's thread: its share of the thread, and the latency
/// that its tasks need. By default both are those of the executor.
///
/// Of the adapters here, only glommio's executors have task queues
/// ([`Executor::task_queue`](crate::Executor::task_queue)).
///
/// ```
/// use std::time::Duration;
///
/// use mycelium_executor::TaskQueue;
///
/// let queue = TaskQueue { shares: Some(100), latency: Some(Duration::from_micros(250)) };
/// assert_eq!(queue.to_string(), "shares = 100, latency = \"250µs\"");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskQueue {
    /// The weight against the other task queues of the thread while they are busy: 1 to 1,000.
    pub shares: Option<u32>,
    /// How long the tasks may wait for tasks of other queues, and for sockets and timers.
    pub latency: Option<Duration>,
}

impl TaskQueue {
    /// The limit on [`shares`](TaskQueue::shares).
    pub const MOST_SHARES: u32 = 1_000;
}

impl fmt::Display for TaskQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.shares, self.latency) {
            (None, None) => Ok(()),
            (Some(shares), None) => write!(f, "shares = {shares}"),
            (None, Some(latency)) => write!(f, "latency = \"{latency:?}\""),
            (Some(shares), Some(latency)) => {
                write!(f, "shares = {shares}, latency = \"{latency:?}\"")
            }
        }
    }
}
