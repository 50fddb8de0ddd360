//! Any number of senders and receivers, over [`ring::mpmc`](crate::ring::mpmc): each item goes to one receiver, in one
//! order for all.
//!
//! Who waits is woken one at a time, each in its turn; a sender or a receiver that comes along meanwhile may be served
//! first.
//!
//! ```
//! use mycelium_core::channel::mpmc;
//!
//! // 16 slots, up to 2 senders and 4 receivers.
//! static CHANNEL: mpmc::Inline<u32, 16, 2, 4> = mpmc::Inline::new();
//!
//! let (mut sender, mut receiver) = CHANNEL.split().expect("the first call");
//! let mut another = sender.try_clone().expect("there are two seats");
//! assert!(sender.try_clone().is_none());
//! sender.try_send(1).unwrap();
//! another.try_send(2).unwrap();
//! # let run = async {
//! assert_eq!(receiver.recv().await, Some(1));
//! assert_eq!(receiver.recv().await, Some(2));
//! # };
//! # let mut context = core::task::Context::from_waker(core::task::Waker::noop());
//! # assert!(core::pin::pin!(run).poll(&mut context).is_ready());
//! ```

use core::ops::Deref;

use super::{Channel, Lobby, Reserve, Sides, Vacant};
#[cfg(feature = "alloc")]
use crate::doorbell::Growing;
use crate::doorbell::Row;
use crate::ring::mpmc::{self as ring, Consumer, Grant, Mpmc, Producer, Ring, Slot};
use crate::ring::{GrantError, Handle, Storage};
use crate::sync::const_unless_loom;

/// A channel whose slots are a part of it, for a `static` or a field: `N` slots, up to `S` senders and `R` receivers at
/// a time.
pub type Inline<T, const N: usize, const S: usize, const R: usize> =
    Channel<ring::Inline<T, N>, Lobby<Row<S>, Row<R>>>;

impl<T, const N: usize, const S: usize, const R: usize> Inline<T, N, S, R> {
    const_unless_loom! {
        /// An empty channel. `N` that is no power of two from 2 on does not compile, and no more senders or receivers
        /// than a word has bits.
        #[must_use]
        pub const fn new() -> Self {
            Channel { ring: ring::Inline::new(), lobby: Lobby::new(Row::new(), Row::new()) }
        }
    }
}

impl<T, const N: usize, const S: usize, const R: usize> Default for Inline<T, N, S, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, M: Storage<Slot = Slot<T>>, L: Sides> Channel<Mpmc<T, M>, L> {
    /// A sender and a receiver; more come from [`try_clone`](super::Sender::try_clone). `None` if all seats of either
    /// side are taken, or once the channel is closed.
    #[allow(clippy::type_complexity)]
    pub fn split(
        &self,
    ) -> Option<(
        super::Sender<Producer<&Mpmc<T, M>>, &L>,
        super::Receiver<Consumer<&Mpmc<T, M>>, &L>,
    )> {
        if self.ring.is_closed() { None } else { ends(&self.ring, &self.lobby) }
    }
}

#[allow(clippy::type_complexity)]
fn ends<T, M: Storage<Slot = Slot<T>>, H, L>(
    ring: H,
    lobby: L,
) -> Option<(super::Sender<Producer<H>, L>, super::Receiver<Consumer<H>, L>)>
where
    H: Handle<Target = Mpmc<T, M>> + Clone,
    L: Deref<Target: Sides> + Clone,
{
    let sender = super::Sender::new(Mpmc::producer(ring.clone()), lobby.clone())?;
    Some((sender, super::Receiver::new(Mpmc::consumer(ring), lobby)?))
}

/// A sender of a channel on the heap.
#[cfg(feature = "alloc")]
pub type Sender<T> = super::Sender<
    Producer<alloc::sync::Arc<ring::Boxed<T>>>,
    alloc::sync::Arc<Lobby<Growing, Growing>>,
>;

/// A receiver of a channel on the heap.
#[cfg(feature = "alloc")]
pub type Receiver<T> = super::Receiver<
    Consumer<alloc::sync::Arc<ring::Boxed<T>>>,
    alloc::sync::Arc<Lobby<Growing, Growing>>,
>;

/// A channel with `capacity` slots on the heap. Senders and receivers can be cloned as often as one likes.
///
/// # Errors
/// If the capacity is not a power of two from 2 on, or there is no memory for it.
#[cfg(feature = "alloc")]
pub fn bounded<T>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), crate::ring::CapacityError> {
    use alloc::sync::Arc;

    let ring = Arc::new(ring::Boxed::with_capacity(capacity)?);
    let lobby = Arc::new(Lobby::new(Growing::new(), Growing::new()));
    Ok(ends(ring, lobby).expect("there is always another seat"))
}

impl<H: Handle<Target: Ring> + Clone> Reserve for Producer<H> {
    const SKIPS: bool = true;

    type Vacant<'a>
        = Grant<'a, H>
    where
        Self: 'a;

    #[inline]
    fn vacant(&mut self) -> Result<Grant<'_, H>, GrantError> {
        self.grant(1)
    }

    fn another(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<H: Handle<Target: Ring>> Vacant for Grant<'_, H> {
    type Item = <H::Target as Ring>::Item;

    #[inline]
    fn fill(mut self, item: Self::Item) {
        // There is room for the one item that it was granted for.
        _ = self.push(item);
        self.commit();
    }
}
