//! Timers that may be awaited on any thread: on the executor's own thread as a glommio timer,
//! elsewhere by a task on the executor's thread.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use glommio::timer::Timer;

use crate::inbox::{Inbox, Message};
use crate::local::LocalValue;

/// Waits until `deadline`, on any thread that polls it.
pub(crate) async fn sleep(inbox: Arc<Inbox>, deadline: Instant) {
    Sleep { inbox, deadline, timer: RunningTimer::None }.await
}

struct Sleep {
    inbox: Arc<Inbox>,
    deadline: Instant,
    timer: RunningTimer,
}

enum RunningTimer {
    None,
    /// A glommio timer on this thread, which is the executor's thread.
    Local(LocalValue<Timer>),
    /// A task on the executor's thread that waits and then reports to this one.
    Remote(oneshot::Receiver<()>),
}

impl Sleep {
    fn remaining(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "the deadline is a time of the same clock")]
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn start(&self) -> RunningTimer {
        let remaining = self.remaining();
        if let Some(timer) = LocalValue::new(&self.inbox, || Timer::new(remaining)) {
            return RunningTimer::Local(timer);
        }
        let (mut done, receiver) = oneshot::channel();
        let sleep = Box::pin(sleep(self.inbox.clone(), self.deadline));
        let task = async move {
            // If the receiver is dropped first, the timer is no longer needed.
            if let Either::Left(((), _)) = select(sleep, done.cancellation()).await {
                let _ = done.send(());
            }
        };
        // If the executor has ended, the receiver is pending forever.
        let _ = self.inbox.send(Message::Spawn(Box::pin(task)));
        RunningTimer::Remote(receiver)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.remaining().is_zero() {
            return Poll::Ready(());
        }
        loop {
            match &mut self.timer {
                RunningTimer::None => self.timer = self.start(),
                RunningTimer::Local(timer) => {
                    match timer.with(|timer| Pin::new(timer).poll(context)) {
                        Some(poll) => return poll.map(drop),
                        None if self.inbox.has_ended() => return Poll::Pending,
                        // The future has moved to another thread, so it needs a new timer there.
                        None => self.timer = RunningTimer::None,
                    }
                }
                RunningTimer::Remote(receiver) => match Pin::new(receiver).poll(context) {
                    Poll::Ready(Ok(())) => return Poll::Ready(()),
                    // An error means that the executor has ended, so the deadline is never reached.
                    Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}
