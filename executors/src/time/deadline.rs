//! A timer that many waits share, one after the other.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::executor::{Executor, SendFuture};

/// A timer for deadlines that follow each other. A timer that fires before the next deadline is
/// kept until it does, so a new one is needed about once in the length of a deadline, and not for
/// each.
#[derive(Default)]
pub struct DeadlineTimer(Option<(Duration, SendFuture<()>)>);

impl DeadlineTimer {
    /// Ready when the executor's clock has reached `end`. Before that, the task is woken in time to
    /// poll again.
    ///
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// use std::time::Duration;
    ///
    /// use mycelium_executor::{DeadlineTimer, Executor, SendFuture, SpawnError};
    ///
    /// struct Noon;
    ///
    /// impl Executor for Noon {
    /// #     fn name(&self) -> String {
    /// #         "noon".to_owned()
    /// #     }
    /// #     fn spawn(&self, _: SendFuture<()>) -> Result<(), SpawnError> {
    /// #         Err(SpawnError::Ended)
    /// #     }
    ///     fn now(&self) -> Duration {
    ///         Duration::from_secs(12 * 3600)
    ///     }
    ///     fn sleep_until(&self, _: Duration) -> SendFuture<()> {
    ///         Box::pin(std::future::pending())
    ///     }
    /// }
    ///
    /// let (mut timer, mut context) = (DeadlineTimer::default(), Context::from_waker(Waker::noop()));
    /// let end = Noon.now();
    /// assert_eq!(timer.poll(&mut context, &Noon, end), Poll::Ready(()));
    /// let later = end + Duration::from_secs(1);
    /// assert_eq!(timer.poll(&mut context, &Noon, later), Poll::Pending);
    /// ```
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        executor: &dyn Executor,
        end: Duration,
    ) -> Poll<()> {
        let DeadlineTimer(timer) = self;
        while executor.now() < end {
            match timer {
                Some((at, wake)) if *at <= end => {
                    if Pin::as_mut(wake).poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    *timer = None;
                }
                _ => *timer = Some((end, executor.sleep_until(end))),
            }
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for DeadlineTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeadlineTimer").field(&self.0.as_ref().map(|(at, _)| at)).finish()
    }
}
