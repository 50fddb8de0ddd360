//! Topics whose message types are not known at compile time: for tools and recorders.
//!
//! [`UntypedPeer`] connects to a node, lists its topics ([`CatalogueEntry`]), and reads one as an
//! observing reader: the publisher never waits for it, and messages that it was too slow for are a
//! gap with the exact number. An [`UntypedReader`] delivers the bytes of messages with their
//! [`Layout`], which it has requested from the node. [`Layout::view`] decodes the values in the
//! bytes.
//!
//! Everything that a peer sends is foreign: layouts and catalogues are checked when they arrive,
//! and values where they are read. Nothing here panics, or allocates as much as a peer merely
//! claims.
//!
//! To read the code: `value` does not depend on links; `query`, `queue`, `streams` and `session`
//! are about a connection, `reader` about all of them.

mod error;
mod query;
mod queue;
mod reader;
mod session;
mod streams;
mod value;

pub use super::link::{CatalogueEntry, CatalogueError, Identity, LinkConfig};
pub use crate::endpoint::{Access, Endpoint};
pub use crate::layout::{DEEPEST, EnumLayout, Field, FieldKind, Layout, LayoutError};
pub use error::UntypedError;
pub use queue::Source;
pub use reader::{UntypedDelivery, UntypedMessage, UntypedPeer, UntypedReader};
pub use value::{InvalidValue, Items, SizeMismatch, StructView, Value, ValueProblem};
