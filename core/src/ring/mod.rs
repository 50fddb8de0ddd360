//! Lock-free rings: the algorithm of each in a file of its own, apart from the memory that it runs
//! in. Rings know nothing of wakers, threads or heaps; [`doorbell`](crate::doorbell) and
//! [`channel`](crate::channel) add the waiting.
//!
//! | ring | writers → readers | order | progress | when full |
//! | --- | --- | --- | --- | --- |
//! | [`spsc`] | 1 → 1 | FIFO | wait-free | refuses |
//! | [`stamped`] | 1 → 1 | FIFO | wait-free | refuses |
//! | [`mpmc`] | n → m, each item once | FIFO, linearizable (see there) | lock-free | refuses |
//! | [`broadcast`] | 1 → n, each message to all | FIFO | wait-free [^1] | refuses [^2] |
//!
//! [^1]: The writer waits for gating readers.
//! [^2]: Only gating readers make it full; observers may be overwritten.
//!
//! Of the two rings for one writer and one reader, `spsc` shows its items by one index and is
//! faster for batches and for items of a few bytes; `stamped` marks each slot, and is faster for
//! messages and for round trips.
//!
//! Shared parts: `slots.rs` (memory), `cell.rs` (one value), `end.rs` (traits of the ends),
//! `handle.rs`, `error.rs`.

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
#[cfg(target_has_atomic = "ptr")]
#[inline]
fn is_after(a: usize, b: usize) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}
