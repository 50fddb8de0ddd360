//! The task of an actor: `run` handles its messages, restarts it after failures and ends it;
//! `ending` has the last steps of the task. `drops` catches panics in the drops of the user's
//! values.

pub(super) mod drops;
mod ending;
pub(super) mod run;

pub use run::run_actor;
