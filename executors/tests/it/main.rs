//! The tests of the interface. Its laws are in `src/conformance` and are tested with each executor.

#[cfg(all(unix, not(miri)))]
mod defaults;
mod paused;
// Miri isolates programs from the network.
#[cfg(all(target_os = "linux", not(miri)))]
mod tcp;
#[cfg(all(target_os = "linux", not(miri)))]
mod thread;
mod wait;
