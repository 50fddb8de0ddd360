//! The traces of messages, and the spans of the tasks that handle them.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_transports::conformance::{Probe, Spans};
use mycelium_transports::local::{
    GapReason, Policy, Publisher, SpanKind, Subscription, TaskBudget, TaskTrace, Tracer,
    poll_traced, poll_with,
};

use super::{LocalTopic, numbers, probe, receive};
use crate::deliveries::{assert_gap, assert_next};

/// A topic whose messages have traces, with the records of its spans, a publisher and a reader.
struct Swaps {
    local: LocalTopic,
    spans: Spans,
    tracer: Arc<Tracer>,
    feed: Publisher<Probe>,
    reader: Subscription<Probe>,
}

impl Swaps {
    fn read(policy: Policy) -> Swaps {
        let (local, spans, tracer) = LocalTopic::traced(1.0, None);
        let (local, reader, feed) = local.join(policy);
        Swaps { local, spans, tracer, feed, reader }
    }

    fn task(&self, service: &str) -> Arc<TaskBudget> {
        TaskBudget::with_trace(256, TaskTrace::new(self.tracer.clone(), service.into()))
    }
}

#[test]
fn a_receive_that_waits_ends_the_span() {
    let mut swaps = Swaps::read(Policy::Block);
    let strategy = swaps.task("Strategy");
    let _wakes = swaps.reader.attach(&strategy);
    let Swaps { local, spans, mut feed, reader: mut input, .. } = swaps;
    let context = Context::from_waker(Waker::noop());
    for number in 0..3 {
        feed.try_emit(probe(number)).unwrap();
        let received = poll_with(&strategy, &mut [], || input.poll_recv(&context));
        assert!(received.is_ready(), "{number}");
        spans.take();
        local.time.advance(Duration::from_millis(5));
        let waits = poll_with(&strategy, &mut [], || input.poll_recv(&context));
        assert!(waits.is_pending(), "{number}");
        let [handled] = &*spans.take() else { panic!("one span of message {number}") };
        assert_eq!(handled.end, handled.start + Duration::from_millis(5));
        assert_eq!(strategy.trace().unwrap().context(), None);
        // The time until the next message belongs to no span.
        local.time.advance(Duration::from_secs(1));
    }
}

#[test]
fn a_receive_that_yields_ends_the_span() {
    let Swaps { tracer, mut feed, reader: mut input, .. } = Swaps::read(Policy::Block);
    let strategy = TaskBudget::with_trace(1, TaskTrace::new(tracer, "Strategy".into()));
    let _wakes = input.attach(&strategy);
    let context = Context::from_waker(Waker::noop());
    (0..8).for_each(|number| feed.try_emit(probe(number)).unwrap());
    poll_with(&strategy, &mut [], || {
        let taken = (0..8).take_while(|_| input.poll_recv(&context).is_ready()).count();
        // More messages are waiting, but the task has to yield first, and may do something else.
        assert!((1..8).contains(&taken), "{taken}");
        assert_eq!(strategy.trace().unwrap().context(), None);
    });
    poll_with(&strategy, &mut [], || assert!(input.poll_recv(&context).is_ready()));
}

#[test]
fn a_delivery_of_a_task_ends_when_the_handle_is_used_outside_of_it() {
    let mut swaps = Swaps::read(Policy::Block);
    let strategy = swaps.task("Strategy");
    let _wakes = swaps.reader.attach(&strategy);
    let Swaps { spans, mut feed, reader: mut input, .. } = swaps;
    feed.try_emit(probe(7)).unwrap();
    feed.try_emit(probe(8)).unwrap();
    spans.take();
    poll_with(&strategy, &mut [], || assert_next(&mut input, 7));
    let first = strategy.trace().unwrap().context().expect("it handles a message");
    assert_next(&mut input, 8);
    assert_eq!(strategy.trace().unwrap().context(), None);
    let [handled] = &*spans.take() else { panic!("one span") };
    assert_eq!(handled.context, first);
}

#[test]
fn a_share_of_the_traces_is_in_the_sample() {
    let (local, spans, _) = LocalTopic::traced(0.25, None);
    let mut feed = local.publisher("Feed");
    (0..4_000).for_each(|number| feed.try_emit(probe(number)).unwrap());
    // The number of samples has a standard deviation of 27.
    assert!((800..1_200).contains(&spans.take().len()));
    // A batch counts once, whatever its length.
    (0..4_000).for_each(|number| feed.try_emit_batch(&[number; 3].map(probe)).unwrap());
    assert!((800..1_200).contains(&spans.take().len()));
}

