//! Which sequence of a publisher in another process a message in a ring of this one has.
//!
//! The ring that stands for such a publisher counts its own places. A message's sequence is its place plus an offset,
//! which changes only where messages are missing: each such *break* is written down with the place of the first message
//! behind it, before that message is pushed. What a reader misses between two places is then the distance of the places,
//! plus by how much the offset grew.

use std::collections::VecDeque;

use super::delivery::GapReason;
use super::state::Versioned;

/// Where and why sequences jump. There is at most one break at a place, and none that no reader can need any more.
#[derive(Debug)]
pub(super) struct Numbering {
    breaks: Versioned<VecDeque<Break>>,
    /// The sequence of the ring's first place, before anything was missed.
    first: u64,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct Break {
    /// The first place behind it.
    at: usize,
    /// What is added to a place behind it.
    offset: u64,
    reason: GapReason,
    /// An earlier process of the readers may have had the messages behind it.
    again: bool,
    /// How many gaps there were, the one here included.
    gaps: usize,
}

/// What one reader knows of a [`Numbering`].
#[derive(Debug)]
pub(super) struct KnownNumbering {
    version: usize,
    pub(super) offset: u64,
    /// An earlier process may have had the message in this place.
    pub(super) again: bool,
    /// How many gaps lie before that place: the reader has been told of them.
    pub(super) gaps: usize,
    /// Where the offset changes next.
    until: Option<usize>,
}

impl Numbering {
    /// The ring's first message is to have this sequence.
    pub(super) fn new(first: u64, capacity: usize) -> Numbering {
        let start =
            Break { at: 0, offset: first, reason: GapReason::Overwritten, again: false, gaps: 0 };
        let breaks = Versioned::default();
        breaks.change(|breaks: &mut VecDeque<Break>| breaks.push_back(start));
        Numbering { breaks, first, capacity }
    }

    /// So many messages before the one that will be in place `at`, the next one, do not come.
    pub(super) fn skip(&self, at: usize, missed: u64, reason: GapReason) {
        self.change(at, |last| {
            (last.offset, last.reason) = (last.offset.wrapping_add(missed), reason);
            last.gaps += 1;
        });
    }

    /// From the message that will be in place `at`, the next one, an earlier process of the readers may have had them,
    /// or none had.
    pub(super) fn mark(&self, at: usize, again: bool) {
        self.change(at, |last| last.again = again);
    }

    /// Writes down what is other from place `at` on.
    fn change(&self, at: usize, change: impl FnOnce(&mut Break)) {
        self.breaks.change(|breaks| {
            // The last one before what any reader can still find says what comes after it.
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

    /// The sequence of the first message that is not done with, for readers of whom the slowest wants the message in
    /// `place` next, and who all have been told of at least `told` gaps. A gap that comes next is done with once it is told.
    pub(super) fn done(&self, place: usize, told: usize) -> u64 {
        let breaks = self.breaks.lock();
        let mut behind = breaks.iter().rev().skip_while(|entry| is_before(place, entry.at));
        let here = behind.find(|entry| entry.at != place || entry.gaps <= told);
        // Of what lies in the ring a break is always known, but for one before the first message of all.
        let offset = here.map_or(self.first, |entry| entry.offset);
        (place as u64).wrapping_add(offset)
    }

    /// What is so at a place, for a reader that joins there.
    pub(super) fn join(&self, place: usize) -> KnownNumbering {
        let mut known =
            KnownNumbering { version: 0, offset: 0, again: false, gaps: 0, until: None };
        self.look(&mut known, place);
        known
    }

    /// By how much the sequence of `place` is further than the reader knew, and why. Look here after the ring: what is
    /// found there was written down here before.
    #[inline]
    pub(super) fn missed(
        &self,
        known: &mut KnownNumbering,
        place: usize,
    ) -> Option<(u64, GapReason)> {
        if !self.may_miss(known, place) {
            return None;
        }
        let before = known.offset;
        let reason = self.look(known, place);
        let missed = known.offset.wrapping_sub(before);
        (missed > 0).then_some((missed, reason))
    }

    /// Whether [`missed`](Self::missed) has anything to look at.
    #[inline]
    pub(super) fn may_miss(&self, known: &KnownNumbering, place: usize) -> bool {
        let passed = known.until.is_some_and(|until| !is_before(place, until));
        known.again || passed || known.version != self.breaks.version()
    }

    #[cold]
    fn look(&self, known: &mut KnownNumbering, place: usize) -> GapReason {
        let breaks = self.breaks.lock();
        known.version = self.breaks.version();
        let is_behind = |entry: &&Break| is_before(place, entry.at);
        known.until = breaks.iter().find(is_behind).map(|entry| entry.at);
        let here = breaks.iter().rev().find(|entry| !is_behind(entry)).or(breaks.front());
        let Some(here) = here else { return GapReason::Overwritten };
        (known.offset, known.again, known.gaps) = (here.offset, here.again, here.gaps);
        here.reason
    }
}

impl KnownNumbering {
    /// The sequence of the message in a place.
    #[inline]
    pub(super) fn sequence(&self, place: usize) -> u64 {
        (place as u64).wrapping_add(self.offset)
    }
}

/// Places wrap.
#[inline]
fn is_before(place: usize, other: usize) -> bool {
    other.wrapping_sub(place).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_places_is_missed_however_the_reader_got_from_one_to_the_other() {
        let numbering = Numbering::new(100, 8);
        numbering.skip(3, 5, GapReason::Overwritten);
        numbering.skip(3, 2, GapReason::Disconnected);
        let mut known = numbering.join(0);
        assert_eq!((known.sequence(0), numbering.missed(&mut known, 2)), (100, None));
        assert_eq!(numbering.missed(&mut known, 3), Some((7, GapReason::Disconnected)));
        assert_eq!((known.sequence(3), numbering.missed(&mut known, 3)), (110, None));

        // Overtaken, it is behind the break before it has seen it.
        let mut known = numbering.join(1);
        assert_eq!(numbering.missed(&mut known, 6), Some((7, GapReason::Disconnected)));
        assert_eq!(known.sequence(6), 113);
        // Told at once, though nothing is behind it yet.
        numbering.skip(6, 1, GapReason::Overwritten);
        assert_eq!(numbering.missed(&mut known, 6), Some((1, GapReason::Overwritten)));
    }

    #[test]
    fn a_gap_is_done_with_once_it_is_told() {
        let numbering = Numbering::new(100, 8);
        numbering.skip(0, 5, GapReason::Disconnected);
        assert_eq!((numbering.done(0, 0), numbering.done(0, 1)), (100, 105));
        numbering.skip(3, 2, GapReason::Disconnected);
        let at = |place, told| numbering.done(place, told);
        assert_eq!((at(2, 1), at(3, 1), at(3, 2)), (107, 108, 110));
        // What lies behind it was taken: so it was told.
        assert_eq!(at(4, 1), 111);
    }

    #[test]
    fn no_more_is_kept_than_a_reader_can_need() {
        let numbering = Numbering::new(0, 8);
        for place in (0..1000).step_by(2) {
            numbering.skip(place, 1, GapReason::Overwritten);
        }
        assert!(numbering.breaks.lock().len() <= 8);
        assert_eq!(numbering.join(992).sequence(992), 992 + 497);
    }
}
