//! The traits of a mailbox's queue: one of our channels, or an executor's own channel.

use core::future::poll_fn;
use core::ops::Deref;
use core::task::{Context, Poll};

use super::{Receiver, Reserve, SendError, Sender, Sides};
use crate::ring::{CapacityError, Consumer, PopError, PushError};

/// A kind of queue, as a type that selects it: `Spsc`, `Stamped`, `Mpmc`, or an adapter's own.
///
/// All are bounded. Each `capacity` is a power of two and at least 2, as for a ring, so that one
/// queue can replace another. Items of one sender arrive in order and at most once; none is lost
/// while the receiver exists.
///
/// ```
/// use mycelium_core::channel::{Mpmc, Queue, QueueReceiver, QueueSender, SendError, Spsc};
///
/// async fn through<Q: Queue>() -> Result<u32, SendError<u32>> {
///     let (mut sender, mut receiver) = Q::bounded(16).expect("16 is a capacity");
///     sender.send(7).await?;
///     drop(sender);
///     Ok(receiver.recv().await.unwrap() + u32::from(receiver.recv().await.is_none()))
/// }
/// # fn now<F: Future>(future: F) -> core::task::Poll<F::Output> {
/// #     let mut context = core::task::Context::from_waker(core::task::Waker::noop());
/// #     core::pin::pin!(future).poll(&mut context)
/// # }
/// # assert_eq!(now(through::<Spsc>()), core::task::Poll::Ready(Ok(8)));
/// # assert_eq!(now(through::<Mpmc>()), core::task::Poll::Ready(Ok(8)));
/// ```
pub trait Queue: 'static {
    /// The queue's name in reports.
    const NAME: &'static str;

    /// Whether the queue can have several senders. If so, [`QueueSender::try_clone`] never returns
    /// `None`.
    const SHARED: bool;

    /// The sending end.
    type Sender<T: Send + 'static>: QueueSender<Item = T> + 'static;

    /// The receiving end.
    type Receiver<T: Send + 'static>: QueueReceiver<Item = T> + 'static;

    /// Creates a queue with room for `capacity` items.
    ///
    /// # Errors
    /// If the capacity is invalid, or there is not enough memory.
    #[allow(clippy::type_complexity)]
    fn bounded<T: Send + 'static>(
        capacity: usize,
    ) -> Result<(Self::Sender<T>, Self::Receiver<T>), CapacityError>;
}

/// The sending end of a queue. The queue closes when the last sending end is dropped.
pub trait QueueSender: Send + Sized {
    /// The type of the items.
    type Item;

    /// Sends an item if there is room now.
    ///
    /// # Errors
    /// [`PushError`] with the item, if the ring is full or the receiver is gone.
    fn try_send(&mut self, item: Self::Item) -> Result<(), PushError<Self::Item>>;

    /// Waits for room and sends an item. If the future is dropped before it completes, nothing is
    /// sent.
    ///
    /// # Errors
    /// [`SendError`] with the item, if the receiver is gone.
    fn send(
        &mut self,
        item: Self::Item,
    ) -> impl Future<Output = Result<(), SendError<Self::Item>>> + Send;

    /// Returns another sender, or `None` if the queue allows no further one.
    fn try_clone(&self) -> Option<Self>;

    /// Returns whether the receiver is gone.
    fn is_closed(&self) -> bool;

    /// Returns how many items fit into the queue.
    fn capacity(&self) -> usize;

    /// Returns how many items are in the queue, approximately.
    fn len(&self) -> usize;

    /// Returns whether the queue is empty, approximately.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The receiving end of a queue. When it is dropped, the queue closes and the items in
/// it are dropped.
pub trait QueueReceiver: Send + Sized {
    /// The type of the items.
    type Item;

    /// Takes the next item if there is one now.
    ///
    /// # Errors
    /// [`PopError`] if the queue is empty, or has ended.
    fn try_recv(&mut self) -> Result<Self::Item, PopError>;

    /// Takes the next item, or returns `None` when all items were taken and the senders are gone.
    /// While the queue is empty, registers the task to be woken when this may have changed.
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Self::Item>>;

    /// Waits for the next item and takes it; returns `None` when all items were taken and the
    /// senders are gone. If the future is dropped before it completes, nothing is taken.
    fn recv(&mut self) -> impl Future<Output = Option<Self::Item>> + Send {
        poll_fn(|context| self.poll_recv(context))
    }

    /// Returns how many items fit into the queue.
    fn capacity(&self) -> usize;

    /// Returns how many items are in the queue, approximately.
    fn len(&self) -> usize;

    /// Returns whether the queue is empty, approximately.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses all sends that begin after this call. Earlier items can still be received. If the
    /// queue can have several senders, [`recv`](QueueReceiver::recv) then returns `None` after the
    /// last item, even while senders exist.
    fn refuse_sends(&mut self);
}

impl<P, L> QueueSender for Sender<P, L>
where
    P: Reserve<Item: Send> + Send,
    L: Deref<Target: Sides> + Clone + Send,
{
    type Item = P::Item;

    #[inline]
    fn try_send(&mut self, item: P::Item) -> Result<(), PushError<P::Item>> {
        Sender::try_send(self, item)
    }

    #[inline]
    fn send(
        &mut self,
        item: P::Item,
    ) -> impl Future<Output = Result<(), SendError<P::Item>>> + Send {
        Sender::send(self, item)
    }

    fn try_clone(&self) -> Option<Self> {
        Sender::try_clone(self)
    }

    fn is_closed(&self) -> bool {
        Sender::is_closed(self)
    }

    fn capacity(&self) -> usize {
        Sender::capacity(self)
    }

    fn len(&self) -> usize {
        Sender::len(self)
    }
}

impl<C, L> QueueReceiver for Receiver<C, L>
where
    C: Consumer + Send,
    L: Deref<Target: Sides> + Send,
{
    type Item = C::Item;

    #[inline]
    fn try_recv(&mut self) -> Result<C::Item, PopError> {
        Receiver::try_recv(self)
    }

    #[inline]
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<C::Item>> {
        Receiver::poll_recv(self, context)
    }

    #[inline]
    fn recv(&mut self) -> impl Future<Output = Option<C::Item>> + Send {
        Receiver::recv(self)
    }

    fn capacity(&self) -> usize {
        Receiver::capacity(self)
    }

    fn len(&self) -> usize {
        Receiver::len(self)
    }

    fn refuse_sends(&mut self) {
        Receiver::refuse_sends(self);
    }
}

#[cfg(feature = "alloc")]
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $channel:ident, $shared:literal)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $kind;

        impl Queue for $kind {
            const NAME: &'static str = stringify!($channel);
            const SHARED: bool = $shared;

            type Sender<T: Send + 'static> = super::$channel::Sender<T>;
            type Receiver<T: Send + 'static> = super::$channel::Receiver<T>;

            fn bounded<T: Send + 'static>(
                capacity: usize,
            ) -> Result<(Self::Sender<T>, Self::Receiver<T>), CapacityError> {
                super::$channel::bounded(capacity)
            }
        }
    )*};
}

#[cfg(feature = "alloc")]
kinds! {
    /// [`channel::spsc`](super::spsc): one sender; small items, batches.
    Spsc = spsc, false
    /// [`channel::stamped`](super::stamped): one sender; messages, requests and responses.
    Stamped = stamped, false
    /// [`channel::mpmc`](super::mpmc): any number of senders.
    Mpmc = mpmc, true
    /// [`channel::mpsc`](super::mpsc): any number of senders, and less memory than [`Mpmc`].
    Mpsc = mpsc, true
}
