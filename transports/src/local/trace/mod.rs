//! Traces of messages: where a slot stores a trace, and which trace the messages of a task get.
//!
//! The slots of a traced topic have a [trace area](TraceArea) after each message: a
//! [`TraceContext`], or zeros if the message has no trace. The last bytes of an area are for the
//! message's latency, with or without traces. A topic is traced if it has a [`Tracer`], which
//! begins traces: a message that no other message has caused begins a trace if it is in the sample,
//! and has no trace otherwise. Messages that a task sends while it handles a delivery get the trace
//! of the delivery, or none if it has none. So whole traces are sampled, and a message outside the
//! sample only costs the zeros of its area. A [`TaskTrace`], which the handles of a task share by
//! their [`TaskBudget`](super::TaskBudget), knows the task's current delivery. While that delivery
//! belongs to a sampled trace, a [`Span`] is open: from the delivery to the next receive, or the
//! end of the run. The task of an actor, whose handles are not known in advance, is polled by
//! [`poll_traced`](super::poll_traced).
//!
//! Topics without traces and latencies have no cost: their slots have no area. The usual fast
//! paths, for which the length of a message is a constant, do not find slots with an area.

mod tracer;

use std::mem;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use mycelium_core::{SharedWords, TraceContext};
use mycelium_executor::Executor;
use zerocopy::{FromBytes, IntoBytes, transmute};

use crate::counters::LatencyLines;
use crate::sync::{AtomicU8, Ordering, lock};

pub(crate) use tracer::RandomShare;
pub use tracer::{Span, SpanKind, SpanSink, TracedMessage, Tracer};

const WORD: usize = size_of::<usize>();
/// The bytes of a trace area: a context, and a time. They fill whole words on any host.
const BYTES: usize = size_of::<TraceContext>() + SENT_AT_BYTES;
const WORDS: usize = BYTES / WORD;

/// Whether the slots of a ring have trace areas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceArea {
    /// Slots have messages only.
    #[default]
    Absent,
    /// After each message, from the next word on, there are 32 bytes: 25 for its trace, and 7 for
    /// its send time.
    Present,
}

impl TraceArea {
    /// Returns the bytes of a slot's content, for messages of this size.
    #[must_use]
    pub fn content_bytes(self, message: usize) -> usize {
        match self {
            TraceArea::Absent => message,
            TraceArea::Present => message.next_multiple_of(WORD) + BYTES,
        }
    }

    /// Returns the area of a ring whose slots have this content, for messages of this size.
    #[must_use]
    pub fn of(content: usize, message: usize) -> Option<TraceArea> {
        [TraceArea::Absent, TraceArea::Present]
            .into_iter()
            .find(|area| area.content_bytes(message) == content)
    }

    pub(crate) fn is_present(self) -> bool {
        self == TraceArea::Present
    }
}

/// The content of a trace area, as words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area([usize; WORDS]);

impl Area {
    /// The area of a message without a trace.
    pub(crate) const EMPTY: Area = Area([0; WORDS]);

    /// A value only for a [`TraceCell`], which has no send time: the message has no trace, and
    /// begins none. The ids are zero.
    const UNTRACED: Area = {
        let mut words = [0; WORDS];
        words[WORDS - 1] = 1;
        Area(words)
    };

    pub(crate) fn words(&self) -> &[usize] {
        &self.0
    }

    /// Creates the area of a message with this trace, sent at this time.
    #[inline]
    pub(crate) fn with_sent_at(trace: Option<Area>, sent_at: SentAt) -> Area {
        let mut area = trace.unwrap_or(Area::EMPTY);
        if let Some(bytes) = area.0.as_mut_bytes().last_chunk_mut() {
            *bytes = sent_at.to_bytes();
        }
        area
    }
}

impl From<TraceContext> for Area {
    #[inline]
    fn from(trace: TraceContext) -> Area {
        // Word by word: bytes would be stored in pieces of other sizes than those that are loaded.
        let TraceContext { trace_id, span_id, flags } = trace;
        let [first, second]: [u64; 2] = transmute!(trace_id);
        let span = u64::from_ne_bytes(span_id);
        // The send time follows the flags.
        let last = u64::from_ne_bytes([flags, 0, 0, 0, 0, 0, 0, 0]);
        Area(transmute!([first, second, span, last]))
    }
}

