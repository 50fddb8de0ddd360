//! The traces of messages, and the spans of the tasks that handle them.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, UNIX_EPOCH};

use mycelium_core::Message;
use mycelium_executor::PausedTime;
use mycelium_transports::conformance::{NoTasks, Probe, Spans};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    DeferredWakes, Delivery, GapReason, Policy, Publisher, Readers, RingMemory, Schema, SpanKind,
    Subscription, TaskBudget, TaskTrace, Topic, Tracer, poll_traced, poll_with,
};

use super::{epoch, next, probe, receive};
use crate::deliveries::assert_gap;

/// A tracer with its clock and its records.
struct World {
    spans: Arc<Spans>,
    tracer: Arc<Tracer>,
    time: PausedTime<NoTasks>,
}

impl World {
    fn sampling(share: f64) -> World {
        let (spans, time) = (Arc::<Spans>::default(), PausedTime::starting_at(NoTasks, UNIX_EPOCH));
        let tracer = Tracer::new(share, spans.clone());
        tracer.set_executor(Arc::new(time.clone()));
        World { spans, tracer, time }
    }

    fn topic<M: Message>(&self, name: &str) -> Arc<Topic> {
        let (schema, readers) = (Schema::of::<M>(), Readers::from(8));
        let (tracer, counters) = (Some(self.tracer.clone()), Region::new(16));
        Topic::with_recorded(name, schema, 8, readers, RingMemory::Heap, tracer, counters).unwrap()
    }

    fn task(&self, service: &str) -> Arc<TaskBudget> {
        TaskBudget::with_trace(256, TaskTrace::new(self.tracer.clone(), service.into()))
    }
}

fn publisher<M: Message>(topic: &Arc<Topic>, name: &str) -> Publisher<M> {
    topic.publisher(name, epoch()).unwrap()
}

/// A topic of a world, with a publisher and a reader.
struct Swaps {
    world: World,
    topic: Arc<Topic>,
    feed: Publisher<Probe>,
    reader: Subscription<Probe>,
}

impl Swaps {
    fn sampling(share: f64, policy: Policy) -> Swaps {
        let world = World::sampling(share);
        let topic = world.topic::<Probe>("swaps");
        let feed = publisher(&topic, "Feed");
        let reader = topic.subscribe("Reader", policy).unwrap();
        Swaps { world, topic, feed, reader }
    }

    /// Attaches the reader to a task, and returns that task.
    fn attached(&mut self) -> (Arc<TaskBudget>, DeferredWakes) {
        let task = self.world.task("Reader");
        let wakes = self.reader.attach(&task);
        (task, wakes)
    }
}

/// Does the work in a poll of a task.
fn within<R>(task: &TaskBudget, work: impl FnOnce() -> R) -> R {
    poll_with(task, &mut [], work)
}

#[test]
fn a_receive_that_waits_ends_the_span() {
    let mut swaps = Swaps::sampling(1.0, Policy::Block);
    let (strategy, _wakes) = swaps.attached();
    let Swaps { world, mut feed, reader: mut input, .. } = swaps;
    let context = Context::from_waker(Waker::noop());
    for number in 0..3 {
        feed.try_emit(probe(number)).unwrap();
        let received = within(&strategy, || input.poll_recv(&context));
        assert!(received.is_ready(), "{number}");
        world.spans.take();
        world.time.advance(Duration::from_millis(5));
        let waits = within(&strategy, || input.poll_recv(&context));
        assert!(waits.is_pending(), "{number}");
        let [handled] = &*world.spans.take() else { panic!("one span of message {number}") };
        assert_eq!(handled.end, handled.start + Duration::from_millis(5));
        assert_eq!(strategy.trace().unwrap().context(), None);
        // The time until the next message belongs to no span.
        world.time.advance(Duration::from_secs(1));
    }
}

#[test]
fn a_receive_that_yields_ends_the_span() {
    let Swaps { world, mut feed, reader: mut input, .. } = Swaps::sampling(1.0, Policy::Block);
    let trace = TaskTrace::new(world.tracer.clone(), "Strategy".into());
    let strategy = TaskBudget::with_trace(1, trace);
    let _wakes = input.attach(&strategy);
    let context = Context::from_waker(Waker::noop());
    (0..8).for_each(|number| feed.try_emit(probe(number)).unwrap());
    within(&strategy, || {
        let taken = (0..8).take_while(|_| input.poll_recv(&context).is_ready()).count();
        // More messages are waiting, but the task has to yield first, and may do something else.
        assert!((1..8).contains(&taken), "{taken}");
        assert_eq!(strategy.trace().unwrap().context(), None);
    });
    within(&strategy, || assert!(input.poll_recv(&context).is_ready()));
}

#[test]
fn a_delivery_of_a_task_ends_when_the_handle_is_used_outside_of_it() {
    let mut swaps = Swaps::sampling(1.0, Policy::Block);
    let (strategy, _wakes) = swaps.attached();
    let Swaps { world, mut feed, reader: mut input, .. } = swaps;
    feed.try_emit(probe(7)).unwrap();
    feed.try_emit(probe(8)).unwrap();
    world.spans.take();
    within(&strategy, || next(&mut input));
    let first = strategy.trace().unwrap().context().expect("it handles a message");
    assert_eq!(next(&mut input), 8);
    assert_eq!(strategy.trace().unwrap().context(), None);
    let [handled] = &*world.spans.take() else { panic!("one span") };
    assert_eq!(handled.context, first);
}

