//! One thread on both sides: sends batches and receives them between the timed parts.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::ends::{Ends, Pop, Push, Task};
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, SAMPLES, Sample, Tally};

/// How many items are sent before they are received: half the capacity.
pub(crate) const BATCH: usize = 512;

/// The sender's loop. Not inlined, so that a profiler can distinguish it from the receiver's loop.
#[inline(never)]
fn send_batch<P: Task<End: Push>>(
    sender: &mut P,
    supply: &mut <<P::End as Push>::Item as Item>::Supply,
    first: usize,
) -> usize {
    sender.poll(|sender| {
        let mut accepted = 0;
        for number in first..first + BATCH {
            accepted += usize::from(sender.push(Item::nth(supply, number)));
        }
        accepted
    })
}

#[inline(never)]
fn receive_all<Q: Task<End: Pop>>(receiver: &mut Q, tally: &mut Tally) {
    receiver.poll(|receiver| while receiver.pop(|item| item.add(tally)).is_some() {});
}

/// The timed part of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    Sending,
    SendingAndReceiving,
}

/// Sends a batch, one by one, then every receiver receives all of it.
pub(crate) fn fan<P, Q>(name: &'static str, timed: Timed, ends: (P, Vec<Q>)) -> Column
where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>> + 'static,
    Q: Task<End: Pop> + 'static,
{
    sent_by(send_batch, name, timed, ends)
}

/// Sends a batch with `send`, which gets the number of its first item, then every receiver receives
/// all of it.
fn sent_by<P: 'static, Q: Task<End: Pop> + 'static>(
    send: impl Fn(&mut P, &mut <<Q::End as Pop>::Item as Item>::Supply, usize) -> usize + 'static,
    name: &'static str,
    timed: Timed,
    (mut sender, mut receivers): (P, Vec<Q>),
) -> Column {
    Column::new(name, move |operations| {
        let mut supply = <Q::End as Pop>::Item::supply();
        let mut tallies = vec![Tally::default(); receivers.len()];
        let mut took = Duration::ZERO;
        for batch in 0..operations / BATCH {
            let start = Instant::now();
            let accepted = send(&mut sender, &mut supply, batch * BATCH);
            let sent = start.elapsed();
            for (receiver, tally) in receivers.iter_mut().zip(&mut tallies) {
                receive_all(receiver, tally);
            }
            took += match timed {
                Timed::Sending => sent,
                Timed::SendingAndReceiving => start.elapsed(),
            };
            if accepted != BATCH {
                let what = format!("it accepted {accepted} of {BATCH} messages");
                return Err(Mismatch::new(name, what));
            }
        }
        let expected = <Q::End as Pop>::Item::expected(operations);
        tallies.into_iter().try_for_each(|found| Mismatch::check(name, expected, found))?;
        Ok(Round::Total(took))
    })
}

/// Sends batches to a single receiver.
pub(crate) fn to_one<P, Q>(Ends { name, sender, receiver }: Ends<P, Q>) -> Column
where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>> + 'static,
    Q: Task<End: Pop> + 'static,
{
    fan(name, Timed::Sending, (sender, vec![receiver]))
}

/// The sender's loop, for all prepared samples at once.
#[inline(never)]
fn send_in_batches<P: Task<End: Push<Item = Sample>>>(
    sender: &mut P,
    samples: &mut [Sample; SAMPLES],
    _first: usize,
) -> usize {
    sender.poll(|sender| {
        (0..BATCH / samples.len()).map(|_| sender.push_many(black_box(&*samples))).sum()
    })
}

/// Sends in batches of 16 messages to a single receiver, which takes them one by one between the
/// timed parts.
pub(crate) fn in_batches<P, Q>(name: &'static str, ends: Ends<P, Q>) -> Column
where
    P: Task<End: Push<Item = Sample>> + 'static,
    Q: Task<End: Pop<Item = Sample>> + 'static,
{
    sent_by(send_in_batches, name, Timed::Sending, (ends.sender, vec![ends.receiver]))
}
