//! Actors: their messages and requests, how they end, and how they are found.
#![expect(clippy::type_complexity, reason = "jobs of a test are closures")]

mod calls;
#[cfg(feature = "tracing")]
mod circle;
#[cfg(all(feature = "metrics", feature = "topology"))]
mod defects;
#[cfg(feature = "metrics")]
mod drops;
mod keyed;
mod keyed_idle;
#[cfg(feature = "metrics")]
mod keyed_storm;
#[cfg(all(unix, feature = "metrics", feature = "tracing"))]
pub(crate) mod laws;
mod mailbox;
#[cfg(all(feature = "metrics", feature = "tracing"))]
mod model;
pub(crate) mod probe;
mod restart;
mod supervised;
#[cfg(feature = "metrics")]
mod timers;
mod trees;
