//! The channels over our rings: for one sender and one receiver in both layouts, and for many.

use mycelium_core::channel::{mpmc, spsc, stamped};

use crate::ends::{CAPACITY, Ends, Receive, Transmit};

pub(crate) const STAMPED: &str = "our stamped channel";
pub(crate) const INDEX: &str = "our spsc channel";
pub(crate) const MPMC: &str = "our mpmc channel";

/// A column of a kind of channel.
macro_rules! column {
    ($kind:ident, $name:ident) => {
        impl Transmit for $kind::Sender<u64> {
            async fn transmit(&mut self, item: u64) -> bool {
                self.send(item).await.is_ok()
            }
        }

        impl Receive for $kind::Receiver<u64> {
            async fn receive(&mut self) -> Option<u64> {
                self.recv().await
            }
        }

        pub(crate) fn $kind() -> Ends<impl Transmit, impl Receive> {
            let (sender, receiver) = $kind::bounded(CAPACITY).expect("a power of two");
            Ends { name: $name, sender, receiver }
        }
    };
}

column!(stamped, STAMPED);
column!(spsc, INDEX);
column!(mpmc, MPMC);
