//! Channels on which a task sleeps until something arrives: tokio's mpsc, async-channel, flume, kanal, crossfire,
//! rapidfire.

use crossfire::{AsyncRx, AsyncTx, spsc};
use tokio::sync::mpsc;

use crate::ends::{CAPACITY, Ends, Receive, Transmit};
use crate::rivals::channels::{ASYNC_CHANNEL, CROSSFIRE_SPSC, FLUME, KANAL, RAPIDFIRE, TOKIO_MPSC};

impl Transmit for mpsc::Sender<u64> {
    async fn transmit(&mut self, item: u64) -> bool {
        self.send(item).await.is_ok()
    }
}

impl Receive for mpsc::Receiver<u64> {
    async fn receive(&mut self) -> Option<u64> {
        self.recv().await
    }
}

pub(crate) fn tokio_mpsc() -> Ends<mpsc::Sender<u64>, mpsc::Receiver<u64>> {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    Ends { name: TOKIO_MPSC, sender, receiver }
}

impl Transmit for async_channel::Sender<u64> {
    async fn transmit(&mut self, item: u64) -> bool {
        self.send(item).await.is_ok()
    }
}

impl Receive for async_channel::Receiver<u64> {
    async fn receive(&mut self) -> Option<u64> {
        self.recv().await.ok()
    }
}

pub(crate) fn async_channel() -> Ends<async_channel::Sender<u64>, async_channel::Receiver<u64>> {
    let (sender, receiver) = async_channel::bounded(CAPACITY);
    Ends { name: ASYNC_CHANNEL, sender, receiver }
}

impl Transmit for flume::Sender<u64> {
    async fn transmit(&mut self, item: u64) -> bool {
        self.send_async(item).await.is_ok()
    }
}

impl Receive for flume::Receiver<u64> {
    async fn receive(&mut self) -> Option<u64> {
        self.recv_async().await.ok()
    }
}

pub(crate) fn flume() -> Ends<flume::Sender<u64>, flume::Receiver<u64>> {
    let (sender, receiver) = flume::bounded(CAPACITY);
    Ends { name: FLUME, sender, receiver }
}

impl Transmit for kanal::AsyncSender<u64> {
    async fn transmit(&mut self, item: u64) -> bool {
        self.send(item).await.is_ok()
    }
}

impl Receive for kanal::AsyncReceiver<u64> {
    async fn receive(&mut self) -> Option<u64> {
        self.recv().await.ok()
    }
}

pub(crate) fn kanal() -> Ends<kanal::AsyncSender<u64>, kanal::AsyncReceiver<u64>> {
    let (sender, receiver) = kanal::bounded_async(CAPACITY);
    Ends { name: KANAL, sender, receiver }
}

impl Transmit for AsyncTx<spsc::Array<u64>> {
    async fn transmit(&mut self, item: u64) -> bool {
        self.send(item).await.is_ok()
    }
}

impl Receive for AsyncRx<spsc::Array<u64>> {
    async fn receive(&mut self) -> Option<u64> {
        self.recv().await.ok()
    }
}

pub(crate) fn crossfire() -> Ends<AsyncTx<spsc::Array<u64>>, AsyncRx<spsc::Array<u64>>> {
    let (sender, receiver) = spsc::bounded_async(CAPACITY);
    Ends { name: CROSSFIRE_SPSC, sender, receiver }
}

impl Transmit for rapidfire::Sender<u64> {
    async fn transmit(&mut self, item: u64) -> bool {
        self.send(item).await.is_ok()
    }
}

impl Receive for rapidfire::Receiver<u64> {
    async fn receive(&mut self) -> Option<u64> {
        self.recv().await.ok()
    }
}

pub(crate) fn rapidfire() -> Ends<rapidfire::Sender<u64>, rapidfire::Receiver<u64>> {
    let (sender, receiver) = rapidfire::bounded(CAPACITY);
    Ends { name: RAPIDFIRE, sender, receiver }
}
