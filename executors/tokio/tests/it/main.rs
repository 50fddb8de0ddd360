//! The tests of tokio.

#[cfg(all(unix, not(miri)))]
mod conformance;
#[cfg(not(miri))]
mod particular;
mod queue;
#[cfg(all(unix, not(miri)))]
mod subjects;
