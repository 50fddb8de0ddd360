//! The interface between Mycelium and executors, and the code that adapters share.
//!
//! A service reaches time, tasks, blocking work, randomness and the network only through the trait
//! [`Executor`]. So the same source runs on every executor that implements it, and a simulating
//! executor can give any service virtual time. No message passes through this crate: for a message,
//! an executor only provides its [`Waker`](std::task::Waker)s.
//!
//! A thread without an executor waits for the same futures with [`block_on`]. [`PausedTime`] wraps
//! an executor with a clock that only a test moves.
//!
//! An adapter (`mycelium-bus-tokio`, `mycelium-bus-smol`, `mycelium-bus-glommio`) is a small crate
//! with one type that implements the trait. It wraps its streams in [`Stream`] and its listeners in
//! [`Listener`]. Adapters share the rest of this crate: [threads](Thread) with a name, cores and a
//! scheduling class, a [clock](Clock), tasks that [contain](contain()) their panics, TCP sockets
//! ([`bind_tcp`], [`prepare_tcp`]), host names ([`connect_first`]), and
//! [credentials](Credentials::of) of peers.
//!
//! Features: `pool` has threads for blocking work, `signals` handles SIGINT and SIGTERM, and
//! `conformance` has the laws that every executor keeps, as tests.
//!
//! This crate knows no runtime, no message and no transport. Read `executor.rs` first.

#[cfg(all(feature = "conformance", unix))]
pub mod conformance;
mod contain;
mod executor;
mod network;
#[cfg(feature = "pool")]
pub mod pool;
#[cfg(all(unix, feature = "signals"))]
mod signal;
mod thread;
mod time;
mod wait;

pub use contain::contain;
pub use executor::{
    Clock, Executor, LocalFuture, MakeDedicated, MakeLocal, SendFuture, SpawnError, TaskQueue,
    system_entropy,
};
pub use network::{
    Accept, Address, Credentials, Duplex, Listener, ListeningSocket, Peer, Stream, WakeStream,
    bind_tcp, connect_first, prepare_tcp,
};
#[cfg(all(unix, feature = "signals"))]
pub use signal::interrupted;
pub use thread::{Class, GrantedPlacement, PlacementFallback, Thread, ThreadError, allowed_cores};
pub use time::{Backoff, DeadlineTimer, PausedTime};
pub use wait::{block_on, yield_now};
