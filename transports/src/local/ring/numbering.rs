//! Numbering: the sequences of a feed's messages in its ring.
//!
//! The ring counts its own positions. A message's sequence is its position plus an offset, which
//! changes only where messages are missing. Each such *break* is stored with the position of the
//! first message after it, before that message is pushed. Between two positions, a reader misses
//! the distance of the positions plus the growth of the offset.

use std::collections::VecDeque;

use super::roster::Versioned;
use crate::local::values::GapReason;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// The breaks in the sequences: at most one for each position, and only breaks that a reader may
/// still need.
#[derive(Debug)]
pub(crate) struct Numbering {
    breaks: Versioned<VecDeque<Break>>,
    /// The sequence of the ring's first position, before the first break.
    first: u64,
    capacity: usize,
    /// A gating subscription has read to the end, or continues with the same publisher in shared
    /// memory. Messages here that only observers have not read count as finished.
    pub(crate) was_gated: AtomicBool,
    /// The end of the messages that leaving readers have counted as left.
    left_at: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Break {
    /// The first position after the break.
    at: usize,
    /// The offset from this position on.
    offset: u64,
    reason: GapReason,
    /// An earlier process of the readers may have received the messages after the break.
    redelivered: bool,
    /// The number of gaps so far, including this one.
    gaps: usize,
}

/// The progress of one reader in a [`Numbering`].
#[derive(Debug)]
pub(crate) struct KnownNumbering {
    version: usize,
    offset: u64,
    /// An earlier process may have received the message at the reader's position.
    pub(crate) redelivered: bool,
    /// The number of gaps before that position. All of them were reported to the reader.
    pub(crate) gaps: usize,
    /// The position of the next break.
    pub(crate) until: Option<usize>,
}

impl Numbering {
    /// Creates a numbering whose first message has the sequence `first`.
    pub(crate) fn new(first: u64, capacity: usize) -> Numbering {
        let (reason, redelivered) = (GapReason::Overwritten, false);
        let start = Break { at: 0, offset: first, reason, redelivered, gaps: 0 };
        let breaks = Versioned::default();
        breaks.change(|breaks: &mut VecDeque<Break>| breaks.push_back(start));
        let left_at = AtomicU64::new(first);
        Numbering { breaks, first, capacity, was_gated: AtomicBool::new(false), left_at }
    }

    /// Records that `missed` messages are missing before the next message, which will be at
    /// position `at`.
    pub(crate) fn skip(&self, at: usize, missed: u64, reason: GapReason) {
        self.change(at, |last| {
            (last.offset, last.reason) = (last.offset.wrapping_add(missed), reason);
            last.gaps += 1;
        });
    }

    /// Records whether an earlier process of the readers may have received the messages from
    /// position `at` on, which is the position of the next message.
    pub(crate) fn mark(&self, at: usize, redelivered: bool) {
        self.change(at, |last| last.redelivered = redelivered);
    }

    /// Changes the break at position `at`, which is the next one. Adds it if it does not exist.
    fn change(&self, at: usize, change: impl FnOnce(&mut Break)) {
        self.breaks.change(|breaks| {
            // Keeps one break before the oldest message in the ring, because it has that message's
            // offset.
            while breaks.get(1).is_some_and(|second| at.wrapping_sub(second.at) > self.capacity) {
                breaks.pop_front();
            }
            if let Some(last) = breaks.back().filter(|last| last.at != at) {
                breaks.push_back(Break { at, ..*last });
            }
            if let Some(last) = breaks.back_mut() {
                change(last);
            }
        });
    }

    /// Returns the sequence of the first message that a reader still needs. The slowest reader is
    /// at position `place`, and at least `gaps` gaps were reported to every reader. A gap at
    /// `place` is finished once it is reported.
    pub(crate) fn done(&self, place: usize, gaps: usize) -> u64 {
        let breaks = self.breaks.lock();
        let mut before = breaks.iter().rev().skip_while(|entry| is_before(place, entry.at));
        let here = before.find(|entry| entry.at != place || entry.gaps <= gaps);
        // Every message in the ring has a break before it, unless there was no break yet.
        let offset = here.map_or(self.first, |entry| entry.offset);
        (place as u64).wrapping_add(offset)
    }

    /// Records that a reader leaves which needs the message `from` next, while the ring ends at
    /// `tail`. Returns how many messages it leaves unread, including missing ones. Later messages
    /// do not count as left.
    pub(crate) fn leave(&self, from: u64, tail: usize) -> u64 {
        let end = self.done(tail, usize::MAX);
        self.left_at.fetch_max(end, Ordering::AcqRel);
        end.saturating_sub(from)
    }

    /// Returns the end of the messages that [leaving](Self::leave) readers have counted as left.
    pub(crate) fn left_at(&self) -> u64 {
        self.left_at.load(Ordering::Acquire)
    }

    /// Returns the state of a reader that joins at a position.
    pub(crate) fn join(&self, place: usize) -> KnownNumbering {
        let (offset, redelivered) = (0, false);
        let mut known = KnownNumbering { version: 0, offset, redelivered, gaps: 0, until: None };
        self.update(&mut known, place);
        known
    }

    /// Returns the growth of the offset at `place` since the reader's last update, and its reason.
    /// Call it after reading the ring: a break is stored before the message after it is pushed.
    #[inline]
    pub(crate) fn missed(
        &self,
        known: &mut KnownNumbering,
        place: usize,
    ) -> Option<(u64, GapReason)> {
        if !self.may_miss(known, place) {
            return None;
        }
        let before = known.offset;
        let reason = self.update(known, place);
        let missed = known.offset.wrapping_sub(before);
        (missed > 0).then_some((missed, reason))
    }

    /// Whether [`missed`](Self::missed) must be called.
    #[inline]
    pub(crate) fn may_miss(&self, known: &KnownNumbering, place: usize) -> bool {
        let passed = known.until.is_some_and(|until| !is_before(place, until));
        known.redelivered || passed || known.version != self.breaks.version()
    }

    #[cold]
    fn update(&self, known: &mut KnownNumbering, place: usize) -> GapReason {
        let breaks = self.breaks.lock();
        known.version = self.breaks.version();
        let is_later = |entry: &&Break| is_before(place, entry.at);
        known.until = breaks.iter().find(is_later).map(|entry| entry.at);
        let here = breaks.iter().rev().find(|entry| !is_later(entry)).or(breaks.front());
        let Some(here) = here else { return GapReason::Overwritten };
        (known.offset, known.redelivered, known.gaps) = (here.offset, here.redelivered, here.gaps);
        here.reason
    }
}

impl KnownNumbering {
    /// Returns the sequence of the message at a position.
    #[inline]
    pub(crate) fn sequence(&self, place: usize) -> u64 {
        (place as u64).wrapping_add(self.offset)
    }
}

/// Whether a position is before another one. Positions wrap.
#[inline]
fn is_before(place: usize, other: usize) -> bool {
    other.wrapping_sub(place).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_breaks_that_a_reader_may_need_are_kept() {
        let numbering = Numbering::new(0, 8);
        for place in (0..1000).step_by(2) {
            numbering.skip(place, 1, GapReason::Overwritten);
        }
        assert!(numbering.breaks.lock().len() <= 8);
        assert_eq!(numbering.join(992).sequence(992), 992 + 497);
    }
}
