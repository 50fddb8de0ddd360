//! A channel on the heap with any number of senders and one receiver, which needs no
//! compare-and-swap: otherwise the ring of [`mpmc`](super::mpmc), with waiters that need a few
//! words. For many small queues, such as the mailboxes of actors.
//!
//! ```
//! use mycelium_core::channel::mpsc;
//!
//! let (mut sender, mut receiver) = mpsc::bounded(16)?;
//! let mut another = sender.clone();
//! sender.try_send(1).expect("there is room");
//! another.try_send(2).expect("there is room");
//! assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
//! # Ok::<(), mycelium_core::ring::CapacityError>(())
//! ```

use alloc::sync::Arc;

use super::sender::Inside;
use super::waiters::{Side, Sides};
use crate::doorbell::{Doorbell, RareWaiterList};
use crate::ring::CapacityError;
use crate::ring::mpmc::{Compact, Consumer, Indices, Producer, Ring, Slot, Small};

/// A sender. It can be cloned without a limit.
pub type Sender<T> = super::Sender<Producer<Inside<Mpsc<T>>>, Arc<Mpsc<T>>>;

/// The receiver.
pub type Receiver<T> = super::Receiver<Consumer<Inside<Mpsc<T>>>, Arc<Mpsc<T>>>;

/// The ring and the waiters of both sides. They may share cache lines, because a queue that is one
/// of many is seldom used by several threads at a time.
#[derive(Debug)]
pub struct Mpsc<T> {
    ring: Small<T>,
    senders: Side<RareWaiterList>,
    receiver: Side<Doorbell>,
}

impl<T> Ring for Mpsc<T> {
    type Item = T;
    type Layout = Compact;

    /// The doorbell has one place, so the channel never has two receivers.
    const HAS_ONE_READER: bool = true;

    #[inline]
    fn indices(&self) -> &Indices<Compact> {
        self.ring.indices()
    }

    fn slots(&self) -> &[Slot<T>] {
        self.ring.slots()
    }
}

impl<T> Sides for Mpsc<T> {
    type Senders = RareWaiterList;
    type Receivers = Doorbell;

    #[inline]
    fn senders(&self) -> &Side<RareWaiterList> {
        &self.senders
    }

    #[inline]
    fn receivers(&self) -> &Side<Doorbell> {
        &self.receiver
    }
}

/// Creates a channel with `capacity` slots on the heap.
///
/// # Errors
/// If the capacity is not a power of two or is less than 2, or there is not enough memory.
pub fn bounded<T>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), CapacityError> {
    let ring = Small::with_capacity(capacity)?;
    let (senders, receiver) = (Side::new(RareWaiterList::new()), Side::new(Doorbell::new()));
    let channel = Arc::new(Mpsc { ring, senders, receiver });
    let ring = Inside::of(&channel);
    let sender = super::Sender::new(Producer::of(ring.clone()), channel.clone());
    let receiver = super::Receiver::new(Consumer::of(ring), channel);
    Ok(sender.zip(receiver).expect("the channel is new"))
}
