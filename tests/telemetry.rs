//! Nodes that serve their metrics: scraped under load, while services restart, by hostile clients;
//! on each executor; and the errors of a start. With the feature `facade`, what a recorder gets.
#![cfg(all(feature = "prometheus", feature = "topology"))]

#[path = "telemetry/endpoint.rs"]
mod endpoint;
#[path = "telemetry/errors.rs"]
mod errors;
mod executors;
#[cfg(feature = "facade")]
#[path = "telemetry/facade.rs"]
mod facade;
#[path = "telemetry/services.rs"]
mod services;
