//! Services and actors in tests: `ServiceTest`, `TestActor`, messages of the largest size, and
//! subscriptions and publishers of a real node before its start.
#![cfg(feature = "topology")]

#[path = "testing/actor.rs"]
mod actor;
#[path = "testing/before_start.rs"]
mod before_start;
#[path = "testing/large.rs"]
mod large;
#[path = "testing/mistakes.rs"]
mod mistakes;
#[path = "testing/service_test.rs"]
mod service_test;
#[path = "testing/time.rs"]
mod time;
