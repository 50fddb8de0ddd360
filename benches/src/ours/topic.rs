//! Ours as a service sees it: a publisher and subscriptions of a topic, each in a task with a pulse.

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

/// Our task: what its ends did counts in its pulse, and the other sides are told at the end of a poll.
#[repr(align(128))] // As `ends::Bare` is padded.
pub(crate) struct Pulsed<E> {
    end: E,
    pulse: Arc<TaskBudget>,
    flushers: [DeferredWakes; 1],
}

impl<E: Send> Task for Pulsed<E> {
    type End = E;

    #[inline]
    fn poll<R>(&mut self, work: impl FnOnce(&mut E) -> R) -> R {
        poll_with(&self.pulse, &mut self.flushers, || work(&mut self.end))
    }
}

impl Push for Publisher<Sample> {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        self.try_emit(*sample).is_ok()
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

/// A publisher in the task of `pulse`, and one gating subscription in the task of each of `readers`.
pub(crate) fn ends(
    pulse: Arc<TaskBudget>,
    readers: impl IntoIterator<Item = Arc<TaskBudget>>,
) -> (Pulsed<Publisher<Sample>>, Vec<Pulsed<Subscription<Sample>>>) {
    let counters = Region::new(256);
    let topic = Topic::new(Sample::TOPIC, Schema::of::<Sample>(), CAPACITY, counters)
        .expect("the capacity is a power of two");
    let receivers = readers.into_iter().map(|pulse| {
        let mut end = topic.subscribe("reader", Policy::Block).expect("the topic carries samples");
        let flushers = [end.attach(&pulse)];
        Pulsed { end, pulse, flushers }
    });
    let receivers = receivers.collect();
    let mut end = topic.publisher("writer", 1).expect("there is an entry for each reader");
    let flushers = [end.attach(&pulse)];
    (Pulsed { end, pulse, flushers }, receivers)
}

/// Both of our ends in one task.
pub(crate) fn one_task() -> Ends<Pulsed<Publisher<Sample>>, Pulsed<Subscription<Sample>>> {
    let pulse = TaskBudget::new();
    let (sender, mut receivers) = ends(pulse.clone(), [pulse]);
    Ends { name: EMIT, sender, receiver: receivers.remove(0) }
}

/// Each of our ends in a task of its own.
pub(crate) fn two_tasks() -> Ends<Pulsed<Publisher<Sample>>, Pulsed<Subscription<Sample>>> {
    let (sender, mut receivers) = ends(TaskBudget::new(), [TaskBudget::new()]);
    Ends { name: EMIT, sender, receiver: receivers.remove(0) }
}
