//! The timer of a service's waits for room and for confirmations: it reports waits that last too
//! long.

use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use mycelium_executor::{Executor, SendFuture};

/// How long a wait lasts before it is counted; it is counted once for each such period.
const STALL: Duration = Duration::from_secs(1);

/// Detects waits that last too long. All waits of a service share one timer, which is made at the
/// first wait, so that a wait does not allocate.
#[derive(Default)]
pub(crate) struct StallWatch {
    timer: Option<SendFuture<()>>,
    /// The second of the present wait at which it is reported next.
    due: u64,
}

impl StallWatch {
    #[cold]
    pub(crate) fn watch(
        &mut self,
        context: &mut task::Context<'_>,
        executor: &dyn Executor,
        waiting_since: &mut Option<Duration>,
        count: impl FnOnce(),
        report: impl FnOnce(u64),
    ) {
        let now = executor.now();
        let since = *waiting_since.get_or_insert_with(|| {
            self.due = 1;
            now
        });
        let timer = self.timer.get_or_insert_with(|| executor.sleep_until(now + STALL));
        let Poll::Ready(()) = Pin::as_mut(timer).poll(context) else { return };
        let seconds = now.saturating_sub(since).as_secs();
        if seconds > 0 {
            count();
        }
        // Not `==`, because the timer may be late, and skip a second.
        if seconds >= self.due {
            self.due = if seconds < 32 { (seconds + 1).next_power_of_two() } else { seconds + 60 };
            report(seconds);
        }
        let mut next = executor.sleep_until(now + STALL);
        if next.as_mut().poll(context).is_pending() {
            self.timer = Some(next);
        } else {
            self.timer = None;
        }
    }
}
