//! The values of the topic interface: the schema of a message type, the policy and options of a
//! subscription, its deliveries, and all errors. They know no ring and no topic.

mod delivery;
mod error;

use std::any::type_name;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::SystemTime;

use mycelium_core::debug_as_display;
use mycelium_core::descriptor::{Descriptor, Digest, FieldDescriptor, FieldType};
use mycelium_core::message::Message;
use mycelium_core::ring::broadcast::{CONTENT, Layout};
use thiserror::Error;

use super::trace::TraceArea;

pub use delivery::*;
pub use error::*;

// The identity of a topic's messages: type, layout and size.

/// Identifies the message type of a topic.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The message's id.
    pub id: u16,
    /// The digest of the message's layout.
    pub digest: Digest,
    /// The size of a slot's content in bytes, without a trace area: that of the message if it is
    /// fixed.
    pub size: usize,
    /// The most bytes of a message.
    pub longest: usize,
    /// Whether all messages have the same size, and are in their slots. If not, they are in the
    /// [arena](mycelium_core::ring::broadcast::ArenaWriter) of the ring.
    pub is_fixed: bool,
    /// The size of the arena of each ring in bytes; 0 if the messages are fixed. Comparisons do not
    /// use it.
    pub arena: usize,
    /// The message's layout in full. Comparisons use the digest alone.
    pub descriptor: &'static Descriptor,
    /// The message's type with its module path, for people. Comparisons do not use it.
    pub path: &'static str,
}

/// Whether a message is so large that it is passed by reference as far as possible: a copy costs
/// more than a call, and in a debug build each copy takes stack. Its bytes in a slot are aligned
/// for the type.
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
        let size = if M::IS_FIXED { size_of::<M>() } else { size_of::<[usize; CONTENT]>() };
        let (id, longest, is_fixed, path) = (M::ID, M::MAX, M::IS_FIXED, type_name::<M>());
        let arena = if is_fixed { 0 } else { Schema::default_arena(longest) };
        Schema { id, digest, size, longest, is_fixed, arena, descriptor, path }
    }

    /// Returns the default size of an arena for messages of at most `longest` bytes: room for four
    /// of them, at least 256 KiB.
    #[must_use]
    pub fn default_arena(longest: usize) -> usize {
        longest.saturating_mul(4).max(256 << 10)
    }

    /// Returns the message's name in the source code.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.descriptor.name
    }

    /// Returns the layout of a ring of `capacity` such messages. Slots with a trace area take whole
    /// cache lines: otherwise a publisher that writes its next message would take the cache line of
    /// an unchanged area from the readers.
    #[must_use]
    pub fn layout(&self, capacity: usize, area: TraceArea) -> Layout {
        let layout = Layout::exact(capacity, area.content_bytes(self.size));
        let layout = if self.is_fixed { layout } else { layout.with_arena(self.arena) };
        if area.is_present() { layout.in_lines() } else { layout }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schema { id, longest, digest, .. } = self;
        let at_most = if self.is_fixed { "" } else { "at most " };
        write!(f, "{} (id {id}, {at_most}{longest} bytes, digest {digest})", self.name())
    }
}

// Policies: what happens when a subscription is slower than a publisher.

/// What happens when a subscription is slower than a publisher. The policies are in the order of
/// their demands on publishers, the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Policy {
    /// Backpressure: `emit` waits. No message is lost.
    #[default]
    Block,
    /// Backpressure: `emit` fails at once and returns the message. No accepted message is lost.
    Reject,
    /// The subscription has its own ring. If that ring is full, new messages are dropped. The
    /// reader learns the exact number of messages that it missed.
    DropNewest,
    /// The publisher overwrites the oldest messages. The reader learns the exact number of
    /// messages that it missed.
    DropOldest,
    /// Each receive skips to the newest message. The reader learns how many were skipped.
    Latest,
    /// Keeps the newest message of each key, for a limited number of keys. The reader learns how
    /// many messages were replaced by newer ones.
    LatestByKey(LatestByKey),
    /// The reader gets only messages whose sequence is a multiple of this number. The others are
    /// counted as sampled out. If the reader is too slow even for these, the publisher overwrites
    /// the oldest messages, as for [`DropOldest`](Policy::DropOldest).
    Sample(NonZeroU32),
}

