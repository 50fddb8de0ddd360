//! Topics over [Zenoh](https://zenoh.io): nodes on any number of hosts find each other, without
//! addresses in a file.
//!
//! [`Zenoh`] is a [`Transport`](mycelium_transports::seam::Transport) for the topics of a node. It runs an embedded peer of Zenoh, or a
//! client of a router, on threads of its own, so it serves services on every executor. Readers may
//! come and go. They never block publishers: Zenoh has no credit, so a subscription over it drops
//! messages (`drop-oldest`, `latest` or `drop-newest`), and each message that is lost is a gap with
//! the exact number. A loss at the very end is told within 2 seconds.
//!
//! A publisher waits only for the peer in its own process: while its ring is full, until the peer
//! has passed the messages to Zenoh, which drops a packet of some 400 messages if its queue to a
//! reader has no room for a millisecond.
//!
//! With a topology file, a topic takes this way by one line, and the program by another:
//!
//! ```toml
//! [topic.prices]
//! transport = "zenoh"
//! ```
//!
//! ```
//! # use mycelium::Node;
//! let builder = Node::builder("feed").engine::<mycelium_zenoh::Zenoh>();
//! ```
//!
//! Without one, the program names the topics:
//!
//! ```
//! use mycelium::{Context, Node, Result, message, service};
//! use mycelium_zenoh::Zenoh;
//!
//! #[message(topic = "prices", id = 1)]
//! struct Price {
//!     cents: u64,
//! }
//!
//! struct Feed;
//!
//! #[service(emits(Price))]
//! impl Feed {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         ctx.emit(Price { cents: 1250 }).await?;
//!         Ok(())
//!     }
//! }
//!
//! let node = Node::builder("feed").service(|| Feed);
//! let node = node.transport(Zenoh::peer(), &["prices"], &[]).build()?;
//! # Ok::<(), mycelium::error::BuildError>(())
//! ```
//!
//! # Keys
//!
//! A topic's packets ([`engine`](mycelium_transports::engine)) are put under
//! `mycelium/<topic>/<digest of the layout>/<node>-<number of the process>`, where a liveliness
//! token says that the process is present. Names have [other
//! characters](mycelium_transports::engine::key_part) escaped. A reader gets the messages of nodes
//! with the layout that it knows, and warns once of each with another one. Nodes that must not meet
//! use Zenoh's own `namespace`.
//!
//! # Security
//!
//! By default a peer listens at all interfaces, and finds others by multicast, without proofs of
//! who they are: anybody in the network can read and publish the topics. A [file of
//! Zenoh](Zenoh::from_file) sets TLS, access control and addresses.

mod config;
mod run;

pub use config::Zenoh;
