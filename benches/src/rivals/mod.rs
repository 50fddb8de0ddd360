//! The rivals' ends: each as its own documentation uses it, with room for as many items as ours.

pub(crate) mod broadcast;
pub(crate) mod channels;
pub(crate) mod gil;
pub(crate) mod photon_ring;
pub(crate) mod queues;
pub(crate) mod raw;
pub(crate) mod rtrb;
pub(crate) mod spsc;
pub(crate) mod tasks;
