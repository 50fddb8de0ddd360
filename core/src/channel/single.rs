//! What the channels with one sender and one receiver share: they differ in the layout of their ring only.

use super::{Channel, Lobby, Receiver, Sender};
use crate::doorbell::Doorbell;
use crate::ring::Handle;
use crate::ring::spsc::{Consumer, Layout, Memory, Producer, Spsc};

impl<M: Memory<Slot: Layout>> Channel<Spsc<M>, Lobby<Doorbell, Doorbell>> {
    /// Both ends, or `None` if somebody has or had one: a channel serves one pair.
    ///
    /// Of an end that is dropped the other one learns, so that no second one can follow.
    #[allow(clippy::type_complexity)]
    pub fn split(
        &self,
    ) -> Option<(
        Sender<Producer<&Spsc<M>>, &Lobby<Doorbell, Doorbell>>,
        Receiver<Consumer<&Spsc<M>>, &Lobby<Doorbell, Doorbell>>,
    )> {
        ends(&self.ring, &self.lobby)
    }
}

/// The ends of a ring as those of a channel.
#[allow(clippy::type_complexity)]
pub(super) fn ends<M: Memory<Slot: Layout>, H, L>(
    ring: H,
    lobby: L,
) -> Option<(Sender<Producer<H>, L>, Receiver<Consumer<H>, L>)>
where
    H: Handle<Target = Spsc<M>> + Clone,
    L: core::ops::Deref<Target = Lobby<Doorbell, Doorbell>> + Clone,
{
    // Both before either becomes an end of the channel: an end that is dropped closes it.
    let (producer, consumer) = (Spsc::producer(ring.clone())?, Spsc::consumer(ring)?);
    Some((Sender::new(producer, lobby.clone())?, Receiver::new(consumer, lobby)?))
}

/// The constructors and the names of a channel, for one layout.
macro_rules! channel {
    ($layout:ident) => {
        use crate::channel::{Channel, Lobby};
        use crate::doorbell::Doorbell;
        use crate::ring::$layout as ring;
        use crate::sync::const_unless_loom;

        /// A channel whose slots are a part of it: for a `static`, or a field.
        pub type Inline<T, const N: usize> = Channel<ring::Inline<T, N>, Lobby<Doorbell, Doorbell>>;

        impl<T, const N: usize> Inline<T, N> {
            const_unless_loom! {
                /// An empty channel with `N` slots. `N` that is no power of two from 2 on does not compile.
                #[must_use]
                pub const fn new() -> Self {
                    Channel {
                        ring: ring::Inline::new(),
                        lobby: Lobby::new(Doorbell::new(), Doorbell::new()),
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
            alloc::sync::Arc<Lobby<Doorbell, Doorbell>>,
        >;

        /// The receiver of a channel on the heap.
        #[cfg(feature = "alloc")]
        pub type Receiver<T> = crate::channel::Receiver<
            crate::ring::spsc::Consumer<alloc::sync::Arc<ring::Boxed<T>>>,
            alloc::sync::Arc<Lobby<Doorbell, Doorbell>>,
        >;

        /// A channel with `capacity` slots on the heap.
        ///
        /// # Errors
        /// If the capacity is not a power of two from 2 on, or there is no memory for it.
        #[cfg(feature = "alloc")]
        pub fn bounded<T>(
            capacity: usize,
        ) -> Result<(Sender<T>, Receiver<T>), crate::ring::CapacityError> {
            use alloc::sync::Arc;

            let ring = Arc::new(ring::Boxed::with_capacity(capacity)?);
            let lobby = Arc::new(Lobby::new(Doorbell::new(), Doorbell::new()));
            Ok(crate::channel::single::ends(ring, lobby).expect("nobody else knows this ring"))
        }
    };
}

pub(super) use channel;
