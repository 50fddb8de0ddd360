//! Supervision of services and actors: restarts them after errors and panics, alone or with others,
//! with growing pauses, up to a limit. `execution` says where a service runs, and how it waits.
//!
//! Reading order: `strategy` has the terms, `setting` the settings of programs and files, `tree`
//! decides which children start and stop when, `member` connects tasks to the tree as its children,
//! `panics` records the locations of panics. The plan says which services have which supervisor,
//! and `service::runs` is the loop over the runs of a service.

pub(crate) mod execution;
mod failure;
pub(crate) mod member;
mod panics;
mod setting;
mod strategy;
pub(crate) mod tree;

pub(crate) use failure::Failure;
pub(crate) use panics::{Held, Panic, caught, note_places, text_and_place, with_place};
pub(crate) use setting::{RestartSetting, ServiceSetting, SupervisorSetting};
pub use strategy::{Lifetime, NameError, Strategy};
