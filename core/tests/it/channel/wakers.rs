//! Wakers that record their calls, and ways to poll a future without a scheduler.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::doorbell::{Does, does};
use crate::sides::Unpark;

/// A waker that counts.
pub(crate) fn counter() -> (Arc<Does>, Waker) {
    let count = does(|_| {});
    (count.clone(), Waker::from(count))
}

/// Polls a future, which must wait. Returns the counter of its waker.
pub(crate) fn asleep<F: Future>(future: Pin<&mut F>) -> Arc<Does> {
    let (count, waker) = counter();
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
    count
}

/// The result of the first poll.
pub(crate) fn now<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Parks the thread until the future is ready.
pub(crate) fn blocking<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}
