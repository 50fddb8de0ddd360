//! Channels for many senders and many receivers, without waiting: crossbeam's, flume, kanal, async-channel, crossfire,
//! rapidfire; crossfire's for one of each; and tokio's mpsc.

use crossfire::{MRx, MTx, Rx, Tx, mpmc, spsc};
use tokio::sync::mpsc;

use crate::ends::{CAPACITY, Ends, Pop, Push};
use crate::item::Item;

pub(crate) const CROSSBEAM: &str = "crossbeam-channel";
pub(crate) const FLUME: &str = "flume";
pub(crate) const KANAL: &str = "kanal";
pub(crate) const ASYNC_CHANNEL: &str = "async-channel";
pub(crate) const CROSSFIRE: &str = "crossfire";
pub(crate) const CROSSFIRE_SPSC: &str = "crossfire spsc";
pub(crate) const RAPIDFIRE: &str = "rapidfire";
pub(crate) const TOKIO_MPSC: &str = "tokio mpsc";

/// A channel whose ends say it in results: `channel!(name, constructor; sender; receiver)`.
macro_rules! channel {
    ($function:ident, $name:ident, $new:expr; $sender:ty; $receiver:ty) => {
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
                self.try_recv().ok().map(|item| read(&item))
            }
        }

        pub(crate) fn $function<T: Item>() -> Ends<$sender, $receiver> {
            let (sender, receiver) = $new(CAPACITY);
            Ends { name: $name, sender, receiver }
        }
    };
}

channel!(crossbeam, CROSSBEAM, crossbeam_channel::bounded;
    crossbeam_channel::Sender<T>; crossbeam_channel::Receiver<T>);
channel!(flume, FLUME, flume::bounded; flume::Sender<T>; flume::Receiver<T>);
channel!(async_channel, ASYNC_CHANNEL, async_channel::bounded;
    async_channel::Sender<T>; async_channel::Receiver<T>);
channel!(crossfire, CROSSFIRE, mpmc::bounded_blocking; MTx<mpmc::Array<T>>; MRx<mpmc::Array<T>>);
channel!(crossfire_spsc, CROSSFIRE_SPSC, spsc::bounded_blocking;
    Tx<spsc::Array<T>>; Rx<spsc::Array<T>>);
channel!(rapidfire, RAPIDFIRE, rapidfire::bounded; rapidfire::Sender<T>; rapidfire::Receiver<T>);
channel!(tokio_mpsc, TOKIO_MPSC, mpsc::channel; mpsc::Sender<T>; mpsc::Receiver<T>);

impl<T: Item> Push for kanal::Sender<T> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        self.try_send(*item) == Ok(true)
    }
}

impl<T: Item> Pop for kanal::Receiver<T> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        self.try_recv().ok().flatten().map(|item| read(&item))
    }
}

pub(crate) fn kanal<T: Item>() -> Ends<kanal::Sender<T>, kanal::Receiver<T>> {
    let (sender, receiver) = kanal::bounded(CAPACITY);
    Ends { name: KANAL, sender, receiver }
}
