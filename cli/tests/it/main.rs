//! The tool as users run it: as a process, with nodes in processes.
#![cfg(target_os = "linux")]

mod check;
mod common;
mod completions;
mod doctor;
mod explain;
#[path = "../../../tests/frames/mod.rs"]
mod frames;
mod live;
mod load;
#[path = "../../../tests/loopback/mod.rs"]
mod loopback;
mod mistakes;
mod new;
mod record;
mod replay;
mod roles;
mod tap;
mod top;
mod up;
mod verbs;
mod world;
