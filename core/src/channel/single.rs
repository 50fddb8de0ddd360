//! Channels with one sender and one receiver: [`spsc`] and [`stamped`], which differ only in the
//! layout of their rings.

use core::ops::Deref;

use super::{Channel, ChannelWaiters, Receiver, Sender};
use crate::doorbell::Doorbell;
use crate::ring::spsc::{Consumer, Producer, SlotLayout, Spsc};
use crate::ring::{Handle, Storage};

type Waiters = ChannelWaiters<Doorbell, Doorbell>;

impl<S: Storage<Slot: SlotLayout>> Channel<Spsc<S>, Waiters> {
    /// Returns both ends, or `None` after the first call. A channel serves one pair, because a
    /// dropped end closes it for the other end.
    #[allow(clippy::type_complexity)]
    pub fn split(
        &self,
    ) -> Option<(Sender<Producer<&Spsc<S>>, &Waiters>, Receiver<Consumer<&Spsc<S>>, &Waiters>)>
    {
        ends(&self.ring, &self.waiters)
    }
}

/// Creates the ends of a channel from the ends of a ring.
#[allow(clippy::type_complexity)]
fn ends<S: Storage<Slot: SlotLayout>, H, L>(
    ring: H,
    waiters: L,
) -> Option<(Sender<Producer<H>, L>, Receiver<Consumer<H>, L>)>
where
    H: Handle<Target = Spsc<S>> + Clone,
    L: Deref<Target = Waiters> + Clone,
{
    // Both ends are taken before either becomes an end of the channel, whose drop would close it.
    let (producer, consumer) = (Spsc::producer(ring.clone())?, Spsc::consumer(ring)?);
    Some((Sender::new(producer, waiters.clone())?, Receiver::new(consumer, waiters)?))
}

/// Makes the module of a channel for one layout.
macro_rules! channel {
    ($(#[$doc:meta])* $layout:ident) => {
        $(#[$doc])*
        pub mod $layout {
            use super::Waiters;
            use crate::channel::Channel;
            use crate::doorbell::Doorbell;
            use crate::ring::$layout as ring;
            use crate::sync::const_unless_loom;

            /// A channel that contains its slots, for a `static` or a field.
            pub type Inline<T, const N: usize> = Channel<ring::Inline<T, N>, Waiters>;

            impl<T, const N: usize> Inline<T, N> {
                const_unless_loom! {
                    /// Creates an empty channel with `N` slots. It compiles if `N` is a power of
                    /// two and at least 2.
                    #[must_use]
                    pub const fn new() -> Self {
                        Channel {
                            ring: ring::Inline::new(),
                            waiters: Waiters::new(Doorbell::new(), Doorbell::new()),
                        }
                    }
                }
            }

            impl<T, const N: usize> Default for Inline<T, N> {
                fn default() -> Self {
                    Self::new()
                }
            }

            /// The sender of a channel on the heap.
            #[cfg(feature = "alloc")]
            pub type Sender<T> = crate::channel::Sender<
                crate::ring::spsc::Producer<alloc::sync::Arc<ring::Boxed<T>>>,
                alloc::sync::Arc<Waiters>,
            >;

            /// The receiver of a channel on the heap.
            #[cfg(feature = "alloc")]
            pub type Receiver<T> = crate::channel::Receiver<
                crate::ring::spsc::Consumer<alloc::sync::Arc<ring::Boxed<T>>>,
                alloc::sync::Arc<Waiters>,
            >;

            /// Creates a channel with `capacity` slots on the heap.
            ///
            /// # Errors
            /// If the capacity is not a power of two or is less than 2, or there is not enough
            /// memory.
            #[cfg(feature = "alloc")]
            pub fn bounded<T>(
                capacity: usize,
            ) -> Result<(Sender<T>, Receiver<T>), crate::ring::CapacityError> {
                use alloc::sync::Arc;

                let ring = Arc::new(ring::Boxed::with_capacity(capacity)?);
                let waiters = Arc::new(Waiters::new(Doorbell::new(), Doorbell::new()));
                Ok(super::ends(ring, waiters).expect("the ring is new"))
            }
        }
    };
}

channel! {
    /// One sender, one receiver, over [`ring::spsc`](crate::ring::spsc): the faster one for batches
    /// and for items of a few bytes.
    ///
    /// ```
    /// use mycelium_core::channel::spsc;
    ///
    /// static CHANNEL: spsc::Inline<u32, 16> = spsc::Inline::new();
    ///
    /// let (mut sender, mut receiver) = CHANNEL.split().expect("this is the only call");
    /// # let run = async {
    /// sender.send(1).await?;
    /// sender.reserve().await.unwrap().send(2);
    /// sender.send_many(&mut [3, 4].into_iter()).await.unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.recv().await, Some(1));
    /// let mut rest = Vec::new();
    /// assert_eq!(receiver.recv_many(&mut rest, 10).await, 3);
    /// assert_eq!(rest, [2, 3, 4]);
    /// assert_eq!(receiver.recv().await, None);
    /// # Ok::<(), mycelium_core::channel::SendError<u32>>(())
    /// # };
    /// # let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    /// # assert_eq!(core::pin::pin!(run).poll(&mut context), core::task::Poll::Ready(Ok(())));
    /// ```
    spsc
}

channel! {
    /// One sender, one receiver, over [`ring::stamped`](crate::ring::stamped): the faster one for
    /// messages, and for requests that wait for their response.
    ///
    /// ```
    /// use mycelium_core::channel::stamped;
    ///
    /// static CHANNEL: stamped::Inline<[u64; 7], 16> = stamped::Inline::new();
    ///
    /// let (mut sender, mut receiver) = CHANNEL.split().expect("this is the only call");
    /// sender.try_send([7; 7]).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok([7; 7]));
    /// ```
    stamped
}
