//! Keeps services and actors running: restarts them after errors and panics, alone or with others,
//! with growing pauses, up to a limit.
//!
//! Read in this order: `strategy` has the words, `setting` what programs and files say,
//! `supervisor` how programs say it, `plan` what comes of it in a node. `tree` decides who starts
//! and stops when, `member` lets tasks be children of a tree. `service` is the loop around the runs
//! of a service, `run` is one of them, `panics` notes where it panicked.

mod failure;
pub(crate) mod member;
mod panics;
mod plan;
mod run;
mod service;
mod setting;
mod strategy;
mod supervisor;
pub(crate) mod tree;

#[cfg(feature = "testing")]
pub(crate) use failure::Failure;
pub(crate) use panics::{note_places, text_and_place, with_place};
pub(crate) use plan::{PlannedChild, SupervisionPlan};
pub use service::supervise;
pub(crate) use setting::{RestartSetting, ServiceSetting, SupervisorSetting};
pub use strategy::{Lifetime, NameError, Strategy};
pub use supervisor::Supervisor;
