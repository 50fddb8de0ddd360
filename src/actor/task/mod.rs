//! The task of an actor: `run` handles its messages, restarts it after failures and ends it;
//! `ending` is the last that the task does.

mod ending;
pub(super) mod run;

pub use run::run_actor;
