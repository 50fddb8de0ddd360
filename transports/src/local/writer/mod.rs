//! The writing end of a topic without a message type: one publisher's ring, doorbells and counters.
//!
//! Messages wait in this ring, and only here, while a gating reader is slow. Messages are words.
//! [`Publisher`](super::Publisher) is the front for a message type,
//! [`UntypedPublisher`](crate::untyped::UntypedPublisher) for bytes, and [`Feed`](crate::seam::Feed)
//! for bytes from a link. There are three ways to push: the inlined [`push_fast`](Writer::push_fast),
//! [`try_push`](Writer::try_push), and [`poll_push`](Writer::poll_push), which waits for room.
//! `push_fast` does nothing for a topic whose messages may have traces or send times, where
//! `push_fast_traced` and `push_fast_chosen` do the same, nor for one with fast handlers, whose
//! messages `push_handled` pushes.

mod arena;
pub(crate) mod publisher;
pub(crate) mod reservation;

use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::doorbell::announce;
use mycelium_core::ring::broadcast::{ArenaWriter, Broadcast, Producer};
use mycelium_core::wait::{SpinResult, SpinWait, WaitStrategy};
use zerocopy::IntoBytes;

use super::metadata::AreaSource;
use super::retained::KeyValue;
use super::ring::roster::OUTDATED;
use super::ring::shared::{Ring, SharedRing};
use super::state::stall::{OnStall, StallLimit};
use super::state::{Joiners, Kept, Origin, PublisherState, ReaderEntry};
use super::task_budget::{DeferredWakes, HandleBudget, ReaderDoorbells, TaskBudget};
use super::topic::Topic;
use super::topic::fast_handler::Handled;
use super::trace::{Area, TraceArea, TracedMessage};
use super::values::{LatestByKey, Refusal, TopicError};
use crate::counters::{Line, PublisherValue};

/// The only writer of its ring. Dropping it ends the publisher; its messages are still delivered.
pub(crate) struct Writer {
    pub(crate) topic: Arc<Topic>,
    pub(crate) state: Arc<PublisherState>,
    /// `None` after [`close`](Writer::close), and for a topic with fast handlers.
    pub(crate) producer: Option<Producer<Ring>>,
    /// Where messages are in the ring's arena; only for messages that are not fixed.
    pub(crate) arena: Option<Box<ArenaWriter>>,
    /// The number of claimed words of the arena at which its fill is noted next.
    note_at: usize,
    /// The number of claimed words of the arena up to which the next messages may be written in
    /// place, as long as the readers have the version `alone_version`.
    alone_until: usize,
    alone_version: usize,
    /// The encoded message that is pushed now; only for messages that are not fixed. Not words,
    /// because bodies begin at multiples of 8 bytes.
    encoded: Vec<u64>,
    /// A copy of the topic's keys, with its version.
    keys: Vec<LatestByKey>,
    keys_version: usize,
    /// The fast handlers and the producer; only for a topic with fast handlers.
    handled: Option<Box<Handled>>,
    pub(crate) line: Arc<Line<PublisherValue>>,
    area: TraceArea,
    /// The source of trace areas; only for a topic whose slots have areas.
    areas: Option<Box<AreaSource>>,
    doorbells: ReaderDoorbells,
    budget: HandleBudget,
    /// The ring entry of the reader that blocked the last push that failed.
    blocked_by: Option<usize>,
    spin_wait: SpinWait,
    /// The number of sent messages when the current wait for room began.
    waits_at: Option<u64>,
    /// The stall limit; only if readers can be evicted.
    stall: Option<Box<StallLimit>>,
}

