//! The broadcast channel of tokio: one sender, and every receiver gets every message.

use tokio::sync::broadcast;

use crate::ends::{CAPACITY, tried};
use crate::sample::Item;

tried!([T: Item] T; broadcast::Sender<T>: |end, item| end.send(*item).is_ok();
    broadcast::Receiver<T>: |end| end.try_recv().ok());

/// Makes a channel that overwrites items that were not received: for loops that never send more
/// than fits.
pub(crate) fn many<T: Clone>(
    readers: usize,
) -> (broadcast::Sender<T>, Vec<broadcast::Receiver<T>>) {
    let (sender, _) = broadcast::channel(CAPACITY);
    let receivers = (0..readers).map(|_| sender.subscribe()).collect();
    (sender, receivers)
}
