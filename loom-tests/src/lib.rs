//! Model checks of the rings and the doorbell.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p mycelium-loom-tests --target-dir target/loom`
//! runs every model in `tests/` over all interleavings and all stale values that the memory model
//! allows, up to a bound on preemptions. Each model has twins: a twin runs the model with one
//! ordering or fence weakened (`mycelium_core::sync::weaken`) and must fail. This proves that the
//! shim works, that the model reaches the ordering, and that the ordering is needed.
//!
//! This package depends on `mycelium-bus-core` alone, because `--cfg loom` applies to every dependency.
//! Without that flag it is empty.
#![cfg(loom)]

mod ends;
mod models;
pub mod task;
mod woken;

pub use ends::{content, drain, look, pop, push, read};
pub use models::{beside, bounded, weakened};
pub use woken::Woken;