impl Writer {
    /// Creates a writer and joins a topic. Every present subscription gets all of its messages.
    /// `spare`: the bytes that the arena has more than the topic's others. `line`: existing counters
    /// to continue. `joiners`: for a publisher in another process that retains values.
    pub(crate) fn join(
        topic: &Arc<Topic>,
        name: &str,
        epoch: u64,
        origin: Origin,
        spare: usize,
        line: Option<Arc<Line<PublisherValue>>>,
        joiners: Option<Arc<Joiners>>,
    ) -> Result<Writer, TopicError> {
        let state = topic.add_publisher(name, epoch, origin, spare, line.is_some(), joiners)?;
        let stall = match topic.on_stall() {
            OnStall::EvictAfter(limit) if state.evictions.are_possible() => {
                Some(Box::new(StallLimit::new(limit)))
            }
            OnStall::EvictAfter(_) | OnStall::Block => None,
        };
        let mut producer = Broadcast::producer(state.ring.clone());
        let arena = producer.as_ref().and_then(ArenaWriter::new).map(Box::new);
        // Fast handlers run only in the publisher's process, where messages from other processes
        // have passed them already.
        let is_local = matches!(state.origin, Origin::Local { .. });
        let handled = if is_local { topic.handled(&state, &mut producer) } else { None };
        let line = line.unwrap_or_else(|| Arc::new(topic.counters.line(&state.label())));
        line.set(PublisherValue::Capacity, state.ring.capacity() as u64);
        line.set(PublisherValue::Remote, u64::from(!is_local));
        line.set(PublisherValue::ArenaBytes, state.arena_bytes() as u64);
        Ok(Writer {
            topic: topic.clone(),
            arena,
            note_at: 0,
            alone_until: 0,
            alone_version: OUTDATED,
            encoded: Vec::new(),
            keys: Vec::new(),
            keys_version: 0,
            producer,
            handled,
            line,
            area: state.area,
            areas: AreaSource::new(&topic.recorded, state.ring.capacity()),
            doorbells: ReaderDoorbells::new(state.clone()),
            state,
            budget: HandleBudget::default(),
            blocked_by: None,
            spin_wait: SpinWait::default(),
            waits_at: None,
            stall,
        })
    }

    pub(crate) fn set_wait_strategy(&mut self, wait: WaitStrategy) {
        self.spin_wait = SpinWait::new(wait);
    }

    pub(crate) fn attach(&mut self, budget: &Arc<TaskBudget>) -> DeferredWakes {
        self.budget.attach(budget);
        DeferredWakes::of_publisher(self.state.clone(), self.line.clone())
    }

    /// Whether the task must yield before its next operation. If so, this wakes the task again.
    #[inline]
    pub(crate) fn is_exhausted(&mut self, context: &Context<'_>) -> bool {
        self.budget.is_exhausted(context)
    }

    /// Appends a message if an earlier read of the readers' positions has found room. Returns false
    /// if it did nothing; then call [`push`](Self::push).
    // Inlined, because a call would cost as much as the push. The rare path comes last, so that no
    // register is saved for it.
    #[inline(always)]
    pub(crate) fn push_fast(&mut self, words: &[usize], length: usize) -> bool {
        let producer = self.producer.as_mut();
        let done = producer.is_some_and(|it| it.push_into_known_room(words, length));
        if done {
            self.count();
        }
        done
    }

    /// Appends a message as [`push_fast`](Writer::push_fast) does, for slots with areas, if this
    /// thread polls the publisher's task, and the message is in no sample.
    #[inline(always)]
    pub(crate) fn push_fast_traced(&mut self, words: &[usize], length: usize) -> bool {
        let Writer { producer, budget, areas, .. } = self;
        let (Some(producer), Some(areas), Some(task)) = (producer, areas, budget.current()) else {
            return false;
        };
        let Some(room) = producer.known_room() else { return false };
        let Some(area) = areas.next_left_out(room.sequence(), task.trace()) else { return false };
        let length = TraceArea::Present.content_bytes(length);
        // Makes two calls, so that the number of words is constant in each of them.
        let done = match area {
            Some(area) => room.push([words, area.area().words()], length),
            None => room.push([words, &[]], length),
        };
        debug_assert!(done, "slots with areas have one length");
        if done {
            let flush = task.count_operation();
            self.flush_if(flush);
        }
        done
    }

    /// Does the same as [`push_fast_traced`](Writer::push_fast_traced), for a message that may be in
    /// a sample, or that this thread sends outside the publisher's task.
    #[inline(always)]
    pub(crate) fn push_fast_chosen(&mut self, words: &[usize], length: usize) -> bool {
        let Writer { topic, state, producer, budget, areas, .. } = self;
        let (Some(producer), Some(areas)) = (producer, areas) else { return false };
        let Some(room) = producer.known_room() else { return false };
        let (name, publisher, sequence) = (&state.topic, &state.name, room.sequence() as u64);
        let message = TracedMessage { topic: name, publisher, sequence };
        let area = areas.next(&mut None, budget.trace(), message, topic.executor());
        let length = TraceArea::Present.content_bytes(length);
        let done = match area {
            Some(area) => room.push([words, area.words()], length),
            None => room.push([words, &[]], length),
        };
        debug_assert!(done, "slots with areas have one length");
        if done {
            self.count();
        }
        done
    }