// Each `match` in this file names all policies, so that a new policy does not compile before each
// `match` has an answer for it.
impl Policy {
    /// Returns one policy for each [name](Policy::name), the strictest first.
    ///
    /// ```
    /// use mycelium_transports::local::Policy;
    ///
    /// let names: Vec<_> = Policy::all().map(Policy::name).collect();
    /// assert_eq!(names, ["block", "reject", "drop-newest", "drop-oldest", "latest", "sample"]);
    /// ```
    pub fn all() -> impl Iterator<Item = Policy> {
        std::iter::successors(Some(Policy::Block), |policy| match policy {
            Policy::Block => Some(Policy::Reject),
            Policy::Reject => Some(Policy::DropNewest),
            Policy::DropNewest => Some(Policy::DropOldest),
            Policy::DropOldest => Some(Policy::Latest),
            Policy::Latest | Policy::LatestByKey(_) => Some(Policy::Sample(HALF)),
            Policy::Sample(_) => None,
        })
    }

    /// Returns the policy's name in a topology file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Block => "block",
            Policy::Reject => "reject",
            Policy::DropNewest => "drop-newest",
            Policy::DropOldest => "drop-oldest",
            Policy::Latest | Policy::LatestByKey(_) => "latest",
            Policy::Sample(_) => "sample",
        }
    }

    /// Whether readers with this policy gate: publishers keep messages until these readers have
    /// finished them.
    #[must_use]
    pub fn is_gating(self) -> bool {
        match self {
            Policy::Block | Policy::Reject => true,
            Policy::DropNewest
            | Policy::DropOldest
            | Policy::Latest
            | Policy::LatestByKey(_)
            | Policy::Sample(_) => false,
        }
    }

    /// Whether a ring keeps messages until such a reader has taken them: the publisher's ring, or
    /// the reader's own. Such a reader has an entry in the publisher's ring.
    #[must_use]
    #[inline]
    pub fn keeps(self) -> bool {
        match self {
            Policy::Block | Policy::Reject | Policy::DropNewest => true,
            Policy::DropOldest | Policy::Latest | Policy::LatestByKey(_) | Policy::Sample(_) => {
                false
            }
        }
    }

    /// Whether `emit` fails at once when such a reader's ring is full.
    pub(crate) fn rejects(self) -> bool {
        matches!(self, Policy::Reject)
    }

    /// Whether such a reader skips to the newest message at each receive.
    #[inline]
    pub(crate) fn skips(self) -> bool {
        matches!(self, Policy::Latest)
    }

    /// Returns the key by which such a reader gets the newest messages, if it has one.
    pub(crate) fn by_key(self) -> Option<LatestByKey> {
        match self {
            Policy::LatestByKey(by_key) => Some(by_key),
            _ => None,
        }
    }

    /// Returns the number `n` if such a reader gets one message in `n`, and not all.
    #[inline]
    pub(crate) fn every(self) -> Option<NonZeroU32> {
        match self {
            Policy::Sample(every) => Some(every),
            _ => None,
        }
    }

    /// Whether such a reader does not read all messages of a ring in their order.
    #[inline]
    pub(crate) fn selects(self) -> bool {
        match self {
            Policy::Latest | Policy::LatestByKey(_) | Policy::Sample(_) => true,
            Policy::Block | Policy::Reject | Policy::DropNewest | Policy::DropOldest => false,
        }
    }
}

/// One message in two.
const HALF: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// Writes the policy as in a topology file, with its settings.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::LatestByKey(by_key) => write!(f, "latest of {} keys", by_key.keys()),
            Policy::Sample(every) => write!(f, "sample(1/{every})"),
            _ => f.write_str(self.name()),
        }
    }
}

// Options of a subscription: its policy, and where it starts.

/// The options of a subscription. A [`Policy`] can be used in their place:
///
/// ```
/// use mycelium_transports::local::{Policy, Start, SubscribeOptions};
///
/// let next: SubscribeOptions = Policy::DropOldest.into();
/// assert_eq!(next.start, Start::Next);
/// let oldest = SubscribeOptions::new(Policy::DropOldest, Start::Oldest);
/// assert_eq!(oldest.policy, next.policy);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// What happens when the subscription is slower than a publisher.
    pub policy: Policy,
    /// Where the subscription starts with publishers that exist already.
    pub start: Start,
}

