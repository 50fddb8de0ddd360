//! Nodes that serve their metrics: scraped under load, while services restart, by hostile clients;
//! on each executor; and the errors of a start. With the feature `facade`, what a recorder gets.
#![cfg(all(feature = "prometheus", feature = "topology"))]

mod endpoint;
mod errors;
#[cfg(feature = "facade")]
mod facade;
mod services;
