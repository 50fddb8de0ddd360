//! What Mycelium requires of an executor, and what its adapters share.
//!
//! A service reaches time, tasks, blocking work, randomness and the network only through the trait
//! [`Executor`]. So the same source runs on every executor that implements it, and a simulating
//! executor can give any service virtual time. No message passes through this crate: on the path of
//! a message an executor only contributes its [`Waker`](std::task::Waker)s.
//!
//! A thread without an executor waits for the same futures with [`block_on`]. [`PausedTime`] is any
//! executor with a clock that only a test moves.
//!
//! An adapter (`mycelium-tokio`, `mycelium-smol`, `mycelium-glommio`) is a small crate with one
//! type that implements the trait. It wraps its streams in [`Stream`] and its listeners in
//! [`Listener`]. The rest of this crate is what adapters share: [threads](Thread) with a name,
//! cores and a scheduling class, a [clock](Clock), tasks that [contain](contain()) their panics,
//! TCP sockets ([`bind_tcp`], [`prepare_tcp`]), host names ([`connect_first`]), and
//! [credentials](Credentials::of) of peers.
//!
//! Features: `pool` has threads for blocking work, `signals` handles SIGINT and SIGTERM, and
//! `conformance` has the laws that every executor keeps, as tests.
//!
//! This crate knows no runtime, no message and no transport. Read `executor.rs` first.

mod clock;
#[cfg(all(feature = "conformance", unix))]
pub mod conformance;
mod contain;
mod executor;
mod network;
#[cfg(feature = "pool")]
pub mod pool;
mod queue;
#[cfg(all(unix, feature = "signals"))]
mod signal;
mod thread;
mod time;
mod wait;
mod yield_now;

pub use clock::Clock;
pub use contain::contain;
pub use executor::{
    Executor, LocalFuture, MakeDedicated, MakeLocal, SendFuture, SpawnError, system_entropy,
};
pub use network::{
    Accept, Address, Credentials, Duplex, Listener, ListeningSocket, Peer, Stream, bind_tcp,
    connect_first, prepare_tcp,
};
pub use queue::TaskQueue;
#[cfg(all(unix, feature = "signals"))]
pub use signal::interrupted;
pub use thread::{Class, GrantedPlacement, PlacementFallback, Thread, ThreadError, allowed_cores};
pub use time::{Backoff, DeadlineTimer, PausedTime};
pub use wait::block_on;
pub use yield_now::yield_now;
