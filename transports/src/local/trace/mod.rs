//! The traces of messages: where a slot has them, and which trace a task's messages get.
//!
//! The slots of a traced topic have a [trace area](TraceArea) behind each message: a
//! [`TraceContext`], or zeros for a message without one. The last bytes of an area are those of the
//! message's latency, with or without traces. A topic is traced if it has a [`Tracer`], which
//! begins traces: a message that no other message has caused begins one if it is in the sample, and
//! has none otherwise. What a task sends while it handles a delivery gets the trace of that
//! delivery, or none if that has none. So whole traces are sampled, and a message outside of the
//! sample costs the zeros of its area. A [`TaskTrace`], which the handles of a task share by their
//! [`TaskBudget`](super::TaskBudget), knows its current delivery. While that belongs to a sampled
//! trace, a [`Span`] is open: from the delivery to the next receive, or the end of the run. The
//! task of an actor, whose handles nobody knows, is polled by [`poll_traced`](super::poll_traced).
//!
//! Topics that have neither pay nothing: their slots have no area, and the paths of a message that
//! know its length as a constant do not find slots with one.

pub(crate) mod latency;
pub(crate) mod random_share;
pub(crate) mod sent_at;
mod tracer;

use std::sync::{Arc, Mutex};

use mycelium_core::TraceContext;
use zerocopy::{FromBytes, IntoBytes};

use crate::sync::{AtomicU8, AtomicUsize, Ordering, lock};

use random_share::RandomShare;
use sent_at::{SENT_AT_BYTES, SentAt};
use tracer::OpenSpan;
pub use tracer::{Span, SpanKind, SpanSink, TracedMessage, Tracer};

const WORD: usize = size_of::<usize>();
/// The bytes of a trace area: a context, and a time. Words of any host fill it.
const BYTES: usize = size_of::<TraceContext>() + SENT_AT_BYTES;
const WORDS: usize = BYTES / WORD;

/// Whether the slots of a ring have the metadata of their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceArea {
    /// They have messages alone.
    #[default]
    Absent,
    /// Behind each message, from the next word on, they have 32 bytes: 25 for its trace, and 7 for
    /// the time at which it was sent.
    Present,
}

impl TraceArea {
    /// The bytes of a slot's content, for messages of this size.
    #[must_use]
    pub fn content_bytes(self, message: usize) -> usize {
        match self {
            TraceArea::Absent => message,
            TraceArea::Present => message.next_multiple_of(WORD) + BYTES,
        }
    }

    /// The area of a ring with this content, if it has messages of this size.
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

/// The words of a trace area.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area([usize; WORDS]);

impl Area {
    /// That of a message without a trace.
    pub(crate) const EMPTY: Area = Area([0; WORDS]);

    /// In a [`TraceCell`], which has no time: no trace, and none begins. The ids are zero.
    const UNTRACED: Area = {
        let mut words = [0; WORDS];
        words[WORDS - 1] = 1;
        Area(words)
    };

    pub(crate) fn words(&self) -> &[usize] {
        &self.0
    }

    /// That of a message that was sent then, with this trace.
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
    fn from(trace: TraceContext) -> Area {
        let mut area = Area::EMPTY;
        let bytes = trace.as_bytes();
        area.0.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        area
    }
}

/// Which slots of a ring have areas that are not empty. A publisher knows it without a load of the
/// slot, which would take the line from a reader, and leaves empty areas alone.
#[derive(Debug)]
pub(crate) struct FilledAreas {
    /// A bit for each slot.
    bits: Box<[u64]>,
    mask: usize,
}

impl FilledAreas {
    /// Of a new ring with this number of slots: a power of two.
    pub(crate) fn new(capacity: usize) -> FilledAreas {
        FilledAreas { bits: vec![0; capacity.div_ceil(64)].into(), mask: capacity - 1 }
    }

    /// What the publisher stores in the area of a slot for this message: nothing if the area is
    /// empty and stays so.
    #[inline(always)]
    pub(crate) fn change(&mut self, sequence: u64, area: Option<Area>) -> Option<Area> {
        let slot = sequence as usize & self.mask;
        let (word, bit) = (&mut self.bits[slot / 64], 1 << (slot % 64));
        if area.is_some() {
            *word |= bit;
            return area;
        }
        let was_filled = *word & bit != 0;
        *word &= !bit;
        was_filled.then_some(Area::EMPTY)
    }
}

/// The trace in the content of a slot that has an area. Another process may have written any bytes.
pub(crate) fn trace_in(content: &[u8]) -> Option<TraceContext> {
    let area = content.last_chunk::<BYTES>()?;
    let (trace, _) = TraceContext::read_from_prefix(area).ok()?;
    trace.is_valid().then_some(trace)
}

/// When the message was sent in a slot that has an area, if that says it. Another process may have
/// written any bytes.
#[inline]
pub(crate) fn sent_at_in(content: &[u8]) -> Option<SentAt> {
    SentAt::from_bytes(*content.last_chunk()?)
}

/// A trace that one thread sets, and that others read after a handover.
#[derive(Debug, Default)]
pub struct TraceCell([AtomicUsize; WORDS]);

impl TraceCell {
    /// Sets it.
    pub fn set(&self, trace: Option<TraceContext>) {
        self.set_area(trace.map_or(Area::EMPTY, Area::from));
    }

