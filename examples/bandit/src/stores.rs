//! Stores of pools: SQLite, Postgres with the feature `postgres`, Redis with `redis`.
//!
//! The drivers need tokio, and a service may run on another executor. So a [`Client`] runs its
//! store on a tokio of its own, on one thread, and asks it through a channel. [`Pools`] are the
//! pools of a store behind a cache, which serves while the store is away.
//!
//! Every answer of a store is untrusted: at worst it is a [`StoreError`], or a row that is not a
//! pool.

mod backend;
mod client;
mod pools;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod sql;
mod sqlite;

pub use backend::StoreError;
pub use client::{Client, StoreUrlError};
pub use pools::{OpenPools, Pools};
