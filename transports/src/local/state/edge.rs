//! A subscription's reading of one edge: the sequences of its messages, the messages that are
//! missing before the next one, and the end of the publisher. The edge also shows the
//! subscription's progress to a publisher in another process. Then follow joining and leaving, and
//! the record of finished messages.

use std::num::NonZeroU32;
use std::sync::{Arc, MutexGuard, Weak};

use mycelium_core::doorbell::{SleepWord, announce};
use mycelium_core::ring::broadcast::{Broadcast, Consumer, Peek, ReaderWords, Storage as _};
use mycelium_core::ring::region::TopicStorage;

use super::{Edge, Kept, Origin, Progress, PublisherState, ReaderEntry, SubscriberState};
use crate::counters::{EdgeValue, Line, Region, plain};
use crate::local::ring::roster::Numbered;
use crate::local::ring::shared::{MappedOrigin, Ring};
use crate::local::ring::{Abandoned, first};
use crate::local::values::{GapReason, Policy};
use crate::sync::{AtomicUsize, Ordering, lock};

/// Whether messages in the arena of a ring begin at a multiple of 8, because words do.
pub(crate) const ALIGNS: bool = size_of::<usize>() == 8;

impl Edge {
    /// Returns the sequence of the message at a position of the ring.
    #[inline]
    pub(crate) fn sequence(&self, place: usize) -> u64 {
        self.known.as_ref().map_or(place as u64, |known| known.sequence(place))
    }

    /// Returns the sequence of the message at a position, also of a retained one.
    pub(crate) fn sequence_of(&self, place: usize) -> u64 {
        match &self.publisher.origin {
            Origin::Retained(sequences) => sequences.get(place).copied().unwrap_or_default(),
            _ => self.sequence(place),
        }
    }

