//! The other nodes, as actors see them: the node of this process implements it.

use mycelium_executor::SendFuture;

use super::call::ActorCall;
use super::watch::WatchCall;
use crate::actor::values::RemoteActorError;
use crate::inbox::request::Requester;

/// The nodes whose actors this node may ask.
pub(crate) trait OtherNodes: Send + Sync {
    /// Whether the actors of a node may be asked.
    fn check(&self, node: &str) -> Result<(), RemoteActorError>;

    /// Asks the actors of a node. `None` if this node has ended.
    fn calls(&self, node: &str) -> Option<Requester<ActorCall>>;

    /// Watches the actors of a node, at most this many at once. `None` if this node has ended.
    fn watches(&self, node: &str) -> Option<(Requester<WatchCall>, usize)>;

    /// Ready when a node was not connected for longer than a lost connection may be away, or this
    /// node has ended.
    fn lost(&self, node: &str) -> SendFuture<()>;

    /// Ready when this node shuts down.
    fn shutdown(&self) -> SendFuture<()>;
}
