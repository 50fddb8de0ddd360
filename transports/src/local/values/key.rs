//! The key of a message: one of its fields. A subscription with [`Policy::LatestByKey`] keeps the
//! newest message of each key.
//!
//! [`Policy::LatestByKey`]: crate::local::Policy::LatestByKey

use std::num::NonZeroU32;
use std::ops::Range;

use mycelium_core::debug_as_display;
use mycelium_core::descriptor::{FieldDescriptor, FieldType};
use mycelium_core::message::Message;
use thiserror::Error;

use super::schema::Schema;

/// The limit on the bytes of a key.
pub(crate) const KEY_BYTES: usize = 64;

/// Which field of a message is its key, and for how many keys a reader keeps the newest message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LatestByKey {
    keys: NonZeroU32,
    /// The id of the message.
    type_id: u16,
    offset: u16,
    bytes: u16,
    /// The field begins with the number of its bytes that are in use.
    is_text: bool,
}

impl LatestByKey {
    /// Makes a field of `M` the key, for `keys` keys. `field` is its name, or a path such as
    /// `order.symbol`.
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

    /// As [`of`](LatestByKey::of), with a field of the messages of a topic.
    ///
    /// # Errors
    /// As [`of`](LatestByKey::of).
    pub fn in_schema(
        schema: &Schema,
        field: &str,
        keys: NonZeroU32,
    ) -> Result<LatestByKey, KeyError> {
        let mut descriptor = schema.descriptor;
        let (mut offset, mut parts) = (0, field.split('.').peekable());
        while let Some(part) = parts.next() {
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
        if bytes > KEY_BYTES {
            return Err(KeyError::TooLong { field: field(), bytes });
        }
        // Cannot happen for a message, which has at most 65,535 bytes.
        let too_long = |_| KeyError::TooLong { field: field(), bytes };
        let offset = u16::try_from(offset).map_err(too_long)?;
        let bytes = u16::try_from(bytes).map_err(too_long)?;
        let is_text = matches!(ty, FieldType::Text { .. });
        Ok(LatestByKey { keys, type_id: schema.id, offset, bytes, is_text })
    }

    /// Returns the name of the field in messages of this schema, or its path, such as
    /// `order.symbol`. `None` if they have no such field.
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
    /// `size` is the size of a message. `None` if that is more than memory can hold.
    #[must_use]
    pub fn table_bytes(&self, size: usize) -> Option<usize> {
        let keys = usize::try_from(self.keys.get()).ok()?;
        let words = size.div_ceil(size_of::<usize>()).checked_mul(size_of::<usize>())?;
        // An entry: a key, its place in the ring, its sequence, its number of replaced messages,
        // and its place in two lists.
        let entries = words.checked_add(KEY_BYTES + 7 * size_of::<u64>())?.checked_mul(keys)?;
        // The map has room for twice the keys. The number of its places is a power of two, of which
        // it uses at most seven in eight. Each place has a key, the index of its entry, and a byte.
        let places = keys.checked_mul(16)?.div_ceil(7).checked_next_power_of_two()?;
        let map = places.checked_mul(KEY_BYTES + 3 * size_of::<usize>() + 1)?;
        entries.checked_add(map)
    }

    /// Whether this is a key of messages with this schema.
    pub(crate) fn is_of(&self, schema: &Schema) -> bool {
        self.type_id == schema.id
    }

    /// Returns the bytes of the key in a message, which may have any content.
    #[inline]
    pub(crate) fn of_message<'m>(&self, message: &'m [u8]) -> &'m [u8] {
        let Range { start, mut end } =
            usize::from(self.offset)..usize::from(self.offset) + usize::from(self.bytes);
        if self.is_text
            && let Some(count) = message.get(start..start + 2)
        {
            // The bytes after the text have no meaning.
            let count = usize::from(u16::from_le_bytes([count[0], count[1]]));
            end = end.min(start + 2 + count);
        }
        message.get(start..end).unwrap_or_default()
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
    /// A part of the path is not a struct.
    #[error("invalid key `{field}`: a part of this path is not a struct")]
    NoFields {
        /// The path.
        field: String,
    },
    /// The field is a list: lists that are equal may differ in their unused bytes.
    #[error("invalid key `{field}`: a list cannot be a key")]
    List {
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
