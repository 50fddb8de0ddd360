//! The metadata of messages: which metadata a topic records, and how it gets into the [trace
//! area](TraceArea) of a message.

use std::sync::Arc;

use mycelium_core::TraceContext;
use mycelium_executor::Executor;

use super::task_budget::TaskBudget;
use super::trace::{
    Area, CurrentTrace, FilledAreas, RandomShare, SentAt, TaskTrace, TraceArea, TraceCell,
    TraceSource, TracedMessage, Tracer,
};
use crate::counters::LatencyLines;

/// The metadata that a topic records of its messages; none by default. Converting a tracer into it
/// records traces only.
///
/// ```
/// use mycelium_core::message;
/// use mycelium_transports::counters::Region;
/// use mycelium_transports::local::{Recorded, RingMemory, Schema, Topic, TraceArea};
///
/// #[message(topic = "ticks", id = 1)]
/// struct Tick {
///     price: u64,
/// }
///
/// let recorded = Recorded { tracer: None, latency_sample: Some(0.01) };
/// assert_eq!((recorded.area(), Recorded::default().area()), (TraceArea::Present, TraceArea::Absent));
/// let (schema, memory, counters) = (Schema::of::<Tick>(), RingMemory::Heap, Region::new(64));
/// let topic = Topic::with_recorded("ticks", schema, 64, 8, memory, recorded, counters)?;
/// # Ok::<(), mycelium_transports::local::TopicError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Begins the traces of messages; `None` if the topic is not traced.
    pub tracer: Option<Arc<Tracer>>,
    /// The share of messages whose latency is measured, from 0 to 1. Publishers of this process
    /// choose these messages at random and write the send time beside them. Each reader measures
    /// the messages that have a send time. Nothing is measured before the topic has an
    /// [executor](super::Topic::set_executor).
    pub latency_sample: Option<f64>,
}

impl Recorded {
    /// Returns whether the slots of a topic with this metadata have an area beside each message.
    #[must_use]
    pub fn area(&self) -> TraceArea {
        match self {
            Recorded { tracer: None, latency_sample: None } => TraceArea::Absent,
            Recorded { tracer: Some(_), .. } | Recorded { latency_sample: Some(_), .. } => {
                TraceArea::Present
            }
        }
    }
}

impl From<Option<Arc<Tracer>>> for Recorded {
    fn from(tracer: Option<Arc<Tracer>>) -> Recorded {
        Recorded { tracer, latency_sample: None }
    }
}

/// The metadata of a message on its way from one process to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The trace of the message.
    pub trace: Option<TraceContext>,
    /// The send time, in nanoseconds since 1970 UTC, if the latency is measured.
    pub sent_at: Option<u64>,
}

impl Metadata {
    /// Converts the metadata to an area; `None` if the area would be empty.
    pub(crate) fn to_area(self) -> Option<Area> {
        let Metadata { trace, sent_at } = self;
        let area = trace.map(Area::from);
        let sent_at = sent_at.and_then(SentAt::of);
        sent_at.map_or(area, |sent_at| Some(Area::with_sent_at(area, sent_at)))
    }
}

/// Makes the trace areas of one publisher's messages.
#[derive(Debug)]
pub(super) struct AreaSource {
    traces: Option<TraceSource>,
    /// Chooses the messages that get a send time; `None` if no latency is measured.
    times: Option<RandomShare>,
    /// The number of next messages that both shares leave out. They count as passed in both.
    left_out: u64,
    filled: FilledAreas,
}

impl AreaSource {
    /// Creates the source for a new publisher, whose ring has this number of slots; `None` if its
    /// messages have no areas.
    pub(super) fn new(recorded: &Recorded, capacity: usize) -> Option<Box<AreaSource>> {
        if !recorded.area().is_present() {
            return None;
        }
        let traces = recorded.tracer.clone().map(TraceSource::new);
        let times = recorded.latency_sample.map(RandomShare::new);
        let filled = FilledAreas::new(capacity);
        Some(Box::new(AreaSource { traces, times, left_out: 0, filled }))
    }