#[test]
fn a_task_passes_traces_on_and_begins_its_share_of_the_others() {
    let (local, spans, tracer) = LocalTopic::traced(0.25, Some(0.25));
    let (_local, mut reader, mut feed) = local.join(Policy::Block);
    let task = TaskBudget::with_trace(256, TaskTrace::new(tracer, "Strategy".into()));
    let _wakes = feed.attach(&task);
    let passed = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 0 };
    let mut begun = 0;
    for number in 0..6_000 {
        let mut emit = || poll_with(&task, &mut [], || feed.try_emit(probe(number)).unwrap());
        let expected = if number % 3 == 0 {
            let trace = task.trace().unwrap();
            let before = trace.replace(Some(passed));
            emit();
            trace.restore(before);
            assert_eq!(spans.take(), []);
            Some(passed)
        } else {
            emit();
            spans.take().first().map(|root| root.context)
        };
        assert_next(&mut reader, number);
        assert_eq!(reader.trace(), expected, "message {number}");
        begun += usize::from(number % 3 != 0 && expected.is_some());
    }
    // As above.
    assert!((800..1_200).contains(&begun), "{begun}");
}

#[test]
fn a_message_after_a_gap_has_its_own_trace() {
    let Swaps { spans, mut feed, mut reader, .. } = Swaps::read(Policy::DropOldest);
    (0..20).for_each(|number| feed.try_emit(probe(number)).unwrap());
    let sent = spans.take();
    assert_eq!(assert_gap(&mut reader, 12), GapReason::Overwritten);
    assert_eq!(reader.trace(), None);
    for span in &sent[12..] {
        assert_next(&mut reader, span.sequence);
        assert_eq!(reader.trace(), Some(span.context));
    }
}

#[test]
fn a_batch_has_one_trace_and_is_received_as_one() {
    let Swaps { spans, mut feed, mut reader, .. } = Swaps::read(Policy::Block);
    let error = feed.try_emit_batch(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(probe)).unwrap_err();
    assert_eq!(error.sent, 8);
    let [root] = &*spans.take() else { panic!("one span") };
    assert_eq!(numbers(receive(&mut reader, 64)), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(reader.trace(), Some(root.context));
}

#[test]
fn a_message_that_finds_no_room_begins_no_trace() {
    let Swaps { spans, mut feed, reader: _reader, .. } = Swaps::read(Policy::Block);
    (0..8).for_each(|number| feed.try_emit(probe(number)).unwrap());
    assert_eq!(spans.take().len(), 8);
    let task = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(feed.try_emit(probe(8)).is_err());
        assert!(feed.poll_emit(&task, &probe(8)).is_pending());
    }
    assert_eq!(spans.take(), []);
}

#[test]
fn a_handle_without_a_task_has_the_current_delivery_of_the_task_that_uses_it() {
    let swaps = Swaps::read(Policy::Block);
    let (till, other) = (swaps.task("Till"), TaskBudget::new());
    let Swaps { spans, mut feed, reader, .. } = swaps;
    drop(reader);
    let trace = till.trace().unwrap();
    poll_traced(&till, || {
        trace.begin("Sale", &"till".into(), None);
        feed.try_emit(probe(1)).unwrap();
        // A child task has no current delivery.
        poll_with(&other, &mut [], || feed.try_emit(probe(2)).unwrap());
    });
    let [of_child] = &*spans.take() else { panic!("one span") };
    assert_eq!((of_child.kind, of_child.sequence), (SpanKind::Root, 1));
    // Between two polls, the task has no current delivery either.
    feed.try_emit(probe(3)).unwrap();
    assert_eq!(spans.take().len(), 1);
    poll_traced(&till, || {
        feed.try_emit(probe(4)).unwrap();
        trace.end_handling(false);
    });
    let [sale] = &*spans.take() else { panic!("one span") };
    assert_eq!((sale.kind, sale.parent, sale.sequence), (SpanKind::Handle, None, 0));
    assert_eq!((&*sale.service, &*sale.topic, &*sale.publisher), ("Till", "Sale", "till"));
    poll_traced(&till, || feed.try_emit(probe(5)).unwrap());
    assert_eq!(spans.take().len(), 1);
}

#[test]
fn a_handle_that_another_task_uses_has_not_the_current_delivery_of_the_first_one() {
    let mut swaps = Swaps::read(Policy::Block);
    let strategy = swaps.task("Strategy");
    let orders = LocalTopic::recording(8, Some(swaps.tracer.clone()));
    let mut output = orders.publisher("Strategy");
    let Swaps { local, spans, feed, reader: input, .. } = &mut swaps;
    let _wakes = (input.attach(&strategy), output.attach(&strategy));
    feed.try_emit(probe(1)).unwrap();
    poll_with(&strategy, &mut [], || assert_next(input, 1));
    spans.take();
    // This is outside of a poll of the task, so it begins a new trace.
    output.try_emit(probe(2)).unwrap();
    let [begun] = &*spans.take() else { panic!("one span") };
    assert_eq!((begun.kind, begun.parent), (SpanKind::Root, None));
    // Taking messages outside of a poll does not end the task's current delivery.
    feed.try_emit(probe(3)).unwrap();
    let mut other = local.subscribe("Strategy", Policy::Block);
    let _wakes = other.attach(&strategy);
    feed.try_emit(probe(4)).unwrap();
    assert_next(&mut other, 4);
    drop(other);
    assert!(strategy.trace().unwrap().context().is_some());
}
