//! What a task does that found nothing: how long it looks again before it sleeps.
//!
//! To sleep and be woken costs far more than a look, and a task that is looking is not late when the thing comes; but
//! its core does nothing else meanwhile. This crate knows no clock, so patience is counted in looks.

/// How long a waiting task looks before it sleeps.
///
/// Whatever the policy, a poll looks a bounded number of times ([`Wait::LOOKS`] and a few), so that the executor's other
/// tasks get their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// It never sleeps: [`Wait::LOOKS`] looks, then it asks to be polled again, and so on. The executor never idles.
    Spin,
    /// It looks so many times, spread over polls of up to [`Wait::LOOKS`] looks, then it sleeps.
    SpinThenPark(usize),
    /// It sleeps at once. A task that waits costs nothing.
    #[default]
    Park,
}

impl Wait {
    /// How often a task looks in one poll before it lets others run.
    pub const LOOKS: usize = if cfg!(any(loom, miri)) { 2 } else { 1_000 };

    /// How many more looks a task takes in this poll that took `looked` before, and whether it sleeps after them.
    #[cfg(target_has_atomic = "ptr")]
    pub(crate) fn looks(self, looked: usize) -> (usize, bool) {
        match self {
            Wait::Spin => (Wait::LOOKS, false),
            Wait::SpinThenPark(most) => {
                let left = most.saturating_sub(looked);
                (left.min(Wait::LOOKS), left <= Wait::LOOKS)
            }
            Wait::Park => (0, true),
        }
    }
}

/// What a thread does between two looks: it tells the processor that it waits. Every loop of looks goes through this.
#[inline]
pub fn pause() {
    crate::sync::pause();
}
