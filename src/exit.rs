//! The end of a service: reported to the node when the guard is dropped.

use std::sync::{Arc, OnceLock};

use crate::error::StartError;
use crate::links::Links;
use crate::report::Outcome;
use crate::shared::Shared;

/// Reports how a service ended, when it is dropped.
pub(crate) struct ExitGuard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) links: Arc<OnceLock<Links>>,
    pub(crate) service: String,
    pub(crate) outcome: Outcome,
}

impl ExitGuard {
    /// The service is about to end without a restart. If it is the last one, links confirm what its
    /// subscriptions were done with, and not what they leave in their rings.
    pub(crate) fn announce(&self) {
        let dead_letters = &self.shared.plan.dead_letters;
        if !dead_letters.ends_last(&self.service)
            && self.shared.services.announce_end()
            && !dead_letters.cross_links
            && let Some(links) = self.links.get()
        {
            links.leave();
        }
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let ExitGuard { shared, service, outcome, .. } = self;
        shared.end(service, outcome);
        if let Outcome::Failed { error, restarts } = outcome {
            let window = shared.plan.topology.restart(service).window;
            shared.failure.set(StartError::ServiceFailed {
                service: service.clone(),
                error: error.clone(),
                restarts: *restarts,
                window,
            });
            shared.lifecycle.shut_down();
        }
        if !shared.plan.dead_letters.ends_last(service) {
            shared.services.others_running.count_down();
        }
        shared.services.running.count_down();
    }
}
