//! Our ends: rings for items (`rings`), channels, the broadcast ring, topics.

pub(crate) mod broadcast;
pub(crate) mod channels;
pub(crate) mod rings;
pub(crate) mod topic;
pub(crate) mod traces;