    /// Keeps what the publisher retains after its end.
    pub(crate) fn retain_after_end(&self) {
        if let Some(Kept::Here(slots)) = self.state.kept.get() {
            slots.outlive.store(true, crate::sync::Ordering::Relaxed);
        }
    }

    /// Forgets the retained message of a key. Returns whether there was one.
    pub(crate) fn forget(&mut self, key: KeyValue<'_>) -> bool {
        let retainer = self.handled.as_mut().and_then(|handled| handled.retainer.as_mut());
        retainer.is_some_and(|retainer| retainer.forget(key))
    }

    /// Whether the topic has fast handlers, or retains messages.
    pub(crate) fn has_fast_handlers(&self) -> bool {
        self.handled.is_some()
    }

    /// Appends a message, or returns why not.
    pub(crate) fn push(&mut self, words: &[usize], length: usize) -> Result<(), NotPushed> {
        if self.arena.is_some() {
            return self.push_into_arena(words, length);
        }
        let Some(producer) = &mut self.producer else {
            self.push_handled(words, length, &mut None)?;
            self.count();
            return Ok(());
        };
        if self.area.is_present() {
            self.push_with_area(words, length, &mut None).map_err(NotPushed::Full)?;
            self.count();
            return Ok(());
        }
        while let Err(full) = producer.try_push(words, length) {
            if !self.state.pump(full.reader.entry) {
                self.blocked_by = Some(full.reader.entry);
                return Err(NotPushed::Full(full.reader.entry));
            }
        }
        self.count();
        Ok(())
    }

    /// Appends messages of `length` bytes, as many as there is room for, and returns how many.
    /// Returns `None` if a reader blocks the first one, or the topic has fast handlers.
    #[inline]
    pub(crate) fn push_all<W: AsRef<[usize]>>(
        &mut self,
        length: usize,
        messages: impl ExactSizeIterator<Item = W>,
    ) -> Option<usize> {
        if self.area.is_present() {
            return self.push_all_with_areas(length, messages);
        }
        let Some(producer) = &mut self.producer else {
            return (!self.has_fast_handlers()).then(|| messages.len());
        };
        match producer.push_all(length, messages) {
            Ok(count) => {
                self.count_all(count);
                Some(count)
            }
            Err(full) => {
                self.blocked_by = Some(full.reader.entry);
                None
            }
        }
    }

    /// Appends messages as [`push_all`](Self::push_all) does, for slots with areas. All of these
    /// messages have one trace; each may be measured.
    fn push_all_with_areas<W: AsRef<[usize]>>(
        &mut self,
        length: usize,
        messages: impl ExactSizeIterator<Item = W>,
    ) -> Option<usize> {
        if self.has_fast_handlers() {
            return None;
        }
        let (mut count, mut trace) = (0, None);
        for message in messages {
            match self.push_with_area(message.as_ref(), length, &mut trace) {
                Ok(()) => count += 1,
                Err(_) if count == 0 => return None,
                Err(_) => break,
            }
        }
        self.count_all(count);
        Some(count)
    }

    /// Appends a message to a ring whose slots have areas. `trace` is the trace of the message; if
    /// it is `None`, this sets it to the current trace. Returns the ring entry of the reader that
    /// blocks it, if there is one.
    #[inline(never)]
    fn push_with_area(
        &mut self,
        words: &[usize],
        length: usize,
        trace: &mut Option<Option<Area>>,
    ) -> Result<(), usize> {
        loop {
            let Writer { state, producer, handled, blocked_by, .. } = self;
            let Some(producer) = end_of(producer, handled) else { return Ok(()) };
            match producer.claim() {
                Ok(()) => break,
                Err(full) if state.pump(full.reader.entry) => {}
                Err(full) => {
                    *blocked_by = Some(full.reader.entry);
                    return Err(full.reader.entry);
                }
            }
        }
        // Creates the area only after room was found: without room the message begins no trace and
        // is not measured.
        let area = self.next_area(trace);
        let Some(producer) = end_of(&mut self.producer, &mut self.handled) else { return Ok(()) };
        let area = area.as_ref().map_or(&[][..], Area::words);
        let mut grant = producer.grant().map_err(|full| full.reader.entry)?;
        grant.write_parts([words, area], TraceArea::Present.content_bytes(length));
        grant.commit();
        Ok(())
    }

