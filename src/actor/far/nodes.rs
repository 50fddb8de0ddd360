//! The trait through which actors reach other nodes. The node of this process implements it.

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

    /// Returns a requester for watches of the actors of a node, and the limit of open watches.
    /// `None` if this node has ended.
    fn watches(&self, node: &str) -> Option<(Requester<WatchCall>, usize)>;

    /// Waits until a node has been disconnected for longer than the grace period of a lost
    /// connection, or this node has ended.
    fn lost(&self, node: &str) -> SendFuture<()>;

    /// Waits until this node shuts down.
    fn shutdown(&self) -> SendFuture<()>;
}
