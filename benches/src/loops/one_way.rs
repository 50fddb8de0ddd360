//! One thread sends and another receives, each on its own core: one by one or in batches as fast as
//! possible.

use std::time::Instant;

use crate::affinity::Cores;
use crate::ends::{Ends, Pop, PopMany, Push, PushMany, Task};
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};
use crate::threads;
use crate::wait::{DEADLINE, Idle, Retry};

/// Both ends of a column, and how their threads run.
pub(crate) struct Threads<P, Q> {
    pub(crate) ends: Ends<P, Q>,
    pub(crate) idle: Idle,
    pub(crate) cores: Cores,
}

impl<P: Task, Q: Task> Threads<P, Q> {
    /// Runs `send` on this thread and `receive` on another, each within one poll of its task.
    fn run<S, R: Send>(
        &mut self,
        send: impl FnOnce(&mut P::End, Retry) -> S,
        receive: impl FnOnce(&mut Q::End, Retry) -> R + Send,
    ) -> (S, R) {
        let Threads { ends: Ends { sender, receiver, .. }, idle, cores } = self;
        let idle = *idle;
        threads::both(
            cores,
            || sender.poll(|sender| send(sender, Retry::new(idle, DEADLINE))),
            || receiver.poll(|receiver| receive(receiver, Retry::new(idle, DEADLINE))),
        )
    }

    /// Times a round from the first send to the last receive, and checks what arrived.
    fn round(
        &mut self,
        operations: usize,
        send: impl FnOnce(&mut P::End, Retry),
        receive: impl FnOnce(&mut Q::End, Retry) -> Tally + Send,
    ) -> Result<Round, Mismatch>
    where
        Q::End: Pop,
    {
        let (start, (end, tally)) = self.run(
            |sender, retry| {
                let start = Instant::now();
                send(sender, retry);
                start
            },
            |receiver, retry| {
                let tally = receive(receiver, retry);
                let end = Instant::now();
                // No item may follow the last one, which also must not stay in flight.
                let more = receiver.pop(|_| ()).is_some();
                (end, Tally { count: tally.count + u64::from(more), ..tally })
            },
        );
        Mismatch::check(self.ends.name, <Q::End as Pop>::Item::expected(operations), tally)?;
        Ok(Round::Total(end.saturating_duration_since(start)))
    }
}

#[inline(never)]
fn send_all<P: Push>(sender: &mut P, count: usize, mut retry: Retry) {
    let mut supply = P::Item::supply();
    for number in 0..count {
        let item = P::Item::nth(&mut supply, number);
        while !sender.push(item) {
            if !retry.wait() {
                return;
            }
        }
    }
}

#[inline(never)]
fn receive_all<Q: Pop>(receiver: &mut Q, count: usize, mut retry: Retry) -> Tally {
    let mut tally = Tally::default();
    while tally.count < count as u64 {
        if receiver.pop(|item| item.add(&mut tally)).is_none() && !retry.wait() {
            break;
        }
    }
    tally
}

/// One by one.
pub(crate) fn one_way<P, Q>(mut threads: Threads<P, Q>) -> Column
where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>> + 'static,
    Q: Task<End: Pop> + 'static,
{
    Column::new(threads.ends.name, move |operations| {
        threads.round(
            operations,
            |sender, retry| send_all(sender, operations, retry),
            |receiver, retry| receive_all(receiver, operations, retry),
        )
    })
}

#[inline(never)]
fn send_batches<P: PushMany>(sender: &mut P, batch: usize, count: usize, mut retry: Retry) {
    let mut supply = P::Item::supply();
    let mut buffer = vec![P::Item::default(); batch].into_boxed_slice();
    let mut sent = 0;
    while sent < count {
        let batch = &mut buffer[..batch.min(count - sent)];
        for (item, number) in batch.iter_mut().zip(sent..) {
            *item = *P::Item::nth(&mut supply, number);
        }
        sent += batch.len();
        let mut items = &*batch;
        while !items.is_empty() {
            let accepted = sender.push_many(items);
            items = &items[accepted..];
            if accepted == 0 && !retry.wait() {
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
    mut retry: Retry,
) -> Tally {
    let mut tally = Tally::default();
    while tally.count < count as u64 {
        let most = batch.min(count - tally.count as usize);
        let read = |items: &[Q::Item]| items.iter().for_each(|item| item.add(&mut tally));
        if receiver.pop_many(most, read) == 0 && !retry.wait() {
            break;
        }
    }
    tally
}

/// In batches.
pub(crate) fn one_way_in_batches<P, Q>(mut threads: Threads<P, Q>, batch: usize) -> Column
where
    P: Task<End: PushMany<Item = <Q::End as Pop>::Item>> + 'static,
    Q: Task<End: PopMany> + 'static,
{
    Column::new(threads.ends.name, move |operations| {
        threads.round(
            operations,
            |sender, retry| send_batches(sender, batch, operations, retry),
            |receiver, retry| receive_batches(receiver, batch, operations, retry),
        )
    })
}
