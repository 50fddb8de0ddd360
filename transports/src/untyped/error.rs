//! Why a topic cannot be read without its type.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::debug_as_display;
use mycelium_core::link::{ConfigError, RejectReason};
use mycelium_executor::SpawnError;
use thiserror::Error;

use super::layout::LayoutError;
use super::value::SizeMismatch;
use crate::exchange::{CatalogueEntry, CatalogueError};
use crate::stream::DriveError;

/// Why a topic of another process cannot be read, or not any more.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum UntypedError {
    /// No link can have these settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The executor takes no task.
    #[error(transparent)]
    Spawn(Arc<SpawnError>),
    /// Nothing listens where the node is expected, or it cannot be reached.
    #[error("{0}")]
    Connect(Arc<io::Error>),
    /// The connection ended before the topic was read.
    #[error("{0}")]
    Lost(Arc<DriveError>),
    /// Another node answers there.
    #[error("expected node `{expected}` at this address, found `{found}`")]
    Node {
        /// The expected one.
        expected: String,
        /// The name that it said.
        found: String,
    },
    /// The name of the topic is empty or longer than a link can say.
    #[error("topic `{topic}`: expected a name of 1 to 62 bytes")]
    Name {
        /// The topic.
        topic: String,
    },
    /// The peer does not say which topics it has.
    #[error("node `{node}` does not say which topics it has: its version has no catalogue")]
    NoCatalogue {
        /// The peer.
        node: String,
    },
    /// The peer does not answer.
    #[error("node `{node}` has not sent {what} within {within:?}")]
    Silent {
        /// The peer.
        node: String,
        /// The requested bytes.
        what: &'static str,
        /// How long it had.
        within: Duration,
    },
    /// The peer answers something else than what was requested.
    #[error("node `{node}` answers a request for {what} with {problem}")]
    Answer {
        /// The peer.
        node: String,
        /// The requested bytes.
        what: &'static str,
        /// What is wrong with the answer.
        problem: &'static str,
    },
    /// The peer's catalogue is not valid.
    #[error("node `{node}`: {error}")]
    Catalogue {
        /// The peer.
        node: String,
        /// Why.
        error: CatalogueError,
    },
    /// The peer's layout of the topic is not valid.
    #[error("topic `{topic}` of node `{node}`: {error}")]
    Layout {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// Why.
        error: LayoutError,
    },
    /// The peer has no such topic.
    #[error("node `{node}` has no topic `{topic}`")]
    NoTopic {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// The topics that this side may read there.
        known: Vec<CatalogueEntry>,
    },
    /// The topic has `readers`, and the name of this side is not among them, or not proven.
    #[error(
        "node `{node}` does not let `{name}` read topic `{topic}`: its `readers` are others, or the \
         connection is plain TCP, which proves no name"
    )]
    Forbidden {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// The name of this side.
        name: String,
    },
    /// The peer does not send the topic.
    #[error("node `{node}` does not send topic `{topic}`: {reason}")]
    Rejected {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// Its reason.
        reason: RejectReason,
    },
    /// A message does not fit the layout that the peer has sent.
    #[error("topic `{topic}` of node `{node}`, publisher `{publisher}`: {error}")]
    Message {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// The publisher.
        publisher: String,
        /// How it differs.
        error: SizeMismatch,
    },
}

debug_as_display!(UntypedError);