/// For each slot of a ring, whether its area is not empty. With this a publisher skips empty areas
/// without a load of the slot, which would take the cache line from a reader.
#[derive(Debug)]
pub(crate) struct FilledAreas(Box<[bool]>);

impl FilledAreas {
    /// Creates the state of a new ring with `capacity` slots, a power of two.
    pub(crate) fn new(capacity: usize) -> FilledAreas {
        FilledAreas(vec![false; capacity].into())
    }

    /// Returns the note of the slot for this message: whether its area is not empty.
    #[inline(always)]
    pub(crate) fn is_filled(&mut self, sequence: usize) -> &mut bool {
        let mask = self.0.len() - 1;
        &mut self.0[sequence & mask]
    }

    /// Returns the new content of the slot's area for this message; `None` if the area is empty and
    /// stays empty.
    pub(crate) fn change(&mut self, sequence: usize, area: Option<Area>) -> Option<Area> {
        let was_filled = mem::replace(self.is_filled(sequence), area.is_some());
        match area {
            None if was_filled => Some(Area::EMPTY),
            area => area,
        }
    }
}

/// Returns the trace in the content of a slot with an area. Another process may have written any
/// bytes.
pub(crate) fn trace_in(content: &[u8]) -> Option<TraceContext> {
    let area = content.last_chunk::<BYTES>()?;
    let (trace, _) = TraceContext::read_from_prefix(area).ok()?;
    trace.is_valid().then_some(trace)
}

/// Returns the time at which the message in a slot with an area was sent, if the area has one.
/// Another process may have written any bytes.
#[inline]
pub(crate) fn sent_at_in(content: &[u8]) -> Option<SentAt> {
    SentAt::from_bytes(*content.last_chunk()?)
}

/// A trace that one thread sets and other threads read after a handover.
#[derive(Debug, Default)]
pub struct TraceCell(SharedWords<WORDS>);

impl TraceCell {
    /// Sets the trace.
    pub fn set(&self, trace: Option<TraceContext>) {
        self.set_area(trace.map_or(Area::EMPTY, Area::from));
    }

    /// Sets the trace that a task passes on now: the trace of its current delivery, or none if that
    /// has none. A task without a current delivery, and a caller without a task, pass nothing.
    pub fn pass(&self, task: Option<&TaskTrace>) {
        self.set_area(task.map_or(Area::EMPTY, |task| match task.current() {
            Current::Nothing => Area::EMPTY,
            Current::Untraced => Area::UNTRACED,
            Current::Traced => task.area.area(),
        }));
    }

    /// Returns the trace, if there is a valid one.
    #[must_use]
    pub fn get(&self) -> Option<TraceContext> {
        trace_in(self.area().words().as_bytes())
    }

    #[inline]
    pub(crate) fn area(&self) -> Area {
        Area(self.0.load())
    }

    fn set_area(&self, area: Area) {
        self.0.store(&area.0);
    }
}

/// Gives the messages of one sender their traces: from the current delivery of its task, or else
/// from a tracer.
#[derive(Debug)]
pub struct TraceSource {
    tracer: Arc<Tracer>,
    share: RandomShare,
}

impl TraceSource {
    /// Creates the source of a new sender.
    #[must_use]
    pub fn new(tracer: Arc<Tracer>) -> TraceSource {
        TraceSource { share: tracer.random_share(), tracer }
    }

    /// Returns the trace of a message that the task sends now.
    pub fn next(
        &mut self,
        task: Option<&TaskTrace>,
        message: TracedMessage<'_>,
    ) -> Option<TraceContext> {
        trace_in(self.next_area(task, message)?.words().as_bytes())
    }

    /// Returns the trace as [`next`](TraceSource::next) does, as the content of a trace area.
    pub(crate) fn next_area(
        &mut self,
        task: Option<&TaskTrace>,
        message: TracedMessage<'_>,
    ) -> Option<Area> {
        let TraceSource { tracer, share } = self;
        // Every message takes part in the choice, but only one without a delivery begins a trace.
        let random = share.next(|| tracer.random());
        match task.map(TaskTrace::current) {
            None | Some(Current::Nothing) => tracer.begin(random?, message).map(Area::from),
            Some(Current::Untraced) => None,
            Some(Current::Traced) => Some(task?.area.area()),
        }
    }

