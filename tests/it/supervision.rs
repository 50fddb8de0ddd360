//! Supervisors of services, through the public interface. `supervision/laws.rs` has the laws of
//! `docs/actors.md`, which run on each executor, and `supervision/worker.rs` the services for
//! them; `supervision/faults.rs` tests panics in every hook, `supervision/storm.rs` many failures
//! at a time, `supervision/limits.rs` supervisors that give up, `supervision/names.rs` what is
//! refused before anything runs. Unit tests compare the state machine with OTP.
#![cfg(unix)]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology", feature = "tracing"))]

mod faults;
mod laws;
mod limits;
mod names;
mod storm;
mod worker;
