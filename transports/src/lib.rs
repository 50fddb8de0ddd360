//! How messages travel between services.
//!
//! [`local`] joins the services of one process: one broadcast ring for each publisher of a topic, subscriptions that
//! merge them, and the bells between the two. [`counters`] is where all that was sent, taken and dropped is written
//! down. `conformance` (a feature) is what every transport promises, as tests that are generic over it.
//!
//! Adapters of executors and transports never see each other: a transport needs a [`Waker`](std::task::Waker) and no
//! more.
#![forbid(unsafe_code)]

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod counters;
pub mod local;
