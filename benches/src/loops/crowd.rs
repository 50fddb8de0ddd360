//! Many senders and many receivers of one queue, possibly more threads than cores: throughput, and
//! the share of each thread.
//!
//! An item contains its sender and its number, so every receiver can check that the items of one
//! sender arrive in order. That holds for a FIFO queue, and for one that is FIFO per sender only.

use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::affinity::Cores;
use crate::ends::{Ends, Pop, PopMany, Push, PushMany};
use crate::harness::{Column, Count, Mismatch, Round};
use crate::report::Limit;
use crate::sample::Tally;
use crate::threads;
use crate::wait::{DEADLINE, Idle, Retry};

/// Items in a batch.
const BATCH: usize = 16;
/// The maximum number of senders.
const SENDERS: usize = 8;

/// A sending end, one by one or in batches.
pub(crate) trait Sending: Send {
    /// Sends up to a batch of items, from `number` on and below `end`, and returns how many.
    fn send(&mut self, sender: usize, number: u64, end: u64) -> u64;
}

/// A receiving end, one by one or in batches.
pub(crate) trait Receiving: Send {
    /// Receives up to a batch of items and returns how many.
    fn receive(&mut self, receipt: &mut Receipt) -> u64;
}

/// One by one. Padded like `ends::Bare`.
pub(crate) struct Single<E>(CachePadded<E>);

/// Up to [`BATCH`] at a time.
pub(crate) struct Batched<E>(CachePadded<E>);

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

/// The number of windows of time in which shares are measured.
pub(crate) const WINDOWS: usize = 2;

/// The items that one receiver got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipt {
    tally: Tally,
    /// For each sender, the least number that may follow.
    next: [u64; SENDERS],
    disorder: bool,
    gave_up: bool,
}

