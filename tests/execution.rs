//! How services are executed: on which thread and executor, how they wait, what the system refuses,
//! which events observers get, and what the watchdog reports.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

#[path = "execution/bridges.rs"]
mod bridges;
#[path = "execution/events.rs"]
mod events;
#[path = "execution/fairness.rs"]
mod fairness;
#[path = "execution/places.rs"]
mod places;
#[path = "execution/plain.rs"]
mod plain;
#[path = "execution/refusals.rs"]
mod refusals;
#[path = "execution/services.rs"]
mod services;
#[path = "execution/watchdog.rs"]
mod watchdog;
