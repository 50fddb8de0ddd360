//! A publisher of a traced topic, in a task of a service: what an emit costs with each kind of
//! trace.

use std::hint::black_box;
use std::sync::Arc;

use mycelium_core::{Message, TraceContext};
use mycelium_tokio::Tokio;
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    Publisher, RingMemory, Schema, Span, SpanSink, TaskBudget, TaskTrace, Topic, Tracer,
};

use super::topic::{Emits, wrapped};
use crate::ends::{CAPACITY, Push};
use crate::sample::Sample;

pub(crate) const LEFT_OUT: &str = "emit, not in the sample";
pub(crate) const PASSED_ON: &str = "emit, trace passed on";
pub(crate) const BEGUN: &str = "emit, trace begun";
pub(crate) const COPYING: &str = "emit and copy 25 bytes";

/// Takes the spans and drops them: an exporter would work on them later, on a thread of its own.
#[derive(Debug)]
struct Nowhere;

impl SpanSink for Nowhere {
    fn record(&self, span: Span) {
        black_box(span);
    }
}

fn tracer(share: f64) -> Arc<Tracer> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("the process may make a runtime");
    let _inside = runtime.enter();
    let tracer = Tracer::new(share, Arc::new(Nowhere));
    tracer.set_executor(Arc::new(Tokio::current().expect("inside a runtime")));
    tracer
}

fn topic(tracer: Option<Arc<Tracer>>) -> Arc<Topic> {
    let (schema, memory, counters) = (Schema::of::<Sample>(), RingMemory::Heap, Region::new(16));
    let topic = Topic::with_recorded(Sample::TOPIC, schema, CAPACITY, 1, memory, tracer, counters);
    topic.expect("the capacity is a power of two")
}

fn task(tracer: &Arc<Tracer>) -> Arc<TaskBudget> {
    let trace = TaskTrace::new(tracer.clone(), "writer".into());
    TaskBudget::with_trace(TaskBudget::DEFAULT, trace)
}

/// Creates both ends of a column whose messages begin traces. `share` of the traces are in the
/// sample.
pub(crate) fn with_share(name: &'static str, share: f64) -> Emits {
    let tracer = tracer(share);
    wrapped(name, &topic(Some(tracer.clone())), task(&tracer), |publisher| publisher)
}

/// Creates both ends of a column that emits while the task handles a message with a trace.
pub(crate) fn passed_on() -> Emits {
    let tracer = tracer(0.0);
    let task = task(&tracer);
    let trace = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 0 };
    // Drops the previous trace, which is never restored: the new one stays set.
    let _ = task.trace().map(|task| task.replace(Some(trace)));
    wrapped(PASSED_ON, &topic(Some(tracer)), task, |publisher| publisher)
}

/// A publisher of a topic without traces, which copies the bytes of a trace beside each message.
pub(crate) struct Copying {
    publisher: Publisher<Sample>,
    trace: [u8; 25],
    copies: Box<[[u8; 32]]>,
    next: usize,
}

impl Push for Copying {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        let copies = self.copies.len();
        self.copies[self.next % copies][..25].copy_from_slice(black_box(&self.trace));
        self.next += 1;
        self.publisher.try_emit(*sample).is_ok()
    }
}

pub(crate) fn copying() -> Emits<Copying> {
    let copies = vec![[0; 32]; CAPACITY].into();
    wrapped(COPYING, &topic(None), TaskBudget::new(), |publisher| Copying {
        publisher,
        trace: [1; 25],
        copies,
        next: 0,
    })
}