    /// Returns the area of the next message; `None` if the slot has it already. `trace` is the
    /// trace of the message; if it is `None`, this sets it to the current trace.
    fn next_area(&mut self, trace: &mut Option<Option<Area>>) -> Option<Area> {
        let Writer { topic, state, producer, handled, budget, areas, .. } = self;
        let place = end_of(producer, handled)?.sequence();
        let areas = areas.as_mut()?;
        let (name, publisher, sequence) = (&state.topic, &state.name, place as u64);
        let message = TracedMessage { topic: name, publisher, sequence };
        areas.next(trace, budget.trace(), message, topic.executor())
    }

    /// Appends a message, or returns why not.
    pub(crate) fn try_push(&mut self, words: &[usize], length: usize) -> Result<(), Refusal> {
        let entry = match self.push(words, length) {
            Ok(()) => return Ok(()),
            Err(NotPushed::Refused(refusal)) => return Err(refusal),
            Err(NotPushed::Full(entry)) => entry,
        };
        // A rejected message counts as lost, so checks that the ring is really full: readers may
        // have made room and not published it yet.
        if (self.is_rejected() && self.find_room()) || self.makes_room_by_evictions() {
            return self.push(words, length).map_err(|why| self.refusal(why));
        }
        Err(self.refuse(entry))
    }

    /// Checks that there is room for a message of `length` bytes, or returns why not.
    pub(crate) fn try_claim(&mut self, length: usize) -> Result<(), Refusal> {
        let Err(why) = self.claim(length) else { return Ok(()) };
        if self.arena.is_some() {
            let has_evicted = self.makes_room_by_evictions();
            return if has_evicted { self.try_claim(length) } else { Err(self.refusal(why)) };
        }
        if (self.is_rejected() && self.find_room()) || self.makes_room_by_evictions() {
            return Ok(());
        }
        Err(self.refusal(why))
    }

    /// Checks that there is room for a message of `length` bytes, or returns who blocks it.
    fn claim(&mut self, length: usize) -> Result<(), NotPushed> {
        let Writer { producer, handled, arena, state, blocked_by, .. } = self;
        let Some(producer) = end_of(producer, handled) else { return Ok(()) };
        loop {
            let claimed = match arena {
                Some(arena) => arena.claim(producer, length),
                None => producer.claim(),
            };
            let Err(full) = claimed else { return Ok(()) };
            if !state.pump(full.reader.entry) {
                *blocked_by = Some(full.reader.entry);
                return Err(NotPushed::Full(full.reader.entry));
            }
        }
    }

    /// Appends a message, and waits for room while a `block` subscription needs the whole ring.
    pub(crate) fn poll_push(
        &mut self,
        context: &Context<'_>,
        words: &[usize],
        length: usize,
    ) -> Poll<Result<(), Refusal>> {
        self.poll_until(context, |writer| writer.push(words, length))
    }

    /// Calls `attempt` until it succeeds or is refused, and waits for room in between.
    fn poll_until(
        &mut self,
        context: &Context<'_>,
        mut attempt: impl FnMut(&mut Writer) -> Result<(), NotPushed>,
    ) -> Poll<Result<(), Refusal>> {
        /// Returns `None` if there is no room.
        fn settled(attempt: Result<(), NotPushed>) -> Option<Result<(), Refusal>> {
            match attempt {
                Ok(()) => Some(Ok(())),
                Err(NotPushed::Refused(refusal)) => Some(Err(refusal)),
                Err(NotPushed::Full(_)) => None,
            }
        }

        if let Some(result) = settled(attempt(self)) {
            return Poll::Ready(result);
        }
        // Detects a new wait here, so that an emit that does not wait costs nothing.
        let sent = self.sent();
        if self.waits_at.replace(sent) != Some(sent) {
            self.spin_wait.reset();
            self.line.add(PublisherValue::Waited, 1);
        }
        if self.spin_wait.strategy() != WaitStrategy::Park && !self.is_rejected() {
            let (spins, mut spin_wait) = (self.budget.spins(), self.spin_wait);
            let spun = spin_wait.spin(spins, || settled(attempt(self)));
            self.spin_wait = spin_wait;
            match spun {
                SpinResult::Found(result) => return Poll::Ready(result),
                SpinResult::Again => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                SpinResult::Park => {}
            }
        }
        self.state.park(context.waker());
        loop {
            // Reads the exact positions: a reader may have taken messages and not published its
            // position yet.
            self.find_room();
            let refusal = match attempt(self) {
                Ok(()) => break,
                Err(NotPushed::Full(_)) if self.makes_room_by_evictions() => continue,
                Err(why) => self.refusal(why),
            };
            if !matches!(refusal, Refusal::Full { .. }) {
                self.state.room.unpark();
                return Poll::Ready(Err(refusal));
            }
            if self.poll_stall(context).is_pending() {
                return Poll::Pending;
            }
        }
        self.state.room.unpark();
        Poll::Ready(Ok(()))
    }