impl SubscribeOptions {
    /// Creates options with this policy and this start.
    #[must_use]
    pub const fn new(policy: Policy, start: Start) -> SubscribeOptions {
        SubscribeOptions { policy, start }
    }
}

impl From<Policy> for SubscribeOptions {
    fn from(policy: Policy) -> SubscribeOptions {
        SubscribeOptions::new(policy, Start::default())
    }
}

/// A topic whose transport gives each message to one of the processes that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkQueue {
    /// A message of which this number of processes have died is a dead letter. `None`: it is delivered
    /// again and again.
    pub most_deaths: Option<u32>,
}

impl Default for WorkQueue {
    fn default() -> WorkQueue {
        WorkQueue { most_deaths: Some(3) }
    }
}

/// Where a subscription starts with publishers that exist already. From later publishers it gets
/// all messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// The first message whose emit began after the subscription was created.
    #[default]
    Next,
    /// The oldest message that is still in the publisher's ring. Until the publisher next checks
    /// for room, at the latest after one more lap of its ring, it may overwrite messages before a
    /// `block` or `reject` subscription has taken them: then the reader gets a gap.
    Oldest,
    /// The first message that was stored at this time or later. Only a stream
    /// [stores](crate::seam::Capabilities::stores) messages: of publishers in this process, and over
    /// links, it counts as [`Oldest`](Start::Oldest).
    Since(SystemTime),
    /// The message at this position of a stream, as the engine counts its packets. Otherwise it counts
    /// as [`Oldest`](Start::Oldest).
    Position(u64),
}

impl Start {
    /// Whether messages from before the subscription come, too.
    pub(crate) fn is_earlier(self) -> bool {
        self != Start::Next
    }

    /// Whether only a stream has this start.
    #[must_use]
    pub fn is_of_stream(self) -> bool {
        matches!(self, Start::Since(_) | Start::Position(_))
    }
}

// Keys: one field of a message is its key. A subscription with [`Policy::LatestByKey`] keeps the
// newest message of each key.

/// The limit on the bytes of a key.
pub(crate) const KEY_BYTES: usize = 64;

/// The field of a message that is its key, and the number of keys for which a reader keeps the
/// newest message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LatestByKey {
    keys: NonZeroU32,
    /// The digest of the message.
    digest: Digest,
    offset: u16,
    bytes: u16,
    kind: KeyKind,
}

/// Where the bytes of a key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum KeyKind {
    /// They are the field.
    Field,
    /// The field begins with the number of its bytes that are in use.
    Text,
    /// The field has the place and the number of the bytes.
    String,
}

impl LatestByKey {
    /// Creates a key from a field of `M`, for at most `keys` keys. `field` is its name, or a path
    /// such as `order.symbol`.
    ///
    /// ```
    /// use mycelium_core::message;
    /// use mycelium_transports::local::{LatestByKey, Policy};
    ///
    /// #[message(topic = "positions", id = 1)]
    /// struct Position {
    ///     entity: u64,
    ///     x: f64,
    ///     y: f64,
    /// }
    ///
    /// let keys = 1000.try_into()?;
    /// let policy = Policy::LatestByKey(LatestByKey::of::<Position>("entity", keys)?);
    /// assert_eq!(policy.name(), "latest");
    ///
    /// let error = LatestByKey::of::<Position>("entiti", keys).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "unknown field `entiti` of `Position`: expected one of: entity, x, y"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the message has no such field, or its type cannot be a key.
    pub fn of<M: Message>(field: &str, keys: NonZeroU32) -> Result<LatestByKey, KeyError> {
        LatestByKey::in_schema(&Schema::of::<M>(), field, keys)
    }

