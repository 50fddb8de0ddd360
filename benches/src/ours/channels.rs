//! The channels over our rings: for one sender and one receiver in both layouts.

use mycelium_core::channel::{spsc, stamped};

use crate::ends::{CAPACITY, Ends, awaited};

pub(crate) const STAMPED: &str = "our stamped channel";
pub(crate) const INDEX: &str = "our spsc channel";

const FITS: &str = "the capacity is a power of two";

awaited!(stamped() = STAMPED, stamped::bounded(CAPACITY).expect(FITS);
    stamped::Sender<u64>: |end, item| end.send(item).await.is_ok();
    stamped::Receiver<u64>: |end| end.recv().await);
awaited!(spsc() = INDEX, spsc::bounded(CAPACITY).expect(FITS);
    spsc::Sender<u64>: |end, item| end.send(item).await.is_ok();
    spsc::Receiver<u64>: |end| end.recv().await);
