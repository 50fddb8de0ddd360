//! Contained tasks: a panic ends only its own task.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// Polls `task` and catches its panics, including a panic of its drop: such a panic would end many
/// executors. The future is ready when the task has ended or panicked. To observe panics, install a
/// panic hook: it is called first.
///
/// ```
/// use mycelium_core::wait::WaitStrategy;
/// use mycelium_executor::{block_on, contain};
///
/// let task = Box::pin(async { std::panic::resume_unwind(Box::new("ended")) });
/// block_on(contain(task), WaitStrategy::Park);
/// ```
pub async fn contain(task: impl Future<Output = ()> + Unpin) {
    let mut task = Contained(Some(task));
    poll_fn(|context| {
        let poll = || {
            let done = task.0.as_mut().is_none_or(|task| Pin::new(task).poll(context).is_ready());
            // Drops the task inside `catch_unwind`, because its drop may panic, too.
            if done {
                drop(task.0.take())
            }
            done
        };
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(false) => Poll::Pending,
            Ok(true) | Err(_) => Poll::Ready(()),
        }
    })
    .await;
}

/// When dropped, drops its task and catches a panic of that drop. An executor may drop a task
/// before its end, and some abort the process at such a panic.
struct Contained<F>(Option<F>);

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        drop(catch_unwind(AssertUnwindSafe(|| self.0 = None)));
    }
}
