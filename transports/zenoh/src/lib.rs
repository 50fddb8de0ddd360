//! Topics over [Zenoh](https://zenoh.io): nodes on any number of hosts find each other, without
//! addresses in a file.
//!
//! [`Zenoh`] is a [`Transport`](mycelium_transports::seam::Transport) for the topics of a node. It
//! runs an embedded peer of Zenoh, or a client of a router, on threads of its own, so it serves
//! services on every executor. Readers may come and go. Zenoh has no credit, so a subscription over
//! it drops messages (`drop-oldest`, `latest` or `drop-newest`). A lost packet is a gap with the
//! exact number of messages; the loss of the last ones before a pause is told by the next list of
//! streams, one a second. A process that is away for 10 seconds ends with an inexact gap.
//!
//! A publisher waits only for the peer in its own process: while its ring is full, until the peer
//! has passed the messages to Zenoh. If the queue to a reader is full, that takes a millisecond for
//! each packet of up to 32 KiB, which is dropped then.
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
//! Without one, the program names the topics, and only the policies of subscriptions are checked:
//!
//! ```
//! use mycelium::{Context, Node, Policy, Result, message, service};
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
//! struct Board;
//!
//! #[service(reads(Price))]
//! impl Board {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         let mut prices = ctx.subscribe::<Price>()?;
//!         while prices.recv().await.is_some() {}
//!         Ok(())
//!     }
//! }
//!
//! let feed = Node::builder("feed").service(|| Feed);
//! let feed = feed.transport(Zenoh::peer(), &["prices"], &[]).build()?;
//!
//! let board = Node::builder("board").service(|| Board);
//! let board = board.subscription("Board", "prices", Policy::DropOldest);
//! let board = board.transport(Zenoh::peer(), &[], &["prices"]).build()?;
//! # Ok::<(), mycelium::error::BuildError>(())
//! ```
//!
//! # Keys
//!
//! A topic's packets ([`engine`](mycelium_transports::engine)) are put under
//! `mycelium/<topic>/<digest of the layout>/<node>-<number of the process>`, where a liveliness
//! token says that the process is present. Names have [other
//! characters](mycelium_transports::engine::key_part) escaped. A reader gets the messages of nodes
//! with the layout that it knows, and its node warns of the first with another one. Nodes that must
//! not meet use Zenoh's own `namespace`.
//!
//! # Configuration
//!
//! The file of Zenoh, in JSON5: peers with fixed addresses and without multicast,
//!
//! ```json5
//! {
//!   listen: { endpoints: ["tcp/0.0.0.0:7447"] },
//!   connect: { endpoints: ["tcp/10.0.0.2:7447", "tcp/10.0.0.3:7447"] },
//!   scouting: { multicast: { enabled: false } },
//! }
//! ```
//!
//! or a client of a router, `{ mode: "client", connect: { endpoints: ["tcp/10.0.0.1:7447"] } }`. The
//! protocols are `tcp`, `tls` and `udp`. Access control must allow to put, to subscribe, and to
//! declare and watch liveliness tokens, below `mycelium/`.
//!
//! # Security
//!
//! By default a peer listens at all interfaces, and finds others by multicast, without proofs of
//! who they are: anybody in the network can read and publish the topics. A [file of
//! Zenoh](Zenoh::from_file) sets TLS, access control and addresses.

mod config;
mod run;

pub use config::Zenoh;
