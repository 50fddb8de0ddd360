//! The rivals' ends: each is used as its documentation shows, with the same capacity as ours.

#[cfg(target_os = "linux")]
pub(crate) mod actors;
pub(crate) mod broadcast;
pub(crate) mod many;
pub(crate) mod pair;
pub(crate) mod spans;
pub(crate) mod tasks;
