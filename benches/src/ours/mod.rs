//! Our ends: rings for items (`rings`), channels, the broadcast ring, topics, and our actors.

#[cfg(target_os = "linux")]
pub(crate) mod actors;
pub(crate) mod broadcast;
pub(crate) mod channels;
pub(crate) mod rings;
pub(crate) mod topic;
pub(crate) mod traces;
