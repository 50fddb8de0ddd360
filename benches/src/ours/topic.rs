//! A publisher and subscriptions of a topic, as services have them: each in a task with a budget.

use std::sync::Arc;

use mycelium_core::Message;
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    DeferredWakes, Delivery, Policy, Publisher, Schema, Subscription, TaskBudget, Topic, TryRecv,
    poll_with,
};

use crate::ends::{CAPACITY, Ends, Pop, Push, Task};
use crate::sample::Sample;

pub(crate) const EMIT: &str = "emit";
pub(crate) const EMIT_BATCH: &str = "emit_batch";

/// An end in a task: it counts its operations in the task's budget, and the end of a poll wakes the
/// other side.
#[repr(align(128))] // Padded like `ends::Bare`.
pub(crate) struct InTask<E> {
    end: E,
    budget: Arc<TaskBudget>,
    wakes: [DeferredWakes; 1],
}

impl<E> InTask<E> {
    /// Wraps the end, within its task.
    pub(crate) fn map<F>(self, wrap: impl FnOnce(E) -> F) -> InTask<F> {
        let InTask { end, budget, wakes } = self;
        InTask { end: wrap(end), budget, wakes }
    }
}

impl<E: Send> Task for InTask<E> {
    type End = E;

    #[inline]
    fn poll<R>(&mut self, work: impl FnOnce(&mut E) -> R) -> R {
        poll_with(&self.budget, &mut self.wakes, || work(&mut self.end))
    }
}

impl Push for Publisher<Sample> {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        self.try_emit(*sample).is_ok()
    }

    #[inline]
    fn push_many(&mut self, samples: &[Sample]) -> usize {
        match self.try_emit_batch(samples) {
            Ok(()) => samples.len(),
            Err(error) => error.sent,
        }
    }
}

impl Pop for Subscription<Sample> {
    type Item = Sample;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        match self.try_recv() {
            TryRecv::Delivery(Delivery::Msg(sample)) => Some(read(&sample)),
            _ => None,
        }
    }
}

/// Both ends of a topic, each in a task.
pub(crate) type Emits<E = Publisher<Sample>> = Ends<InTask<E>, InTask<Subscription<Sample>>>;

fn topic<M: Message>(name: &str, counters: Arc<Region>) -> Arc<Topic> {
    let topic = Topic::new(name, Schema::of::<M>(), CAPACITY, counters);
    topic.expect("the capacity is a power of two")
}

/// A gating subscription in a task.
fn reader<M: Message>(topic: &Arc<Topic>, budget: Arc<TaskBudget>) -> InTask<Subscription<M>> {
    let mut end = topic.subscribe("reader", Policy::Block).expect("the topic carries them");
    InTask { wakes: [end.attach(&budget)], end, budget }
}

/// Creates a publisher that `wrap` turns into the sending end, in a task. Its readers exist
/// already.
fn writer<M: Message, E>(
    topic: &Arc<Topic>,
    budget: Arc<TaskBudget>,
    wrap: impl FnOnce(Publisher<M>) -> E,
) -> InTask<E> {
    let mut end = topic.publisher("writer", 1).expect("there is an entry for each reader");
    let wakes = [end.attach(&budget)];
    InTask { end: wrap(end), budget, wakes }
}

/// A publisher of messages of any type in one task, and a gating subscription in another, which may
/// receive any number of messages in a poll.
pub(crate) fn of<M: Message>() -> (InTask<Publisher<M>>, InTask<Subscription<M>>) {
    let topic = topic::<M>(M::TOPIC, Region::new(256));
    let receiver = reader(&topic, TaskBudget::with_limit(u32::MAX));
    (writer(&topic, TaskBudget::new(), |end| end), receiver)
}

/// A publisher in one task, and a gating subscription in each of the tasks of `readers`.
pub(crate) fn ends(
    budget: Arc<TaskBudget>,
    readers: impl IntoIterator<Item = Arc<TaskBudget>>,
) -> (InTask<Publisher<Sample>>, Vec<InTask<Subscription<Sample>>>) {
    let topic = topic::<Sample>(Sample::TOPIC, Region::new(256));
    let receivers = readers.into_iter().map(|budget| reader(&topic, budget)).collect();
    (writer(&topic, budget, |end| end), receivers)
}

/// A publisher that `wrap` turns into the sending end, in a task with a budget, and a gating
/// subscription of its topic in another task.
pub(crate) fn wrapped<E>(
    name: &'static str,
    topic: &Arc<Topic>,
    budget: Arc<TaskBudget>,
    wrap: impl FnOnce(Publisher<Sample>) -> E,
) -> Emits<E> {
    let receiver = reader(topic, TaskBudget::new());
    Ends::new(name, (writer(topic, budget, wrap), receiver))
}

/// As [`ends`], for one of `topics` topics of one node, each with a publisher and a subscription.
pub(crate) fn ends_among(
    topics: u64,
) -> (InTask<Publisher<Sample>>, Vec<InTask<Subscription<Sample>>>) {
    let counters = Region::new(64);
    let mut all = (0..topics).map(|number| {
        let topic = topic::<Sample>(&format!("topic-{number}"), counters.clone());
        let receiver = reader(&topic, TaskBudget::new());
        (writer(&topic, TaskBudget::new(), |end| end), receiver)
    });
    let others: Vec<_> = all.by_ref().take(topics as usize / 2).collect();
    let (sender, receiver) = all.next().expect("there is a topic");
    // Keeps the other ends until the program ends.
    std::mem::forget((others, all.collect::<Vec<_>>()));
    (sender, vec![receiver])
}

/// Creates both ends of a topic, in two tasks or, if both budgets are the same, in one.
pub(crate) fn pair(writer: Arc<TaskBudget>, reader: Arc<TaskBudget>) -> Emits {
    let (sender, mut receivers) = ends(writer, [reader]);
    Ends::new(EMIT, (sender, receivers.remove(0)))
}
