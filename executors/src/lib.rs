//! What Mycelium asks of an executor.
//!
//! A service reaches time, tasks, blocking work, randomness and the network through [`Executor`] and through nothing
//! else, so one source runs on every executor that implements it, and a simulating one can put virtual time under any
//! service. Nothing here is on the path of a message: there, a [`Waker`](std::task::Waker) is all that an executor
//! gives.
//!
//! A thread without an executor waits for the same futures with [`block_on`].
//!
//! An adapter is a small leaf crate with one type that implements this trait: `mycelium-tokio`, `mycelium-smol`,
//! `mycelium-glommio`. It wraps its streams in [`Stream`] and its listeners in [`Listener`], which have `futures_io` traits.
//! What adapters have in common is here: [threads](Thread) with a name, cores and a class, a [clock](Clock), tasks that
//! [contain](contain()) their panics, signals ([`interrupted`]), peers' [credentials](Credentials::of), and, behind the
//! feature `pool`, threads for work that blocks. The feature `conformance` has the laws that all keep.

mod address;
mod backoff;
mod clock;
#[cfg(all(feature = "conformance", unix))]
pub mod conformance;
mod contain;
mod executor;
mod listener;
#[cfg(feature = "pool")]
pub mod pool;
#[cfg(all(unix, feature = "signals"))]
mod signal;
mod stream;
mod thread;
mod wait;
mod yield_now;

pub use address::{Address, Credentials, Peer};
pub use backoff::Backoff;
pub use clock::Clock;
pub use contain::contain;
pub use executor::{
    Executor, LocalFuture, MakeDedicated, MakeLocal, SendFuture, SpawnError, system_entropy,
};
pub use listener::{Accept, Listener, ListeningSocket, bind_tcp};
#[cfg(all(unix, feature = "signals"))]
pub use signal::interrupted;
pub use stream::{Duplex, Stream};
pub use thread::{Class, GrantedPlacement, PlacementFallback, Thread, ThreadError, allowed_cores};
pub use wait::block_on;
pub use yield_now::yield_now;