    /// Sets what a task passes on now: the trace of its current delivery, or that this has none. A
    /// task without a current delivery, and no task, pass on nothing.
    pub fn pass(&self, task: Option<&TaskTrace>) {
        self.set_area(task.map_or(Area::EMPTY, |task| match task.current() {
            Current::Nothing => Area::EMPTY,
            Current::Untraced => Area::UNTRACED,
            Current::Traced => task.area.area(),
        }));
    }

    /// The trace, if there is a valid one.
    #[must_use]
    pub fn get(&self) -> Option<TraceContext> {
        trace_in(self.area().words().as_bytes())
    }

    fn area(&self) -> Area {
        Area(self.0.each_ref().map(|word| word.load(Ordering::Relaxed)))
    }

    fn set_area(&self, area: Area) {
        self.0.iter().zip(area.0).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
    }
}

/// Where the traces of one sender come from: the current delivery of its task, or else a
/// tracer.
#[derive(Debug)]
pub struct TraceSource {
    tracer: Arc<Tracer>,
    share: RandomShare,
}

impl TraceSource {
    /// That of a new sender.
    #[must_use]
    pub fn new(tracer: Arc<Tracer>) -> TraceSource {
        TraceSource { share: tracer.random_share(), tracer }
    }

    /// The trace of a message that the task sends now.
    pub fn next(
        &mut self,
        task: Option<&TaskTrace>,
        message: TracedMessage<'_>,
    ) -> Option<TraceContext> {
        match task.map(TaskTrace::current) {
            None | Some(Current::Nothing) if self.share.leaves_out() => None,
            None | Some(Current::Nothing) => self.begin_next(message),
            Some(Current::Untraced) => None,
            Some(Current::Traced) => task?.context(),
        }
    }

    /// The same, as the content of a trace area.
    #[inline(always)]
    pub(crate) fn next_area<'a>(
        &mut self,
        task: Option<&TaskTrace>,
        message: impl FnOnce() -> TracedMessage<'a>,
    ) -> Option<Area> {
        match task.map(TaskTrace::current) {
            None | Some(Current::Nothing) if self.share.leaves_out() => None,
            None | Some(Current::Nothing) => self.begin_next(message()).map(Area::from),
            Some(Current::Untraced) => None,
            Some(Current::Traced) => Some(task?.area.area()),
        }
    }

    #[inline(never)]
    fn begin_next(&mut self, message: TracedMessage<'_>) -> Option<TraceContext> {
        let TraceSource { tracer, share } = self;
        tracer.begin(share.choose(|| tracer.random())?, message)
    }
}

/// What a task does with the traces of its deliveries. Only the thread that polls the task uses it.
#[derive(Debug)]
pub struct TaskTrace {
    tracer: Arc<Tracer>,
    service: Arc<str>,
    /// It has no current delivery: see [`passing`](TaskTrace::passing).
    is_passing: bool,
    /// A [`Current`].
    current: AtomicU8,
    /// The trace area of what the task sends.
    area: TraceCell,
    state: Mutex<State>,
}

/// What a task knows of its current delivery, if that has a trace.
#[derive(Debug)]
struct State {
    /// Made with the first span.
    random: Option<fastrand::Rng>,
    open: Option<OpenSpan>,
    /// The number of its message.
    sequence: u64,
    /// Chooses the messages that [begin](TaskTrace::begin) traces.
    share: RandomShare,
    /// How many messages have [begun](TaskTrace::begin).
    handled: u64,
}

/// The current delivery of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Current {
    /// No delivery of a traced topic: a message that it sends begins a trace.
    Nothing,
    /// A delivery without a trace.
    Untraced,
    /// A delivery with a trace, or a trace that the task has set itself.
    Traced,
}

impl Current {
    fn of(value: u8) -> Current {
        let all = [Current::Nothing, Current::Untraced];
        all.into_iter().find(|current| *current as u8 == value).unwrap_or(Current::Traced)
    }
}

