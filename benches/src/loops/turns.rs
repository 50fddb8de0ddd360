//! Tasks that wait for room in one full channel: the share of each sender.
//!
//! The senders do nothing but send, so the channel is full whenever the receiver has not just
//! emptied it, and all of them wait most of the time.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Builder;

use crate::ends::{Ends, Receive, Transmit};
use crate::harness::{Column, Mismatch, Round};
use crate::machine::affinity::Cores;
use crate::report::Limit;

/// The number of senders.
pub(crate) const SENDERS: usize = 4;
/// The windows in which shares are counted. The first one is a warm-up and does not count.
pub(crate) const WINDOWS: usize = 5;

/// The threads of the runtime.
#[derive(Clone)]
pub(crate) enum Place {
    /// One thread, with all tasks on it: the same in each run, whatever the system's scheduler does.
    One,
    /// Two workers, each on a core.
    Workers(Cores),
}

/// Creates a column of the least share of a sender among `window` received items, as part of an
/// equal share. The goal is the least share that any sender may get in any window.
pub(crate) fn shares<T: Transmit + Clone, R: Receive>(
    ends: fn() -> Ends<T, R>,
    place: &Place,
    window: u64,
    goal: Option<f64>,
) -> Column {
    let (name, place) = (ends().name, place.clone());
    Column::new(name, move |_| {
        let runtime = match &place {
            Place::One => Builder::new_current_thread().build(),
            Place::Workers(cores) => {
                let (cores, started) = (cores.clone(), AtomicUsize::new(0));
                let pin = move || cores.pin_in_turn(started.fetch_add(1, Ordering::Relaxed));
                Builder::new_multi_thread().worker_threads(2).on_thread_start(pin).build()
            }
        };
        let runtime = runtime.map_err(|error| Mismatch::new(name, error.to_string()))?;
        let Ends { sender, mut receiver, .. } = ends();
        for index in 0..SENDERS as u64 {
            let mut sender = sender.clone();
            runtime.spawn(async move {
                let mut number = 0;
                while sender.transmit(index << 32 | number).await {
                    number += 1;
                }
            });
        }
        drop(sender);
        // The senders end with their receiver.
        let counted = runtime.block_on(runtime.spawn(async move {
            let mut counts = vec![[0; SENDERS]];
            for _ in 0..WINDOWS {
                let mut received = counts[counts.len() - 1];
                for _ in 0..window {
                    let item = receiver.receive().await?;
                    let count = &mut received[(item >> 32) as usize % SENDERS];
                    if item & u64::from(u32::MAX) != *count {
                        return None;
                    }
                    *count += 1;
                }
                counts.push(received);
            }
            Some(counts)
        }));
        let lost = || Mismatch::new(name, "an item was lost, or came out of order");
        let counts = counted.ok().flatten().ok_or_else(lost)?;
        let windows = counts[1..].windows(2).map(|pair| least_share(&pair[0], &pair[1]));
        let share = windows.fold(f64::INFINITY, f64::min);
        Ok(Round::Count("least share of a sender", share, goal.map(Limit::AtLeast)))
    })
}

/// Returns the least number that any sender moved between two counts, as part of an equal share.
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
