//! The other nodes, for actors. The node of this process implements the trait.

use mycelium_executor::SendFuture;

use super::call::ActorCall;
use super::watch::WatchCall;
use crate::actor::values::RemoteActorError;
use crate::inbox::request::Requester;

/// The nodes whose actors this node may ask.
pub(crate) trait OtherNodes: Send + Sync {
    /// Checks that the actors of a node may be asked.
    fn check(&self, node: &str) -> Result<(), RemoteActorError>;

    /// Returns a requester for the actors of a node. `None` if this node has ended.
    fn calls(&self, node: &str) -> Option<Requester<ActorCall>>;

    /// Returns a requester for watches of the actors of a node, and the most watches at once.
    /// `None` if this node has ended.
    fn watches(&self, node: &str) -> Option<(Requester<WatchCall>, usize)>;

    /// Ready when a node was not connected for longer than a lost connection may be away, or when
    /// this node has ended.
    fn lost(&self, node: &str) -> SendFuture<()>;

    /// Ready when this node shuts down.
    fn shutdown(&self) -> SendFuture<()>;
}
