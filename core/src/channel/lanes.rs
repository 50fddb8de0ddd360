//! Several senders, one receiver, over [`ring::lanes`](crate::ring::lanes): in order **per sender only**, and each sender
//! has room of its own.
//!
//! ```
//! use mycelium_core::channel::lanes;
//!
//! // Two senders, each with room for 16.
//! static CHANNEL: lanes::Inline<u32, 2, 16> = lanes::Inline::new();
//!
//! let (mut sender, mut receiver) = CHANNEL.split().expect("the first call");
//! let mut another = sender.try_clone().expect("there are two lanes");
//! assert!(sender.try_clone().is_none());
//! sender.try_send(1).unwrap();
//! another.try_send(2).unwrap();
//! let mut sum = 0;
//! while let Ok(item) = receiver.try_recv() {
//!     sum += item;
//! }
//! assert_eq!(sum, 3);
//! ```
//!
//! There is one receiver. Readers of [`ring::lanes`](crate::ring::lanes) pass over a lane that another one is at, and
//! nobody would wake them when that one is done. So seats for several do not compile:
//!
//! ```compile_fail
//! use std::sync::Arc;
//! use mycelium_core::channel::{Lobby, Receiver};
//! use mycelium_core::doorbell::Row;
//! use mycelium_core::ring::lanes::{Inline, Lanes};
//!
//! let lobby = Arc::new(Lobby::new(Row::<2>::new(), Row::<2>::new()));
//! let ring = Arc::new(Inline::<u32, 2, 4>::new());
//! let receiver = Receiver::new(Lanes::consumer(ring), lobby); // with a `Row::<1>` for receivers it does
//! ```

use core::ops::Deref;

use super::{Channel, Lobby, Reserve, Sides};
#[cfg(feature = "alloc")]
use crate::doorbell::Growing;
use crate::doorbell::{Everyone, Row};
use crate::ring::lanes::{self as ring, Consumer, Lane, Lanes, Producer, Seat};
use crate::ring::spsc::{Grant, Layout};
use crate::ring::{GrantError, Handle, Storage};
use crate::sync::const_unless_loom;

/// A channel whose slots are a part of it, for a `static` or a field: up to `S` senders at a time, with `N` slots each.
pub type Inline<T, const S: usize, const N: usize> =
    Channel<ring::Inline<T, S, N>, Lobby<Everyone<Row<S>>, Row<1>>>;

impl<T, const S: usize, const N: usize> Inline<T, S, N> {
    const_unless_loom! {
        /// An empty channel. `N` that is no power of two from 2 on does not compile, and no more senders than a word has
        /// bits.
        #[must_use]
        pub const fn new() -> Self {
            Channel { ring: ring::Inline::new(), lobby: Lobby::new(Everyone(Row::new()), Row::new()) }
        }
    }
}

impl<T, const S: usize, const N: usize> Default for Inline<T, S, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Storage<Slot: Layout>, M: Storage<Slot = Lane<S>>, L: Sides> Channel<Lanes<M>, L> {
    /// The receiver and a sender; more senders come from [`try_clone`](super::Sender::try_clone). `None` if somebody has
    /// the receiver, or once the channel is closed.
    #[allow(clippy::type_complexity)]
    pub fn split(
        &self,
    ) -> Option<(super::Sender<Producer<&Lanes<M>>, &L>, super::Receiver<Consumer<&Lanes<M>>, &L>)>
    {
        ends(&self.ring, &self.lobby)
    }
}

#[allow(clippy::type_complexity)]
fn ends<S: Storage<Slot: Layout>, M: Storage<Slot = Lane<S>>, H, L>(
    ring: H,
    lobby: L,
) -> Option<(super::Sender<Producer<H>, L>, super::Receiver<Consumer<H>, L>)>
where
    H: Handle<Target = Lanes<M>> + Clone,
    L: Deref<Target: Sides> + Clone,
{
    let producer = Lanes::producer(ring.clone())?;
    let sender = super::Sender::new(producer, lobby.clone())?;
    Some((sender, super::Receiver::new(Lanes::consumer(ring), lobby)?))
}

/// A sender of a channel on the heap.
#[cfg(feature = "alloc")]
pub type Sender<T> = super::Sender<
    Producer<alloc::sync::Arc<ring::Boxed<T>>>,
    alloc::sync::Arc<Lobby<Everyone<Growing>, Row<1>>>,
>;

/// The receiver of a channel on the heap.
#[cfg(feature = "alloc")]
pub type Receiver<T> = super::Receiver<
    Consumer<alloc::sync::Arc<ring::Boxed<T>>>,
    alloc::sync::Arc<Lobby<Everyone<Growing>, Row<1>>>,
>;

/// A channel on the heap for up to `senders` senders at a time (at least one), with `capacity` slots each.
///
/// # Errors
/// If the capacity is not a power of two from 2 on, or there is no memory for all of them.
#[cfg(feature = "alloc")]
pub fn bounded<T>(
    senders: usize,
    capacity: usize,
) -> Result<(Sender<T>, Receiver<T>), crate::ring::CapacityError> {
    use alloc::sync::Arc;

    let ring = Arc::new(ring::Boxed::with_capacity(senders.max(1), capacity)?);
    let lobby = Arc::new(Lobby::new(Everyone(Growing::new()), Row::new()));
    Ok(ends(ring, lobby).expect("a new ring has a lane"))
}

impl<S, M, H> Reserve for Producer<H>
where
    S: Storage<Slot: Layout>,
    M: Storage<Slot = Lane<S>>,
    H: Handle<Target = Lanes<M>> + Clone,
{
    const SKIPS: bool = false;

    type Vacant<'a>
        = Grant<'a, Seat<H>>
    where
        Self: 'a;

    #[inline]
    fn vacant(&mut self) -> Result<Grant<'_, Seat<H>>, GrantError> {
        self.grant(1)
    }

    fn another(&self) -> Option<Self> {
        Lanes::producer(self.ring().clone())
    }
}
