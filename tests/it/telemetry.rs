//! Nodes that serve their metrics: scraped under load, during restarts and by hostile clients, on
//! each executor; the errors of a start; and, with the feature `facade`, what a recorder receives.
#![cfg(all(feature = "prometheus", feature = "topology"))]

mod endpoint;
mod errors;
#[cfg(feature = "facade")]
mod facade;
mod services;
