//! Keyed actors: one actor for each key, made on first use, and passivated when idle.
//!
//! From the bottom up: `error` says why a message was not told; `map` has the actors that live, by
//! key, and makes them; `idle` is the clock by which they are passivated; `handle` is the handle,
//! [`Keyed`]; `builder` makes the handle.

mod builder;
mod error;
mod handle;
mod idle;
mod map;

pub use builder::KeyedBuilder;
pub use error::KeyedTellError;
pub use handle::Keyed;