    /// Returns what the publisher retains, if it does.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        let publisher = self.publisher.origin.pump().map_or(&self.publisher, |pump| &pump.source);
        publisher.kept.get()
    }

    /// Returns the sequence of the first message in the ring, before any is read.
    pub(crate) fn joined_at(&self) -> u64 {
        self.sequence(self.consumer.cursor())
    }

    /// Whether the edge has the values that its publisher has retained.
    pub(crate) fn is_retained(&self) -> bool {
        self.publisher.origin.is_retained()
    }

    /// Whether the next message needs more than a read of the ring: [`missed`](Self::missed) must
    /// be called, or the publisher is gone.
    #[inline]
    pub(crate) fn may_miss(&self) -> bool {
        // The pump's source may have messages that are not in this ring yet.
        !matches!(self.publisher.origin, Origin::Local { .. })
            && (self.publisher.origin.is_pump() || self.may_miss_ahead(0))
    }

    /// Whether the message `ahead` of the cursor needs more than a read of the ring, as in
    /// [`may_miss`](Self::may_miss).
    #[inline(never)]
    pub(crate) fn may_miss_ahead(&self, ahead: usize) -> bool {
        match (&self.publisher.origin, &self.known) {
            (Origin::Remote(numbering), Some(known)) => {
                numbering.may_miss(known, self.consumer.cursor().wrapping_add(ahead))
            }
            (Origin::Pumped(pump), Some(known)) => {
                pump.numbering.may_miss(known, self.consumer.cursor().wrapping_add(ahead))
            }
            (Origin::Mapped(mapped), _) => mapped.is_gone(),
            (Origin::Retained(_), _) => true,
            (Origin::Local { .. }, _) | (Origin::Remote(_) | Origin::Pumped(_), None) => false,
        }
    }

    /// Prepares for the reader's sleep: from now on the publisher's process wakes this one. Check
    /// again after this.
    #[inline]
    pub(crate) fn fall_asleep(&self) {
        if let (Some(word), Some(mapped)) = (self.sleep_word(), self.publisher.origin.mapped()) {
            word.sleep_by(mapped.own_path());
        }
    }

    /// Reverts [`fall_asleep`](Self::fall_asleep), because the reader does not sleep after all.
    #[inline]
    pub(crate) fn stay_awake(&self) {
        if let Some(word) = self.sleep_word() {
            word.wake();
        }
    }

    fn sleep_word(&self) -> Option<&SleepWord> {
        self.publisher.ring.storage().reader_asleep(self.sleeper.as_ref()?.word)
    }

    /// Returns the reason for missing messages before the cursor that the ring has reported.
    pub(crate) fn gap_reason(&self, missed: usize) -> GapReason {
        let first = self.consumer.cursor().wrapping_sub(missed);
        let was_waited_for = first.wrapping_sub(self.gates_from).cast_signed() >= 0
            || self.was_evicted.as_ref().is_some_and(|it| it.load(Ordering::Relaxed));
        if self.gates && was_waited_for { GapReason::Evicted } else { GapReason::Overwritten }
    }

    /// Returns how many messages the subscription leaves unread when it is about to leave. The
    /// publisher counts the messages that it sends later.
    pub(crate) fn leave_unread(&self) -> u64 {
        let unread = match (&self.publisher.origin, &self.known) {
            (Origin::Remote(numbering), Some(known)) => {
                // The tail is stored once for each run of messages, so the reader may be past it.
                let (next, unread) = (self.consumer.cursor(), self.consumer.depth());
                numbering.leave(known.sequence(next), next.wrapping_add(unread))
            }
            (Origin::Pumped(pump), _) => self.consumer.depth() as u64 + pump.leave_unmoved(),
            // Retained messages are counted apart.
            (Origin::Retained(_), _) => 0,
            (Origin::Local { .. } | Origin::Mapped(_), _) | (Origin::Remote(_), None) => {
                self.waiting() as u64
            }
        };
        unread + self.passed as u64
    }

    /// Whether the publisher waits for this subscription.
    pub(crate) fn gates(&self) -> bool {
        self.gates
    }

    /// Whether the message `ahead` of the cursor was in a batch whose handling failed or was
    /// interrupted.
    #[inline]
    pub(crate) fn has_failed(&self, ahead: usize) -> bool {
        self.failures(ahead).is_some()
    }

    /// Returns how often the message `ahead` of the cursor has failed in a batch; `None` if it was
    /// in none.
    #[inline]
    pub(crate) fn failures(&self, ahead: usize) -> Option<u32> {
        let place = self.consumer.cursor().wrapping_add(ahead);
        let (until, failures) = self.failed_until?;
        (until.wrapping_sub(place).cast_signed() > 0).then_some(failures)
    }

    /// Whether messages can be read in the ring, without a copy.
    #[inline]
    pub(crate) fn lends(&self) -> bool {
        self.consumer.borrows()
    }

    /// Whether the subscription must always check this edge, because its publisher does not
    /// announce messages.
    pub(crate) fn is_silent(&self) -> bool {
        self.publisher.origin.is_silent()
    }

    /// Whether the edge's ring is in memory of another process.
    pub(crate) fn is_mapped(&self) -> bool {
        self.publisher.origin.mapped().is_some()
    }

    /// Returns the end of the messages of a publisher whose process is gone. Load it before the
    /// ring is read, so that the ring has all messages before the end.
    #[inline]
    pub(crate) fn gone_at(&self) -> Option<usize> {
        self.publisher.origin.mapped().and_then(MappedOrigin::end)
    }

    /// Returns how many messages wait in the ring. Does not count messages after the end of a
    /// publisher that is gone, which arrive over the link.
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
    /// end. A process that has lost its readers also overwrites later messages, but sends those
    /// over the link.
    pub(crate) fn missed_before(&self, end: usize, missed: usize) -> usize {
        let beyond = self.consumer.cursor().wrapping_sub(end).cast_signed();
        missed.saturating_sub(usize::try_from(beyond).unwrap_or(0))
    }

    /// Returns the number of a feed's messages that are missing before the cursor, in addition to
    /// those that the ring reports, and the reason.
    #[inline]
    pub(crate) fn missed(&mut self) -> Option<(u64, GapReason)> {
        let (numbering, known) = (self.publisher.origin.numbering()?, self.known.as_mut()?);
        numbering.missed(known, self.consumer.cursor())
    }

    /// Counts messages that the reader has just found missing (`found`), and messages that were
    /// missing before (`missing`).
    #[cold]
    pub(crate) fn count_missing(&self, found: u64, missing: u64, reason: GapReason) {
        let _one = self.publisher.stop_pump();
        // A pump counts the messages that are missing in its ring, so they are not counted again
        // here.
        let missing = if self.publisher.origin.pump().is_some() { 0 } else { missing };
        self.line.add(reason.value(), found.saturating_add(missing));
        self.line.add(EdgeValue::Gaps, 1);
    }

    /// Whether an earlier process may have received the next message.
    pub(crate) fn is_redelivered(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.redelivered)
    }

    /// Whether this edge continues the same publisher's messages after the messages of `earlier`.
    pub(crate) fn follows(&self, earlier: &Edge) -> bool {
        self.after.as_ref().map(Weak::as_ptr) == Some(Arc::as_ptr(&earlier.publisher))
    }

    /// Whether no message is lost between `earlier` and this edge: the publisher's stream has moved
    /// to shared memory, or back.
    pub(crate) fn continues(&self, earlier: &Edge) -> bool {
        let may_continue = self.is_mapped() && !earlier.is_retained() || earlier.may_continue();
        self.follows(earlier) && may_continue
    }

    /// Moves to the newest message, or past it. Returns the number of skipped messages, including
    /// earlier ones that were not reported yet.
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

    /// Whether a reader with this policy gets the next message. No messages may be
    /// [missing](Self::missed) before it.
    #[inline]
    pub(crate) fn is_selected(&self, policy: Policy) -> bool {
        policy.every().is_none_or(|every| {
            self.sequence(self.consumer.cursor()).is_multiple_of(every.get().into())
        })
    }

    /// Moves to the next message whose sequence is a multiple of `every`, but no further than the
    /// end of the ring or the next missing messages. Returns the number of skipped messages, and
    /// the messages that are missing before the next one.
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
        // Publishers of all other origins may have gaps to report.
        let reports_nothing = matches!(self.publisher.origin, Origin::Local { .. });
        reports_nothing && self.publisher.ring.is_closed() && is_read()
    }

    /// Whether the publisher's end is a loss that was not reported yet. Marks it as reported.
    pub(crate) fn reports_loss(&mut self) -> bool {
        let publisher = self.publisher.origin.pump().map_or(&self.publisher, |pump| &pump.source);
        publisher.is_lost() && self.reports_end()
    }

    /// Whether the publisher's early end was not reported yet. Marks it as reported.
    pub(crate) fn reports_end(&mut self) -> bool {
        !std::mem::replace(&mut self.loss_reported, true)
    }

    /// Whether a publisher in another process sees this subscription's progress.
    #[inline]
    pub(crate) fn is_shown(&self) -> bool {
        let publisher = &self.publisher;
        !publisher.origin.pump().map_or(publisher, |pump| &pump.source).origin.is_local()
    }

    /// Shows a publisher in another process that the deliveries before position `place` are
    /// finished, and that all gaps were reported. A gating reader publishes its position itself
    /// when it takes a message.
    #[inline]
    pub(crate) fn show(&mut self, place: usize) {
        if let (Some(known), Some(progress)) = (&self.known, &self.progress) {
            // Stores the gaps before the position: `PublisherState::done` relies on this order.
            progress.gaps.store(known.gaps, Ordering::Release);
            progress.place.store(place, Ordering::Release);
        } else {
            self.consumer.show(place);
        }
        // A gating reader has published its position itself for taken messages. This publishes the
        // position after skipped messages.
        self.consumer.show_passed();
    }
}

