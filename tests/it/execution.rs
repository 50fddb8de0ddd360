//! How services are executed: on which thread and executor, how they wait, what the system refuses,
//! which events observers get, and what the watchdog reports.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

#[cfg(unix)]
mod bridges;
mod events;
mod fairness;
mod places;
mod refusals;
pub(crate) mod services;
mod watchdog;
