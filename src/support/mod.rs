//! The parts that every module of this crate uses: texts for misspelt names, problems as a code and
//! a text, a lock and a latch, log lines, and the reports of the launcher (`launcher`, and
//! `members` for the other processes). It depends on no other module.

pub(crate) mod latch;
#[cfg(unix)]
pub(crate) mod launcher;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod members;
pub(crate) mod names;
pub(crate) mod problem;
