//! Counters that another process reads: of owners that spin, are stopped, are killed, grow, or lie.
#![cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    feature = "metrics",
    not(any(miri, lines))
))]

#[path = "counters/damage.rs"]
mod damage;
#[path = "counters/hostile.rs"]
mod hostile;
#[path = "counters/owners.rs"]
mod owners;
#[path = "counters/roles.rs"]
mod roles;
