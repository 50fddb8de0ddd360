//! Values: what the bytes of a message mean, by its [`Layout`].
//!
//! The bytes are foreign. Any bytes of the right length are accepted whose bodies, if the layout
//! has such, follow each other without gaps: [`Layout::view`] checks this in one pass. A part that
//! is not valid for its type is [`Value::Invalid`], with its bytes. Nothing here allocates or
//! panics. The layout limits the depth, and layout and bytes the number of values, because no two
//! bodies have a byte in common.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use mycelium_core::{U256, debug_as_display};
use thiserror::Error;

use super::postcard::{Hex, PostcardValue};
use crate::layout::{EnumLayout, Field, FieldKind, Layout};

/// The values of a message, or of a struct in a message.
#[derive(Clone, Copy)]
pub struct StructView<'a> {
    layout: &'a Layout,
    message: &'a [u8],
    /// Where the struct begins in the message.
    at: usize,
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
    /// A character.
    Char(char),
    /// A length of time.
    Duration(Duration),
    /// The address of a host.
    IpAddr(IpAddr),
    /// An optional value that is absent. One that is present is the value itself.
    Absent,
    /// A variant of an enum with data.
    Choice {
        /// The name of the variant.
        name: &'a str,
        /// The data.
        fields: StructView<'a>,
    },
    /// The entries of a map: structs of two fields, the key and the value.
    Map(Items<'a>),
    /// A value in postcard.
    Postcard(PostcardValue<'a>),
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
    message: &'a [u8],
    /// Where the next item begins in the message.
    at: usize,
    /// The number of items that are left.
    count: usize,
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
    /// A number that no character has.
    #[error("no character")]
    Char,
    /// A second or more of nanoseconds.
    #[error("invalid duration")]
    Duration,
    /// A version that is neither 4 nor 6.
    #[error("invalid IP address")]
    IpAddr,
    /// A byte that says neither that a value is absent nor that it is present.
    #[error("invalid option")]
    Option,
}

/// Why bytes are not a message of a layout.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The fixed part has another size than the layout.
    #[error("a message of {found} bytes, and its layout has {expected}")]
    Size {
        /// The size of the layout.
        expected: usize,
        /// The size of the message's fixed part.
        found: usize,
    },
    /// A body does not begin where the body before it ends, or the message ends before it.
    #[error("a message of {found} bytes with a wrong place or length of a body, at byte {at}")]
    Body {
        /// The place of the field with this body.
        at: usize,
        /// The size of the message.
        found: usize,
    },
    /// Bytes follow the last body.
    #[error("a message of {found} bytes, and its bodies end at {expected}")]
    Trailing {
        /// The end of the bodies.
        expected: usize,
        /// The size of the message.
        found: usize,
    },
    /// The message is longer than any that is read.
    #[error("a message of {found} bytes: expected at most {LONGEST}")]
    TooLong {
        /// The size of the message.
        found: usize,
    },
}

debug_as_display!(ValueProblem, ViewError);

/// The most bytes of a message.
pub const LONGEST: usize = 64 << 20;

/// A body begins at a multiple of this number of bytes from the start of its message.
const ALIGNMENT: usize = 8;

impl Layout {
    /// Returns the values in a message. Its first bytes are its fixed part, as long as the layout;
    /// all others are the bodies of its fields, or its tail if no field has a body.
    ///
    /// # Errors
    /// If the message is shorter than the layout, or the bodies are not those of the fields.
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
    pub fn view<'a>(&'a self, message: &'a [u8]) -> Result<StructView<'a>, ViewError> {
        let (expected, found) = (self.size(), message.len());
        let mut tail = message.get(expected..).ok_or(ViewError::Size { expected, found })?;
        if self.has_bodies() {
            tail = &[];
            let mut bodies = Bodies { message, end: expected };
            bodies.check_struct(self, 0)?;
            let expected = bodies.end;
            if found > expected {
                return Err(ViewError::Trailing { expected, found });
            }
        }
        Ok(StructView { layout: self, message, at: 0, tail })
    }
}

