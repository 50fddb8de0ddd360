//! Many senders and many receivers of one ring, more threads than cores if need be.
//!
//! An item says who sent it and as which of his, so that every receiver can see that what it gets of one sender is in
//! order: that holds for a ring that is FIFO, and for one that is so per sender only.

use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::affinity::Cores;
use crate::ends::{Ends, Pop, PopMany, Push, PushMany};
use crate::harness::{Column, Mismatch};
use crate::sample::Tally;
use crate::threads;
use crate::wait::{PATIENCE, SpinWait, WaitStrategy};

/// Items in a batch.
const BATCH: usize = 16;
/// The most senders.
const SENDERS: usize = 8;

/// How a sender sends: one by one, or in batches.
pub(crate) trait Sending: Send {
    /// Sends up to a batch of its items, from `number` on and before `end`, and says how many.
    fn send(&mut self, sender: usize, number: u64, end: u64) -> u64;
}

/// How a receiver receives.
pub(crate) trait Receiving: Send {
    /// Receives up to a batch, and says how many.
    fn receive(&mut self, receipt: &mut Receipt) -> u64;
}

/// One by one. Padded, as `ends::Bare` is.
pub(crate) struct Single<E>(CachePadded<E>);

/// Up to [`BATCH`] at a time.
pub(crate) struct Batched<E>(CachePadded<E>);

impl<E> Single<E> {
    fn new(end: E) -> Single<E> {
        Single(CachePadded::new(end))
    }
}

fn item(sender: usize, number: u64) -> u64 {
    (sender as u64) << 32 | number
}

impl<P: Push<Item = u64>> Sending for Single<P> {
    #[inline]
    fn send(&mut self, sender: usize, number: u64, _end: u64) -> u64 {
        u64::from(self.0.push(&item(sender, number)))
    }
}

impl<Q: Pop<Item = u64>> Receiving for Single<Q> {
    #[inline]
    fn receive(&mut self, receipt: &mut Receipt) -> u64 {
        u64::from(self.0.pop(|item| receipt.add(*item)).is_some())
    }
}

impl<P: PushMany<Item = u64>> Sending for Batched<P> {
    #[inline]
    fn send(&mut self, sender: usize, number: u64, end: u64) -> u64 {
        let items: [u64; BATCH] = std::array::from_fn(|index| item(sender, number + index as u64));
        let count = BATCH.min((end - number) as usize);
        self.0.push_many(&items[..count]) as u64
    }
}

impl<Q: PopMany<Item = u64>> Receiving for Batched<Q> {
    #[inline]
    fn receive(&mut self, receipt: &mut Receipt) -> u64 {
        let read = |items: &[u64]| items.iter().for_each(|item| receipt.add(*item));
        self.0.pop_many(BATCH, read) as u64
    }
}

/// What one receiver got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipt {
    tally: Tally,
    /// For each sender, the number that is next at the earliest.
    next: [u64; SENDERS],
    disorder: bool,
    gave_up: bool,
}

impl Receipt {
    #[inline]
    fn add(&mut self, item: u64) {
        let (sender, number) = ((item >> 32) as usize % SENDERS, item & u64::from(u32::MAX));
        self.tally.count += 1;
        // Other receivers got what lies between.
        self.tally.sum = self.tally.sum.wrapping_add(item);
        self.disorder |= number < self.next[sender];
        self.next[sender] = number + 1;
    }
}

/// A column with all its ends.
pub(crate) struct Crowd<S, R> {
    pub(super) name: &'static str,
    pub(super) senders: Vec<S>,
    pub(super) receivers: Vec<R>,
    pub(super) wait: WaitStrategy,
    pub(super) cores: Cores,
    /// How long it may stand still before it counts as livelocked; a column that never should has no such time.
    livelock: Option<Duration>,
}

/// How many there are of either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
}

impl Shape {
    /// One of each: there is a core for either.
    pub(crate) fn is_pair(self) -> bool {
        self.senders == 1 && self.receivers == 1
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} threads", self.senders, self.receivers)
    }
}

impl<P, Q> Crowd<Single<P>, Single<Q>> {
    /// So many clones of either end.
    pub(crate) fn of(
        Ends { name, sender, receiver }: Ends<P, Q>,
        shape: Shape,
        wait: WaitStrategy,
        cores: &Cores,
    ) -> Crowd<Single<P>, Single<Q>>
    where
        P: Clone,
        Q: Clone,
    {
        let senders = iter::repeat_n(sender, shape.senders).collect();
        let receivers = iter::repeat_n(receiver, shape.receivers).collect();
        Crowd::with(name, (senders, receivers), wait, cores)
    }

