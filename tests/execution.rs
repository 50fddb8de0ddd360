//! How services are executed: on whose thread, by which executor, how they wait, what the machine refuses, who is told of
//! what happens, and who is named when a poll hangs.

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