    /// Returns the number of messages that the slowest gating reader still needs.
    pub(crate) fn depth(&self) -> usize {
        self.state.import();
        self.state.depth()
    }

    /// Waits until every gating reader has finished all sent messages or has left.
    pub(crate) fn poll_confirmed(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.depth() > 0 {
            self.state.park(context.waker());
            if self.depth() > 0 {
                return Poll::Pending;
            }
            self.state.room.unpark();
        }
        Poll::Ready(())
    }

    /// Waits while the threshold of backpressure is exceeded.
    pub(crate) fn poll_until_below(&mut self, context: &Context<'_>) -> Poll<()> {
        if !self.is_threshold_exceeded() {
            return Poll::Ready(());
        }
        self.state.park(context.waker());
        while self.is_threshold_exceeded() {
            let is_relieved = self.evict_behind(self.state.relieved_at());
            if !is_relieved && self.poll_stall(context).is_pending() {
                return Poll::Pending;
            }
        }
        self.state.room.unpark();
        Poll::Ready(())
    }

    /// Wakes the readers now instead of at the end of the task's poll.
    #[inline(never)]
    pub(crate) fn flush(&mut self) {
        self.state.show_sent(&self.line, self.state.ring.tail());
        announce();
        self.doorbells.ring();
        // A task's `DeferredWakes` do this after its poll.
        if !self.budget.is_attached() {
            self.doorbells.check_pressure();
        }
    }

    /// Ends the publisher: readers get the messages in its ring, and then the end.
    pub(crate) fn close(&mut self) {
        let handled = self.handled.as_mut();
        let producer = handled.map_or(&mut self.producer, |handled| &mut handled.producer);
        if let Some(producer) = producer.take() {
            producer.close();
            self.topic.remove_publisher(&self.state);
            self.flush();
            // Wakes links, too, because they send the end of streams in shared memory.
            self.state.look();
        }
    }

    /// Whether the threshold of backpressure is exceeded.
    pub(crate) fn is_threshold_exceeded(&mut self) -> bool {
        if self.state.room.is_exceeded() {
            self.note_arena();
        }
        self.doorbells.is_threshold_exceeded()
    }

    /// Returns the name of the subscription that blocked the last push that failed.
    pub(crate) fn blocked_by(&self) -> Option<Arc<str>> {
        Some(self.state.reader_at(self.blocked_by?)?.name.clone())
    }

    /// Returns the number of sent messages: for a feed, the value of its counter.
    pub(crate) fn sent(&self) -> u64 {
        // The counter may be a few messages behind. It has all bits on every host; without it the
        // number wraps where a word has 32 bits.
        #[cfg(feature = "metrics")]
        {
            self.state.show_sent(&self.line, self.state.ring.tail());
            self.line.get(PublisherValue::Sent)
        }
        #[cfg(not(feature = "metrics"))]
        {
            self.state.ring.tail() as u64
        }
    }

    /// Returns the number of messages for which the slots have room, including room that readers
    /// have not published yet.
    pub(crate) fn room(&mut self) -> usize {
        let Some(producer) = end_of(&mut self.producer, &mut self.handled) else { return 0 };
        let room = loop {
            match producer.find_room() {
                Ok(room) => break room,
                Err(full) if self.state.pump(full.reader.entry) => {}
                Err(_) => break 0,
            }
        };
        self.state.show_high_water(&self.line);
        room
    }

