//! The end of a service: a guard reports it to the node when it is dropped.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error::StartError;
use crate::links::Links;
use crate::observe::report::Outcome;
use crate::plan::Plan;
use crate::shared::{Lifecycle, Services};

/// When dropped, reports to the node how the service has ended.
pub(crate) struct ExitGuard {
    pub(crate) plan: Arc<Plan>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) services: Arc<Services>,
    pub(crate) links: Arc<OnceLock<Links>>,
    pub(crate) service: String,
    pub(crate) outcome: Outcome,
    /// The window of the restart limit that was exceeded, and the supervisor whose limit it was.
    pub(crate) limit: Option<Box<(Duration, Option<Arc<str>>)>>,
}

impl ExitGuard {
    /// Announces that the service is about to end without a restart. After the last announcement,
    /// links confirm only messages that subscriptions have finished, not messages left in their
    /// rings.
    pub(crate) fn announce(&self) {
        let dead_letters = &self.plan.dead_letters;
        if !dead_letters.ends_last(&self.service)
            && self.services.announce_end()
            && !dead_letters.cross_links
            && let Some(links) = self.links.get()
        {
            links.leave();
        }
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let ExitGuard { plan, lifecycle, services, service, outcome, limit, .. } = self;
        services.end(service, outcome);
        if let Outcome::Failed { error, restarts } = outcome {
            let (window, supervisor) = limit.take().map_or_else(Default::default, |limit| *limit);
            lifecycle.fail(StartError::ServiceFailed {
                service: service.clone(),
                error: error.clone(),
                restarts: *restarts,
                window,
                supervisor: supervisor.map(|name| name.to_string()),
            });
        }
        if !plan.dead_letters.ends_last(service) {
            services.others_running.count_down();
        }
        services.running.count_down();
    }
}
