//! Our channels that a task awaits.

use mycelium_core::channel::{mpmc, mpsc, stamped};

use crate::ends::{CAPACITY, Ends, awaited};

pub(crate) const STAMPED: &str = "our stamped channel";
const SEVERAL: &str = "our mpmc channel";
const MAILBOX: &str = "our mpsc channel";

const FITS: &str = "the capacity is a power of two";

awaited!(stamped() = STAMPED, stamped::bounded(CAPACITY).expect(FITS);
    stamped::Sender<u64>: |end, item| end.send(item).await.is_ok();
    stamped::Receiver<u64>: |end| end.recv().await);
awaited!(several() = SEVERAL, mpmc::bounded(CAPACITY).expect(FITS);
    mpmc::Sender<u64>: |end, item| end.send(item).await.is_ok();
    mpmc::Receiver<u64>: |end| end.recv().await);
awaited!(mailbox() = MAILBOX, mpsc::bounded(CAPACITY).expect(FITS);
    mpsc::Sender<u64>: |end, item| end.send(item).await.is_ok();
    mpsc::Receiver<u64>: |end| end.recv().await);
