//! The machine under the benchmarks: threads on cores of their own, other processes, and the
//! allocations of a column.

pub(crate) mod affinity;
#[cfg(target_os = "linux")]
pub(crate) mod allocations;
#[cfg(target_os = "linux")]
pub(crate) mod processes;
pub(crate) mod threads;