/// Follows the bodies of a message, in the order of their fields.
struct Bodies<'a> {
    message: &'a [u8],
    /// The end of the bodies that were seen.
    end: usize,
}

impl Bodies<'_> {
    fn check_struct(&mut self, layout: &Layout, at: usize) -> Result<(), ViewError> {
        let mut fields = layout.fields().iter().filter(|field| field.kind().has_bodies());
        fields.try_for_each(|field| self.check(field.kind(), at + field.offset()))
    }

    fn check_items(&mut self, kind: &FieldKind, at: usize, count: usize) -> Result<(), ViewError> {
        match kind.has_bodies() {
            true => (0..count).try_for_each(|index| self.check(kind, at + index * kind.size())),
            false => Ok(()),
        }
    }

    /// Checks the bodies of a value whose part begins here. Its depth is that of the layout.
    fn check(&mut self, kind: &FieldKind, at: usize) -> Result<(), ViewError> {
        match kind {
            FieldKind::String | FieldKind::Postcard(_) => self.body(at, 1).map(drop),
            FieldKind::Sequence { item } | FieldKind::Map { entry: item } => {
                let (place, count) = self.body(at, item.size())?;
                self.check_items(item, place, count)
            }
            FieldKind::Array { item, len } => self.check_items(item, at, *len),
            FieldKind::Option { item, align, .. } => match self.message.get(at) {
                Some(1) if item.has_bodies() => self.check(item, at + align),
                _ => Ok(()),
            },
            FieldKind::Struct(layout) => self.check_struct(layout, at),
            FieldKind::Choice(layout) => {
                let number = self.message.get(at);
                match number.and_then(|number| layout.variant(*number)) {
                    Some((_, fields)) => self.check_struct(fields, at + layout.align()),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Checks that a body is there, with items of this size. Returns its place and their number.
    fn body(&mut self, at: usize, size: usize) -> Result<(usize, usize), ViewError> {
        let error = ViewError::Body { at, found: self.message.len() };
        let (found, count) = place_and_count(self.message, at);
        let place = if count == 0 { 0 } else { self.end.next_multiple_of(ALIGNMENT) };
        if found != place {
            return Err(error);
        }
        if count > 0 {
            let end = count.checked_mul(size).and_then(|length| length.checked_add(place));
            self.end = end.filter(|end| *end <= self.message.len()).ok_or(error)?;
        }
        Ok((place, count))
    }
}

/// Returns the place of a body and the number of its items.
fn place_and_count(message: &[u8], at: usize) -> (usize, usize) {
    let number = |at: usize| {
        let bytes = message.get(at..).and_then(|rest| rest.first_chunk()).copied();
        u32::from_le_bytes(bytes.unwrap_or_default()) as usize
    };
    (number(at), number(at + 4))
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
        Value::read(field.kind(), self.message, self.at + field.offset())
    }
}

impl<'a> Value<'a> {
    /// Returns the value whose part begins here. [`Bodies`] has checked its bodies.
    fn read(kind: &'a FieldKind, message: &'a [u8], at: usize) -> Value<'a> {
        let bytes = message.get(at..at + kind.size()).unwrap_or_default();
        let items = |kind, at, count| Items { kind, message, at, count };
        let structure = |layout, at| StructView { layout, message, at, tail: &[] };
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
            FieldKind::Array { item, len } => Value::Items(items(item, at, *len)),
            FieldKind::List { item, capacity } => match counted(bytes, *capacity, item.size()) {
                Some(used) => Value::Items(items(item, at + 2, used.len() / item.size())),
                None => invalid(ValueProblem::Count, bytes),
            },
            FieldKind::Struct(layout) => Value::Struct(structure(layout, at)),
            FieldKind::Char => match char::from_u32(unsigned(bytes) as u32) {
                Some(found) => Value::Char(found),
                None => invalid(ValueProblem::Char, bytes),
            },
            FieldKind::Duration => match bytes.split_at_checked(8) {
                Some((seconds, [rest @ .., _, _, _, _]))
                    if unsigned(rest) < Duration::from_secs(1).as_nanos() =>
                {
                    Value::Duration(Duration::new(unsigned(seconds) as u64, unsigned(rest) as u32))
                }
                _ => invalid(ValueProblem::Duration, bytes),
            },
            FieldKind::IpAddr => match bytes.split_first_chunk() {
                Some(([4], [a, b, c, d, ..])) => Value::IpAddr([*a, *b, *c, *d].into()),
                Some(([6], rest)) => match rest.first_chunk::<16>() {
                    Some(address) => Value::IpAddr((*address).into()),
                    None => invalid(ValueProblem::IpAddr, bytes),
                },
                _ => invalid(ValueProblem::IpAddr, bytes),
            },
            FieldKind::Option { item, align, .. } => match bytes.first() {
                Some(0) => Value::Absent,
                Some(1) => Value::read(item, message, at + align),
                _ => invalid(ValueProblem::Option, bytes),
            },
            FieldKind::Choice(layout) => {
                match bytes.first().and_then(|number| layout.variant(*number)) {
                    Some((name, fields)) => {
                        Value::Choice { name, fields: structure(fields, at + layout.align()) }
                    }
                    None => invalid(ValueProblem::Variant, bytes),
                }
            }
            FieldKind::String => {
                let (place, count) = place_and_count(message, at);
                let text = message.get(place..place + count).unwrap_or_default();
                std::str::from_utf8(text)
                    .map_or_else(|_| invalid(ValueProblem::Utf8, text), Value::Text)
            }
            FieldKind::Postcard(postcard) => {
                let (place, count) = place_and_count(message, at);
                let bytes = message.get(place..place + count).unwrap_or_default();
                Value::Postcard(PostcardValue { postcard, bytes })
            }
            FieldKind::Sequence { item } => {
                let (place, count) = place_and_count(message, at);
                Value::Items(items(item, place, count))
            }
            FieldKind::Map { entry } => {
                let (place, count) = place_and_count(message, at);
                Value::Map(items(entry, place, count))
            }
            FieldKind::Enum(layout) => variant(layout, bytes)
                .map_or_else(|| invalid(ValueProblem::Variant, bytes), Value::Variant),
        }
    }
}

