//! What a connection must pass before its first frame is read.

use std::fmt;
use std::future::ready;
use std::io;
use std::sync::Arc;

use mycelium_executor::{Peer, SendFuture, Stream};

/// Decides which peers may connect to this process, and secures the connections with them.
pub trait Gate: Send + Sync {
    /// Whether a peer may connect, or why not.
    ///
    /// # Errors
    /// With the text of the reason.
    fn check(&self, peer: &Peer) -> Result<(), String>;

    /// Secures an accepted connection. It is polled in the task of the connection, for at
    /// most its time for a handshake.
    fn secure(&self, stream: Stream) -> SendFuture<io::Result<Secured>> {
        Box::pin(ready(Ok(Secured { stream, proof: None })))
    }
}

/// A gate for all that can connect: their names are believed.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl Gate for Anyone {
    fn check(&self, _: &Peer) -> Result<(), String> {
        Ok(())
    }
}

impl Gate for Arc<dyn Gate> {
    fn check(&self, peer: &Peer) -> Result<(), String> {
        (**self).check(peer)
    }

    fn secure(&self, stream: Stream) -> SendFuture<io::Result<Secured>> {
        (**self).secure(stream)
    }
}

/// A connection with a peer that may connect.
#[derive(Debug)]
pub struct Secured {
    /// What the link goes over.
    pub stream: Stream,
    /// What the peer proves its name with; `None` if it states a name only.
    pub proof: Option<Arc<dyn NameProof>>,
}

/// Proves the name of a peer, for example a certificate.
pub trait NameProof: fmt::Debug + Send + Sync {
    /// Whether it proves this name of a node.
    ///
    /// # Errors
    /// If it does not: why, for example which names it proves.
    fn check(&self, node: &str) -> Result<(), String>;
}
