//! Channels that a task awaits.

use tokio::sync::mpsc;

use crate::ends::{CAPACITY, Ends, awaited};
use crate::rivals::TOKIO_MPSC;
#[cfg(feature = "rivals")]
use crate::rivals::{ASYNC_CHANNEL, KANAL};

awaited!(tokio_mpsc() = TOKIO_MPSC, mpsc::channel(CAPACITY);
    mpsc::Sender<u64>: |end, item| end.send(item).await.is_ok();
    mpsc::Receiver<u64>: |end| end.recv().await);
#[cfg(feature = "rivals")]
awaited!(async_channel() = ASYNC_CHANNEL, async_channel::bounded(CAPACITY);
    async_channel::Sender<u64>: |end, item| end.send(item).await.is_ok();
    async_channel::Receiver<u64>: |end| end.recv().await.ok());
#[cfg(feature = "rivals")]
awaited!(kanal() = KANAL, kanal::bounded_async(CAPACITY);
    kanal::AsyncSender<u64>: |end, item| end.send(item).await.is_ok();
    kanal::AsyncReceiver<u64>: |end| end.recv().await.ok());
