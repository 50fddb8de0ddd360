//! Contained tasks: a panic ends only its own task.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls `task` and catches its panics, including a panic of its drop, also if the task was never
/// polled: such a panic would end many executors. The future is ready when the task has ended or
/// panicked. To observe panics, install a panic hook: it is called first.
///
/// ```
/// use mycelium_core::wait::WaitStrategy;
/// use mycelium_executor::{block_on, contain};
///
/// let task = Box::pin(async { std::panic::resume_unwind(Box::new("ended")) });
/// block_on(contain(task), WaitStrategy::Park);
/// ```
pub fn contain<F: Future<Output = ()> + Unpin>(task: F) -> impl Future<Output = ()> {
    // Not an `async` block, which would guard the task from its first poll on only.
    Contained(Some(task))
}

/// When dropped, drops its task and catches a panic of that drop. An executor may drop a task
/// before its end, and some abort the process at such a panic.
struct Contained<F>(Option<F>);

impl<F: Future<Output = ()> + Unpin> Future for Contained<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let poll = || {
            let done = self.0.as_mut().is_none_or(|task| Pin::new(task).poll(context).is_ready());
            // Drops the task here, because its drop may panic, too.
            if done {
                self.0 = None;
            }
            done
        };
        match caught(poll) {
            Some(false) => Poll::Pending,
            Some(true) => Poll::Ready(()),
            None => {
                caught(|| self.0 = None);
                Poll::Ready(())
            }
        }
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        caught(|| self.0 = None);
    }
}

/// Returns `None` if `call` panics. Leaks a payload whose drop panics with another payload.
fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    let drops = |payload| catch_unwind(AssertUnwindSafe(|| drop(payload)));
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(payload) => {
            drops(payload).unwrap_or_else(mem::forget);
            None
        }
    }
}