    /// Counts a message that begins no trace.
    pub(crate) fn leave_out(&mut self) {
        let TraceSource { tracer, share } = self;
        share.next(|| tracer.random());
    }

    pub(crate) fn share(&mut self) -> &mut RandomShare {
        &mut self.share
    }
}

/// The traces of a task's deliveries. Only the thread that polls the task uses it.
#[derive(Debug)]
pub struct TaskTrace {
    tracer: Arc<Tracer>,
    service: Arc<str>,
    /// The task has no deliveries: see [`passing`](TaskTrace::passing).
    is_passing: bool,
    /// A [`Current`].
    current: AtomicU8,
    /// The trace area of the messages that the task sends.
    area: TraceCell,
    state: Mutex<State>,
}

/// The state of a task's current delivery, if the delivery has a trace.
#[derive(Debug)]
struct State {
    /// The generator of ids; created with the first span.
    random: Option<fastrand::Rng>,
    open: Option<Span>,
    /// The number of the delivery's message.
    sequence: u64,
    /// Chooses the messages that [begin](TaskTrace::begin) traces.
    share: RandomShare,
    /// The number of calls of [`begin`](TaskTrace::begin).
    handled: u64,
}

/// The current delivery of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Current {
    /// No delivery of a traced topic: a message that the task sends begins a trace.
    Nothing,
    /// A delivery without a trace.
    Untraced,
    /// A delivery with a trace, or a trace that the task has set itself.
    Traced,
}

impl Current {
    fn of(value: u8) -> Current {
        match value {
            0 => Current::Nothing,
            1 => Current::Untraced,
            _ => Current::Traced,
        }
    }
}

/// A reader's state of its current delivery, for a traced topic.
#[derive(Debug, Default)]
pub(crate) struct CurrentTrace {
    /// There is a current delivery.
    pub(crate) is_handling: bool,
    /// The task was notified of the current delivery.
    pub(crate) is_told: bool,
    pub(crate) trace: Option<TraceContext>,
    /// There is a publisher in another process whose messages have no area for traces.
    pub(crate) has_untraced: bool,
}

/// The task's current delivery before a call of [`replace`](TaskTrace::replace).
#[derive(Debug)]
pub struct Replaced {
    current: Current,
    area: Area,
}

impl TaskTrace {
    /// Creates the traces of a service's task, without a current delivery.
    #[must_use]
    pub fn new(tracer: Arc<Tracer>, service: Arc<str>) -> TaskTrace {
        let (current, area) = (AtomicU8::new(Current::Nothing as u8), TraceCell::default());
        let share = tracer.random_share();
        let state = State { random: None, open: None, sequence: 0, share, handled: 0 };
        let state = Mutex::new(state);
        TaskTrace { tracer, service, is_passing: false, current, area, state }
    }

    /// Creates the traces of a task that only passes messages on: it has no spans, begins no
    /// traces, and [sets](TaskTrace::replace) the trace of each message itself.
    #[must_use]
    pub fn passing(tracer: Arc<Tracer>, service: Arc<str>) -> TaskTrace {
        let mut task = TaskTrace::new(tracer, service);
        task.is_passing = true;
        task.set(Current::Untraced, Area::EMPTY);
        task
    }

