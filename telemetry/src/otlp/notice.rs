//! Notices of drops and errors for the owner of an exporter, at most once a minute.

use std::time::Duration;

use super::port::Port;

/// The shortest time between two notices.
const PAUSE: Duration = Duration::from_secs(60);

/// Drops and errors since the last notice.
pub(crate) trait Collected: Default {
    /// Returns whether anything was collected.
    fn is_any(&self) -> bool;
}

/// Collects drops and errors, and passes notices of them to the owner.
#[derive(Debug)]
pub(crate) struct Notices<N, F> {
    open: N,
    told_at: Option<Duration>,
    on_notice: F,
}

impl<N: Collected, F: FnMut(&N)> Notices<N, F> {
    pub(crate) fn new(on_notice: F) -> Notices<N, F> {
        Notices { open: N::default(), told_at: None, on_notice }
    }

    pub(crate) fn open(&mut self) -> &mut N {
        &mut self.open
    }

    /// Passes a notice to the owner if one is due at `now`. The last call passes [`Duration::MAX`].
    pub(crate) fn tell(&mut self, now: Duration) {
        if self.due_at().is_some_and(|due| now >= due) {
            self.told_at = Some(now);
            (self.on_notice)(&std::mem::take(&mut self.open));
        }
    }

    /// Waits until this time, until a notice is due, or until `port` ends the wait. Then passes on
    /// a notice that is due.
    pub(crate) fn rest(&mut self, port: &mut impl Port, until: Duration) {
        port.wait(self.due_at().map_or(until, |due| until.min(due)));
        self.tell(port.now());
    }

    /// Returns when the next notice is due, if anything was collected.
    fn due_at(&self) -> Option<Duration> {
        let due = self.told_at.map_or(Duration::ZERO, |told| told.saturating_add(PAUSE));
        self.open.is_any().then_some(due)
    }
}
