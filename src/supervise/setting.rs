//! The settings of a supervisor or a service, from the program or from the topology. If neither
//! sets a value, the default applies.

use std::time::Duration;

use mycelium_bundle::Restart;

use super::strategy::{Lifetime, Strategy};

/// The settings of a supervisor, from the program or the topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "describe", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct SupervisorSetting {
    pub(crate) name: String,
    pub(crate) strategy: Option<Strategy>,
    pub(crate) restart: RestartSetting,
    /// The services and supervisors below it, in order.
    pub(crate) children: Option<Vec<String>>,
}

/// The settings of a service, from the program or the topology.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "describe", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ServiceSetting {
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) start_deadline: Option<Duration>,
    pub(crate) restart: RestartSetting,
}

/// The restart settings, from the program or the topology.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "describe", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct RestartSetting {
    pub(crate) limit: Option<u32>,
    pub(crate) window: Option<Duration>,
    pub(crate) backoff: Option<Duration>,
    pub(crate) longest: Option<Duration>,
}

impl SupervisorSetting {
    /// Returns these settings, with missing ones taken from `other`.
    pub(crate) fn or(self, other: SupervisorSetting) -> SupervisorSetting {
        SupervisorSetting {
            name: self.name,
            strategy: self.strategy.or(other.strategy),
            restart: self.restart.or(other.restart),
            children: self.children.or(other.children),
        }
    }
}

impl ServiceSetting {
    /// Returns these settings, with missing ones taken from `other`.
    pub(crate) fn or(self, other: ServiceSetting) -> ServiceSetting {
        ServiceSetting {
            lifetime: self.lifetime.or(other.lifetime),
            start_deadline: self.start_deadline.or(other.start_deadline),
            restart: self.restart.or(other.restart),
        }
    }
}

impl RestartSetting {
    fn or(self, other: RestartSetting) -> RestartSetting {
        RestartSetting {
            limit: self.limit.or(other.limit),
            window: self.window.or(other.window),
            backoff: self.backoff.or(other.backoff),
            longest: self.longest.or(other.longest),
        }
    }

    /// Returns these settings, with defaults for missing ones, and with `limit` as the default
    /// limit.
    pub(crate) fn with_limit(self, limit: u32) -> Restart {
        let default = Restart::default();
        Restart {
            limit: self.limit.unwrap_or(limit),
            window: self.window.unwrap_or(default.window),
            backoff: self.backoff.unwrap_or(default.backoff),
            longest: self.longest.unwrap_or(default.longest),
        }
    }
}

impl From<Restart> for RestartSetting {
    fn from(restart: Restart) -> RestartSetting {
        let Restart { limit, window, backoff, longest } = restart;
        let (limit, window) = (Some(limit), Some(window));
        RestartSetting { limit, window, backoff: Some(backoff), longest: Some(longest) }
    }
}
