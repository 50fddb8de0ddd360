//! Topics between processes: one link for each process that this one reads from, dialed by the reader.
//!
//! A [`TopicServer`] serves this process's topics to whoever connects: for each topic that a peer wants it has a
//! [`EgressReader`](crate::local::EgressReader), reads the publishers' rings through it, and lets go of messages once the peer has
//! confirmed them. A [`TopicClient`] reads the topics of one other process: each of its publishers becomes a
//! [`RemotePublisher`](crate::local::RemotePublisher), and the room in the relay's ring is the credit that the other side has. So a
//! subscription that gates holds its publisher over a link as it does within a process, and nothing is kept anywhere
//! but in the rings of the two sides. What readers here are done with is confirmed; the publisher's ring keeps the rest.
//!
//! Either side may come first, and may go and come back. The client connects again, with growing pauses, and goes on
//! behind what has arrived:
//!
//! | while there is no connection | its publishers | what the reader gets afterwards |
//! | --- | --- | --- |
//! | a gating reader that was announced | wait when their rings are full | everything |
//! | an observing reader that was announced | go on | the exact number of messages that were overwritten |
//! | a reader nobody knew of | go on | as a new reader |
//! | the reader's process began anew | as above | everything behind what was confirmed; what was sent before is marked, or told as missing ([`Redelivery`]) |
//! | the publisher's process began anew | are others now | a gap that is not exact, if something had been missing |
//!
//! Which peers there are, where they listen and what they want is for the caller to know; what becomes of it is told
//! to the caller as a [`Notice`].

mod accept;
mod admission;
mod client;
mod client_session;
mod config;
mod control;
mod gap;
mod incoming_stream;
mod layout;
mod layout_query;
mod names;
mod notice;
mod outgoing_stream;
mod redelivery;
mod served_topic;
mod server;
mod server_session;
mod topics;

pub use client::{Connect, TopicClient, TopicClientError};
pub use config::{Identity, LinkConfig, Window};
pub use control::Control;
pub use layout::{Difference, LayoutMismatch};
pub use notice::{Notice, Observer};
pub use redelivery::Redelivery;
pub use server::TopicServer;
pub use topics::{ExportedTopic, TopicInterest};
