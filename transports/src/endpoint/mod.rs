//! Where nodes listen, and how others connect.

#[cfg(target_os = "linux")]
pub mod unix;
