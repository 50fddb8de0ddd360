//! Values: what the bytes of a message mean, by its [`Layout`].
//!
//! The bytes are foreign, and any bytes of the right length are accepted: a part that is not valid
//! for its type is [`Value::Invalid`], with its bytes. Nothing here allocates or panics; the layout
//! limits the depth and the number of values.

use std::fmt;

use mycelium_core::{U256, debug_as_display};
use thiserror::Error;

use crate::layout::{EnumLayout, Field, FieldKind, Layout};

/// The values of a message, or of a struct in a message.
#[derive(Clone, Copy)]
pub struct StructView<'a> {
    layout: &'a Layout,
    bytes: &'a [u8],
    tail: &'a [u8],
}

/// The value of a field.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// An unsigned integer of at most 128 bits.
    Unsigned(u128),
    /// A signed integer of at most 128 bits.
    Signed(i128),
    /// An unsigned integer of 256 bits.
    U256(U256),
    /// A floating-point number of 32 bits.
    F32(f32),
    /// A floating-point number of 64 bits.
    F64(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(&'a str),
    /// The name of an enum's value.
    Variant(&'a str),
    /// The items of an array, or the used items of a list.
    Items(Items<'a>),
    /// The fields of a struct.
    Struct(StructView<'a>),
    /// Bytes that are not valid for their type.
    Invalid(InvalidValue<'a>),
}

/// The items of an array or list.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    kind: &'a FieldKind,
    /// The bytes of the items that are left.
    bytes: &'a [u8],
}

/// Bytes that are not valid for their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidValue<'a> {
    /// What is wrong with the bytes.
    pub problem: ValueProblem,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// What is wrong with the bytes of a value.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValueProblem {
    /// A byte that is neither 0 nor 1.
    #[error("invalid bool")]
    Bool,
    /// A number that no variant of the enum has.
    #[error("no variant")]
    Variant,
    /// A count above the capacity.
    #[error("count above the capacity")]
    Count,
    /// A text that is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
}

/// The size of a message that does not fit its layout.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("a message of {found} bytes, and its layout has {expected}")]
pub struct SizeMismatch {
    /// The size of the layout.
    pub expected: usize,
    /// The size of the message's fixed part.
    pub found: usize,
}

debug_as_display!(ValueProblem, SizeMismatch);

impl Layout {
    /// Returns the values in a message. Its first bytes are its fixed part, as long as the layout;
    /// all others are its tail.
    ///
    /// # Errors
    /// If the message is shorter than the layout.
    ///
    /// # Examples
    ///
    /// ```
    /// use mycelium_core::{Message, message};
    /// use mycelium_transports::untyped::Layout;
    ///
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     price: u32,
    ///     open: bool,
    ///     _pad: [u8; 3],
    /// }
    ///
    /// let layout = Layout::of(Tick::DESCRIPTOR)?;
    /// let view = layout.view(&[7, 0, 0, 0, 1, 0, 0, 0])?;
    /// assert_eq!(view.to_string(), "price=7 open=true");
    /// let view = layout.view(&[7, 0, 0, 0, 9, 0, 0, 0])?;
    /// assert_eq!(view.to_string(), "price=7 open=<invalid bool: 09>");
    /// assert!(layout.view(&[7, 0, 0, 0]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn view<'a>(&'a self, message: &'a [u8]) -> Result<StructView<'a>, SizeMismatch> {
        let (expected, found) = (self.size(), message.len());
        let split = message.split_at_checked(expected);
        let (bytes, tail) = split.ok_or(SizeMismatch { expected, found })?;
        Ok(StructView { layout: self, bytes, tail })
    }
}

impl<'a> StructView<'a> {
    /// Returns the layout.
    #[must_use]
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// Returns the fields and their values, in the order of their offsets, without padding.
    pub fn fields(self) -> impl Iterator<Item = (&'a Field, Value<'a>)> {
        let fields = self.layout.fields().iter().filter(|field| !field.is_padding());
        fields.map(move |field| (field, self.value(field)))
    }

    /// Returns the value of the field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.layout.field(name).map(|field| self.value(field))
    }

    /// Returns the value at a path of names, such as `order.side`.
    ///
    /// ```
    /// # use mycelium_core::{Message, message};
    /// # use mycelium_transports::untyped::Layout;
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     price: u32,
    /// }
    ///
    /// let layout = Layout::of(Tick::DESCRIPTOR)?;
    /// let price = layout.view(&[7, 0, 0, 0])?.at("price").map(|price| price.to_string());
    /// assert_eq!(price.as_deref(), Some("7"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn at(&self, path: &str) -> Option<Value<'a>> {
        match path.split_once('.') {
            None => self.get(path),
            Some((name, rest)) => match self.get(name)? {
                Value::Struct(inner) => inner.at(rest),
                _ => None,
            },
        }
    }

    /// Returns the bytes after the fixed part; always empty for a struct in a message.
    #[must_use]
    pub fn tail(&self) -> &'a [u8] {
        self.tail
    }

    fn value(&self, field: &'a Field) -> Value<'a> {
        let end = field.offset() + field.size();
        Value::read(field.kind(), self.bytes.get(field.offset()..end).unwrap_or_default())
    }
}

