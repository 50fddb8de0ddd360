//! Gates: checks that a connection must pass before its first frame is read.

use std::fmt;
use std::future::ready;
use std::io;
use std::sync::Arc;

use mycelium_executor::{Peer, SendFuture, Stream};

/// Decides which peers may connect to this process, and secures their connections.
pub trait Gate: Send + Sync {
    /// Checks whether a peer may connect.
    ///
    /// # Errors
    /// If the peer may not connect: the reason as text.
    fn check(&self, peer: &Peer) -> Result<(), String>;

    /// Secures an accepted connection. The future is polled in the connection's task, at most for
    /// the time limit of the connection's handshake.
    fn secure(&self, stream: Stream) -> SendFuture<io::Result<Secured>> {
        Box::pin(ready(Ok(Secured { stream, proof: None })))
    }
}

/// A gate that admits all peers and believes the names that they state.
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

/// A secured connection.
#[derive(Debug)]
pub struct Secured {
    /// The stream that the link uses.
    pub stream: Stream,
    /// The proof of the peer's name; `None` if the peer only states it.
    pub proof: Option<Arc<dyn NameProof>>,
}

/// Proves the name of a peer, for example a certificate.
pub trait NameProof: fmt::Debug + Send + Sync {
    /// Checks that the proof is for this node name.
    ///
    /// # Errors
    /// If it does not prove the name: the reason, such as the names that it proves.
    fn check(&self, node: &str) -> Result<(), String>;
}