impl Receipt {
    #[inline]
    fn add(&mut self, item: u64) {
        let (sender, number) = ((item >> 32) as usize % SENDERS, item & u64::from(u32::MAX));
        self.tally.count += 1;
        self.tally.sum = self.tally.sum.wrapping_add(item);
        // Other receivers got the numbers between.
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

/// A column with all its ends.
pub(crate) struct Crowd<S, R> {
    name: &'static str,
    senders: Vec<S>,
    receivers: Vec<R>,
    idle: Idle,
    cores: Cores,
    /// For a column that is known to livelock: the time without progress that counts as one.
    livelock: Option<Duration>,
}

impl<P, Q> Crowd<Single<P>, Single<Q>> {
    /// Clones of either end.
    pub(crate) fn of(
        Ends { name, sender, receiver }: Ends<P, Q>,
        Shape { senders, receivers }: Shape,
        idle: Idle,
        cores: &Cores,
    ) -> Crowd<Single<P>, Single<Q>>
    where
        P: Clone,
        Q: Clone,
    {
        let senders = iter::repeat_n(sender, senders).collect();
        let receivers = iter::repeat_n(receiver, receivers).collect();
        Crowd::with(name, (senders, receivers), idle, cores)
    }

    /// These ends.
    pub(crate) fn with(
        name: &'static str,
        (senders, receivers): (Vec<P>, Vec<Q>),
        idle: Idle,
        cores: &Cores,
    ) -> Crowd<Single<P>, Single<Q>> {
        let senders = senders.into_iter().map(|end| Single(CachePadded::new(end))).collect();
        let receivers = receivers.into_iter().map(|end| Single(CachePadded::new(end))).collect();
        Crowd { name, senders, receivers, idle, cores: cores.clone(), livelock: None }
    }

    pub(crate) fn in_batches(self) -> Crowd<Batched<P>, Batched<Q>> {
        let Crowd { name, senders, receivers, idle, cores, livelock } = self;
        let senders = senders.into_iter().map(|Single(end)| Batched(end)).collect();
        let receivers = receivers.into_iter().map(|Single(end)| Batched(end)).collect();
        Crowd { name, senders, receivers, idle, cores, livelock }
    }
}

#[inline(never)]
fn send_all<S: Sending>(sender: &mut S, index: usize, count: u64, mut retry: Retry) {
    let mut number = 0;
    while number < count {
        let sent = sender.send(index, number, count);
        number += sent;
        if sent == 0 && !retry.wait() {
            return;
        }
    }
}

/// Receives until all senders have ended and the queue is empty.
#[inline(never)]
fn receive_all<R: Receiving>(
    receiver: &mut R,
    sending: &AtomicUsize,
    mut retry: Retry,
    mut each: impl FnMut(u64),
) -> Receipt {
    let mut receipt = Receipt::default();
    loop {
        let received = receiver.receive(&mut receipt);
        if received > 0 {
            each(received);
        } else if sending.load(Ordering::Acquire) == 0 {
            // All items that were sent are visible now.
            if receiver.receive(&mut receipt) == 0 {
                return receipt;
            }
        } else if !retry.wait() {
            receipt.gave_up = true;
            return receipt;
        }
    }
}

impl<S: Sending, R: Receiving> Crowd<S, R> {
    /// A column that may livelock, after this time without progress.
    pub(crate) fn livelocks_after(self, time: Duration) -> Crowd<S, R> {
        Crowd { livelock: Some(time), ..self }
    }

    /// Checks that the receipts contain each item that was sent once.
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
}

impl<S: Sending + 'static, R: Receiving + 'static> Crowd<S, R> {
    /// A column of the throughput.
    pub(crate) fn throughput(mut self) -> Column {
        Column::new(self.name, move |operations| self.round(operations))
    }

    fn round(&mut self, operations: usize) -> Result<Round, Mismatch> {
        let share = (operations / self.senders.len()) as u64;
        let sending = &AtomicUsize::new(self.senders.len());
        let (idle, deadline) = (self.idle, self.livelock.unwrap_or(DEADLINE));
        let senders = self.senders.iter_mut().enumerate().map(|(index, sender)| {
            move || {
                let start = Instant::now();
                send_all(sender, index, share, Retry::new(idle, deadline));
                sending.fetch_sub(1, Ordering::Release);
                start
            }
        });
        let receivers = self.receivers.iter_mut().map(|receiver| {
            move || {
                let receipt = receive_all(receiver, sending, Retry::new(idle, deadline), |_| {});
                (Instant::now(), receipt)
            }
        });
        let (starts, received, ()) =
            threads::crowd(&self.cores, senders.collect(), receivers.collect(), || {});
        let (ends, receipts): (Vec<Instant>, Vec<Receipt>) = received.into_iter().unzip();
        let checked = self.check(&vec![share; self.senders.len()], &receipts);
        let gave_up = receipts.iter().any(|receipt| receipt.gave_up);
        if checked.is_err() && self.livelock.is_some() && gave_up {
            return Ok(Round::Livelock);
        }
        checked?;
        let took = starts.iter().min().zip(ends.iter().max());
        Ok(Round::Total(took.map_or(Duration::ZERO, |(start, end)| *end - *start)))
    }

    /// A column of the shares: the items that each thread moves in a window of time. The goal is
    /// the least part of an equal share that any thread may get.
    pub(crate) fn shares(mut self, window: Duration, goal: Option<f64>) -> Column {
        Column::new(self.name, move |_| self.watch(window, goal))
    }

    fn watch(&mut self, window: Duration, goal: Option<f64>) -> Result<Round, Mismatch> {
        let Crowd { senders, receivers, idle, cores, .. } = self;
        let counters = |count| (0..count).map(|_| CachePadded::new(AtomicU64::new(0))).collect();
        let (sent, received): (Vec<_>, Vec<_>) =
            (counters(senders.len()), counters(receivers.len()));
        let (stop, sending) = (&AtomicBool::new(false), &AtomicUsize::new(senders.len()));
        let retry = || Retry::new(*idle, DEADLINE);
        let senders = senders.iter_mut().zip(&sent).enumerate().map(|(index, (sender, sent))| {
            let mut retry = retry();
            move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let count = sender.send(index, number, u64::MAX);
                    number += count;
                    sent.store(number, Ordering::Relaxed);
                    if count == 0 && !retry.wait() {
                        break;
                    }
                }
                sending.fetch_sub(1, Ordering::Release);
            }
        });
        let receivers = receivers.iter_mut().zip(&received).map(|(receiver, received)| {
            let (mut total, retry) = (0, retry());
            move || {
                receive_all(receiver, sending, retry, |count| {
                    total += count;
                    received.store(total, Ordering::Relaxed);
                })
            }
        });
        let read = |counters: &[CachePadded<AtomicU64>]| -> Vec<u64> {
            counters.iter().map(|counter| counter.load(Ordering::Relaxed)).collect()
        };
        let watch = || {
            let start = Instant::now();
            let reads = (0..=WINDOWS as u32).map(|number| {
                thread::sleep((window * number).saturating_sub(start.elapsed()));
                (read(&sent), read(&received))
            });
            let reads: (Vec<_>, Vec<_>) = reads.unzip();
            stop.store(true, Ordering::Relaxed);
            (reads, start.elapsed())
        };
        let (_, receipts, ((sent_by, received_by), took)) =
            threads::crowd(cores, senders.collect(), receivers.collect(), watch);
        let sent = read(&sent);
        self.check(&sent, &receipts)?;
        let limit = goal.map(Limit::AtLeast);
        let least = |what, reads: &[Vec<u64>]| {
            let windows = reads.windows(2).map(|pair| least_share(&pair[0], &pair[1]));
            Count { what, value: windows.fold(f64::INFINITY, f64::min), limit }
        };
        let throughput = sent.iter().sum::<u64>() as f64 / took.as_secs_f64() / 1e6;
        Ok(Round::Counts(vec![
            least("least share of a sender", &sent_by),
            least("least share of a receiver", &received_by),
            Count::new("million items per second", throughput),
        ]))
    }
}

/// The least that any thread moved between two reads, as part of an equal share.
fn least_share(before: &[u64], after: &[u64]) -> f64 {
    let moved = before.iter().zip(after).map(|(before, after)| after - before);
    let (least, all) =
        moved.fold((u64::MAX, 0), |(least, all), moved| (moved.min(least), all + moved));
    if all == 0 { 0.0 } else { least as f64 * before.len() as f64 / all as f64 }
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

    #[test]
    fn the_least_share_is_of_the_window() {
        assert_eq!(least_share(&[10, 10], &[20, 40]), 0.5);
        assert_eq!(least_share(&[7], &[9]), 1.0);
        assert_eq!(least_share(&[7, 7], &[7, 7]), 0.0);
    }
}
