//! Actors: a message to one, a question and its answer, their start and end, their memory, and a
//! ring of them.
//!
//! A [`Library`](library::Library) is a column. All of them run the loops of these files (`tell`,
//! `ask`, `start`, `memory`, `ring`), with the same state behind each actor (`state`), from a task
//! of the actors' own runtime or of another one (`place`).

pub(crate) mod ask;
pub(crate) mod library;
mod measure;
pub(crate) mod memory;
pub(crate) mod place;
pub(crate) mod ring;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod tell;
