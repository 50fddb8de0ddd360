//! The channel over our stamped ring, for one sender and one receiver.

use mycelium_core::channel::stamped;

use crate::ends::{CAPACITY, Ends, awaited};

pub(crate) const STAMPED: &str = "our stamped channel";

const FITS: &str = "the capacity is a power of two";

awaited!(stamped() = STAMPED, stamped::bounded(CAPACITY).expect(FITS);
    stamped::Sender<u64>: |end, item| end.send(item).await.is_ok();
    stamped::Receiver<u64>: |end| end.recv().await);
