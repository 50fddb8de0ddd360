//! A channel with any number of senders and receivers, over [`ring::mpmc`]: each item goes to one
//! receiver, and all receivers see one order.
//!
//! Waiting ends are woken one at a time, in turn; a sender or receiver that arrives meanwhile may
//! be served first. An end that was overtaken in this way is woken before others from then on, and
//! the last free slot is kept for a sender that was overtaken: while it waits, each other sender
//! takes that slot at most twice, and by sends that began before. So a send may find the channel
//! full, or wait, although one slot is free.
//!
//! ```
//! use mycelium_core::channel::mpmc;
//!
//! // 16 slots, up to 2 senders and 4 receivers.
//! static CHANNEL: mpmc::Inline<u32, 16, 2, 4> = mpmc::Inline::new();
//!
//! let (mut sender, mut receiver) = CHANNEL.split().expect("the first call");
//! let mut another = sender.try_clone().expect("two senders are allowed");
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

use super::{Channel, ChannelWaiters, Reserve, Sides};
use crate::doorbell::WaiterList;
#[cfg(feature = "alloc")]
use crate::doorbell::{AlwaysRoom, GrowingWaiterList, Waiters};
#[cfg(feature = "alloc")]
use crate::ring;
use crate::ring::mpmc::{self, Consumer, Grant, Layout, Mpmc, Producer, Ring, Slot};
use crate::ring::{GrantError, Handle, Storage};
use crate::sync::const_unless_loom;

/// A channel that contains its slots, for a `static` or a field: `N` slots, up to `S` senders and
/// `R` receivers at a time.
pub type Inline<T, const N: usize, const S: usize, const R: usize> =
    Channel<mpmc::Inline<T, N>, ChannelWaiters<WaiterList<S>, WaiterList<R>>>;

impl<T, const N: usize, const S: usize, const R: usize> Inline<T, N, S, R> {
    const_unless_loom! {
        /// Creates an empty channel. It compiles if `N` is a power of two and at least 2, and `S`
        /// and `R` are at most the number of bits of a word.
        #[must_use]
        pub const fn new() -> Self {
            let waiters = ChannelWaiters::new(WaiterList::<S>::new(), WaiterList::<R>::new());
            Channel { ring: mpmc::Inline::new(), waiters }
        }
    }
}

impl<T, const N: usize, const S: usize, const R: usize> Default for Inline<T, N, S, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, M: Storage<Slot = Slot<T>>, L: Sides> Channel<Mpmc<T, M>, L> {
    /// Returns a sender and a receiver; [`try_clone`](super::Sender::try_clone) makes more. Returns
    /// `None` if a side has no free place or the channel is closed.
    #[allow(clippy::type_complexity)]
    pub fn split(
        &self,
    ) -> Option<(
        super::Sender<Producer<&Mpmc<T, M>>, &L>,
        super::Receiver<Consumer<&Mpmc<T, M>>, &L>,
    )> {
        if self.ring.is_closed() { None } else { ends(&self.ring, &self.waiters) }
    }
}

#[allow(clippy::type_complexity)]
fn ends<T, M: Storage<Slot = Slot<T>>, P: Layout, H, L>(
    ring: H,
    waiters: L,
) -> Option<(super::Sender<Producer<H>, L>, super::Receiver<Consumer<H>, L>)>
where
    H: Handle<Target = Mpmc<T, M, P>> + Clone,
    L: Deref<Target: Sides> + Clone,
{
    let sender = super::Sender::new(Mpmc::producer(ring.clone()), waiters.clone())?;
    Some((sender, super::Receiver::new(Mpmc::consumer(ring), waiters)?))
}

/// A sender of a channel on the heap.
#[cfg(feature = "alloc")]
pub type Sender<T> = super::Sender<
    Producer<alloc::sync::Arc<mpmc::Boxed<T>>>,
    alloc::sync::Arc<ChannelWaiters<GrowingWaiterList, GrowingWaiterList>>,
>;

/// A receiver of a channel on the heap.
#[cfg(feature = "alloc")]
pub type Receiver<T> = super::Receiver<
    Consumer<alloc::sync::Arc<mpmc::Boxed<T>>>,
    alloc::sync::Arc<ChannelWaiters<GrowingWaiterList, GrowingWaiterList>>,
>;

/// Creates a channel with `capacity` slots on the heap. Senders and receivers can be cloned without
/// a limit.
///
/// # Errors
/// If the capacity is not a power of two or is less than 2, or there is not enough memory.
#[cfg(feature = "alloc")]
pub fn bounded<T>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), ring::CapacityError> {
    use alloc::sync::Arc;

    let ring = Arc::new(mpmc::Boxed::with_capacity(capacity)?);
    let waiters = ChannelWaiters::new(GrowingWaiterList::growing(), GrowingWaiterList::growing());
    Ok(ends(ring, Arc::new(waiters)).expect(GROWS))
}

#[cfg(feature = "alloc")]
const GROWS: &str = "the list of waiters grows";

impl<H: Handle<Target: Ring> + Clone, L: Deref<Target: Sides>> super::Sender<Producer<H>, L> {
    /// Closes the channel for all senders, as if each were dropped: receivers get the items that
    /// were sent before, then the end. A concurrent send either completes before the close or
    /// returns its item.
    ///
    /// ```
    /// use mycelium_core::channel::mpmc;
    ///
    /// static CHANNEL: mpmc::Inline<u32, 4, 2, 1> = mpmc::Inline::new();
    ///
    /// let (mut sender, mut receiver) = CHANNEL.split().expect("the first call");
    /// let another = sender.try_clone().expect("two senders are allowed");
    /// sender.try_send(1).unwrap();
    /// another.close_channel();
    /// assert!(sender.try_send(2).is_err());
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert!(receiver.try_recv().is_err());
    /// ```
    pub fn close_channel(&self) {
        self.producer.ring().indices().close();
        self.waiters.receivers().notify_all();
        self.waiters.senders().notify_all();
    }
}

/// Implemented only for lists of waiters that grow: they have a place for each clone.
#[cfg(feature = "alloc")]
impl<P, L> Clone for super::Sender<P, L>
where
    P: Reserve + Clone,
    L: Deref<Target: Sides<Senders: AlwaysRoom>> + Clone,
{
    fn clone(&self) -> super::Sender<P, L> {
        self.try_clone().expect(GROWS)
    }
}

/// Implemented only for lists of waiters that grow: they have a place for each clone.
#[cfg(feature = "alloc")]
impl<C, S, L> Clone for super::Receiver<C, L>
where
    C: ring::Consumer + Clone,
    S: Waiters,
    L: Deref<Target = ChannelWaiters<S, GrowingWaiterList>> + Clone,
{
    fn clone(&self) -> super::Receiver<C, L> {
        self.try_clone().expect(GROWS)
    }
}

impl<H: Handle<Target: Ring> + Clone> Reserve for Producer<H> {
    const SKIPS: bool = true;

    type Slot<'a>
        = Grant<'a, H>
    where
        Self: 'a;

    #[inline]
    fn reserve_slot(&mut self) -> Result<Grant<'_, H>, GrantError> {
        self.grant(1)
    }

    #[inline(never)]
    fn reserve_leaving_one(&mut self) -> Result<Grant<'_, H>, GrantError> {
        self.grant_leaving(1, 1)
    }

    #[inline]
    fn fill_slot(mut slot: Grant<'_, H>, item: Self::Item) {
        // Cannot fail, because the grant has room for one item.
        _ = slot.push(item);
        slot.commit();
    }

    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }
}
