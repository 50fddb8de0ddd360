//! The owner's view of a node, as values: events (`event`), health (`health_state`, and `health`,
//! which is computed from the events), the reports of start and end (`report`), and the metrics
//! that services create (`metrics`, whose counters are in a region that other processes can read).
//! This module does not depend on a running node: `shared` and `node` create these values.

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
