//! The reader's side of links. [`Imports`] reads the topics of one peer, over one connection after
//! another; a `session` takes what arrives on one of them, and each publisher of the peer is an
//! `incoming_stream`: a feed for its messages, or a ring in the peer's shared memory
//! (`incoming_memory`).

mod incoming_memory;
mod incoming_stream;
mod session;

pub use incoming_memory::MemoryAccess;
pub use session::{Connect, ImportError, Imports};
