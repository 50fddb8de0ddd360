//! Panics that end their own task only.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// `task`, whose panic ends nothing but itself: many executors would end with it. Who looks for panics installs a hook;
/// it has been called by then.
///
/// ```
/// use mycelium_core::wait::WaitStrategy;
/// use mycelium_executor::{block_on, contain};
///
/// let task = Box::pin(async { std::panic::resume_unwind(Box::new("ended")) });
/// block_on(contain(task), WaitStrategy::Park);
/// ```
pub async fn contain(task: impl Future<Output = ()> + Unpin) {
    let mut task = Some(task);
    poll_fn(|context| {
        let poll = || {
            let done = task.as_mut().is_none_or(|task| Pin::new(task).poll(context).is_ready());
            // Here, as dropping it may panic as well.
            if done {
                drop(task.take())
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
