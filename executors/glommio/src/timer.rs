//! Timers: glommio's own at home, and a task at home for whoever waits elsewhere.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use glommio::timer::Timer;
use mycelium_executor::SendFuture;

use crate::home::Home;
use crate::room::Kept;

/// Ready at `deadline`, which is so far away.
pub(crate) fn sleep(home: Arc<Home>, deadline: Instant) -> SendFuture<()> {
    Box::pin(Sleep { home, deadline, waits: Waits::Not })
}

struct Sleep {
    home: Arc<Home>,
    deadline: Instant,
    waits: Waits,
}

enum Waits {
    Not,
    Here(Kept<Timer>),
    Elsewhere(oneshot::Receiver<()>),
}

impl Sleep {
    fn left(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the time of a clock that was started")]
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn begin(&self) -> Waits {
        let left = self.left();
        if let Some(timer) = Kept::new(&self.home, || Timer::new(left)) {
            return Waits::Here(timer);
        }
        let (mut done, wait) = oneshot::channel();
        let sleep = sleep(self.home.clone(), self.deadline);
        let task = async move {
            // If nobody waits any more, it is no longer needed.
            if let Either::Left(((), _)) = select(sleep, done.cancellation()).await {
                let _ = done.send(());
            }
        };
        // After the end nobody says so, and the wait has no end.
        let _ = self.home.spawn(Box::pin(task));
        Waits::Elsewhere(wait)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.left().is_zero() {
            return Poll::Ready(());
        }
        loop {
            match &mut self.waits {
                Waits::Not => self.waits = self.begin(),
                Waits::Here(timer) => match timer.with(|timer| Pin::new(timer).poll(context)) {
                    Some(poll) => return poll.map(drop),
                    // It was taken to another thread, or its executor has ended.
                    None if self.home.has_ended() => return Poll::Pending,
                    None => self.waits = Waits::Not,
                },
                // Cancelled is not ready.
                Waits::Elsewhere(wait) => match Pin::new(wait).poll(context) {
                    Poll::Ready(Ok(())) => return Poll::Ready(()),
                    Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}
