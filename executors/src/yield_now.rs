//! Yielding to other tasks.

use std::future::poll_fn;
use std::task::Poll;

/// Lets other tasks of the executor run: pending once, with an immediate wake-up of its own task.
///
/// ```
/// use mycelium_core::wait::WaitStrategy;
/// use mycelium_executor::{block_on, yield_now};
///
/// block_on(yield_now(), WaitStrategy::Park);
/// ```
pub fn yield_now() -> impl Future<Output = ()> + Send + 'static {
    let mut yielded = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
