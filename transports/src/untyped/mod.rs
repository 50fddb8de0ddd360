//! Topics whose message types are unknown at compile time, for tools and recorders.
//!
//! [`UntypedPeer`] connects to a node, lists its topics ([`CatalogueEntry`]), and reads one as an
//! observing reader: the publisher never waits for it, and messages that it misses are a gap with
//! the exact number. An [`UntypedReader`] delivers the bytes of messages with their [`Layout`],
//! which it has requested from the node. [`Layout::view`] decodes the values in the bytes.
//!
//! Everything that a peer sends is foreign: layouts and catalogues are checked when they arrive,
//! and values where they are read. Nothing here panics, or allocates memory by sizes that a peer
//! merely claims.
//!
//! Files: `value` does not depend on links; `query`, `queue` and `session` are for one connection
//! at a time;
//! `reader` is for all connections; `publisher` puts bytes into a topic of this process.

mod parts;
mod postcard;
mod publisher;
mod query;
mod queue;
mod reader;
mod session;
mod value;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::link::{ConfigError, RejectReason};
use mycelium_core::{Code, debug_as_display};
use mycelium_executor::SpawnError;
use thiserror::Error;

use crate::endpoint::connect_code;
use crate::stream::DriveError;

pub use super::link::{CatalogueEntry, CatalogueError, Identity, LinkConfig};
pub use crate::endpoint::{Access, Endpoint};
pub use crate::layout::{
    ChoiceLayout, DEEPEST, EnumLayout, Field, FieldKind, Layout, LayoutError, MessageType, Postcard,
};
pub use postcard::{Hex, PostcardValue};
pub use publisher::{UntypedPublishError, UntypedPublisher};
pub use queue::Source;
pub use reader::{UntypedDelivery, UntypedMessage, UntypedPeer, UntypedReader};
pub use value::{InvalidValue, Items, LONGEST, StructView, Value, ValueProblem, ViewError};

// Errors of reading a topic without its type.

/// Why a topic of another process cannot be read, or can no longer be read.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum UntypedError {
    /// No link can have these settings.
    #[error("{0} [{code}]", code = self.code())]
    Config(#[from] ConfigError),
    /// The executor refused the task of the link.
    #[error("{0} [{code}]", code = self.code())]
    Spawn(Arc<SpawnError>),
    /// Nothing listens where the node is expected, or it cannot be reached.
    #[error("{0} [{code}]", code = self.code())]
    Connect(Arc<io::Error>),
    /// The connection ended before the topic was read, or because one side broke the protocol or
    /// refused the other.
    #[error("{0} [{code}]", code = self.code())]
    Lost(Arc<DriveError>),
    /// The connection was [lost](UntypedError::Lost), and the peer closed the link with an
    /// explanation.
    #[error("{error}: {words} [{code}]", code = self.code())]
    Closed {
        /// How the connection ended.
        error: Arc<DriveError>,
        /// The peer's explanation, escaped.
        words: String,
    },
    /// A node with another name answers at this address.
    #[error("expected node `{expected}` at this address, found `{found}` [{code}]", code = self.code())]
    Node {
        /// The name of the expected node.
        expected: String,
        /// The name that the node sent.
        found: String,
    },
    /// The name of the topic is empty, or longer than a link allows.
    #[error("topic `{topic}`: expected a name of 1 to 62 bytes [{code}]", code = self.code())]
    Name {
        /// The topic.
        topic: String,
    },
    /// A link has no room for as many topics.
    #[error(
        "node `{node}`: expected at most {limit} topics over one link, found more [{code}]",
        code = self.code()
    )]
    TooManyTopics {
        /// The peer.
        node: String,
        /// The greatest number of topics.
        limit: usize,
    },
    /// The peer does not support requests for its catalogue.
    #[error("node `{node}` does not say which topics it has: its version has no catalogue [{code}]", code = self.code())]
    NoCatalogue {
        /// The peer.
        node: String,
    },
    /// The peer did not answer in time.
    #[error("node `{node}` has not sent {what} within {within:?} [{code}]", code = self.code())]
    Silent {
        /// The peer.
        node: String,
        /// What was requested.
        what: &'static str,
        /// The time limit for the answer.
        within: Duration,
    },
    /// The peer's answer does not match the request.
    #[error("node `{node}` answers a request for {what} with {problem} [{code}]", code = self.code())]
    Answer {
        /// The peer.
        node: String,
        /// What was requested.
        what: &'static str,
        /// The fault of the answer.
        problem: &'static str,
    },
    /// The peer's catalogue is not valid.
    #[error("node `{node}`: {error} [{code}]", code = self.code())]
    Catalogue {
        /// The peer.
        node: String,
        /// The reason.
        error: CatalogueError,
    },
    /// The peer's layout of the topic is not valid.
    #[error("topic `{topic}` of node `{node}`: {error} [{code}]", code = self.code())]
    Layout {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// The reason.
        error: LayoutError,
    },
    /// The peer has no such topic.
    #[error("node `{node}` has no topic `{topic}` [{code}]", code = self.code())]
    NoTopic {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// The topics that this side may read there.
        known: Vec<CatalogueEntry>,
    },
    /// The topic has `readers`, and the name of this side is not among them or is not proven.
    #[error(
        "node `{node}` does not let `{name}` read topic `{topic}`: its `readers` are others, or the \
         connection is plain TCP, which proves no name [{code}]",
        code = self.code()
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
    #[error("node `{node}` does not send topic `{topic}`: {reason} [{code}]", code = self.code())]
    Rejected {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// The peer's reason.
        reason: RejectReason,
    },
    /// A message does not match the layout that the peer has sent.
    #[error("topic `{topic}` of node `{node}`, publisher `{publisher}`: {error} [{code}]", code = self.code())]
    Message {
        /// The peer.
        node: String,
        /// The topic.
        topic: String,
        /// The publisher.
        publisher: String,
        /// The reason.
        error: ViewError,
    },
}

debug_as_display!(UntypedError);

impl UntypedError {
    /// Returns the code at the end of the error's text: the code of the reason, if it is known. All
    /// protocol violations in answers share one code, and so do all topics that a peer does not
    /// send.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            UntypedError::Config(_) => Code::LINK_SETTINGS,
            UntypedError::Spawn(error) => error.code(),
            UntypedError::Connect(error) => connect_code(error),
            UntypedError::Lost(error) | UntypedError::Closed { error, .. } => error.code(),
            UntypedError::Node { .. } => Code::OTHER_NODE,
            UntypedError::Name { .. } => Code::TOPIC_NAME,
            UntypedError::TooManyTopics { .. } => Code::LINK_LIMIT,
            UntypedError::NoCatalogue { .. } => Code::NO_CATALOGUE,
            UntypedError::Silent { .. } => Code::LINK_HANDSHAKE,
            UntypedError::Answer { .. }
            | UntypedError::Catalogue { .. }
            | UntypedError::Layout { .. }
            | UntypedError::Message { .. } => Code::LINK_PROTOCOL,
            UntypedError::NoTopic { .. }
            | UntypedError::Forbidden { .. }
            | UntypedError::Rejected { .. } => Code::TOPIC_REFUSED,
        }
    }
}