    /// Returns the trace of messages that the task sends now, with the span of the current
    /// delivery. Returns `None` if there is no current delivery, or it has no trace.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        match self.current() {
            Current::Nothing | Current::Untraced => None,
            Current::Traced => self.area.get(),
        }
    }

    /// Whether messages of the task pass on the trace in its [`area`](TaskTrace::area).
    #[inline(always)]
    pub(crate) fn is_traced(&self) -> bool {
        // Compares numbers: a comparison of `Current` would convert the number first.
        self.current.load(Ordering::Relaxed) == Current::Traced as u8
    }

    #[inline(always)]
    pub(crate) fn area(&self) -> &TraceCell {
        &self.area
    }

    /// Returns the number of the current delivery's message, if the delivery has a trace.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        (self.current() == Current::Traced).then(|| lock(&self.state).sequence)
    }

    /// Sets the trace of messages that the task sends until [`restore`](TaskTrace::restore); `None`
    /// for messages without a trace.
    #[must_use]
    pub fn replace(&self, trace: Option<TraceContext>) -> Replaced {
        let before = Replaced { current: self.current(), area: self.area.area() };
        let current = if trace.is_some() { Current::Traced } else { Current::Untraced };
        self.set(current, trace.map_or(Area::EMPTY, Area::from));
        before
    }

    /// Restores the state before [`replace`](TaskTrace::replace).
    pub fn restore(&self, before: Replaced) {
        self.set(before.current, before.area);
    }

    /// Begins a delivery: the task has taken a message of a traced topic, with this trace. It is
    /// the current delivery until the next one, or [`end_handling`](TaskTrace::end_handling).
    pub fn take(&self, message: TracedMessage<'_>, trace: Option<TraceContext>) {
        if self.is_passing {
            return;
        }
        self.end_handling(false);
        match trace {
            Some(_) => self.handle(&mut lock(&self.state), message, trace),
            None => self.handle_untraced(),
        }
    }

    /// Begins a delivery: the task of the actor named `actor` handles a message of this type. It
    /// becomes the current delivery, as in [`take`](TaskTrace::take). The delivery gets the trace
    /// that the message's sender has `passed`, or none if the sender's own delivery had none. If
    /// the sender passed nothing, the delivery begins a trace if it is in the sample.
    pub fn begin(&self, message_type: &str, actor: &Arc<str>, passed: Option<&TraceCell>) {
        self.end_handling(false);
        let mut state = lock(&self.state);
        let State { share, handled, .. } = &mut *state;
        let sequence = *handled;
        *handled += 1;
        let trace = passed.and_then(TraceCell::get);
        let mut begins = || share.next(|| self.tracer.random()).is_some();
        let is_untraced = |cell: &TraceCell| cell.area().0 == Area::UNTRACED.0;
        if trace.is_none() && (passed.is_some_and(is_untraced) || !begins()) {
            return self.handle_untraced();
        }
        let topic = Arc::from(message_type);
        let message = TracedMessage { topic: &topic, publisher: actor, sequence };
        self.handle(&mut state, message, trace);
    }

    /// Opens the span of the current delivery, if its trace is in the sample.
    fn handle(&self, state: &mut State, message: TracedMessage<'_>, trace: Option<TraceContext>) {
        let State { random, open, sequence, .. } = state;
        *sequence = message.sequence;
        if trace.is_none_or(|trace| trace.is_sampled()) {
            *random = random.take().or_else(|| self.tracer.random());
            let (kind, service) = (SpanKind::Handle, &self.service);
            *open = random
                .as_mut()
                .and_then(|random| self.tracer.open(random, kind, service, message, trace));
        }
        match open.as_ref().map(|span| span.context).or(trace) {
            Some(trace) => self.set(Current::Traced, trace.into()),
            None => self.handle_untraced(),
        }
    }

    /// Begins a delivery without a trace. Nothing reads `area` until the next delivery.
    fn handle_untraced(&self) {
        self.current.store(Current::Untraced as u8, Ordering::Relaxed);
    }

    /// Ends the current delivery. `has_failed`: whether its handling has failed.
    pub fn end_handling(&self, has_failed: bool) {
        if self.is_passing {
            return;
        }
        if self.current() == Current::Traced
            && let Some(open) = lock(&self.state).open.take()
        {
            self.tracer.close(open, has_failed);
        }
        self.current.store(Current::Nothing as u8, Ordering::Relaxed);
    }

    fn current(&self) -> Current {
        Current::of(self.current.load(Ordering::Relaxed))
    }

    fn set(&self, current: Current, area: Area) {
        self.current.store(current as u8, Ordering::Relaxed);
        self.area.set_area(area);
    }
}

impl Drop for TaskTrace {
    fn drop(&mut self) {
        self.end_handling(false);
    }
}

// The send time of a message, in seven bytes of its slot.

/// The number of bytes of a send time in a slot.
pub(crate) const SENT_AT_BYTES: usize = 7;
const BITS: u32 = 8 * SENT_AT_BYTES as u32;
const MASK: u64 = (1 << BITS) - 1;

