//! Many senders and many receivers of one queue, possibly more threads than cores: throughput.
//!
//! An item contains its sender and its number, so every receiver can check that the items of one
//! sender arrive in order. That holds for a FIFO queue, and for one that is FIFO per sender only.

use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::ends::{Ends, Pop, Push};
use crate::harness::{Column, Mismatch, Round};
use crate::machine::affinity::Cores;
use crate::machine::threads;
use crate::sample::Tally;
use crate::wait::{DEADLINE, Idle, Retry, repeat};

/// The maximum number of senders.
const SENDERS: usize = 8;

fn item(sender: usize, number: u64) -> u64 {
    (sender as u64) << 32 | number
}

/// The items that one receiver got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipt {
    tally: Tally,
    /// For each sender, the least number that may follow.
    next: [u64; SENDERS],
    disorder: bool,
}

impl Receipt {
    #[inline]
    fn add(&mut self, item: u64) {
        let (sender, number) = ((item >> 32) as usize % SENDERS, item & u64::from(u32::MAX));
        self.tally.count += 1;
        self.tally.sum = self.tally.sum.wrapping_add(item);
        // The order is right even if other receivers got the numbers between.
        self.disorder |= number < self.next[sender];
        self.next[sender] = number + 1;
    }
}

/// The number of threads on either side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} threads", self.senders, self.receivers)
    }
}

/// A column with all its ends, which move up to this number of items at a time.
pub(crate) struct Crowd<P, Q, const BATCH: usize> {
    name: &'static str,
    /// Padded, like `ends::Bare`.
    senders: Vec<CachePadded<P>>,
    receivers: Vec<CachePadded<Q>>,
    idle: Idle,
    cores: Cores,
}

/// Sends up to a batch of items, from `number` on and below `end`, and returns how many.
#[inline]
fn send<const BATCH: usize>(
    sender: &mut impl Push<Item = u64>,
    index: usize,
    number: u64,
    end: u64,
) -> u64 {
    if BATCH == 1 {
        return u64::from(sender.push(&item(index, number)));
    }
    let items: [u64; BATCH] = std::array::from_fn(|more| item(index, number + more as u64));
    let count = BATCH.min((end - number) as usize);
    sender.push_many(&items[..count]) as u64
}

/// Receives up to a batch of items and returns how many.
#[inline]
fn receive<const BATCH: usize>(
    receiver: &mut impl Pop<Item = u64>,
    receipt: &mut Receipt,
) -> usize {
    if BATCH == 1 {
        return usize::from(receiver.pop(|item| receipt.add(*item)).is_some());
    }
    receiver.pop_many(BATCH, |items| items.iter().for_each(|item| receipt.add(*item)))
}

/// Receives until all senders have ended and the queue is empty.
#[inline(never)]
fn receive_all<const BATCH: usize>(
    receiver: &mut impl Pop<Item = u64>,
    sending: &AtomicUsize,
    mut retry: Retry,
) -> Receipt {
    let mut receipt = Receipt::default();
    loop {
        if receive::<BATCH>(receiver, &mut receipt) > 0 {
            continue;
        }
        if sending.load(Ordering::Acquire) == 0 {
            // The senders have ended, so all items are visible now: if there is none, none follows.
            if receive::<BATCH>(receiver, &mut receipt) == 0 {
                return receipt;
            }
        } else if !retry.wait() {
            return receipt;
        }
    }
}

impl<P, Q, const BATCH: usize> Crowd<P, Q, BATCH>
where
    P: Push<Item = u64> + Clone + 'static,
    Q: Pop<Item = u64> + Clone + 'static,
{
    /// Creates a column with clones of either end.
    pub(crate) fn of(
        Ends { name, sender, receiver }: Ends<P, Q>,
        Shape { senders, receivers }: Shape,
        idle: Idle,
        cores: &Cores,
    ) -> Crowd<P, Q, BATCH> {
        let senders = iter::repeat_n(sender, senders).map(CachePadded::new).collect();
        let receivers = iter::repeat_n(receiver, receivers).map(CachePadded::new).collect();
        Crowd { name, senders, receivers, idle, cores: cores.clone() }
    }

    /// Checks that the receipts contain each sent item once.
    fn check(&self, sent: &[u64], receipts: &[Receipt]) -> Result<(), Mismatch> {
        let (mut expected, mut found) = (Tally::default(), Tally::default());
        for receipt in receipts {
            if receipt.disorder {
                return Err(Mismatch::new(self.name, "items of one sender arrived out of order"));
            }
            found.count += receipt.tally.count;
            found.sum = found.sum.wrapping_add(receipt.tally.sum);
        }
        for (sender, count) in sent.iter().enumerate() {
            expected.count += count;
            let items = (0..*count).map(|number| item(sender, number));
            expected.sum = items.fold(expected.sum, u64::wrapping_add);
        }
        Mismatch::check(self.name, expected, found)
    }

    /// A column of the throughput.
    pub(crate) fn throughput(mut self) -> Column {
        Column::new(self.name, move |operations| self.round(operations))
    }

    fn round(&mut self, operations: usize) -> Result<Round, Mismatch> {
        let share = (operations / self.senders.len()) as u64;
        let sending = &AtomicUsize::new(self.senders.len());
        let (idle, deadline) = (self.idle, DEADLINE);
        let senders = self.senders.iter_mut().enumerate().map(|(index, sender)| {
            move || {
                let start = Instant::now();
                let retry = Retry::new(idle, deadline);
                repeat(share as usize, retry, |done| {
                    send::<BATCH>(&mut **sender, index, done as u64, share) as usize
                });
                sending.fetch_sub(1, Ordering::Release);
                start
            }
        });
        let receivers = self.receivers.iter_mut().map(|receiver| {
            move || {
                let receipt =
                    receive_all::<BATCH>(&mut **receiver, sending, Retry::new(idle, deadline));
                (Instant::now(), receipt)
            }
        });
        let (starts, received) =
            threads::crowd(&self.cores, senders.collect(), receivers.collect());
        let (ends, receipts): (Vec<Instant>, Vec<Receipt>) = received.into_iter().unzip();
        self.check(&vec![share; self.senders.len()], &receipts)?;
        let took = starts.iter().min().zip(ends.iter().max());
        Ok(Round::Total(took.map_or(Duration::ZERO, |(start, end)| *end - *start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_sees_disorder_within_a_sender() {
        let receipt = |items: &[(usize, u64)]| {
            let mut receipt = Receipt::default();
            items.iter().for_each(|(sender, number)| receipt.add(item(*sender, *number)));
            receipt
        };
        assert!(!receipt(&[(1, 0), (0, 0), (1, 4), (0, 1)]).disorder);
        assert!(receipt(&[(1, 1), (0, 0), (1, 0)]).disorder);
        assert!(receipt(&[(1, 1), (1, 1)]).disorder);
    }
}
