//! Which messages the subscriptions of a publisher are done with: the messages that they still
//! need, those that left subscriptions had not taken, and whether a message is requested or in
//! flight.

use std::sync::MutexGuard;

use mycelium_core::ring::broadcast::{Consumer, ReaderWords, Storage as _};
use mycelium_core::ring::region::TopicStorage;

use super::PublisherState;
use crate::local::ring::abandoned::{Abandoned, first};
use crate::local::ring::shared::{MappedOrigin, Ring};
use crate::sync::{Ordering, lock};

impl PublisherState {
    /// Returns the sequence of a feed's first message that a gating subscription still needs;
    /// `None` if no subscription needs any. At a shutdown, subscriptions that have left since the
    /// shutdown began count too.
    pub(crate) fn done(&self, at_shutdown: impl FnOnce() -> bool) -> Option<u64> {
        let numbering = self.origin.numbering()?;
        // No messages may move between the read of a pump's end and of its depth.
        let _still = self.stop_pump();
        // Reads the gaps before the positions, because a reader reports a gap before it takes what
        // follows.
        let readers = self.readers.lock();
        // Observers count only if no reader gates.
        let is_gated = numbering.was_gated.load(Ordering::Acquire)
            || readers.iter().any(|reader| reader.entry.is_some());
        let counts = || readers.iter().filter(|reader| reader.entry.is_some() == is_gated);
        let progress = || counts().filter_map(|reader| reader.progress.as_deref());
        let gaps = progress().map(|progress| progress.gaps.load(Ordering::Acquire)).min();
        let needed = if is_gated {
            self.ring.tail().wrapping_sub(self.depth())
        } else {
            let places = progress().map(|progress| progress.place.load(Ordering::Acquire));
            places.fold(self.ring.tail(), first)
        };
        // A `drop-newest` subscription has moved its messages to a ring of its own.
        let own = counts().filter_map(|reader| reader.own.as_ref()?.upgrade());
        let own = own.filter_map(|own| own.done(is_no_shutdown)).min();
        drop(readers);
        let left = {
            let mut abandoned = self.abandoned();
            // Asked under the lock, so that a subscription that leaves at the shutdown counts.
            if !at_shutdown() {
                *abandoned = Abandoned::default();
            }
            abandoned.place
        };
        if gaps.is_none() && left.is_none() {
            return own;
        }
        let place = left.map_or(needed, |left| first(needed, left));
        let done = numbering.done(place, gaps.unwrap_or(0));
        Some(own.map_or(done, |own| own.min(done)))
    }

    /// Whether every gating subscription has requested a message.
    pub(crate) fn is_requested(&self) -> bool {
        let readers = self.readers.lock();
        let mut gating = readers.iter().filter(|reader| reader.entry.is_some());
        gating.all(|reader| reader.subscriber.has_requested.load(Ordering::Acquire))
    }

    /// Whether a gating subscription may have a message in flight, or left with one.
    pub(crate) fn is_in_flight(&self) -> bool {
        let has_gating = self.readers.lock().iter().any(|reader| reader.entry.is_some());
        has_gating || self.abandoned().in_flight
    }

    /// Keeps the end of a gating subscription that leaves. It took nothing from its position on;
    /// the message there may have been in flight.
    pub(super) fn abandon(&self, end: Consumer<Ring>, in_flight: bool) {
        self.abandoned().add(end, in_flight, self.origin.mapped().is_some());
    }

    /// Returns the first message that a subscription of this process still needs of a mapped
    /// publisher that is gone; `None` if none needs any. At a shutdown, as for
    /// [`done`](Self::done).
    pub(crate) fn needed(&self, at_shutdown: impl FnOnce() -> bool) -> Option<usize> {
        let mapped = self.origin.mapped()?;
        if !mapped.waits_for_readers {
            return match self.ring.storage() {
                TopicStorage::Foreign(ring) => ring.cursors().observed(),
                TopicStorage::Heap(_) | TopicStorage::Shared(..) => None,
            };
        }
        let readers = self.readers.lock();
        let words = readers.iter().filter_map(|it| self.ring.storage().reader(it.entry?));
        let needed = ReaderWords::slowest(words, true);
        drop(readers);
        let mut abandoned = self.abandoned();
        // Asked under the lock, so that a subscription that leaves at the shutdown counts.
        if !at_shutdown() {
            // Forgets the abandoned positions here. They stay in the memory where the publisher may
            // still read them.
            *abandoned = Abandoned::default();
        }
        needed.into_iter().chain(abandoned.place).reduce(first)
    }

    /// Forgets the subscriptions that have left a mapped publisher, unless the publisher is gone,
    /// or they left at a shutdown: then the publisher keeps the messages that they have not taken.
    pub(crate) fn settle_abandoned(&self, at_shutdown: impl FnOnce() -> bool) {
        // Keeps the positions then, because the publisher's process may not know yet that the
        // connection has ended, and would find that nobody needs its messages.
        if self.origin.mapped().is_some_and(MappedOrigin::is_gone) {
            return;
        }
        let mut abandoned = self.abandoned();
        // Asked under the lock, so that a subscription that leaves at the shutdown counts.
        if !at_shutdown() && abandoned.release() {
            drop(abandoned);
            self.wake();
        }
    }

    pub(super) fn abandoned(&self) -> MutexGuard<'_, Abandoned> {
        lock(&self.abandoned)
    }
}

/// A `drop-newest` subscription keeps nothing in its ring for a shutdown.
fn is_no_shutdown() -> bool {
    false
}
