//! One thread sends and another receives, each on its own core: one by one or in batches as fast as
//! possible.

use std::time::Instant;

use crate::affinity::Cores;
use crate::ends::{Ends, Pop, Push, Task};
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};
use crate::threads;
use crate::wait::{DEADLINE, Idle, Retry, repeat};

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

/// Sends and receives batches of this number of items, which may be one.
pub(crate) fn one_way<const BATCH: usize, P, Q>(mut threads: Threads<P, Q>) -> Column
where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>> + 'static,
    Q: Task<End: Pop> + 'static,
{
    Column::new(threads.ends.name, move |operations| {
        threads.round(
            operations,
            |sender, retry| {
                let mut supply = <Q::End as Pop>::Item::supply();
                let mut buffer = [<Q::End as Pop>::Item::default(); BATCH];
                repeat(operations, retry, |done| {
                    if BATCH == 1 {
                        return usize::from(sender.push(Item::nth(&mut supply, done)));
                    }
                    let batch = &mut buffer[..BATCH.min(operations - done)];
                    for (item, number) in batch.iter_mut().zip(done..) {
                        *item = *Item::nth(&mut supply, number);
                    }
                    sender.push_many(batch)
                });
            },
            |receiver, retry| {
                let mut tally = Tally::default();
                repeat(operations, retry, |done| {
                    if BATCH == 1 {
                        return usize::from(receiver.pop(|item| item.add(&mut tally)).is_some());
                    }
                    receiver.pop_many(BATCH.min(operations - done), |items| {
                        items.iter().for_each(|item| item.add(&mut tally));
                    })
                });
                tally
            },
        )
    })
}
