//! Notices of drops and errors for the owner of an exporter, at most one a minute.

use std::fmt;
use std::time::Duration;

/// The least time between two notices.
const PAUSE: Duration = Duration::from_secs(60);

/// Spans that were dropped, and errors, since the last notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// Spans that found no room in the queue.
    pub dropped_full: u64,
    /// Spans of batches that could not be sent in time.
    pub dropped_failed: u64,
    /// Spans that the collector refused.
    pub dropped_refused: u64,
    /// Requests that failed.
    pub errors: u64,
    /// The last error.
    pub error: Option<String>,
}

impl Notice {
    /// How many spans were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped_full + self.dropped_failed + self.dropped_refused
    }
}

/// What happened, without the error. It is one line.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dropped() {
            0 => f.write_str("spans could not be sent, and are sent again")?,
            dropped => write!(f, "{dropped} spans were dropped")?,
        }
        if self.dropped_full > 0 {
            f.write_str(
                "; the queue was full: record a smaller share of the traces, or see why the \
                 collector is slow",
            )?;
        }
        Ok(())
    }
}

/// Collects drops and errors until a notice is due.
#[derive(Debug, Default)]
pub(super) struct Notices {
    open: Notice,
    told_at: Option<Duration>,
}

impl Notices {
    pub(super) fn open(&mut self) -> &mut Notice {
        &mut self.open
    }

    /// The notice that is due now, if one is.
    pub(super) fn due(&mut self, now: Duration) -> Option<Notice> {
        let due = self.due_at()?;
        (now >= due).then(|| {
            self.told_at = Some(now);
            std::mem::take(&mut self.open)
        })
    }

    /// When the next notice is due, if anything has happened.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let Notice { errors, .. } = self.open;
        let is_open = errors > 0 || self.open.dropped() > 0;
        is_open.then(|| self.told_at.map_or(Duration::ZERO, |told| told.saturating_add(PAUSE)))
    }

    /// The last notice, at the end.
    pub(super) fn rest(&mut self) -> Option<Notice> {
        self.due(Duration::MAX)
    }
}
