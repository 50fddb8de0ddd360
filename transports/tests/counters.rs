//! Counters that another process reads: of owners that spin, are stopped, are killed, grow, or lie.
#![cfg(all(feature = "metrics", not(miri)))]

// A dump is read on any host.
#[path = "counters/damage.rs"]
mod damage;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[path = "counters/hostile.rs"]
mod hostile;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[path = "counters/owners.rs"]
mod owners;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[path = "counters/roles.rs"]
mod roles;