#[test]
fn a_share_of_the_traces_is_in_the_sample() {
    let world = World::sampling(0.25);
    let topic = world.topic::<Probe>("swaps");
    let mut feed = publisher::<Probe>(&topic, "Feed");
    (0..4_000).for_each(|number| feed.try_emit(probe(number)).unwrap());
    // The number of samples has a standard deviation of 27.
    assert!((800..1_200).contains(&world.spans.take().len()));
}

#[test]
fn a_message_after_a_gap_has_its_own_trace() {
    let Swaps { world, mut feed, mut reader, .. } = Swaps::sampling(1.0, Policy::DropOldest);
    (0..20).for_each(|number| feed.try_emit(probe(number)).unwrap());
    let sent = world.spans.take();
    assert_eq!(assert_gap(&mut reader, 12), GapReason::Overwritten);
    assert_eq!(reader.trace(), None);
    for span in &sent[12..] {
        assert_eq!(next(&mut reader), span.sequence);
        assert_eq!(reader.trace(), Some(span.context));
    }
}

#[test]
fn a_batch_has_one_trace_and_is_received_as_one() {
    let Swaps { world, mut feed, mut reader, .. } = Swaps::sampling(1.0, Policy::Block);
    let error = feed.try_emit_batch(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(probe)).unwrap_err();
    assert_eq!(error.sent, 8);
    let [root] = &*world.spans.take() else { panic!("one span") };
    let deliveries = receive(&mut reader, 64).into_iter();
    let numbers = deliveries.filter_map(Delivery::message).map(|probe| probe.number);
    assert_eq!(numbers.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(reader.trace(), Some(root.context));
}

#[test]
fn a_message_that_finds_no_room_begins_no_trace() {
    let Swaps { world, mut feed, reader: _reader, .. } = Swaps::sampling(1.0, Policy::Block);
    (0..8).for_each(|number| feed.try_emit(probe(number)).unwrap());
    assert_eq!(world.spans.take().len(), 8);
    let task = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(feed.try_emit(probe(8)).is_err());
        assert!(feed.poll_emit(&task, &probe(8)).is_pending());
    }
    assert_eq!(world.spans.take(), []);
}

#[test]
fn a_handle_without_a_task_has_the_current_delivery_of_the_task_that_uses_it() {
    let Swaps { world, mut feed, .. } = Swaps::sampling(1.0, Policy::Block);
    let (till, other) = (world.task("Till"), TaskBudget::new());
    let trace = till.trace().unwrap();
    poll_traced(&till, || {
        trace.begin("Sale", &"till".into(), None);
        feed.try_emit(probe(1)).unwrap();
        // A child task has no current delivery.
        within(&other, || feed.try_emit(probe(2)).unwrap());
    });
    let [of_child] = &*world.spans.take() else { panic!("one span") };
    assert_eq!((of_child.kind, of_child.sequence), (SpanKind::Root, 1));
    // Between two polls, the task has no current delivery either.
    feed.try_emit(probe(3)).unwrap();
    assert_eq!(world.spans.take().len(), 1);
    poll_traced(&till, || {
        feed.try_emit(probe(4)).unwrap();
        trace.end_handling(false);
    });
    let [sale] = &*world.spans.take() else { panic!("one span") };
    assert_eq!((sale.kind, sale.parent, sale.sequence), (SpanKind::Handle, None, 0));
    assert_eq!((&*sale.service, &*sale.topic, &*sale.publisher), ("Till", "Sale", "till"));
    poll_traced(&till, || feed.try_emit(probe(5)).unwrap());
    assert_eq!(world.spans.take().len(), 1);
}

#[test]
fn a_handle_that_another_task_uses_has_not_the_current_delivery_of_the_first_one() {
    let Swaps { world, topic: swaps, mut feed, reader: mut input } =
        Swaps::sampling(1.0, Policy::Block);
    let orders = world.topic::<Probe>("orders");
    let mut output = publisher::<Probe>(&orders, "Strategy");
    let strategy = world.task("Strategy");
    let _wakes = (input.attach(&strategy), output.attach(&strategy));
    feed.try_emit(probe(1)).unwrap();
    within(&strategy, || next(&mut input));
    world.spans.take();
    // This is outside of a poll of the task, so it begins a new trace.
    output.try_emit(probe(2)).unwrap();
    let [begun] = &*world.spans.take() else { panic!("one span") };
    assert_eq!((begun.kind, begun.parent), (SpanKind::Root, None));
    // Taking messages outside of a poll does not end the task's current delivery.
    feed.try_emit(probe(3)).unwrap();
    let mut other = swaps.subscribe::<Probe>("Strategy", Policy::Block).unwrap();
    let _wakes = other.attach(&strategy);
    feed.try_emit(probe(4)).unwrap();
    next(&mut other);
    drop(other);
    assert!(strategy.trace().unwrap().context().is_some());
}