    /// Returns the new content of the slot's area for a message that the publisher's own task sends
    /// now; `Some(None)` if the area stays empty. Returns `None`, and changes nothing, if the
    /// message may begin a trace or be measured, or the area must be cleared: then call
    /// [`next`](AreaSource::next).
    #[inline(always)]
    pub(super) fn next_left_out<'a>(
        &mut self,
        sequence: usize,
        task: Option<&'a TaskTrace>,
    ) -> Option<Option<&'a TraceCell>> {
        let left_out = self.left_out.checked_sub(1)?;
        let is_filled = self.filled.is_filled(sequence);
        // Not `filter`, which the compiler turns into conditional moves.
        let trace = match task {
            Some(task) if task.is_traced() && self.traces.is_some() => {
                *is_filled = true;
                Some(task.area())
            }
            _ if *is_filled => return None,
            _ => None,
        };
        self.left_out = left_out;
        Some(trace)
    }

    /// Returns the new content of the slot's area for a message that is sent now; `None` if the
    /// area stays as it is. `trace` is the trace of the message; if it is `None`, this sets it to
    /// the current trace. `task` is the publisher's own task, if this thread polls it. Without an
    /// executor no message is measured.
    pub(super) fn next(
        &mut self,
        trace: &mut Option<Option<Area>>,
        task: Option<&TaskTrace>,
        message: TracedMessage<'_>,
        executor: Option<&Arc<dyn Executor>>,
    ) -> Option<Area> {
        let other = if task.is_none() { TaskBudget::traced() } else { None };
        let task = task.or_else(|| other.as_ref()?.trace());
        let sequence = message.sequence as usize;
        if let Some(rest) = self.left_out.checked_sub(1) {
            self.left_out = rest;
            let traces = self.traces.as_ref();
            let task = task.filter(|task| task.is_traced() && traces.is_some());
            let area = *trace.get_or_insert_with(|| Some(task?.area().area()));
            return self.filled.change(sequence, area);
        }
        let traces = self.traces.as_mut();
        let trace = match *trace {
            Some(trace) => {
                traces.into_iter().for_each(TraceSource::leave_out);
                trace
            }
            None => *trace.insert(traces.and_then(|it| it.next_area(task, message))),
        };
        let sent_at = self.times.as_mut().and_then(|times| {
            times.next(|| Some(fastrand::Rng::with_seed(executor?.entropy())))?;
            Some(SentAt::at(executor?.wall_clock()))
        });
        self.left_out = self.leave_out();
        let area = sent_at.map_or(trace, |sent_at| Some(Area::with_sent_at(trace, sent_at)));
        self.filled.change(sequence, area)
    }

    /// Counts the messages that both shares leave out next as passed, and returns their number.
    fn leave_out(&mut self) -> u64 {
        let mut shares = [self.traces.as_mut().map(TraceSource::share), self.times.as_mut()];
        let left_out = shares.iter().flatten().map(|share| share.left_out()).min();
        let count = left_out.unwrap_or_default();
        shares.iter_mut().flatten().for_each(|share| share.leave_out(count));
        count
    }
}

/// How one reader uses the areas of messages.
pub(super) struct ReadMetadata {
    /// The trace of the current delivery, if the topic is traced.
    pub(super) current: Option<CurrentTrace>,
    /// Measures latencies, if the topic measures them.
    pub(super) latencies: Option<LatencyLines>,
}

impl ReadMetadata {
    /// Creates the state for a new reader; `None` if the topic's slots have no areas. `lines`
    /// creates the lines of counters for the reader's latencies.
    pub(super) fn new(
        recorded: &Recorded,
        lines: impl FnOnce() -> LatencyLines,
    ) -> Option<Box<ReadMetadata>> {
        let current = recorded.tracer.as_ref().map(|_| CurrentTrace::default());
        let latencies = recorded.latency_sample.map(|_| lines());
        recorded.area().is_present().then(|| Box::new(ReadMetadata { current, latencies }))
    }
}
