//! The tools with which users test services and actors: `ServiceTest`, `TestActor`, messages of the
//! largest size, and subscriptions and publishers of a real node before its start.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod actor;
mod before_start;
mod large;
mod mistakes;
mod replay;
mod reserved;
mod service_test;
mod time;
