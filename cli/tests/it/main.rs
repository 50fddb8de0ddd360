//! The tool as users run it: as a process, with nodes that are processes.

mod check;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod common;
mod completions;
mod doctor;
mod explain;
mod live;
#[cfg(target_os = "linux")]
#[path = "../../../tests/loopback/mod.rs"]
mod loopback;
mod tap;
mod top;
mod up;
mod verbs;
