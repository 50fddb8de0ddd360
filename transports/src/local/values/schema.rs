//! The identity of a topic's messages: type, layout and size.

use std::any::type_name;
use std::fmt;

use mycelium_core::descriptor::{Descriptor, Digest};
use mycelium_core::message::Message;
use mycelium_core::ring::broadcast::Layout;

use crate::local::trace::TraceArea;

/// Identifies the message type of a topic.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The message's id.
    pub id: u16,
    /// The digest of the message's layout.
    pub digest: Digest,
    /// The message's size in bytes.
    pub size: usize,
    /// The message's layout in full. Comparisons use the digest alone.
    pub descriptor: &'static Descriptor,
    /// The message's type with its module path, for people. Comparisons do not use it.
    pub path: &'static str,
}

/// Whether a message is so large that it is passed by reference as far as possible: a copy costs
/// more than a call, and a debug build has a place on the stack for each copy. Its bytes in a slot
/// are aligned for it.
pub(crate) const fn is_large<M>() -> bool {
    size_of::<M>() > 4096 && align_of::<M>() <= align_of::<usize>()
}

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        let key = |schema: &Schema| (schema.name(), schema.id, schema.digest, schema.size);
        key(self) == key(other)
    }
}

impl Eq for Schema {}

impl Schema {
    /// Returns the schema of `M`.
    #[must_use]
    pub fn of<M: Message>() -> Schema {
        let (digest, descriptor) = (M::DIGEST, M::DESCRIPTOR);
        Schema { id: M::ID, digest, size: size_of::<M>(), descriptor, path: type_name::<M>() }
    }

    /// Returns the message's name in the source code.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.descriptor.name
    }

    /// Returns the layout of a ring of `capacity` such messages. Slots with a trace area take whole
    /// cache lines: otherwise the publisher's next message would take away the cache line of an
    /// area that it has not changed.
    #[must_use]
    pub fn layout(&self, capacity: usize, area: TraceArea) -> Layout {
        let layout = Layout::exact(capacity, area.content_bytes(self.size));
        if area.is_present() { layout.in_lines() } else { layout }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (id {}, {} bytes, digest {})", self.name(), self.id, self.size, self.digest)
    }
}