    /// Whether the ring has room that the readers have not published yet.
    fn find_room(&mut self) -> bool {
        self.room() > 0
    }

    /// Evicts the readers that have blocked the full ring for too long. Returns whether there is
    /// room now.
    fn makes_room_by_evictions(&mut self) -> bool {
        // Free slots are no room if the arena is full.
        if self.stall.is_none() || self.find_room() && self.arena.is_none() {
            // If this publisher has a stall limit, `find_room` has found room that a reader has
            // just made.
            return self.stall.is_some();
        }
        let Some(producer) = end_of(&mut self.producer, &mut self.handled) else { return false };
        let kept = match self.arena {
            Some(_) => self.state.depth(),
            None => producer.ring().capacity(),
        };
        let oldest = producer.sequence().wrapping_sub(kept);
        self.evict_behind(oldest.wrapping_add(1))
    }

    /// Evicts the readers that need messages before `sequence` and have blocked the publisher for
    /// longer than the limit. Returns whether there was one.
    #[cold]
    fn evict_behind(&mut self, sequence: usize) -> bool {
        let Writer { topic, state, producer, handled, stall, .. } = self;
        let (Some(stall), Some(executor), Some(producer)) =
            (stall, topic.executor(), end_of(producer, handled))
        else {
            return false;
        };
        let mut has_evicted = false;
        stall.suspend(producer, &**executor, sequence, |reader, stalled| {
            state.evicted(reader, stalled);
            has_evicted = true;
        });
        if has_evicted {
            state.compare_depth();
        }
        has_evicted
    }

    /// Is ready when a reader may have blocked the publisher for longer than the limit.
    fn poll_stall(&mut self, context: &Context<'_>) -> Poll<()> {
        match (&mut self.stall, self.topic.executor()) {
            (Some(stall), Some(executor)) => stall.poll(context, &**executor),
            (None, _) | (_, None) => Poll::Pending,
        }
    }

    /// Whether the reader that blocks the ring is a `reject` subscription, for which publishers do
    /// not wait.
    fn is_rejected(&self) -> bool {
        let reader = self.blocked_by.and_then(|entry| self.state.reader_at(entry));
        reader.is_some_and(|reader| reader.policy.rejects())
    }

    /// Counts a message that is in the ring, and wakes its readers if that is due. The ring itself
    /// counts the sent messages; [`flush`](Self::flush) copies that number to the counters.
    #[inline(always)]
    fn count(&mut self) {
        let flush = self.budget.count_operation();
        self.flush_if(flush);
    }

    /// Wakes the readers of a counted message if that is due.
    #[inline(always)]
    fn flush_if(&mut self, flush: bool) {
        if flush || self.must_count_readers() {
            self.notify(flush, 1);
        }
    }

    /// Counts many messages, as [`count`](Self::count) does for one.
    #[inline]
    fn count_all(&mut self, messages: usize) {
        let flush = self.budget.count_operations(messages as u32);
        if flush || self.must_count_readers() {
            self.notify(flush, messages as u64);
        }
    }

    /// Whether the readers must be looked up, because messages without a reader are counted. To
    /// wake readers this is not necessary: a flush finds readers that have joined.
    #[inline(always)]
    pub(crate) fn must_count_readers(&self) -> bool {
        cfg!(feature = "metrics") && !self.doorbells.has_same_readers()
    }

    /// Returns the present readers.
    #[cold]
    pub(crate) fn readers(&mut self) -> &[ReaderEntry] {
        self.doorbells.readers()
    }

    #[cold]
    #[inline(never)]
    fn notify(&mut self, flush: bool, messages: u64) {
        if cfg!(feature = "metrics") && !self.doorbells.has_readers() {
            // Stores `sent` first, so that it is never less than `no_subscribers`.
            self.state.show_sent(&self.line, self.state.ring.tail());
            self.line.add(PublisherValue::NoSubscribers, messages);
        }
        let wakes = || DeferredWakes::of_publisher(self.state.clone(), self.line.clone());
        if flush && !self.budget.joins(u32::try_from(messages).unwrap_or(u32::MAX), wakes) {
            self.flush();
        }
    }

