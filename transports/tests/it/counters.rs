//! Counters that another process reads, of owners that spin, are stopped, are killed, grow, or lie.
#![cfg(all(feature = "metrics", not(miri)))]

// Dumps can be read on any host.
mod damage;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod hostile;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod owners;