    /// Creates a key as [`of`](LatestByKey::of) does, from a field of a topic's messages.
    ///
    /// # Errors
    /// The same as for [`of`](LatestByKey::of).
    pub fn in_schema(
        schema: &Schema,
        field: &str,
        keys: NonZeroU32,
    ) -> Result<LatestByKey, KeyError> {
        let mut descriptor = schema.descriptor;
        let (mut offset, mut parts) = (0, field.split('.').peekable());
        while let Some(part) = parts.next() {
            if descriptor.fields.iter().any(|it| it.postcard().is_some()) {
                let (field, message) = (part.to_owned(), descriptor.name);
                return Err(KeyError::Serde { field, message });
            }
            let Some(found) = descriptor.fields.iter().find(|it| it.name == part) else {
                let known = descriptor.fields.iter().map(|it| it.name).collect();
                let (field, message) = (part.to_owned(), descriptor.name);
                return Err(KeyError::Unknown { field, message, known });
            };
            offset += found.offset;
            match found.ty {
                FieldType::Struct(nested) if parts.peek().is_some() => descriptor = nested,
                ty if parts.peek().is_none() => {
                    let place = (offset, found.size);
                    return LatestByKey::at(schema, field, keys, place, ty);
                }
                _ => break,
            }
        }
        Err(KeyError::NoFields { field: field.to_owned() })
    }

    fn at(
        schema: &Schema,
        field: &str,
        keys: NonZeroU32,
        (offset, bytes): (usize, usize),
        ty: FieldType,
    ) -> Result<LatestByKey, KeyError> {
        let field = || field.to_owned();
        if matches!(ty, FieldType::List { .. }) {
            return Err(KeyError::List { field: field() });
        }
        if !ty.has_one_size() && ty != FieldType::String {
            return Err(KeyError::Sizes { field: field() });
        }
        if bytes > KEY_BYTES {
            return Err(KeyError::TooLong { field: field(), bytes });
        }
        // Cannot happen for a message, which has at most 65,535 bytes.
        let too_long = |_| KeyError::TooLong { field: field(), bytes };
        let offset = u16::try_from(offset).map_err(too_long)?;
        let bytes = u16::try_from(bytes).map_err(too_long)?;
        let kind = match ty {
            FieldType::Text { .. } => KeyKind::Text,
            FieldType::String => KeyKind::String,
            _ => KeyKind::Field,
        };
        Ok(LatestByKey { keys, digest: schema.digest, offset, bytes, kind })
    }

