//! Topics over [NATS](https://nats.io): nodes on any number of hosts that know the address of a
//! server or cluster alone.
//!
//! There are two [transports](mycelium_transports::seam::Transport):
//!
//! | | [`Nats`] | [`JetStream`] |
//! | --- | --- | --- |
//! | the server | passes messages to the readers that there are | stores them in a stream for each topic |
//! | a slow or absent reader | loses messages, which are an exact gap | gets them later |
//! | policies of subscriptions | those that drop messages | all |
//! | `start = "oldest"` | an error | begins with the oldest stored message |
//! | while the server is away | messages are dropped, which is an exact gap | publishers wait when their rings are full |
//!
//! With a topology file, a topic takes one of these ways by one line, and the program by another:
//!
//! ```toml
//! [topic.swaps]
//! transport = "jetstream"
//!
//! [engine.jetstream]
//! config = "nats.json"     # { "url": "nats://10.0.0.1:4222" }
//! ```
//!
//! ```
//! # use mycelium::Node;
//! let builder = Node::builder("feed").engine::<mycelium_nats::JetStream>();
//! ```
//!
//! Without one, the program names the topics:
//!
//! ```
//! use mycelium::{Context, Node, Result, message, service};
//! use mycelium_nats::JetStream;
//!
//! #[message(topic = "swaps", id = 1)]
//! struct Swap {
//!     amount: u64,
//! }
//!
//! struct Feed;
//!
//! #[service(emits(Swap))]
//! impl Feed {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         ctx.emit(Swap { amount: 1250 }).await?;
//!         Ok(())
//!     }
//! }
//!
//! struct Ledger;
//!
//! #[service(reads(Swap))]
//! impl Ledger {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         let mut swaps = ctx.subscribe::<Swap>()?;
//!         while swaps.recv().await.is_some() {}
//!         Ok(())
//!     }
//! }
//!
//! let server = || JetStream::server("nats://10.0.0.1:4222");
//! let feed = Node::builder("feed").service(|| Feed);
//! let feed = feed.transport(server(), &["swaps"], &[]).build()?;
//!
//! let ledger = Node::builder("ledger").service(|| Ledger);
//! let ledger = ledger.transport(server(), &[], &["swaps"]).build()?;
//! # Ok::<(), mycelium::error::BuildError>(())
//! ```
//!
//! # Readers of a stream
//!
//! A `block` or `reject` subscription has a place in the stream, which the server stores under
//! the name of the node, ten times a second and at the end of the node. The next process of the
//! node goes on there. After a kill it gets the messages again that were finished since, and all
//! that were stored before its start are marked as `redelivered`. If no subscription of the topic
//! in the node has a place, they begin at their `start` each time: at the next message, the oldest
//! stored one, the first one since a time, or at a position of the stream, in the middle of the
//! streams of publishers that have begun before. A time or a position that has not come is an error
//! of the start. A node gets its own messages in its process alone, not from the stream, so
//! processes that have the name of the same node do not get each other's.
//!
//! A process that is killed has perhaps not stored its last messages: readers get an inexact gap
//! when another process of its node has stored messages for 10 seconds. What the server removes
//! before it is read is an inexact gap, and an exact one for publishers that go on. If the server
//! comes back with an older store, nodes that are running are warned, their readers get an inexact
//! gap, and then what was stored since; a message of a work queue that was finished later comes
//! again.
//!
//! # Work queues
//!
//! With `work_queue = true` of its topic, or [`JetStream::work_queue`], each message goes to one of
//! the nodes that read the topic, and is gone when that one has finished it:
//!
//! ```toml
//! [topic.jobs]
//! transport = "jetstream"
//! work_queue = true
//! ```
//!
//! - A node asks for the next message when it has finished one; for up to 32 at once while its
//!   reader is quick. When the reader gets slow, all but two go to other nodes.
//! - A message goes to another node at once if its node ends in order or gives it back unread, and
//!   10 seconds after the last sign of a node that was killed, frozen or cut off. It is then marked
//!   as `redelivered`, also if no reader has seen it, and a node has one of these at a time. It may
//!   be finished twice.
//! - After `dead_letter_after` processes (3) that were killed, frozen or cut off while they had it,
//!   a message is a dead letter; so is one at which a service has failed twice, and a packet that
//!   is not valid. It is moved to the stream `mycelium-dead-letters`, with a reason
//!   (`Mycelium-Reason`), and at most one a second is logged. The first two are also a `DeadLetter`
//!   in the node that had them last. The stream grows until it is purged; `nats stream view
//!   mycelium-dead-letters` shows it. A message that would be longer than `max_payload` there is
//!   cut.
//! - Readers see one publisher, `jetstream`, whose messages are those that came to their node, in
//!   no order. A publisher whose connection was cut for longer than the stream's `duplicate_window`
//!   (two minutes) may store its last messages twice.
//! - A node has one `block` or `reject` subscription of the topic, and does not emit it. The
//!   oldest message that nobody has comes first; another `start` in a topology is an error.
//! - Nodes with another layout of the messages do not get them, so they wait for one with this
//!   layout.
//!
//! # Subjects and streams
//!
//! [Packets](mycelium_transports::engine) of a topic have the subject `mycelium.<topic>.<digest of
//! the layout>.<node>-<number of the process>`, and `mycelium-stored.…` in the stream
//! `mycelium-stored-<topic>`. Names have [other characters](mycelium_transports::engine::key_part)
//! escaped. A stream that is missing is created: in files, without limits, so it grows until it is
//! purged. One that exists is used as it is, with the limits, replicas and placement that it has;
//! it needs the retention `limits`, or `workqueue` for a work queue, and the subject
//! `mycelium-stored.<topic>.>`. The nodes that take messages of a work queue share its consumer
//! `workers-<digest>`; if it exists, its `ack_wait` takes the place of the 10 seconds. With
//! `discard: new` a full stream makes publishers wait, with `discard: old` it loses messages that
//! nobody has read yet. Places, and how many processes have died of a message, are in the stream
//! `mycelium-places`.
//!
//! # Configuration
//!
//! A context, as the command `nats context save` writes it:
//!
//! ```json
//! { "url": "tls://10.0.0.1:4222", "creds": "feed.creds", "ca": "ca.pem" }
//! ```
//!
//! Relative paths begin in its directory. A user needs to publish and subscribe to `mycelium.>`,
//! and to subscribe to its inbox; for JetStream also to publish to `mycelium-stored.>`,
//! `mycelium-places.>` and `mycelium-dead-letters.>`, and to use the interface of JetStream
//! (`$JS.API.>`, and `$JS.ACK.>` for work queues). Without a context, the server is
//! at `127.0.0.1:4222`.

mod config;
mod connection;
mod live;
mod queue;
mod stored;
mod streams;

pub use live::Nats;
pub use stored::JetStream;