// How a publisher and a subscription join and leave each other: [`PublisherState::attach`] creates
// their [`Edge`], [`SubscriberState::send_edge`] hands it to the subscription, and [`Edge::leave`]
// ends it.

impl PublisherState {
    /// Joins a subscription to this publisher, at the subscription's start. With `after`, it joins
    /// at that position and reads after the earlier publisher, which has the messages before it.
    /// Returns `None` if the ring has no free entry.
    pub(crate) fn attach(
        publisher: &Arc<PublisherState>,
        subscriber: &Arc<SubscriberState>,
        counters: &Arc<Region>,
        after: Option<(usize, &Arc<PublisherState>)>,
    ) -> Option<Edge> {
        let has_own_ring = publisher.origin.is_pump() || publisher.origin.is_retained();
        if subscriber.policy == Policy::DropNewest && !has_own_ring {
            return PublisherState::attach_pump(publisher, subscriber, counters);
        }
        let ring = publisher.ring.clone();
        // Just as over a link, a publisher waits for all gating subscriptions of a process or for
        // none of them.
        let is_gated = publisher.origin.mapped().is_none_or(|mapped| mapped.waits_for_readers);
        let gates = subscriber.policy.keeps() && is_gated;
        let from = match (after, subscriber.start) {
            (Some((from, _)), _) => Some(from),
            (None, _) if publisher.origin.is_retained() => Some(0),
            (None, start) => start.is_earlier().then(|| publisher.oldest()),
        };
        let sleeper = match &publisher.origin {
            Origin::Mapped(mapped) => Some(mapped.take_sleeper()?),
            Origin::Local { .. } | Origin::Remote(_) | Origin::Pumped(_) | Origin::Retained(_) => {
                None
            }
        };
        let can_be_evicted = publisher.evictions.are_possible();
        let consumer = match from {
            Some(from) if gates && can_be_evicted => Broadcast::gating_evictable_from(ring, from)?,
            None if gates && can_be_evicted => Broadcast::gating_evictable(ring)?,
            Some(from) if gates => gating_from(publisher, from)?,
            None if gates => Broadcast::gating(ring)?,
            // Stores the position of an observer, too, because a publisher in another process reads
            // it.
            from if sleeper.is_some() => {
                let shown = Broadcast::observing_shown(ring, from)?;
                if subscriber.policy.keeps() { shown } else { shown.shown_by_hand() }
            }
            Some(from) => Broadcast::observing_from(ring, from),
            None => Broadcast::observing(ring),
        };
        // The counters continue if the publisher only moved to shared memory or back.
        let moved = after.filter(|(_, earlier)| !earlier.is_lost());
        let earlier = moved.and_then(|(_, earlier)| earlier.line_of(subscriber));
        let has_joined = earlier.is_some();
        let pumped = || publisher.origin.pump().map(|pump| pump.line.clone());
        let line = earlier.or_else(pumped);
        let place = consumer.cursor();
        // If the reader starts at retained messages, the publisher may learn of it too late to keep
        // them.
        let is_retained = publisher.origin.is_retained();
        let is_late = after.is_none() && subscriber.start.is_earlier() && !is_retained;
        let gates_from = if is_late { publisher.ring.tail() } else { place };
        let was_evicted = (is_late && gates).then(Arc::default);
        let known = publisher.origin.numbering().map(|numbering| numbering.join(place));
        let joined_at = known.as_ref().map_or(place as u64, |known| known.sequence(place));
        let line = line.unwrap_or_else(|| publisher.new_line(subscriber, counters, joined_at));
        if !has_joined {
            line.set(EdgeValue::JoinedAt, joined_at);
        }
        let progress = known.as_ref().map(|known| Arc::new(Progress::new(known.gaps, place)));
        let slot = subscriber.ready.take();
        let is_told = !subscriber.is_tap && !publisher.origin.is_silent();
        let ready = if is_told { slot.bit() } else { None };
        let reader = ReaderEntry {
            subscriber: subscriber.clone(),
            entry: consumer.entry().filter(|_| gates),
            progress: progress.clone(),
            own: None,
            line: line.clone(),
            was_evicted: was_evicted.clone(),
            remote: None,
            ready,
            is_waited_for: consumer.borrows(),
        };
        publisher.readers.add(reader);
        // Wakes the publisher, which may have parked because the ring seemed full while the reader
        // joined.
        publisher.wake();
        let is_private = publisher.ring.storage().imports().is_none();
        let is_typed = matches!(publisher.origin, Origin::Local { is_typed: true });
        let is_own = ALIGNS && is_typed && consumer.borrows() && is_private;
        let publisher = publisher.clone();
        let after = after.map(|(_, earlier)| Arc::downgrade(earlier));
        let (passed, loss_reported, end) = (0, false, None);
        Some(Edge {
            publisher,
            consumer,
            slot,
            line,
            gates,
            is_own,
            gates_from,
            was_evicted,
            known,
            progress,
            sleeper,
            after,
            passed,
            loss_reported,
            end,
            ahead: 0,
            failed_until: None,
        })
    }

