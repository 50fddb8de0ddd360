//! What the owner of a node sees of it, as values: events (`event`), health (`health_state`, and
//! `health`, which follows the events), the report of its end and the warnings of its start
//! (`report`), and the metrics that services register (`metrics`, whose counters are in a region
//! that other processes read). This module knows no running node: `shared` and `node` make these
//! values.

pub(crate) mod counters_region;
mod event;
pub(crate) mod health;
pub(crate) mod health_state;
#[cfg_attr(not(feature = "metrics"), path = "metrics/none.rs")]
pub(crate) mod metrics;
pub(crate) mod report;

pub use event::Event;
pub use health::{Health, HealthCause};
pub use health_state::HealthState;
pub use report::{Carrier, LinkReport, Outcome, Report, RingMemory, ServiceReport, StartWarning};
