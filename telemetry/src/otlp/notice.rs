//! When the owner of an exporter gets a notice of drops and errors: at most once a minute.

use std::time::Duration;

/// The least time between two notices.
const PAUSE: Duration = Duration::from_secs(60);

/// Drops and errors since the last notice.
pub(crate) trait Collected: Default {
    /// Whether there are any.
    fn is_any(&self) -> bool;
}

/// Collects drops and errors until a notice is due.
#[derive(Debug, Default)]
pub(crate) struct Notices<N> {
    open: N,
    told_at: Option<Duration>,
}

impl<N: Collected> Notices<N> {
    pub(crate) fn open(&mut self) -> &mut N {
        &mut self.open
    }

    /// The notice that is due now, if one is.
    pub(crate) fn due(&mut self, now: Duration) -> Option<N> {
        let due = self.due_at()?;
        (now >= due).then(|| {
            self.told_at = Some(now);
            std::mem::take(&mut self.open)
        })
    }

    /// When the next notice is due, if anything has happened.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        let due = self.told_at.map_or(Duration::ZERO, |told| told.saturating_add(PAUSE));
        self.open.is_any().then_some(due)
    }

    /// The last notice, at the end.
    pub(crate) fn rest(&mut self) -> Option<N> {
        self.due(Duration::MAX)
    }
}
