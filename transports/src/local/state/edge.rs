//! How a subscription reads one edge: the sequences of its messages, which messages are missing
//! before the next one, and how the publisher ends. It also shows a publisher in another process
//! how far the subscription is.

use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use mycelium_core::ring::broadcast::Peek;

use super::{Edge, Origin};
use crate::counters::EdgeValue;
use crate::local::ring::shared::MappedOrigin;
use crate::local::values::{GapReason, Policy};
use crate::sync::Ordering;

impl Edge {
    /// Returns the sequence of the message in a place of the ring.
    #[inline]
    pub(crate) fn sequence(&self, place: usize) -> u64 {
        self.known.as_ref().map_or(place as u64, |known| known.sequence(place))
    }

    /// Whether the next message needs more than a read of the ring: [`missed`](Self::missed) must
    /// be called, or the publisher is gone.
    #[inline]
    pub(crate) fn may_miss(&self) -> bool {
        match (&self.publisher.origin, &self.known) {
            (Origin::Remote(numbering), Some(known)) => {
                numbering.may_miss(known, self.consumer.cursor())
            }
            (Origin::Mapped(mapped), _) => mapped.is_gone(),
            // The source publisher may have more messages than the pump's ring.
            (Origin::Pumped(_), _) => true,
            (Origin::Local | Origin::Remote(_), _) => false,
        }
    }

    /// As [`may_miss`](Self::may_miss), for the message `ahead` of the cursor.
    #[inline]
    pub(crate) fn may_miss_ahead(&self, ahead: usize) -> bool {
        match (&self.publisher.origin, &self.known) {
            (Origin::Remote(numbering), Some(known)) => {
                numbering.may_miss(known, self.consumer.cursor().wrapping_add(ahead))
            }
            (Origin::Pumped(pump), Some(known)) => {
                pump.numbering.may_miss(known, self.consumer.cursor().wrapping_add(ahead))
            }
            (Origin::Mapped(mapped), _) => mapped.is_gone(),
            (Origin::Local, _) | (Origin::Remote(_) | Origin::Pumped(_), None) => false,
        }
    }

    /// Returns why messages before the cursor are missing, which the ring has reported.
    pub(crate) fn gap_reason(&self, missed: usize) -> GapReason {
        let first = self.consumer.cursor().wrapping_sub(missed);
        let was_waited_for = first.wrapping_sub(self.gates_from).cast_signed() >= 0
            || self.was_evicted.as_ref().is_some_and(|it| it.load(Ordering::Relaxed));
        if self.gates && was_waited_for { GapReason::Evicted } else { GapReason::Overwritten }
    }

    /// Returns how many messages the subscription has not read, which is about to leave. The
    /// publisher counts later ones.
    pub(crate) fn leave_unread(&self) -> u64 {
        let unread = match (&self.publisher.origin, &self.known) {
            (Origin::Remote(numbering), Some(known)) => {
                // The tail is stored once for each run of messages, so the reader may be past it.
                let (next, unread) = (self.consumer.cursor(), self.consumer.depth());
                numbering.leave(known.sequence(next), next.wrapping_add(unread))
            }
            (Origin::Pumped(pump), _) => self.consumer.depth() as u64 + pump.leave_unmoved(),
            (Origin::Local | Origin::Mapped(_), _) | (Origin::Remote(_), None) => {
                self.waiting() as u64
            }
        };
        unread + self.passed as u64
    }

    /// Whether the publisher waits for this subscription.
    pub(crate) fn gates(&self) -> bool {
        self.gates
    }

    /// Whether the message `ahead` of the cursor was in a batch whose handling failed.
    #[inline]
    pub(crate) fn has_failed(&self, ahead: usize) -> bool {
        let place = self.consumer.cursor().wrapping_add(ahead);
        self.failed_until.is_some_and(|until| until.wrapping_sub(place).cast_signed() > 0)
    }

    /// Whether messages can be read in the ring, without a copy.
    #[inline]
    pub(crate) fn lends(&self) -> bool {
        self.consumer.borrows()
    }

    /// Whether the subscription always has to check this edge, because its publisher announces
    /// nothing.
    pub(crate) fn is_silent(&self) -> bool {
        self.publisher.origin.is_silent()
    }

    /// Whether the edge's ring is in memory of another process.
    pub(crate) fn is_mapped(&self) -> bool {
        self.publisher.origin.mapped().is_some()
    }

    /// Returns the end of the messages of a publisher whose process is gone. Load this before the
    /// ring is read: then the ring has all messages before the end.
    #[inline]
    pub(crate) fn gone_at(&self) -> Option<usize> {
        self.publisher.origin.mapped().and_then(MappedOrigin::end)
    }

    /// Returns how many messages wait in the ring. Those after the end of a publisher that is gone
    /// arrive over the link.
    pub(crate) fn waiting(&self) -> usize {
        let (waiting, cursor) = (self.consumer.depth(), self.consumer.cursor());
        let before = |end: usize| usize::try_from(end.wrapping_sub(cursor).cast_signed());
        self.gone_at().map_or(waiting, |end| waiting.min(before(end).unwrap_or(0)))
    }

    /// Whether the stream of a mapped publisher that is gone may continue over the link.
    pub(crate) fn may_continue(&self) -> bool {
        self.is_mapped() && !self.publisher.is_lost()
    }

    /// Returns how many of the messages that the ring has just reported as missing are before this
    /// end. A process that has lost its readers also overwrites later ones, which it sends over the
    /// link.
    pub(crate) fn missed_before(&self, end: usize, missed: usize) -> usize {
        let beyond = self.consumer.cursor().wrapping_sub(end).cast_signed();
        missed.saturating_sub(usize::try_from(beyond).unwrap_or(0))
    }

