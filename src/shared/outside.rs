//! Subscriptions of code outside the services. The node ends them after its services, because no
//! further messages of services come, even if a publisher outside the services still exists.

use std::sync::{Arc, Mutex, Weak};

use crate::support::lock::lock;
use mycelium_transports::local::Finisher;

/// The subscriptions that have not been dropped. `None` after the services have ended.
#[derive(Debug)]
pub(super) struct OutsideSubscriptions(Mutex<Option<Vec<Weak<Finisher>>>>);

impl Default for OutsideSubscriptions {
    fn default() -> OutsideSubscriptions {
        OutsideSubscriptions(Mutex::new(Some(Vec::new())))
    }
}

impl OutsideSubscriptions {
    /// Adds a subscription; dropping the returned value removes it.
    pub(super) fn add(&self, finisher: Finisher) -> Arc<Finisher> {
        let finisher = Arc::new(finisher);
        match &mut *lock(&self.0) {
            Some(open) => {
                if open.len() == open.capacity() {
                    // Does not remove dropped subscriptions at each call, because there may be
                    // many.
                    open.retain(|other| other.strong_count() > 0);
                }
                open.push(Arc::downgrade(&finisher));
            }
            None => finisher.finish_when_empty(),
        }
        finisher
    }

    /// Ends each subscription as soon as it is empty, because the services have ended.
    pub(super) fn finish(&self) {
        let open = lock(&self.0).take();
        for finisher in open.iter().flatten().filter_map(Weak::upgrade) {
            finisher.finish_when_empty();
        }
    }
}

impl Drop for OutsideSubscriptions {
    fn drop(&mut self) {
        self.finish();
    }
}
