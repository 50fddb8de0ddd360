//! The messages of a publisher in another process that gating subscriptions left unread.

use mycelium_core::ring::broadcast::Consumer;

use super::shared::Ring;

/// The messages that gating subscriptions left unread since a shutdown began.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    /// The first place that was not taken by one of the subscriptions that left.
    pub(crate) place: Option<usize>,
    /// A subscription left with a message in flight.
    pub(crate) in_flight: bool,
    /// The ends of these subscriptions at a mapped ring, which keep their positions there.
    ends: Vec<LeftEnd>,
}

impl Abandoned {
    /// Adds the end of a subscription that has left. If `keeps`, its position stays where the
    /// publisher reads it.
    pub(crate) fn add(&mut self, end: Consumer<Ring>, in_flight: bool, keeps: bool) {
        let place = end.cursor();
        if keeps {
            self.ends.push(LeftEnd::new(end));
        }
        self.place = Some(self.place.map_or(place, |before| first(before, place)));
        self.in_flight |= in_flight;
    }

    /// Forgets the subscriptions: the publisher no longer waits for the ends that were kept.
    /// Returns whether there were any.
    pub(crate) fn release(&mut self) -> bool {
        if self.ends.is_empty() {
            return false;
        }
        std::mem::take(self).ends.into_iter().for_each(LeftEnd::release);
        true
    }
}

/// An end of a mapped ring that nobody reads by. Its position stays in the shared memory that the
/// publisher reads, even after a drop: if it vanished, the publisher would find that nobody needs
/// its messages.
#[derive(Debug)]
pub(crate) struct LeftEnd(Option<Consumer<Ring>>);

impl LeftEnd {
    pub(crate) fn new(end: Consumer<Ring>) -> LeftEnd {
        LeftEnd(Some(end))
    }

    /// Removes the position: the publisher no longer waits for it.
    pub(crate) fn release(mut self) {
        drop(self.0.take());
    }
}

impl Drop for LeftEnd {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end.leave_in_place();
        }
    }
}

/// Returns the earlier one of two places. Places wrap.
pub(crate) fn first(one: usize, other: usize) -> usize {
    if one.wrapping_sub(other).cast_signed() > 0 { other } else { one }
}
