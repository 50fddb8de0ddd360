//! When the logs of a feed are due, if it is used to measure.

use std::{num::NonZeroU64, time::Duration};

/// The nanoseconds of a second.
const SECOND: u128 = 1_000_000_000;
/// How long logs that are due may be sent after the end of an offer.
const LATE: Duration = Duration::from_secs(1);

/// A schedule of logs: the first one is due when a client is ready, and the others follow at a
/// fixed rate, however late the client is. Only the logs due after the warm-up are measured.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Logs per second; `None` sends each log as soon as the last one is sent, and it is due then.
    pub rate: Option<NonZeroU64>,
    /// The time before the measured part.
    pub warm_up: Duration,
    /// The duration of the measured part.
    pub measured: Duration,
}

impl Offer {
    /// The number of logs that are due in the first part of the offer, of this duration; `None`
    /// without a rate.
    pub fn due_within(&self, time: Duration) -> Option<usize> {
        let logs = time.as_nanos().saturating_mul(u128::from(self.rate?.get()));
        Some(usize::try_from(logs.div_ceil(SECOND)).unwrap_or(usize::MAX))
    }

    /// When a log is due, after the first one; `None` without a rate.
    pub(super) fn due(&self, index: usize) -> Option<Duration> {
        let nanoseconds = index as u128 * SECOND / u128::from(self.rate?.get());
        Some(Duration::from_nanos(nanoseconds as u64))
    }

    /// Whether no log is to be sent from this one on, at this time after the first one was due.
    pub(super) fn ends_at(&self, index: usize, time: Duration) -> bool {
        let end = self.warm_up.saturating_add(self.measured);
        match self.due_within(end) {
            Some(logs) => index >= logs || time >= end.saturating_add(LATE),
            None => time >= end,
        }
    }
}