/// What a reader of a traced topic knows of its current delivery.
#[derive(Debug, Default)]
pub(crate) struct CurrentTrace {
    /// There is one.
    pub(crate) is_handling: bool,
    /// The task knows of it.
    pub(crate) is_told: bool,
    pub(crate) trace: Option<TraceContext>,
    /// A publisher in another process has no area for traces.
    pub(crate) has_untraced: bool,
}

/// The current delivery of a task before it [set](TaskTrace::replace) a trace itself.
#[derive(Debug)]
pub struct Replaced {
    current: Current,
    area: Area,
}

impl TaskTrace {
    /// Of the task of a service, without a current delivery.
    #[must_use]
    pub fn new(tracer: Arc<Tracer>, service: Arc<str>) -> TaskTrace {
        let (current, area) = (AtomicU8::new(Current::Nothing as u8), TraceCell::default());
        let share = tracer.random_share();
        let state = State { random: None, open: None, sequence: 0, share, handled: 0 };
        let state = Mutex::new(state);
        TaskTrace { tracer, service, is_passing: false, current, area, state }
    }

    /// Of a task that only passes on what others have sent: it has no spans, begins no traces, and
    /// [sets](TaskTrace::replace) the trace of each message itself.
    #[must_use]
    pub fn passing(tracer: Arc<Tracer>, service: Arc<str>) -> TaskTrace {
        let mut task = TaskTrace::new(tracer, service);
        task.is_passing = true;
        task.set(Current::Untraced, Area::EMPTY);
        task
    }

    /// The trace of what the task sends now: the span is that of the current delivery. `None` if
    /// there is none, or it has no trace.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        match self.current() {
            Current::Nothing | Current::Untraced => None,
            Current::Traced => self.area.get(),
        }
    }

    /// The number of the message of the current delivery, if that has a trace.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        (self.current() == Current::Traced).then(|| lock(&self.state).sequence)
    }

    /// Sets the trace of what the task sends until [`restore`](TaskTrace::restore); `None` for
    /// messages without a trace.
    #[must_use]
    pub fn replace(&self, trace: Option<TraceContext>) -> Replaced {
        let before = Replaced { current: self.current(), area: self.area.area() };
        let current = if trace.is_some() { Current::Traced } else { Current::Untraced };
        self.set(current, trace.map_or(Area::EMPTY, Area::from));
        before
    }

    /// Ends what [`replace`](TaskTrace::replace) has begun.
    pub fn restore(&self, before: Replaced) {
        self.set(before.current, before.area);
    }

    /// The task has taken a message of a traced topic, with this trace: its current delivery until
    /// the next one, or [`end_handling`](TaskTrace::end_handling).
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

    /// The task of an actor handles a message of this type: the current delivery as after
    /// [`take`](TaskTrace::take). It has the trace that its sender has `passed`, or none if the
    /// sender handled something without a trace. Otherwise it begins a trace if it is in the
    /// sample. `actor` is the name of the actor.
    pub fn begin(&self, message_type: &str, actor: &Arc<str>, passed: Option<&TraceCell>) {
        self.end_handling(false);
        let mut state = lock(&self.state);
        let State { share, handled, .. } = &mut *state;
        let sequence = *handled;
        *handled += 1;
        let trace = passed.and_then(TraceCell::get);
        let mut begins = || !share.leaves_out() && share.choose(|| self.tracer.random()).is_some();
        let is_untraced = |cell: &TraceCell| cell.area().0 == Area::UNTRACED.0;
        if trace.is_none() && (passed.is_some_and(is_untraced) || !begins()) {
            return self.handle_untraced();
        }
        let topic = Arc::from(message_type);
        let message = TracedMessage { topic: &topic, publisher: actor, sequence };
        self.handle(&mut state, message, trace);
    }

    /// Opens the span of the current delivery, if that is in the sample.
    fn handle(&self, state: &mut State, message: TracedMessage<'_>, trace: Option<TraceContext>) {
        let State { random, open, sequence, .. } = state;
        *sequence = message.sequence;
        if trace.is_none_or(|trace| trace.is_sampled()) {
            *random = random.take().or_else(|| self.tracer.random());
            *open = random.as_mut().and_then(|random| self.tracer.open(random, message, trace));
        }
        match open.as_ref().map(OpenSpan::context).or(trace) {
            Some(trace) => self.set(Current::Traced, trace.into()),
            None => self.handle_untraced(),
        }
    }

    /// The current delivery has no trace. Nothing reads the area now.
    fn handle_untraced(&self) {
        self.current.store(Current::Untraced as u8, Ordering::Relaxed);
    }

    /// The task has no current delivery any more. `has_failed`: its handling has failed.
    pub fn end_handling(&self, has_failed: bool) {
        if self.is_passing {
            return;
        }
        if self.current() == Current::Traced
            && let Some(open) = lock(&self.state).open.take()
        {
            self.tracer.close(open, &self.service, has_failed);
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
