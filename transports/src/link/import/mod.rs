//! The readers' side of links. [`Imports`] reads the topics of one peer, over one connection after
//! another. A `session` handles the traffic of a connection. Each publisher of the peer is an
//! `incoming_stream`, either a feed for its messages or a ring in the peer's shared memory
//! (`incoming_memory`). `recalls` gets what publishers retain. A
//! `remote_topic` is what this side reads of the peer.

mod incoming_memory;
mod incoming_stream;
mod recalls;
mod remote_topic;
mod session;

pub use incoming_memory::MemoryAccess;
pub use session::{Connect, ImportError, Imports};
