//! gil: its queues for one sender and one receiver and for many, and the one with a shard for each sender.

use std::num::NonZeroUsize;

use gil::{mpmc, spsc};

use crate::ends::{CAPACITY, Ends, Pop, Push};
use crate::item::Item;

/// The fields of its receiver are public, so safe code can move its position and read a slot that holds nothing.
pub(crate) const GIL_SPSC: &str = "gil spsc (public positions)";
pub(crate) const GIL_MPMC: &str = "gil mpmc";
pub(crate) const GIL_SHARDED: &str = "gil sharded (FIFO per producer only)";

/// An end of one of its queues.
macro_rules! end {
    ($sender:ty; $receiver:ty) => {
        impl<T: Item> Push for $sender {
            type Item = T;

            #[inline]
            fn push(&mut self, item: &T) -> bool {
                self.try_send(*item).is_ok()
            }
        }

        impl<T: Item> Pop for $receiver {
            type Item = T;

            #[inline]
            fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
                self.try_recv().map(|item| read(&item))
            }
        }
    };
}

end!(spsc::Sender<T>; spsc::Receiver<T>);
end!(mpmc::Sender<T>; mpmc::Receiver<T>);
end!(mpmc::sharded::Sender<T>; mpmc::sharded::Receiver<T>);

fn some(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("there is at least one")
}

pub(crate) fn one<T: Item>() -> Ends<spsc::Sender<T>, spsc::Receiver<T>> {
    let (sender, receiver) = spsc::channel(some(CAPACITY));
    Ends { name: GIL_SPSC, sender, receiver }
}

pub(crate) fn many<T: Item>() -> Ends<mpmc::Sender<T>, mpmc::Receiver<T>> {
    let (sender, receiver) = mpmc::channel(some(CAPACITY));
    Ends { name: GIL_MPMC, sender, receiver }
}

/// The given number of ends. All shards together have room for as many items as another queue.
pub(crate) fn sharded<T: Item>(
    senders: usize,
    receivers: usize,
) -> (Vec<mpmc::sharded::Sender<T>>, Vec<mpmc::sharded::Receiver<T>>) {
    let shards = senders.max(receivers).next_power_of_two();
    let (sender, receiver) = mpmc::sharded::channel(some(shards), some(CAPACITY / shards));
    let more: Vec<_> =
        (1..senders).map(|_| sender.try_clone().expect("there is a shard for each")).collect();
    let others: Vec<_> =
        (1..receivers).map(|_| receiver.try_clone().expect("receivers share shards")).collect();
    let senders = std::iter::once(sender).chain(more).collect();
    (senders, std::iter::once(receiver).chain(others).collect())
}
