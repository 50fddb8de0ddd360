//! Channels that a task awaits.

use crossfire::{AsyncRx, AsyncTx, spsc};
use tokio::sync::mpsc;

use crate::ends::{CAPACITY, Ends, awaited};
use crate::rivals::many::{ASYNC_CHANNEL, CROSSFIRE_SPSC, FLUME, KANAL, RAPIDFIRE, TOKIO_MPSC};

awaited!(tokio_mpsc() = TOKIO_MPSC, mpsc::channel(CAPACITY);
    mpsc::Sender<u64>: |end, item| end.send(item).await.is_ok();
    mpsc::Receiver<u64>: |end| end.recv().await);
awaited!(async_channel() = ASYNC_CHANNEL, async_channel::bounded(CAPACITY);
    async_channel::Sender<u64>: |end, item| end.send(item).await.is_ok();
    async_channel::Receiver<u64>: |end| end.recv().await.ok());
awaited!(flume() = FLUME, flume::bounded(CAPACITY);
    flume::Sender<u64>: |end, item| end.send_async(item).await.is_ok();
    flume::Receiver<u64>: |end| end.recv_async().await.ok());
awaited!(kanal() = KANAL, kanal::bounded_async(CAPACITY);
    kanal::AsyncSender<u64>: |end, item| end.send(item).await.is_ok();
    kanal::AsyncReceiver<u64>: |end| end.recv().await.ok());
awaited!(crossfire() = CROSSFIRE_SPSC, spsc::bounded_async(CAPACITY);
    AsyncTx<spsc::Array<u64>>: |end, item| end.send(item).await.is_ok();
    AsyncRx<spsc::Array<u64>>: |end| end.recv().await.ok());
awaited!(rapidfire() = RAPIDFIRE, rapidfire::bounded(CAPACITY);
    rapidfire::Sender<u64>: |end, item| end.send(item).await.is_ok();
    rapidfire::Receiver<u64>: |end| end.recv().await.ok());
