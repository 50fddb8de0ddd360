//! Channels: a ring, and bells for those who wait at its ends.
//!
//! Each ring for items has its channel, and all are one and the same code: [`Sender`] and [`Receiver`] work over any
//! [`ring::Producer`](crate::ring::Producer) and [`ring::Consumer`](crate::ring::Consumer).
//!
//! | channel | senders → receivers | order |
//! | --- | --- | --- |
//! | [`spsc`] | 1 → 1 | FIFO |
//! | [`stamped`] | 1 → 1 | FIFO |
//! | [`mpmc`] | n → m, each item once | FIFO |
//!
//! All are bounded: a sender waits for room. `bounded(capacity)` (feature `alloc`) makes one on the heap; an `Inline`
//! in a `static` needs no heap. How a side waits is its own choice ([`Wait`](crate::wait::Wait)), made by
//! [`Sender::set_wait_strategy`] and [`Receiver::set_wait_strategy`]; any executor will do, as all that is asked of it is a `Waker`. Threads
//! without an executor use `mycelium_executor::block_on`.
//!
//! **Closing.** A channel closes when all senders or all receivers are gone. After the senders, receivers get what is
//! left and then the end; after the receivers, senders get their items back, and what is in the channel is dropped.
//! Two things stay until the channel goes: items that were on their way in that very moment, or are sent by a [`Permit`]
//! of before, and, with several senders, items behind a slot that somebody holds by a permit.
//!
//! **Cancellation.** Any future of this module may be dropped at any time. Nothing is lost: a send that did not complete
//! did not happen, and an item is taken only in the poll that returns it. A future that is kept but not polled any more
//! may hold a wake that another waiter could have used, so drop it.
//!
//! **Cost.** To send and to receive costs, beside the ring, one fence and one load each, so that no wake is lost; a batch
//! ([`Sender::send_many`], [`Receiver::recv_many`]) costs the same. Nothing allocates.

#[cfg(feature = "alloc")]
#[doc(hidden)]
pub mod conformance;
mod error;
mod lobby;
mod place;
mod queue;
mod receiver;
mod reserve;
mod sender;

mod single;
#[cfg(feature = "futures")]
mod stream;

pub mod mpmc;
pub mod spsc;
pub mod stamped;

pub use error::SendError;
pub use lobby::{Lobby, Sides};
#[cfg(feature = "alloc")]
pub use queue::{Mpmc, Spsc, Stamped};
pub use queue::{Queue, QueueReceiver, QueueSender};
pub use receiver::{Receiver, Receiving, ReceivingMany};
pub use reserve::{Permit, Reserve, Reserving, Vacant};
pub use sender::{Sender, Sending, SendingMany};
#[cfg(feature = "futures")]
pub use stream::SenderSink;

/// A channel in one place: the ring `R`, and the lobby `L` where its ends wait. See [`spsc::Inline`].
#[derive(Debug)]
pub struct Channel<R, L> {
    ring: R,
    lobby: L,
}