    fn refusal(&mut self, why: NotPushed) -> Refusal {
        match why {
            NotPushed::Full(entry) => self.refuse(entry),
            NotPushed::Refused(refusal) => refusal,
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse(&mut self, entry: usize) -> Refusal {
        self.state.show_high_water(&self.line);
        let reader = self.state.reader_at(entry);
        let by = reader.as_ref().map_or_else(
            || "a reader that joins or leaves right now".into(),
            |reader| reader.name.clone(),
        );
        if reader.is_some_and(|reader| reader.policy.rejects()) {
            self.line.add(PublisherValue::Rejected, 1);
            Refusal::Rejected { by }
        } else {
            Refusal::Full { by }
        }
    }
}

/// Returns the producer, which the writer or its fast handlers have.
fn end_of<'a>(
    producer: &'a mut Option<Producer<Ring>>,
    handled: &'a mut Option<Box<Handled>>,
) -> Option<&'a mut Producer<Ring>> {
    match handled {
        Some(handled) => handled.producer.as_mut(),
        None => producer.as_mut(),
    }
}

/// Why a message was not pushed.
pub(crate) enum NotPushed {
    /// The reader with this ring entry blocks the message.
    Full(usize),
    /// A fast handler refused the message.
    Refused(Refusal),
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
        // Drops the task's waker, because readers keep the state until they have read the ring, and
        // the task may end before.
        self.state.room.forget();
    }
}

// Writing to a topic with fast handlers: they run when a message has a slot, before it is pushed.

impl Writer {
    /// Appends messages as [`push_all`](Self::push_all) does, for a topic with fast handlers.
    /// Returns the number of messages, and why the next one was not pushed.
    pub(in crate::local) fn push_all_handled<W: AsRef<[usize]>>(
        &mut self,
        length: usize,
        messages: impl Iterator<Item = W>,
    ) -> (usize, Option<NotPushed>) {
        let (mut count, mut trace, mut not_pushed) = (0, None, None);
        for message in messages {
            if let Err(why) = self.push_handled(message.as_ref(), length, &mut trace) {
                not_pushed = Some(why);
                break;
            }
            count += 1;
        }
        if count > 0 {
            self.count_all(count);
        }
        (count, not_pushed)
    }

    /// Appends a message of a topic with fast handlers, or returns why not. The message is not
    /// counted.
    #[cold]
    #[inline(never)]
    fn push_handled(
        &mut self,
        words: &[usize],
        length: usize,
        trace: &mut Option<Option<Area>>,
    ) -> Result<(), NotPushed> {
        self.run_fast_handlers(words, length)?;
        if self.area.is_present() {
            return self.push_with_area(words, length, trace).map_err(NotPushed::Full);
        }
        let Some(producer) = end_of(&mut self.producer, &mut self.handled) else { return Ok(()) };
        producer
            .try_push(words, length)
            .map(drop)
            .map_err(|full| NotPushed::Full(full.reader.entry))
    }

    /// Runs the fast handlers of the topic with a message, once it has a slot, and retains it.
    fn run_fast_handlers(&mut self, words: &[usize], length: usize) -> Result<(), NotPushed> {
        let Writer { topic, state, handled, blocked_by, line, waits_at, .. } = self;
        let Some(handled) = handled else { return Ok(()) };
        let Some(producer) = &mut handled.producer else { return Ok(()) };
        while let Err(full) = producer.claim() {
            if !state.pump(full.reader.entry) {
                *blocked_by = Some(full.reader.entry);
                return Err(NotPushed::Full(full.reader.entry));
            }
        }
        let number = Arc::as_ptr(topic).addr();
        let bytes = words.as_bytes().get(..length).unwrap_or_default();
        let position = producer.sequence();
        let ran = handled.run(number, (&state.topic, &state.name), bytes);
        let ran = ran.map_err(|(handler, failure)| Refusal::FastHandler { handler, failure });
        // The message has a slot, so it is pushed if nothing refuses it.
        let retained = ran.and_then(|()| match &mut handled.retainer {
            Some(retainer) => retainer.put(position, words, length),
            None => Ok(()),
        });
        retained.map_err(|refusal| {
            line.add(PublisherValue::HandlerRefused, 1);
            // The wait has ended, because there is room now.
            *waits_at = None;
            NotPushed::Refused(refusal)
        })
    }
}