/// The send time of a message: nanoseconds since 1970 UTC, modulo 2^56. It is never 0. A hostile
/// sender may have written any other number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentAt(u64);

impl SentAt {
    /// Creates the value of this time.
    pub(crate) fn at(time: SystemTime) -> SentAt {
        SentAt::of(nanoseconds(time)).unwrap_or(SentAt(MASK))
    }

    /// Creates the value of this number of nanoseconds since 1970 UTC; `None` for 0.
    pub(crate) fn of(nanoseconds: u64) -> Option<SentAt> {
        // About every two years a nanosecond would have the value 0; it gets the value of the
        // nanosecond before.
        let number = |nanoseconds| if nanoseconds & MASK == 0 { MASK } else { nanoseconds & MASK };
        (nanoseconds > 0).then(|| SentAt(number(nanoseconds)))
    }

    #[inline]
    pub(crate) fn from_bytes(bytes: [u8; SENT_AT_BYTES]) -> Option<SentAt> {
        let [a, b, c, d, e, f, g] = bytes;
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
        (number > 0).then_some(SentAt(number))
    }

    pub(crate) fn to_bytes(self) -> [u8; SENT_AT_BYTES] {
        let [a, b, c, d, e, f, g, _] = self.0.to_le_bytes();
        [a, b, c, d, e, f, g]
    }

    /// Returns the nanoseconds from the send time to `now`, which must be less than a year later;
    /// `None` if `now` is earlier.
    pub(crate) fn age(self, now: SystemTime) -> Option<u64> {
        u64::try_from(self.signed_age(nanoseconds(now))).ok()
    }

    /// Returns the send time in nanoseconds since 1970 UTC, if it is less than a year from `now`.
    pub(crate) fn to_nanoseconds(self, now: SystemTime) -> u64 {
        let now = nanoseconds(now);
        now.wrapping_sub(self.signed_age(now).cast_unsigned())
    }

    fn signed_age(self, now: u64) -> i64 {
        // The two shifts extend the sign of a number of 56 bits.
        let unused = u64::BITS - BITS;
        (now.wrapping_sub(self.0) << unused).cast_signed() >> unused
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The conversion is exact until the year 2554.
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

// Latency, the time from the emit of a message to its receive: a publisher writes the send time
// beside a share of its messages, and a reader compares it with the receive time.
//
// The two times come from the clocks of the two nodes' executors. If a topic's latency is not
// measured, no time is written or compared.

/// Measures the latency of a message that a reader receives now.
#[inline]
pub(crate) fn measure_latency(
    lines: &LatencyLines,
    sent_at: Option<SentAt>,
    executor: Option<&Arc<dyn Executor>>,
) {
    if let (Some(sent_at), Some(executor)) = (sent_at, executor) {
        record(lines, sent_at, executor);
    }
}

// Not inlined: a message is measured only if its topic asks for it, and usually few of them are.
#[cold]
#[inline(never)]
fn record(lines: &LatencyLines, sent_at: SentAt, executor: &Arc<dyn Executor>) {
    lines.record(sent_at.age(executor.wall_clock()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(nanoseconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(nanoseconds)
    }

    #[test]
    fn an_age_is_right_within_a_year() {
        const YEAR: u64 = 366 * 24 * 3600 * 1_000_000_000;
        // Times before and after the moments when the value wraps.
        for sent in [1, 1_800_000_000_000_000_000, MASK - 5, MASK, MASK + 1, MASK + 2, 26 * MASK] {
            let sent_at = SentAt::at(after(sent));
            for age in [0, 1, 5_000_000, YEAR] {
                // A time whose value would be 0 has the value of the nanosecond before.
                let earlier = u64::from(sent & MASK == 0);
                assert_eq!(sent_at.age(after(sent + age)), Some(age + earlier), "{sent} and {age}");
                let long = sent_at.to_nanoseconds(after(sent + age));
                assert_eq!(long, sent - earlier);
                assert_eq!(SentAt::of(long), Some(sent_at));
            }
            let ahead = SentAt::at(after(sent + YEAR));
            assert_eq!(ahead.age(after(sent)), None);
            assert_eq!(ahead.to_nanoseconds(after(sent)) & MASK, ahead.0);
        }
    }
}
