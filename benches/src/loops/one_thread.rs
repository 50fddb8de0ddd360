//! One thread does it all: sends batches and receives them between the timed parts, or receives each item at once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::ends::{self, Ends, Pop, Push, Task};
use crate::harness::{Column, Mismatch};
use crate::item::Item;
use crate::sample::{Sample, Tally};

/// So many items are sent before they are received, half of what a buffer holds.
pub(crate) const BATCH: usize = 512;

/// The loop of a sender. Not inlined, so that a profiler can tell it from the receiver's.
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

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    Sending,
    SendingAndReceiving,
}

/// Sends a batch, then lets every receiver have all of it.
pub(crate) struct Fan<P, Q> {
    name: &'static str,
    timed: Timed,
    sender: P,
    receivers: Vec<Q>,
}

impl<P, Q> Fan<P, Q> {
    pub(crate) fn new(
        name: &'static str,
        timed: Timed,
        (sender, receivers): (P, Vec<Q>),
    ) -> Fan<P, Q> {
        Fan { name, timed, sender, receivers }
    }

    pub(crate) fn to_one(timed: Timed, Ends { name, sender, receiver }: Ends<P, Q>) -> Fan<P, Q> {
        Fan::new(name, timed, (sender, vec![receiver]))
    }
}

impl<P, Q> Column for Fan<P, Q>
where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>>,
    Q: Task<End: Pop>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let mut supply = <Q::End as Pop>::Item::supply();
        let mut tallies = vec![Tally::default(); self.receivers.len()];
        let mut took = Duration::ZERO;
        for batch in 0..operations / BATCH {
            let start = Instant::now();
            let accepted = send_batch(&mut self.sender, &mut supply, batch * BATCH);
            let sent = start.elapsed();
            for (receiver, tally) in self.receivers.iter_mut().zip(&mut tallies) {
                receive_all(receiver, tally);
            }
            took += match self.timed {
                Timed::Sending => sent,
                Timed::SendingAndReceiving => start.elapsed(),
            };
            if accepted != BATCH {
                let what = format!("it took {accepted} of {BATCH} messages");
                return Err(Mismatch::new(self.name, what));
            }
        }
        let expected = <Q::End as Pop>::Item::expected(operations);
        tallies.into_iter().try_for_each(|found| Mismatch::check(self.name, expected, found))?;
        Ok(took)
    }
}

/// What the loop costs without anything in it.
pub(crate) struct LoopAlone;

impl Column for LoopAlone {
    fn name(&self) -> &'static str {
        "the loop alone"
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let mut supply = Sample::supply();
        let mut took = Duration::ZERO;
        for batch in 0..operations / BATCH {
            let start = Instant::now();
            black_box(send_batch(&mut ends::nothing(), &mut supply, batch * BATCH));
            took += start.elapsed();
        }
        Ok(took)
    }
}

/// Receives each item before the next is sent.
pub(crate) struct OneByOne<P, Q>(pub(crate) Ends<P, Q>);

#[inline(never)]
fn exchange_batch<P, Q>(
    ends: &mut Ends<P, Q>,
    supply: &mut <<Q::End as Pop>::Item as Item>::Supply,
    first: usize,
    tally: &mut Tally,
) where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>>,
    Q: Task<End: Pop>,
{
    let Ends { sender, receiver, .. } = ends;
    sender.poll(|sender| {
        receiver.poll(|receiver| {
            for number in first..first + BATCH {
                if sender.push(Item::nth(supply, number)) {
                    receiver.pop(|item| item.add(tally));
                }
            }
        });
    });
}

impl<P, Q> Column for OneByOne<P, Q>
where
    P: Task<End: Push<Item = <Q::End as Pop>::Item>>,
    Q: Task<End: Pop>,
{
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let mut supply = <Q::End as Pop>::Item::supply();
        let mut tally = Tally::default();
        let start = Instant::now();
        for batch in 0..operations / BATCH {
            exchange_batch(&mut self.0, &mut supply, batch * BATCH, &mut tally);
        }
        let took = start.elapsed();
        Mismatch::check(self.0.name, <Q::End as Pop>::Item::expected(operations), tally)?;
        Ok(took)
    }
}