impl<'a> Value<'a> {
    /// Returns the key and the value of a map's entry; `None` for anything else.
    #[must_use]
    pub fn pair(&self) -> Option<(Value<'a>, Value<'a>)> {
        let Value::Struct(entry) = self else { return None };
        let [key, value] = entry.layout.fields() else { return None };
        Some((entry.value(key), entry.value(value)))
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
        self.count = self.count.checked_sub(1)?;
        let item = Value::read(self.kind, self.message, self.at);
        self.at += self.kind.size();
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
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
            write!(f, " tail={}", Hex(self.tail))?;
        }
        Ok(())
    }
}

impl fmt::Display for Value<'_> {
    /// Writes numbers in decimal, texts in quotes, items as `[1, 2]`, structs as `{a=1 b=2}`, maps
    /// as `{"a": 1, "b": 2}`, absent values as `none`, invalid bytes as `<invalid bool: 07>`.
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
            Value::Char(found) => fmt::Debug::fmt(found, f),
            Value::Duration(time) => fmt::Debug::fmt(time, f),
            Value::IpAddr(address) => address.fmt(f),
            Value::Absent => f.write_str("none"),
            Value::Choice { name, fields } => {
                f.write_str(&name.escape_debug().to_string())?;
                if fields.layout.fields().is_empty() { Ok(()) } else { write!(f, "{{{fields}}}") }
            }
            Value::Map(entries) => {
                f.write_str("{")?;
                for (index, entry) in entries.enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    let (key, value) = entry.pair().unwrap_or((Value::Absent, Value::Absent));
                    write!(f, "{key}: {value}")?;
                }
                f.write_str("}")
            }
            Value::Postcard(value) => value.fmt(f),
            Value::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl fmt::Display for InvalidValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}: {}>", self.problem, Hex(self.bytes))
    }
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
