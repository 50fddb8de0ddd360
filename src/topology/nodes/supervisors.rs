//! The settings of supervisors, and of the supervision of services.

use crate::supervise::{RestartSetting, ServiceSetting, SupervisorSetting};
use crate::topology::Topology;
use crate::topology::keys::sections::SupervisorSection;
use crate::topology::keys::values::Span;

impl Topology {
    /// Returns the supervisors of the file, by name.
    pub(crate) fn supervisors(&self) -> Vec<SupervisorSetting> {
        let sections = self.sections.supervisor.iter();
        let settings = sections.map(|(name, section)| {
            let SupervisorSection { strategy, children, .. } = section;
            SupervisorSetting {
                name: name.as_ref().clone(),
                strategy: strategy.map(|strategy| strategy.0),
                restart: restart(
                    [section.restart_window, section.backoff, section.max_backoff],
                    section.max_restarts,
                ),
                children: children
                    .as_ref()
                    .map(|children| children.iter().map(|child| child.as_ref().clone()).collect()),
            }
        });
        settings.collect()
    }

    /// Returns the file's settings for the supervision of a service.
    pub(crate) fn supervised(&self, service: &str) -> ServiceSetting {
        let Some(section) = self.sections.service.get(service) else {
            return ServiceSetting::default();
        };
        ServiceSetting {
            lifetime: section.lifetime.map(|lifetime| lifetime.0),
            start_deadline: section.start_deadline.map(|span| span.0),
            restart: restart(
                [section.restart_window, section.backoff, section.max_backoff],
                section.max_restarts,
            ),
        }
    }
}

fn restart([window, backoff, longest]: [Option<Span>; 3], limit: Option<u32>) -> RestartSetting {
    let duration = |span: Option<Span>| span.map(|span| span.0);
    RestartSetting {
        limit,
        window: duration(window),
        backoff: duration(backoff),
        longest: duration(longest),
    }
}