    /// Joins a `drop-newest` subscription by giving it a ring of its own.
    fn attach_pump(
        publisher: &Arc<PublisherState>,
        subscriber: &Arc<SubscriberState>,
        counters: &Arc<Region>,
    ) -> Option<Edge> {
        let end = match subscriber.start.is_earlier() {
            true => gating_from(publisher, publisher.oldest())?,
            false => Broadcast::gating(publisher.ring.clone())?,
        };
        let (place, numbering) = (end.cursor(), publisher.origin.numbering());
        let joined_at = numbering.map_or(place as u64, |it| it.join(place).sequence(place));
        let line = publisher.new_line(subscriber, counters, joined_at);
        let is_waited_for = end.borrows();
        let own = publisher.add_pump(end, line.clone())?;
        let edge = PublisherState::attach(&own, subscriber, counters, None)?;
        // The subscription does not gate at this ring, because the publisher runs the pump.
        let subscriber = subscriber.clone();
        let own = Some(Arc::downgrade(&own));
        let (entry, progress, was_evicted, remote, ready) = (None, None, None, None, None);
        let reader = ReaderEntry {
            subscriber,
            entry,
            progress,
            own,
            line,
            was_evicted,
            remote,
            ready,
            is_waited_for,
        };
        publisher.readers.add(reader);
        publisher.wake();
        Some(edge)
    }

