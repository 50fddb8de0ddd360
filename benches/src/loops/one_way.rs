//! One thread sends and another receives, each on its own core: one by one or in batches as fast as
//! possible.

use std::time::Instant;

use crate::ends::{Ends, Pop, Push, Task};
use crate::harness::{Column, Mismatch, Round};
use crate::machine::affinity::Cores;
use crate::machine::threads;
use crate::sample::{Item, Tally};
use crate::wait::{DEADLINE, Idle, Retry, repeat};

/// Sends and receives batches of this number of items, which may be one.
pub(crate) fn one_way<const BATCH: usize, P, Q>(
    Ends { name, mut sender, mut receiver }: Ends<P, Q>,
    idle: Idle,
    cores: &Cores,
) -> Column
where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>> + 'static,
    Q: Task<End: Pop> + 'static,
{
    let cores = cores.clone();
    Column::new(name, move |operations| {
        let send = |sender: &mut P::End| {
            let (retry, start) = (Retry::new(idle, DEADLINE), Instant::now());
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
            start
        };
        let receive = |receiver: &mut Q::End| {
            let mut tally = Tally::default();
            repeat(operations, Retry::new(idle, DEADLINE), |done| {
                if BATCH == 1 {
                    return usize::from(receiver.pop(|item| item.add(&mut tally)).is_some());
                }
                receiver.pop_many(BATCH.min(operations - done), |items| {
                    items.iter().for_each(|item| item.add(&mut tally));
                })
            });
            let end = Instant::now();
            // Another item would be an error, and is counted. This receive also finishes the last
            // item.
            tally.count += u64::from(receiver.pop(|_| ()).is_some());
            (end, tally)
        };
        // Both ends work within one poll of their tasks.
        let (start, (end, tally)) =
            threads::both(&cores, || sender.poll(send), || receiver.poll(receive));
        Mismatch::check(name, <Q::End as Pop>::Item::expected(operations), tally)?;
        Ok(Round::Total(end.saturating_duration_since(start)))
    })
}
