//! Topics between processes: a client reads the topics of a server over a link.
//!
//! A [`TopicServer`] exports the topics of this process. For each topic to which a peer subscribes
//! it has a [`Tap`](crate::local::Tap), which reads the publishers' rings and
//! releases messages when the peer has confirmed them. A [`TopicClient`] reads topics of one other
//! process: each of the peer's publishers becomes a
//! [`Feed`](crate::local::Feed), and the free slots of its ring are the
//! credit of the peer. So a gating subscription blocks its publisher over a link as it does within
//! a process. Messages are kept in the rings of the two sides and nowhere else: the client confirms
//! messages that its readers are done with, and the publisher's ring keeps the others.
//!
//! Either side may start first, and may restart. The client connects again, with growing pauses,
//! and resumes after the last message that arrived:
//!
//! | while disconnected | its publishers | what the reader gets afterwards |
//! | --- | --- | --- |
//! | an announced gating reader | block when their rings are full | everything |
//! | an announced observing reader | continue | the exact number of overwritten messages |
//! | a reader that was not announced | continue | what a new reader gets |
//! | the reader's process restarted | as above | all messages that were not confirmed; messages that the earlier process may have had are marked, or a gap counts them ([`Redelivery`]) |
//! | the publisher's process restarted | are new publishers | a gap that is not exact, if messages were missing |
//!
//! The caller knows the peers, their endpoints and their topics, and gets a [`Notice`] of each
//! event.
//!
//! To read the code, begin with `topics`, `control` and `config`. Then follow a message: on the
//! server's side `accept`, `server`, `server_session`, `served_topic`, `outgoing_stream`; on the
//! client's side `client`, `client_session`, `incoming_stream`. Files only use files that come
//! later in this list, or one of `admission`, `catalogue`, `names`, `redelivery`, `layout`,
//! `notice` and `gap`.

mod accept;
mod admission;
mod catalogue;
mod channel;
mod client;
mod client_session;
mod config;
mod control;
mod gap;
mod incoming_memory;
mod incoming_stream;
mod layout;
mod layout_query;
mod lost_memory;
mod names;
mod notice;
mod observer_grace;
mod outgoing_memory;
mod outgoing_stream;
mod past_readers;
mod redelivery;
mod refusal;
mod served_topic;
mod server;
mod server_session;
mod session_channel;
mod session_thread;
mod stream_state;
mod topics;

pub(crate) use catalogue::LONGEST_CATALOGUE;
pub use catalogue::{CatalogueEntry, CatalogueError};
pub use client::{Connect, TopicClient, TopicClientError};
pub use config::{Identity, LinkConfig, MemoryUse, Window};
pub use control::Control;
pub(crate) use gap::reason as gap_reason;
pub use incoming_memory::MemoryAccess;
pub(crate) use layout::LONGEST_FORM;
pub use layout::{Difference, LayoutMismatch};
pub use notice::{Notice, Observer};
pub use redelivery::Redelivery;
pub use server::TopicServer;
pub use topics::{ExportedTopic, TopicInterest};
