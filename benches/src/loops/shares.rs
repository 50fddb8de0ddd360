//! A crowd that is watched while it runs: how much each thread moves over each window of time.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::harness::Mismatch;
use crate::loops::crowd::{Crowd, Receiving, Sending, receive_all};
use crate::threads;
use crate::wait::{PATIENCE, SpinWait};

/// What the worst served threads of a run got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Least {
    pub(crate) senders: f64,
    pub(crate) receivers: f64,
    /// Items a second.
    pub(crate) throughput: f64,
}

/// A column that can be watched while it runs.
pub(crate) trait Watched {
    fn name(&self) -> &'static str;

    /// Runs for so many windows and says what each thread got at least in any.
    fn watch(&mut self, window: Duration, windows: usize) -> Result<Least, Mismatch>;
}

impl<S: Sending, R: Receiving> Watched for Crowd<S, R> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn watch(&mut self, window: Duration, windows: usize) -> Result<Least, Mismatch> {
        let counters = |count| (0..count).map(|_| CachePadded::new(AtomicU64::new(0))).collect();
        let (sent, received): (Vec<_>, Vec<_>) =
            (counters(self.senders.len()), counters(self.receivers.len()));
        let (stop, sending) = (&AtomicBool::new(false), &AtomicUsize::new(self.senders.len()));
        let wait = self.wait;
        let senders =
            self.senders.iter_mut().zip(&sent).enumerate().map(|(place, (sender, sent))| {
                move || {
                    let mut patience = SpinWait::new(wait, PATIENCE);
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let count = sender.send(place, number, u64::MAX);
                        number += count;
                        sent.store(number, Ordering::Relaxed);
                        if count == 0 && !patience.wait() {
                            break;
                        }
                    }
                    sending.fetch_sub(1, Ordering::Release);
                }
            });
        let receivers = self.receivers.iter_mut().zip(&received).map(|(receiver, received)| {
            let mut total = 0;
            move || {
                receive_all(receiver, sending, SpinWait::new(wait, PATIENCE), |count| {
                    total += count;
                    received.store(total, Ordering::Relaxed);
                })
            }
        });
        let look = || {
            let look = |counters: &[CachePadded<AtomicU64>]| {
                counters.iter().map(|counter| counter.load(Ordering::Relaxed)).collect::<Vec<u64>>()
            };
            (look(&sent), look(&received))
        };
        let watch = || {
            let start = Instant::now();
            let looks: Vec<_> = (0..=windows)
                .map(|number| {
                    let due = window * number as u32;
                    thread::sleep(due.saturating_sub(start.elapsed()));
                    look()
                })
                .collect();
            stop.store(true, Ordering::Relaxed);
            (looks, start.elapsed())
        };
        let (_, receipts, (looks, took)) =
            threads::crowd(&self.cores, senders.collect(), receivers.collect(), watch);
        let sent: Vec<u64> = look().0;
        self.check(&sent, &receipts)?;
        let (sent_by, received_by): (Vec<_>, Vec<_>) = looks.into_iter().unzip();
        let least = |looks: &[Vec<u64>]| {
            let windows = looks.windows(2).map(|pair| least_share(&pair[0], &pair[1]));
            windows.fold(f64::INFINITY, f64::min)
        };
        Ok(Least {
            senders: least(&sent_by),
            receivers: least(&received_by),
            throughput: sent.iter().sum::<u64>() as f64 / took.as_secs_f64(),
        })
    }
}

/// The least that any thread moved between two looks, by what it would be if all had moved the same.
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
    fn the_least_share_is_of_the_window() {
        assert_eq!(least_share(&[10, 10], &[20, 40]), 0.5);
        assert_eq!(least_share(&[7], &[9]), 1.0);
        assert_eq!(least_share(&[7, 7], &[7, 7]), 0.0);
    }
}
