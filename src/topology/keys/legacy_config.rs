//! The settings of a listener for clients of the original system, from its section.

use std::time::Duration;

use mycelium_core::legacy::ContractDigest;
use mycelium_transports::endpoint::Endpoint;
use serde::Serialize;

/// One section `legacy`.
#[derive(Clone, Debug)]
pub(crate) struct ListenerConfig {
    pub(crate) name: String,
    /// The node that listens; `None` if the file has no nodes.
    pub(crate) node: Option<String>,
    pub(crate) endpoint: Endpoint,
    /// The place of the section: file, line and column.
    pub(crate) place: String,
    /// The accepted contract digests: a client must send one of them in its hello. If there are
    /// none, clients send no hello.
    pub(crate) digests: Vec<ContractDigest>,
    /// What happens to frames of types that have no topic.
    pub(crate) unknown: OnBadFrame,
    /// What happens to payloads that the program cannot decode.
    pub(crate) invalid: OnBadFrame,
    pub(crate) slow: OnSlowClient,
    /// The maximum number of connected clients.
    pub(crate) connections: usize,
    /// How long a client may take for its hello, or for a frame that it has begun.
    pub(crate) timeout: Duration,
    /// The maximum length of a payload, in bytes.
    pub(crate) payload: u32,
    /// The maximum number of queued bytes for one client.
    pub(crate) queue: usize,
    pub(crate) types: Vec<LegacyType>,
}

/// A type of the original system, which a listener maps to a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LegacyType {
    /// The number of the type.
    pub id: u16,
    /// The topic to which the type is mapped.
    pub topic: String,
    /// Whether clients send messages of the type.
    pub from_clients: bool,
    /// Whether clients receive messages of the type.
    pub to_clients: bool,
}

/// What happens to a frame that cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnBadFrame {
    /// The frame is dropped and counted.
    Drop,
    /// The connection ends.
    End,
}

/// What happens when the queue of a client is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnSlowClient {
    /// Messages without room are dropped and counted.
    Drop,
    /// The connection ends.
    End,
}
