//! The broadcast channel of tokio: one sender, and every receiver gets every message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use tokio::sync::broadcast;

use crate::ends::{CAPACITY, Ends, Pop, Push, tried};
use crate::sample::{Item, Sample};

pub(crate) const TOKIO: &str = "tokio broadcast";

tried!([T: Item] T; broadcast::Sender<T>: |end, item| end.send(*item).is_ok();
    broadcast::Receiver<T>: |end| end.try_recv().ok());

/// tokio's broadcast without a check, for loops that never send more than fits.
pub(crate) fn many(
    readers: usize,
) -> (broadcast::Sender<Sample>, Vec<broadcast::Receiver<Sample>>) {
    let (sender, _) = broadcast::channel(CAPACITY);
    let receivers = (0..readers).map(|_| sender.subscribe()).collect();
    (sender, receivers)
}

/// A sender that waits for its receiver. Without this, tokio's overwrites what was not received.
pub(crate) struct TokioSender {
    sender: broadcast::Sender<Sample>,
    sent: u64,
    /// There is space for messages below this number.
    limit: u64,
    taken: Arc<CachePadded<AtomicU64>>,
}

pub(crate) struct TokioReceiver {
    receiver: broadcast::Receiver<Sample>,
    count: u64,
    taken: Arc<CachePadded<AtomicU64>>,
}

impl Push for TokioSender {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        if self.sent == self.limit {
            // Acquire pairs with the receiver's Release. Once per lap, as in our ring.
            self.limit = self.taken.load(Ordering::Acquire) + CAPACITY as u64;
            if self.sent == self.limit {
                return false;
            }
        }
        self.sent += 1;
        self.sender.send(*sample).is_ok()
    }
}

impl Pop for TokioReceiver {
    type Item = Sample;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        let sample = self.receiver.try_recv().ok()?;
        self.count += 1;
        self.taken.store(self.count, Ordering::Release);
        Some(read(&sample))
    }
}

/// tokio's broadcast with one receiver, which the sender waits for.
pub(crate) fn lossless() -> Ends<TokioSender, TokioReceiver> {
    let (sender, receiver) = broadcast::channel(CAPACITY);
    let taken = Arc::new(CachePadded::new(AtomicU64::new(0)));
    let receiver = TokioReceiver { receiver, count: 0, taken: taken.clone() };
    Ends::new(TOKIO, (TokioSender { sender, sent: 0, limit: CAPACITY as u64, taken }, receiver))
}