    /// Returns how many messages of a feed are missing before the cursor, beside those that the
    /// ring reports, and why.
    #[inline]
    pub(crate) fn missed(&mut self) -> Option<(u64, GapReason)> {
        let (numbering, known) = (self.publisher.origin.numbering()?, self.known.as_mut()?);
        numbering.missed(known, self.consumer.cursor())
    }

    /// Counts messages that the reader finds missing, and those that were missing already.
    #[cold]
    pub(crate) fn count_missing(&self, found: u64, missing: u64, reason: GapReason) {
        let _one = self.publisher.stop_pump();
        // A pump counts the messages that are missing in its ring.
        let missing = if self.publisher.origin.pump().is_some() { 0 } else { missing };
        self.line.add(reason.value(), found.saturating_add(missing));
        self.line.add(EdgeValue::Gaps, 1);
    }

    /// Whether an earlier process may have received the next message.
    pub(crate) fn is_redelivered(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.redelivered)
    }

    /// Whether this edge has the messages of the same publisher after those of `earlier`.
    pub(crate) fn follows(&self, earlier: &Edge) -> bool {
        self.after.as_ref().map(Weak::as_ptr) == Some(Arc::as_ptr(&earlier.publisher))
    }

    /// Whether no message is lost between those of `earlier` and those of this edge: the
    /// publisher's stream has moved to shared memory, or back.
    pub(crate) fn continues(&self, earlier: &Edge) -> bool {
        self.follows(earlier) && (self.is_mapped() || earlier.may_continue())
    }

    /// Moves to the newest message, or past it. Returns how many messages were passed over,
    /// including those that were not reported before.
    pub(crate) fn skip(&mut self, past_newest: bool) -> usize {
        let mut passed = std::mem::take(&mut self.passed);
        if self.gone_at().is_some() {
            let kept = usize::from(!past_newest);
            return passed + self.consumer.skip(self.waiting().saturating_sub(kept));
        }
        passed += self.consumer.skip_to_latest();
        if !past_newest {
            return passed;
        }
        loop {
            match self.consumer.peek(&mut []) {
                Peek::Message { .. } => passed += usize::from(self.consumer.advance()),
                Peek::Gap { missed } => passed += missed,
                Peek::Empty | Peek::Closed | Peek::Evicted => return passed,
            }
        }
    }

    /// Whether a reader with this policy gets the next message, before which nothing is
    /// [missing](Self::missed).
    #[inline]
    pub(crate) fn is_selected(&self, policy: Policy) -> bool {
        policy.every().is_none_or(|every| {
            self.sequence(self.consumer.cursor()).is_multiple_of(every.get().into())
        })
    }

    /// Moves to the next message whose sequence is a multiple of `every`, but at most to the end of
    /// the ring, and to the next place where messages are missing. Returns how many messages were
    /// passed over, or the messages that are missing before the next one.
    pub(crate) fn sample(&mut self, every: NonZeroU32) -> (usize, Option<(u64, GapReason)>) {
        // Reads the ring before the numbering, because a break is stored before the message after
        // it.
        let waiting = self.waiting();
        let missed = self.missed();
        if missed.is_some() {
            return (0, missed);
        }
        let (cursor, every) = (self.consumer.cursor(), u64::from(every.get()));
        let next_break = self.known.as_ref().and_then(|known| known.until);
        let to_break = next_break.map_or(usize::MAX, |until| until.wrapping_sub(cursor));
        let to_next = (every - self.sequence(cursor) % every) % every;
        let to_next = usize::try_from(to_next).unwrap_or(usize::MAX);
        (self.consumer.skip(to_next.min(to_break).min(waiting)), None)
    }

    /// Whether all messages before the edge's end are read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| self.consumer.cursor().wrapping_sub(end).cast_signed() >= 0)
    }

    /// Whether a publisher of this process has ended, and all of its messages are read and
    /// reported.
    pub(crate) fn has_ended_quietly(&self) -> bool {
        let is_read = || self.consumer.depth() == 0 && self.passed == 0;
        // Only a local publisher never has gaps to report.
        let reports_nothing = matches!(self.publisher.origin, Origin::Local);
        reports_nothing && self.publisher.ring.is_closed() && is_read()
    }

    /// Whether the end of this publisher is a loss that was not reported yet; marks it as reported.
    pub(crate) fn reports_loss(&mut self) -> bool {
        let publisher = self.publisher.origin.pump().map_or(&self.publisher, |pump| &pump.source);
        publisher.is_lost() && self.reports_end()
    }

    /// Whether the early end of this publisher was not reported yet; marks it as reported.
    pub(crate) fn reports_end(&mut self) -> bool {
        !std::mem::replace(&mut self.loss_reported, true)
    }

    /// Whether a publisher in another process sees how far this subscription is.
    #[inline]
    pub(crate) fn is_shown(&self) -> bool {
        let publisher = &self.publisher;
        !publisher.origin.pump().map_or(publisher, |pump| &pump.source).origin.is_local()
    }

    /// Shows a publisher in another process that the deliveries before `place` are done with, and
    /// all gaps that were reported. A gating reader that has taken a message publishes that by
    /// itself.
    #[inline]
    pub(crate) fn show(&mut self, place: usize) {
        if let (Some(known), Some(progress)) = (&self.known, &self.progress) {
            // The gaps are stored before the place: `PublisherState::done` relies on this order.
            progress.gaps.store(known.gaps, Ordering::Release);
            progress.place.store(place, Ordering::Release);
        } else {
            self.consumer.show(place);
        }
        // A gating reader that has taken messages has published its position by itself; this
        // publishes that it has passed over messages.
        self.consumer.show_passed();
    }
}
