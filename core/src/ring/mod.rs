//! Lock-free rings: the algorithm of each in a file of its own, apart from the memory that it runs in.
//!
//! | ring | writers → readers | order | progress | when full |
//! | --- | --- | --- | --- | --- |
//! | [`spsc`] | 1 → 1 | FIFO | wait-free | refuses |
//! | [`stamped`] | 1 → 1 | FIFO | wait-free | refuses |
//! | [`mpmc`] | n → m, each item once | FIFO; linearizable but for `Empty` and `Full`, which are about the next slot only | lock-free | refuses |
//! | [`broadcast`] | 1 → n, every reader sees every message | FIFO | wait-free, but for gating readers | refuses, or passes observers |
//!
//! Of the two rings for one writer and one reader, `spsc` shows its items by one index and is the faster for batches
//! and for items of a few bytes; `stamped` marks each slot, and is the faster for messages and for round trips.
//!
//! Rings know nothing of wakers, threads or heaps. Waiting is the business of [`doorbell`](crate::doorbell) and of
//! whoever puts the two together, as `channel` does.

#[cfg(target_has_atomic = "ptr")]
mod backoff;
mod cell;
mod end;
mod error;
mod handle;
mod pair;
mod slots;

#[cfg(target_has_atomic = "ptr")]
pub mod broadcast;
#[cfg(target_has_atomic = "ptr")]
pub mod mpmc;
#[cfg(all(target_has_atomic = "ptr", not(loom)))]
pub mod region;
pub mod spsc;
pub mod stamped;

pub use end::{Consumer, Producer};
pub use error::{CapacityError, GrantError, PopError, PushError};
pub use handle::Handle;
#[cfg(feature = "alloc")]
pub use slots::Heap;
pub use slots::Storage;

/// Whether `a` comes after `b` in positions that wrap.
#[inline]
fn is_after(a: usize, b: usize) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}