    /// These ends.
    pub(crate) fn with(
        name: &'static str,
        (senders, receivers): (Vec<P>, Vec<Q>),
        wait: WaitStrategy,
        cores: &Cores,
    ) -> Crowd<Single<P>, Single<Q>> {
        Crowd {
            name,
            senders: senders.into_iter().map(Single::new).collect(),
            receivers: receivers.into_iter().map(Single::new).collect(),
            wait,
            cores: cores.clone(),
            livelock: None,
        }
    }

    pub(crate) fn in_batches(self) -> Crowd<Batched<P>, Batched<Q>> {
        Crowd {
            name: self.name,
            senders: self.senders.into_iter().map(|Single(sender)| Batched(sender)).collect(),
            receivers: self.receivers.into_iter().map(|Single(end)| Batched(end)).collect(),
            wait: self.wait,
            cores: self.cores,
            livelock: self.livelock,
        }
    }
}

impl<S, R> Crowd<S, R> {
    /// A column that is known to come to a standstill: it has so long until that is said.
    pub(crate) fn livelocks_after(self, time: Duration) -> Crowd<S, R> {
        Crowd { livelock: Some(time), ..self }
    }
}

#[inline(never)]
fn send_all<S: Sending>(sender: &mut S, place: usize, count: u64, mut patience: SpinWait) {
    let mut number = 0;
    while number < count {
        let sent = sender.send(place, number, count);
        number += sent;
        if sent == 0 && !patience.wait() {
            return;
        }
    }
}

/// Receives until all senders are done and nothing is left.
#[inline(never)]
pub(super) fn receive_all<R: Receiving>(
    receiver: &mut R,
    sending: &AtomicUsize,
    mut patience: SpinWait,
    mut each: impl FnMut(u64),
) -> Receipt {
    let mut receipt = Receipt::default();
    loop {
        let received = receiver.receive(&mut receipt);
        if received > 0 {
            each(received);
        } else if sending.load(Ordering::Acquire) == 0 {
            // What was sent before the last sender was done is there now.
            if receiver.receive(&mut receipt) == 0 {
                return receipt;
            }
        } else if !patience.wait() {
            receipt.gave_up = true;
            return receipt;
        }
    }
}

impl<S: Sending, R: Receiving> Crowd<S, R> {
    /// All that was sent, and nothing else, has to be in the receipts.
    pub(super) fn check(&self, sent: &[u64], receipts: &[Receipt]) -> Result<(), Mismatch> {
        let mut found = Tally::default();
        for receipt in receipts {
            if receipt.disorder {
                return Err(Mismatch::new(self.name, "items of one sender came out of order"));
            }
            found.count += receipt.tally.count;
            found.sum = found.sum.wrapping_add(receipt.tally.sum);
        }
        let mut expected = Tally::default();
        for (sender, count) in sent.iter().enumerate() {
            expected.count += count;
            let sum =
                (0..*count).fold(0, |sum: u64, number| sum.wrapping_add(item(sender, number)));
            expected.sum = expected.sum.wrapping_add(sum);
        }
        Mismatch::check(self.name, expected, found)
    }
}

impl<S: Sending, R: Receiving> Column for Crowd<S, R> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let share = (operations / self.senders.len()) as u64;
        let sending = &AtomicUsize::new(self.senders.len());
        let (wait, most) = (self.wait, self.livelock.unwrap_or(PATIENCE));
        let senders = self.senders.iter_mut().enumerate().map(|(place, sender)| {
            move || {
                let start = Instant::now();
                send_all(sender, place, share, SpinWait::new(wait, most));
                sending.fetch_sub(1, Ordering::Release);
                start
            }
        });
        let receivers = self.receivers.iter_mut().map(|receiver| {
            move || {
                let receipt = receive_all(receiver, sending, SpinWait::new(wait, most), |_| {});
                (Instant::now(), receipt)
            }
        });
        let (starts, received, ()) =
            threads::crowd(&self.cores, senders.collect(), receivers.collect(), || {});
        let (ends, receipts): (Vec<Instant>, Vec<Receipt>) = received.into_iter().unzip();
        let checked = self.check(&vec![share; self.senders.len()], &receipts);
        match (checked, self.livelock) {
            (Err(_), Some(_)) if receipts.iter().any(|receipt| receipt.gave_up) => {
                return Err(Mismatch::livelock(self.name));
            }
            (checked, _) => checked?,
        }
        let took = starts.iter().min().zip(ends.iter().max());
        Ok(took.map_or(Duration::ZERO, |(start, end)| *end - *start))
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
