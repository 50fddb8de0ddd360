//! The tests of glommio, except those that change limits of the process (`tests/limits.rs`).
#![cfg(all(target_os = "linux", not(miri)))]

mod conformance;
mod particular;
mod subjects;
