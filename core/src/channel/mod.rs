//! Channels: a ring, and waiters at both of its ends.
//!
//! All channels share their code: [`Sender`] and [`Receiver`] work over any
//! [`ring::Producer`](crate::ring::Producer) and [`ring::Consumer`](crate::ring::Consumer).
//!
//! | channel | senders → receivers | order |
//! | --- | --- | --- |
//! | [`spsc`] | 1 → 1 | FIFO |
//! | [`stamped`] | 1 → 1 | FIFO |
//! | [`mpmc`] | n → m, each item once | FIFO |
//! | [`mpsc`] | n → 1 | FIFO |
//!
//! All are bounded: a sender waits for room. `bounded(capacity)` (feature `alloc`) creates a
//! channel on the heap; an `Inline` in a `static` needs no heap. Each end has its own
//! [`WaitStrategy`](crate::wait::WaitStrategy) ([`Sender::set_wait_strategy`],
//! [`Receiver::set_wait_strategy`]). Channels work with any executor: they need a `Waker` and
//! nothing else. Threads without an executor use `mycelium_executor::block_on`.
//!
//! **Closing.** A channel closes when all senders or all receivers are gone. Without senders,
//! receivers get the remaining items and then the end. Without receivers, senders get their items
//! back, and the items in the channel are dropped. Items of sends that run during the close, and
//! items sent later by an earlier [`Permit`], stay until the channel is dropped.
//!
//! **Cancellation.** Any future of this module may be dropped at any time. Nothing is lost: a send
//! that did not complete did not happen, and an item is taken only in the poll that returns it.
//! Drop a future that you no longer poll: it may hold a wake that another waiter needs.
//!
//! **Cost.** A send or a receive costs, beside the ring, one fence and one load, or a wake without
//! a fence. A batch ([`Sender::send_many`], [`Receiver::recv_many`]) costs the same. Nothing
//! allocates.
//!
//! **Requests.** [`reply`] has slots for a request and its reply, for a channel of requests.
//!
//! Read `waiters.rs`, `sender.rs`, `receiver.rs`, then the channels and `reply.rs`.

#[cfg(feature = "alloc")]
#[doc(hidden)]
pub mod conformance;
mod queue;
mod receiver;
mod sender;
mod single;
#[cfg(feature = "futures")]
mod sink;
mod waiters;

pub mod mpmc;
#[cfg(feature = "alloc")]
pub mod mpsc;
#[cfg(feature = "alloc")]
pub mod reply;

#[cfg(feature = "alloc")]
pub use queue::{Mpmc, Mpsc, Spsc, Stamped};
pub use queue::{Queue, QueueReceiver, QueueSender};
pub use receiver::Receiver;
pub use sender::{Permit, Reserve, Reserving, Sender};
pub use single::{spsc, stamped};
#[cfg(feature = "futures")]
pub use sink::SenderSink;
pub use waiters::{ChannelWaiters, Sides};

/// A ring `R` with the waiters `W` of its ends, in one value. See [`spsc::Inline`].
#[derive(Debug)]
pub struct Channel<R, W> {
    ring: R,
    waiters: W,
}

/// The receivers are gone. Contains the item that was not sent.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receivers are gone")]
pub struct SendError<T>(pub T);

impl<T> SendError<T> {
    /// Returns the item.
    pub fn into_inner(self) -> T {
        self.0
    }
}

crate::debug_as_display!(<T> SendError);
