//! Whether publishers of other processes may still come.

use std::sync::Arc;

use mycelium_core::doorbell::announce;

use super::Topic;
use crate::sync::{AtomicUsize, Ordering};

/// Says that publishers of another process may come: as long as it is there, no subscription of the topic sees an end.
#[derive(Debug)]
pub struct KeepOpen(Arc<Topic>);

#[derive(Debug, Default)]
pub(super) struct OpenGuards {
    now: AtomicUsize,
    ever: AtomicUsize,
}

impl OpenGuards {
    /// Whether a publisher may come that is not there yet. Whatever publishers came before the last hold went are seen by
    /// who sees it gone.
    pub(super) fn is_kept_open(&self) -> bool {
        self.now.load(Ordering::Acquire) > 0
    }

    /// Whether there was one: then the end may come without any publisher.
    pub(super) fn was_kept_open(&self) -> bool {
        self.ever.load(Ordering::Relaxed) > 0
    }
}

impl Topic {
    /// Keeps the topic's subscriptions open.
    #[must_use]
    pub fn keep_open(self: &Arc<Topic>) -> KeepOpen {
        self.open_guards.now.fetch_add(1, Ordering::Relaxed);
        self.open_guards.ever.fetch_add(1, Ordering::Relaxed);
        KeepOpen(self.clone())
    }
}

impl Drop for KeepOpen {
    fn drop(&mut self) {
        self.0.open_guards.now.fetch_sub(1, Ordering::Release);
        announce();
        self.0.members().subscribers.iter().for_each(|subscriber| subscriber.bell.ring());
    }
}
