//! Services in tests: `ServiceTest`, and subscriptions and publishers of a real node before its
//! start.
#![cfg(feature = "topology")]

#[path = "testing/before_start.rs"]
mod before_start;
#[path = "testing/mistakes.rs"]
mod mistakes;
#[path = "testing/service_test.rs"]
mod service_test;
#[path = "testing/time.rs"]
mod time;
