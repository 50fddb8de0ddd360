//! The reader's side of links. [`Imports`] reads the topics of one peer, over one connection after
//! another; a `session` takes what arrives on one of them, and each publisher of the peer is an
//! `incoming_stream`: a feed that its messages go to, or memory of the peer (`incoming_memory`).

mod imports;
mod incoming_memory;
mod incoming_stream;
mod session;

pub use imports::{Connect, ImportError, Imports};
pub use incoming_memory::MemoryAccess;