impl<'a> Value<'a> {
    /// Returns the value of some bytes, as many as the type has.
    fn read(kind: &'a FieldKind, bytes: &'a [u8]) -> Value<'a> {
        match kind {
            FieldKind::Unsigned(_) => Value::Unsigned(unsigned(bytes)),
            FieldKind::Signed(_) => Value::Signed(signed(bytes)),
            FieldKind::U256 => bytes
                .first_chunk()
                .map_or(Value::U256(U256::ZERO), |bytes| Value::U256(U256::from_le_bytes(*bytes))),
            FieldKind::F32 => Value::F32(f32::from_bits(unsigned(bytes) as u32)),
            FieldKind::F64 => Value::F64(f64::from_bits(unsigned(bytes) as u64)),
            FieldKind::Bool => match bytes {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => invalid(ValueProblem::Bool, bytes),
            },
            FieldKind::Text { capacity } => match counted(bytes, *capacity, 1) {
                Some(text) => std::str::from_utf8(text)
                    .map_or_else(|_| invalid(ValueProblem::Utf8, bytes), Value::Text),
                None => invalid(ValueProblem::Count, bytes),
            },
            FieldKind::Array { item, .. } => Value::Items(Items { kind: item, bytes }),
            FieldKind::List { item, capacity } => match counted(bytes, *capacity, item.size()) {
                Some(bytes) => Value::Items(Items { kind: item, bytes }),
                None => invalid(ValueProblem::Count, bytes),
            },
            FieldKind::Struct(layout) => Value::Struct(StructView { layout, bytes, tail: &[] }),
            FieldKind::Enum(layout) => variant(layout, bytes)
                .map_or_else(|| invalid(ValueProblem::Variant, bytes), Value::Variant),
        }
    }
}

fn invalid(problem: ValueProblem, bytes: &[u8]) -> Value<'_> {
    Value::Invalid(InvalidValue { problem, bytes })
}

fn variant<'a>(layout: &'a EnumLayout, bytes: &[u8]) -> Option<&'a str> {
    let value = match layout.repr() {
        FieldKind::Signed(_) => signed(bytes),
        // As in the layout's canonical form, a number above the signed range stands for a negative
        // value.
        _ => unsigned(bytes) as i128,
    };
    layout.variant(value)
}

/// Returns at most 16 bytes as a number.
fn unsigned(bytes: &[u8]) -> u128 {
    bytes.iter().take(16).rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn signed(bytes: &[u8]) -> i128 {
    // Shifts up, so that the sign is the highest bit, and back.
    let unused = 128 - 8 * bytes.len().clamp(1, 16) as u32;
    (unsigned(bytes) << unused) as i128 >> unused
}

/// Returns the used bytes of a text or list.
fn counted(bytes: &[u8], capacity: usize, item: usize) -> Option<&[u8]> {
    let (count, items) = bytes.split_first_chunk()?;
    let count = usize::from(u16::from_le_bytes(*count));
    items.get(..count * item).filter(|_| count <= capacity)
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let size = self.kind.size();
        let (item, rest) = self.bytes.split_at_checked(size).filter(|_| size > 0)?;
        self.bytes = rest;
        Some(Value::read(self.kind, item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.bytes.len().checked_div(self.kind.size()).unwrap_or(0);
        (count, Some(count))
    }
}

impl ExactSizeIterator for Items<'_> {}

impl fmt::Display for StructView<'_> {
    /// Writes the fields as `name=value`, with a tail as `tail=<bytes in hex>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, value)) in self.fields().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}={value}", field.name().escape_debug())?;
        }
        if !self.tail.is_empty() {
            f.write_str(" tail=")?;
            hex(f, self.tail)?;
        }
        Ok(())
    }
}

impl fmt::Display for Value<'_> {
    /// Writes numbers in decimal, texts in quotes, items as `[1, 2]`, structs as `{a=1 b=2}`,
    /// invalid bytes as `<invalid bool: 07>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unsigned(number) => number.fmt(f),
            Value::Signed(number) => number.fmt(f),
            Value::U256(number) => number.fmt(f),
            Value::F32(number) => number.fmt(f),
            Value::F64(number) => number.fmt(f),
            Value::Bool(value) => value.fmt(f),
            Value::Text(text) => fmt::Debug::fmt(text, f),
            Value::Variant(name) => write!(f, "{}", name.escape_debug()),
            Value::Items(items) => {
                f.write_str("[")?;
                for (index, item) in items.enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Value::Struct(inner) => write!(f, "{{{inner}}}"),
            Value::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl fmt::Display for InvalidValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}: ", self.problem)?;
        hex(f, self.bytes)?;
        f.write_str(">")
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Debug for StructView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Value::Items(*self), f)
    }
}
