//! What the ends of a channel share beside the ring: where each side waits, and how many of each there are.

use crossbeam_utils::CachePadded;

use crate::doorbell::Bells;
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order};

/// Where both sides of a channel wait: senders for room, receivers for items.
#[derive(Debug)]
pub struct Lobby<S, R> {
    room: CachePadded<Side<S>>,
    items: CachePadded<Side<R>>,
}

/// One side of a channel.
#[derive(Debug)]
pub struct Side<B> {
    pub(super) bells: B,
    ends: AtomicUsize,
    gives_up: AtomicUsize,
}

impl<B> Side<B> {
    const_unless_loom! {
        const fn new(bells: B) -> Side<B> {
            Side { bells, ends: AtomicUsize::new(0), gives_up: AtomicUsize::new(0) }
        }
    }

    pub(super) fn join(&self) {
        self.ends.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that an end of this side may give up a slot that it had claimed, where readers must pass it; called before it
    /// does.
    pub(super) fn gives_up(&self) {
        self.gives_up.store(1, Ordering::Relaxed);
    }

    /// Whether an end of this side has ever given up a slot. Who passes such a slot sees this too: it was said before the
    /// slot was marked.
    #[inline]
    pub(super) fn has_given_up(&self) -> bool {
        self.gives_up.load(Ordering::Relaxed) != 0
    }

    /// Counts an end out, and says whether it was the last.
    pub(super) fn leave(&self) -> bool {
        // Release and Acquire: the last one acts after all that the others did.
        self.ends.fetch_sub(1, order!("lobby.leave", AcqRel)) == 1
    }
}

impl<S, R> Lobby<S, R> {
    const_unless_loom! {
        /// Nobody there yet. `room` is where senders wait, `items` where receivers do.
        #[must_use]
        pub const fn new(room: S, items: R) -> Lobby<S, R> {
            Lobby {
                room: CachePadded::new(Side::new(room)),
                items: CachePadded::new(Side::new(items)),
            }
        }
    }
}

/// [`Lobby`], whatever the bells.
pub trait Sides {
    /// Where senders wait.
    type Room: Bells;
    /// Where receivers wait.
    type Items: Bells;

    /// Where senders wait.
    #[doc(hidden)]
    fn room(&self) -> &Side<Self::Room>;

    /// Where receivers wait.
    #[doc(hidden)]
    fn items(&self) -> &Side<Self::Items>;
}

impl<S: Bells, R: Bells> Sides for Lobby<S, R> {
    type Room = S;
    type Items = R;

    #[inline]
    fn room(&self) -> &Side<S> {
        &self.room
    }

    #[inline]
    fn items(&self) -> &Side<R> {
        &self.items
    }
}
