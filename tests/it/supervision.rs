//! Supervisors of services, through the public interface. `supervision/laws.rs` has the laws of
//! `docs/supervision.md`, which run on each executor; `supervision/worker.rs` the services under
//! them; `supervision/faults.rs` panics in every hook, `supervision/storm.rs` many failures at a
//! time, `supervision/limits.rs` supervisors that give up, `supervision/names.rs` what is refused
//! before anything runs. That the state machine does what OTP does is tested beside it.
#![cfg(unix)]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology", feature = "tracing"))]

mod faults;
mod laws;
mod limits;
mod names;
mod storm;
mod worker;