    /// Removes a subscription whose edge was dropped already.
    pub(crate) fn detach(&self, subscriber: &Arc<SubscriberState>) {
        self.remove_reader(subscriber);
        self.pumps.lock().retain(|pump| pump.pump.strong_count() > 0);
        self.wake();
    }

    pub(crate) fn new_line(
        &self,
        subscriber: &SubscriberState,
        counters: &Arc<Region>,
        joined_at: u64,
    ) -> Arc<Line<EdgeValue>> {
        let label = format!("{} reader={}", self.label(), plain(&subscriber.name));
        Arc::new(counters.line_with(&label, &[(EdgeValue::JoinedAt, joined_at)]))
    }

    /// Returns the counters of a subscription.
    fn line_of(&self, subscriber: &Arc<SubscriberState>) -> Option<Arc<Line<EdgeValue>>> {
        let readers = self.readers.lock();
        let place = readers.binary_search_by_key(&subscriber.number, Numbered::number).ok()?;
        Some(readers[place].line.clone())
    }

    fn remove_reader(&self, subscriber: &Arc<SubscriberState>) {
        self.readers.remove(subscriber.number);
        if self.evictions.are_possible() {
            self.evictions.returned(subscriber.number);
        }
    }
}

/// Joins a gating reader that starts with this message. The peer of a feed has credit for the free
/// slots, so this takes none of them back.
fn gating_from(publisher: &PublisherState, from: usize) -> Option<Consumer<Ring>> {
    let ring = publisher.ring.clone();
    match publisher.origin {
        Origin::Remote(_) => Broadcast::gating_late(ring, from),
        _ => Broadcast::gating_from(ring, from),
    }
}

impl ReaderEntry {
    /// Returns the sequence of the subscription's first message at this edge.
    pub(crate) fn joined_at(&self) -> u64 {
        self.line.get(EdgeValue::JoinedAt)
    }
}

impl Progress {
    fn new(gaps: usize, place: usize) -> Progress {
        Progress { gaps: AtomicUsize::new(gaps), place: AtomicUsize::new(place) }
    }
}

impl SubscriberState {
    /// Gives the subscription an edge to a new publisher. It is held back if it continues one that
    /// is.
    pub(crate) fn send_edge(&self, edge: Edge) {
        self.publishers.add(edge.publisher.clone());
        let mut held = lock(&self.held);
        let mut groups = held.iter_mut();
        match groups.find(|group| group.iter().any(|earlier| edge.follows(earlier))) {
            Some(group) => group.push(edge),
            None => self.begin([edge]),
        }
    }

    pub(super) fn begin(&self, edges: impl IntoIterator<Item = Edge>) {
        self.incoming.change(|incoming| {
            if incoming.is_empty() {
                // Allocates room for one edge only, because often it is the only one, and there may
                // be many subscriptions.
                incoming.reserve_exact(1);
            }
            incoming.extend(edges);
        });
        announce();
        self.bell.ring();
    }

    /// Removes this subscription and the publisher from each other's lists.
    pub(crate) fn leave(self: &Arc<SubscriberState>, publisher: &Arc<PublisherState>) {
        self.publishers.remove(publisher.number);
        publisher.remove_reader(self);
    }
}

