//! The atomics of this crate. Under `cfg(lines)` they report each access to the simulated caches of
//! the core (`line-tests/`); in any other build they are those of the standard library.

pub(crate) use std::sync::atomic::Ordering;
#[cfg(feature = "metrics")]
pub(crate) use std::sync::atomic::fence;

#[cfg(not(lines))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(lines)]
pub(crate) use mycelium_core::sync::lines::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
};
