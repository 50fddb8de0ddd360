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
        Some(Box::new(AreaSource { traces, times, filled: FilledAreas::new(capacity) }))
    }

    /// Returns the trace of a message that is sent now, as an area. `task` is the publisher's own
    /// task, if this thread polls it.
    #[inline(always)]
    pub(super) fn next_trace<'a>(
        &mut self,
        task: Option<&TaskTrace>,
        message: impl FnOnce() -> TracedMessage<'a>,
    ) -> Option<Area> {
        let traces = self.traces.as_mut()?;
        match task {
            Some(task) => traces.next_area(task, message),
            None => next_of_other_task(traces, message()).map(TraceCell::area),
        }
    }

    /// Returns the new content of the slot's area for this message; `None` if the area stays as it
    /// is.
    #[inline(always)]
    pub(super) fn change(&mut self, sequence: usize, area: Option<Area>) -> Option<Area> {
        self.filled.change(sequence, area)
    }

    /// Whether the next message is not measured. If so, it must be sent without a send time.
    #[inline(always)]
    pub(super) fn leaves_out(&mut self) -> bool {
        self.times.as_mut().is_none_or(RandomShare::leaves_out)
    }

    /// Returns the send time for a message that is sent now, if it is measured. Without an executor
    /// no message is measured.
    pub(super) fn next_sent_at(&mut self, executor: Option<&Arc<dyn Executor>>) -> Option<SentAt> {
        let times = self.times.as_mut()?;
        if times.leaves_out() {
            return None;
        }
        let executor = executor?;
        times.choose(|| Some(fastrand::Rng::with_seed(executor.entropy())))?;
        Some(SentAt::at(executor.wall_clock()))
    }
}

/// Returns the trace as `next_trace` does, for a publisher that is used outside its own task.
#[inline(never)]
fn next_of_other_task<'a>(
    traces: &'a mut TraceSource,
    message: TracedMessage<'_>,
) -> Option<&'a TraceCell> {
    let task = TaskBudget::traced();
    traces.next_in_cell(task.as_ref().and_then(|task| task.trace()), message)
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
