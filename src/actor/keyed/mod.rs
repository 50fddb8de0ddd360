//! Keyed actors: one actor for each key, created on first use, and passivated when idle.
//!
//! From the bottom up: `error` has the error of `tell`; `map` has the living actors by key, and
//! creates them; `idle` is the clock by which idle actors are passivated; `handle` is the handle,
//! [`Keyed`]; `builder` creates the handle.

mod builder;
mod error;
mod handle;
mod idle;
mod map;

pub use builder::KeyedBuilder;
pub use error::KeyedTellError;
pub use handle::Keyed;
