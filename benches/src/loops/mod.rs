//! The callers' loops: each is written once and compiled for every column that runs it.

#[cfg(target_os = "linux")]
pub(crate) mod actors;
pub(crate) mod crowd;
#[cfg(target_os = "linux")]
pub(crate) mod executor;
#[cfg(target_os = "linux")]
pub(crate) mod link;
pub(crate) mod one_thread;
pub(crate) mod one_way;
#[cfg(target_os = "linux")]
pub(crate) mod shm;
pub(crate) mod trip;
pub(crate) mod turns;