    /// Returns the name of the field in messages of this schema, or its path, such as
    /// `order.symbol`. Returns `None` if they have no such field.
    ///
    /// ```
    /// use mycelium_core::message;
    /// use mycelium_transports::local::{LatestByKey, Schema};
    ///
    /// #[message(topic = "positions", id = 1)]
    /// struct Position {
    ///     x: f64,
    ///     entity: u64,
    /// }
    ///
    /// let by_key = LatestByKey::of::<Position>("entity", 1000.try_into()?)?;
    /// assert_eq!(by_key.field(&Schema::of::<Position>()).as_deref(), Some("entity"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn field(&self, schema: &Schema) -> Option<String> {
        let (mut descriptor, mut rest) = (schema.descriptor, usize::from(self.offset));
        let mut path = String::new();
        loop {
            let within = |field: &&FieldDescriptor| {
                (field.offset..field.offset + field.size).contains(&rest)
            };
            let field = descriptor.fields.iter().find(within)?;
            path.push_str(field.name);
            rest -= field.offset;
            match field.ty {
                _ if rest == 0 && field.size == usize::from(self.bytes) => return Some(path),
                FieldType::Struct(nested) => descriptor = nested,
                _ => return None,
            }
            path.push('.');
        }
    }

    /// Returns the same key, for another number of keys.
    #[must_use]
    pub const fn with_keys(self, keys: NonZeroU32) -> LatestByKey {
        LatestByKey { keys, ..self }
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn keys(&self) -> NonZeroU32 {
        self.keys
    }

    /// Returns the bytes of memory that a subscription with this policy needs beside the rings.
    /// Messages that are not fixed have at most as many bytes there as in the arena of a ring.
    /// Returns `None` if that is more than memory can hold.
    #[must_use]
    pub fn table_bytes(&self, schema: &Schema) -> Option<usize> {
        let keys = usize::try_from(self.keys.get()).ok()?;
        let words = schema.size.div_ceil(size_of::<usize>()).checked_mul(size_of::<usize>())?;
        // An entry has a key, a position in the ring, a sequence, a mark, a number of replaced
        // messages, and places in two lists.
        let entries = words.checked_add(KEY_BYTES + size_of::<[u64; 8]>())?.checked_mul(keys)?;
        // The map has room for twice the keys. The number of its places is a power of two, of which
        // it uses at most seven in eight. Each place has a key, the index of its entry, and a byte.
        let places = keys.checked_mul(16)?.div_ceil(7).checked_next_power_of_two()?;
        let map = places.checked_mul(KEY_BYTES + 3 * size_of::<usize>() + 1)?;
        let bodies = match schema.is_fixed {
            true => 0,
            false => keys.checked_mul(size_of::<[usize; 3]>())?.checked_add(schema.arena)?,
        };
        entries.checked_add(map)?.checked_add(bodies)
    }

    /// Whether this is a key of messages with this schema.
    pub(crate) fn is_of(&self, schema: &Schema) -> bool {
        self.digest == schema.digest
    }

    /// Returns the bytes of the key in a message, which may have any content. Returns `None` if the
    /// key is too long.
    #[inline]
    pub(crate) fn of_message<'m>(&self, message: &'m [u8]) -> Option<&'m [u8]> {
        let Range { start, mut end } =
            usize::from(self.offset)..usize::from(self.offset) + usize::from(self.bytes);
        let field = message.get(start..end).unwrap_or_default();
        match (self.kind, field) {
            (KeyKind::Text, [one, other, ..]) => {
                // The bytes after the text have no meaning.
                let count = usize::from(u16::from_le_bytes([*one, *other]));
                end = end.min(start + 2 + count);
                message.get(start..end)
            }
            (KeyKind::String, [a, b, c, d, e, f, g, h]) => {
                let place = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
                let count = u32::from_le_bytes([*e, *f, *g, *h]) as usize;
                let bytes = message.get(place..place.checked_add(count)?);
                bytes.filter(|bytes| bytes.len() <= KEY_BYTES)
            }
            _ => Some(field),
        }
    }

    /// Returns the bytes of the key in messages whose field has this value; `None` if the field is
    /// of another kind, or the value too long.
    pub(crate) fn of_field(&self, value: &[u8], is_text: bool) -> Option<Vec<u8>> {
        let most = usize::from(self.bytes);
        match (self.kind, is_text) {
            (KeyKind::Field, false) if value.len() == most => Some(value.to_vec()),
            (KeyKind::String, true) if value.len() <= KEY_BYTES => Some(value.to_vec()),
            (KeyKind::Text, true) if value.len() + 2 <= most => {
                let count = u16::try_from(value.len()).ok()?;
                Some([&count.to_le_bytes(), value].concat())
            }
            _ => None,
        }
    }

    /// Returns the length of the key in a valid message, if it is too long.
    pub(crate) fn too_long(&self, message: &[u8]) -> Option<usize> {
        if self.of_message(message).is_some() {
            return None;
        }
        let count = message.get(usize::from(self.offset) + 4..)?.first_chunk()?;
        Some(u32::from_le_bytes(*count) as usize)
    }
}

/// Why a field cannot be a key.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The message has no such field.
    #[error("unknown field `{field}` of `{message}`: expected one of: {}", known.join(", "))]
    Unknown {
        /// The name.
        field: String,
        /// The name of the message, or of a struct in it.
        message: &'static str,
        /// The fields of that message or struct.
        known: Vec<&'static str>,
    },
    /// The message is a type of serde.
    #[error(
        "unknown field `{field}` of `{message}`: serde encodes the message, so it has no field for \
         a key"
    )]
    Serde {
        /// The name.
        field: String,
        /// The name of the message, or of a struct in it.
        message: &'static str,
    },
    /// A part of the path is not a struct.
    #[error("invalid key `{field}`: a part of this path is not a struct")]
    NoFields {
        /// The path.
        field: String,
    },
    /// The field is a list. Equal lists may differ in their unused bytes.
    #[error("invalid key `{field}`: a list cannot be a key")]
    List {
        /// The field.
        field: String,
    },
    /// The size of the field differs between messages, and it is not a text.
    #[error("invalid key `{field}`: a key is a field of one size, or a `String`")]
    Sizes {
        /// The field.
        field: String,
    },
    /// The field is too long.
    #[error("invalid key `{field}`: it has {bytes} bytes, expected at most {KEY_BYTES}")]
    TooLong {
        /// The field.
        field: String,
        /// The size of the field in bytes.
        bytes: usize,
    },
}

debug_as_display!(KeyError);
