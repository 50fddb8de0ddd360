//! One thread sends and another receives, each on a core of its own, as fast as it goes: one by one, or in batches.

use std::time::{Duration, Instant};

use crate::affinity::Cores;
use crate::ends::{Ends, Pop, PopMany, Push, PushMany, Task};
use crate::harness::{Column, Mismatch};
use crate::item::Item;
use crate::sample::Tally;
use crate::threads;
use crate::wait::{PATIENCE, SpinWait, WaitStrategy};

/// Both ends of a column, and how they are used.
pub(crate) struct Threads<P, Q> {
    pub(crate) ends: Ends<P, Q>,
    pub(crate) wait: WaitStrategy,
    pub(crate) cores: Cores,
}

impl<P: Task, Q: Task> Threads<P, Q> {
    /// Runs `send` on this thread and `receive` on another one, each within one poll of its task.
    pub(crate) fn run<S, R: Send>(
        &mut self,
        send: impl FnOnce(&mut P::End, SpinWait) -> S,
        receive: impl FnOnce(&mut Q::End, SpinWait) -> R + Send,
    ) -> (S, R) {
        let Threads { ends: Ends { sender, receiver, .. }, wait, cores } = self;
        let wait = *wait;
        threads::both(
            cores,
            || sender.poll(|sender| send(sender, SpinWait::new(wait, PATIENCE))),
            || receiver.poll(|receiver| receive(receiver, SpinWait::new(wait, PATIENCE))),
        )
    }
}

#[inline(never)]
fn send_all<P: Push>(sender: &mut P, count: usize, mut patience: SpinWait) {
    let mut supply = P::Item::supply();
    for number in 0..count {
        let item = P::Item::nth(&mut supply, number);
        while !sender.push(item) {
            if !patience.wait() {
                return;
            }
        }
    }
}

#[inline(never)]
fn receive_all<Q: Pop>(receiver: &mut Q, count: usize, mut patience: SpinWait) -> Tally {
    let mut tally = Tally::default();
    while tally.count < count as u64 {
        if receiver.pop(|item| item.add(&mut tally)).is_none() && !patience.wait() {
            break;
        }
    }
    tally
}

/// One by one.
pub(crate) struct OneWay<P, Q>(pub(crate) Threads<P, Q>);

impl<P, Q> Column for OneWay<P, Q>
where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>>,
    Q: Task<End: Pop>,
{
    fn name(&self) -> &'static str {
        self.0.ends.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let name = self.name();
        let (start, (end, tally)) = self.0.run(
            |sender, patience| {
                let start = Instant::now();
                send_all(sender, operations, patience);
                start
            },
            |receiver, patience| {
                let tally = receive_all(receiver, operations, patience);
                (Instant::now(), nothing_more(receiver, tally))
            },
        );
        Mismatch::check(name, <Q::End as Pop>::Item::expected(operations), tally)?;
        Ok(end.saturating_duration_since(start))
    }
}

/// Nothing may come after the last item, and the last one may not stay in hand.
fn nothing_more<Q: Pop>(receiver: &mut Q, tally: Tally) -> Tally {
    let more = receiver.pop(|_| ()).is_some();
    Tally { count: tally.count + u64::from(more), ..tally }
}

/// Fills batches for a sender.
struct Filler<T: Item> {
    supply: T::Supply,
    buffer: Box<[T]>,
}

impl<T: Item> Filler<T> {
    fn new(batch: usize) -> Filler<T> {
        Filler { supply: T::supply(), buffer: vec![T::default(); batch].into() }
    }

    /// The items from `number` on, as many as a batch has but at most `most`.
    #[inline]
    fn fill(&mut self, number: usize, most: usize) -> &[T] {
        let Filler { supply, buffer } = self;
        let length = most.min(buffer.len());
        let batch = &mut buffer[..length];
        for (item, number) in batch.iter_mut().zip(number..) {
            *item = *T::nth(supply, number);
        }
        batch
    }
}

#[inline(never)]
fn send_batches<P: PushMany>(sender: &mut P, batch: usize, count: usize, mut patience: SpinWait) {
    let mut filler = Filler::<P::Item>::new(batch);
    let mut sent = 0;
    while sent < count {
        let mut items = filler.fill(sent, count - sent);
        sent += items.len();
        while !items.is_empty() {
            let accepted = sender.push_many(items);
            items = &items[accepted..];
            if accepted == 0 && !patience.wait() {
                return;
            }
        }
    }
}

#[inline(never)]
fn receive_batches<Q: PopMany>(
    receiver: &mut Q,
    batch: usize,
    count: usize,
    mut patience: SpinWait,
) -> Tally {
    let mut tally = Tally::default();
    while tally.count < count as u64 {
        let most = batch.min(count - tally.count as usize);
        let read = |items: &[Q::Item]| items.iter().for_each(|item| item.add(&mut tally));
        if receiver.pop_many(most, read) == 0 && !patience.wait() {
            break;
        }
    }
    tally
}

/// In batches.
pub(crate) struct OneWayInBatches<P, Q> {
    pub(crate) threads: Threads<P, Q>,
    pub(crate) batch: usize,
}

impl<P, Q> Column for OneWayInBatches<P, Q>
where
    P: Task<End: PushMany<Item = <Q::End as Pop>::Item>>,
    Q: Task<End: PopMany>,
{
    fn name(&self) -> &'static str {
        self.threads.ends.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let (name, batch) = (self.name(), self.batch);
        let (start, (end, tally)) = self.threads.run(
            |sender, patience| {
                let start = Instant::now();
                send_batches(sender, batch, operations, patience);
                start
            },
            |receiver, patience| {
                let tally = receive_batches(receiver, batch, operations, patience);
                (Instant::now(), nothing_more(receiver, tally))
            },
        );
        Mismatch::check(name, <Q::End as Pop>::Item::expected(operations), tally)?;
        Ok(end.saturating_duration_since(start))
    }
}
