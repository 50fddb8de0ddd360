//! What every room uses: names that were misspelt, a lock and a latch, log lines, and what the
//! launcher of this process says (`launcher`, and `members` of the other processes). It knows no
//! other room.

pub(crate) mod latch;
#[cfg(unix)]
pub(crate) mod launcher;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod members;
pub(crate) mod names;
