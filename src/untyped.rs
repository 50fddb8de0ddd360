//! Topics whose message types are not known at compile time: for tools and recorders.
//!
//! [`UntypedPeer`] connects to a node, lists its topics ([`CatalogueEntry`]), and reads a topic as
//! an observing reader: the publisher never waits for it, and messages that it missed are a gap
//! with their exact number. An [`UntypedReader`] delivers the bytes of messages with their
//! [`Layout`], which it has requested from the node. [`Layout::view`] decodes the bytes; `mycelium
//! tap` prints the values.
//!
//! With a topology, `Topology::reach` returns the endpoints of a node. Without a topology, the
//! sockets of nodes on this machine are in the [private directories](private_directories). A node
//! from which no other node reads listens only if its key `observers` requests it.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use mycelium::Start;
//! use mycelium::untyped::{Access, Endpoint, Identity, LinkConfig};
//! use mycelium::untyped::{UntypedDelivery, UntypedPeer};
//!
//! # async fn record() -> Result<(), Box<dyn std::error::Error>> {
//! let feed = UntypedPeer {
//!     node: Some("feed".to_owned()),
//!     endpoints: vec![Endpoint::unix("/run/app/feed.sock", Access::default())],
//!     identity: Identity::new("recorder", 4711)?,
//!     config: LinkConfig::default(),
//!     executor: Arc::new(mycelium::execution::tokio::Tokio::current()?),
//! };
//! let mut swaps = feed.read("swaps", Start::Next)?;
//! while let Some(delivery) = swaps.recv().await? {
//!     match delivery {
//!         UntypedDelivery::Message(swap) => println!("{} {}", swap.sequence, swap.view()?),
//!         UntypedDelivery::Gap { missed, .. } => println!("gap {missed}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub use mycelium_transports::untyped::*;
pub use mycelium_transports::{private_directories, private_directory};

#[cfg(feature = "describe")]
pub use crate::service::stand_in::{Emits, StandIn};
#[cfg(feature = "topology")]
pub use crate::topology::ReachError;