impl Edge {
    /// Ends the edge, because the subscription leaves this publisher. `in_flight`: whether its next
    /// message is in flight. A remote publisher must still learn the position that a gating reader
    /// had when a shutdown began.
    pub(crate) fn leave(self, subscriber: &Arc<SubscriberState>, in_flight: bool) {
        let has_read_all = self.gone_at() == Some(self.consumer.cursor());
        let Edge { publisher, consumer, gates, .. } = self;
        if gates
            && let Some(numbering) = publisher.origin.numbering()
            // Checks the end before the depth, because only a closed ring gets no further message.
            && publisher.ring.is_closed()
            && consumer.depth() == 0
        {
            // Stores this before the subscription leaves: without a gating reader, observers would
            // count.
            numbering.was_gated.store(true, Ordering::Release);
        }
        subscriber.leave(&publisher);
        if let Some(pump) = publisher.origin.pump() {
            subscriber.leave(&pump.source);
            pump.leave();
        }
        // Comes after `leave`, because another reader may get the ring's entry as soon as it is
        // free.
        if gates && !publisher.origin.is_local() {
            publisher.abandon(consumer, in_flight);
        } else if has_read_all {
            // The publisher may still read this position, and sends more messages over the link.
            consumer.leave_in_place();
        } else {
            drop(consumer);
        }
        publisher.wake();
        if let Some(mapped) = publisher.origin.mapped() {
            mapped.session.ring();
        }
    }
}

// Which messages of a publisher its subscriptions have finished: the messages that they still need,
// the messages that left subscriptions had not taken, and whether a message is requested or in
// flight.

impl PublisherState {
    /// Returns the sequence of a feed's first message that a subscription still needs; `None` if
    /// none needs any. At a shutdown, subscriptions that have left since it began count, too.
    pub(crate) fn done(&self, at_shutdown: impl FnOnce() -> bool) -> Option<u64> {
        let numbering = self.origin.numbering()?;
        // Stops the pump, so that no messages move between the reads of the ring's end and of the
        // depth.
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
            // Asks this under the lock, so that a subscription that leaves at the shutdown counts.
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

    /// Whether a gating subscription may have a message in flight, or may have left with one in
    /// flight.
    pub(crate) fn is_in_flight(&self) -> bool {
        let has_gating = self.readers.lock().iter().any(|reader| reader.entry.is_some());
        has_gating || self.abandoned().in_flight
    }

    /// Keeps the end of a gating subscription that leaves. It has not taken the messages from its
    /// position on, but the first of them may have been in flight.
    pub(super) fn abandon(&self, end: Consumer<Ring>, in_flight: bool) {
        self.abandoned().add(end, in_flight, self.origin.mapped().is_some());
    }

    /// Returns the first message of a mapped publisher that is gone which a subscription of this
    /// process still needs; `None` if none needs any. At a shutdown, left subscriptions count as in
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
        // Asks this under the lock, so that a subscription that leaves at the shutdown counts.
        if !at_shutdown() {
            // Drops only this process's record of the abandoned positions. They stay in the memory
            // where the publisher may still read them.
            *abandoned = Abandoned::default();
        }
        needed.into_iter().chain(abandoned.place).reduce(first)
    }

    /// Releases subscriptions that have left a mapped publisher, unless the publisher is gone, or
    /// they left at a shutdown. In these cases the publisher keeps the messages that they have not
    /// taken.
    pub(crate) fn settle_abandoned(&self, at_shutdown: impl FnOnce() -> bool) {
        // Keeps the positions: the publisher's process may not know yet that the connection has
        // ended. Without the positions it would treat its messages as finished.
        if self.origin.mapped().is_some_and(MappedOrigin::is_gone) {
            return;
        }
        let mut abandoned = self.abandoned();
        // Asks this under the lock, so that a subscription that leaves at the shutdown counts.
        if !at_shutdown() && abandoned.release() {
            drop(abandoned);
            self.wake();
        }
    }

    pub(super) fn abandoned(&self) -> MutexGuard<'_, Abandoned> {
        lock(&self.abandoned)
    }
}

/// Returns false: a `drop-newest` subscription keeps no messages in its ring for a shutdown.
fn is_no_shutdown() -> bool {
    false
}
