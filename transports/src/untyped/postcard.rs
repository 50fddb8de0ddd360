//! Values in postcard, by their schema. The bytes are foreign: all of them are checked before the
//! first is printed. The schema limits the depth, and the bytes the number of items, also of those
//! without bytes. What is printed is limited, because a name of the schema may be printed for each
//! byte.

use std::fmt::{self, Write};

use crate::layout::{Postcard, Schema};

/// A value in postcard. It is formatted by its schema, or as its bytes in hex if that is unknown.
#[derive(Clone, Copy)]
pub struct PostcardValue<'a> {
    pub(super) postcard: &'a Postcard,
    pub(super) bytes: &'a [u8],
}

impl<'a> PostcardValue<'a> {
    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the value as JSON: what has no form there is a text.
    #[must_use]
    pub fn json(self) -> impl fmt::Display {
        fmt::from_fn(move |f| match self.postcard.schema.as_ref() {
            None => {
                f.write_str("{\"postcard\":\"")?;
                write!(f, "{}", Hex(self.bytes))?;
                f.write_str("\"}")
            }
            Some(schema) if self.write(schema, &mut Nothing, true).is_err() => {
                f.write_str("{\"invalid\":\"postcard\",\"bytes\":\"")?;
                write!(f, "{}", Hex(self.bytes))?;
                f.write_str("\"}")
            }
            Some(schema) => self.write(schema, f, true),
        })
    }

    /// Writes the whole value; fails too if the bytes are no such value.
    fn write(&self, schema: &Schema, out: &mut dyn Write, is_json: bool) -> fmt::Result {
        let left = LONGEST.max(64 * self.bytes.len());
        let mut out = Limited { out, left };
        let mut rest = Rest { bytes: self.bytes, items: self.bytes.len(), out: &mut out, is_json };
        rest.value(schema)?;
        if rest.bytes.is_empty() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl fmt::Display for PostcardValue<'_> {
    /// Writes structs as `{a=1 b=2}`, tuples as `(1, 2)`, an enum as its variant and what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.postcard.schema.as_ref() {
            None => write!(f, "<postcard, {} bytes: ", self.bytes.len())?,
            Some(schema) if self.write(schema, &mut Nothing, false).is_err() => {
                f.write_str("<invalid postcard: ")?;
            }
            Some(schema) => return self.write(schema, f, false),
        }
        write!(f, "{}>", Hex(self.bytes))
    }
}

/// The most bytes that a value is printed as, or 64 times its own bytes if that is more. A longer
/// one is printed in hex.
const LONGEST: usize = 64 << 10;

/// Fails once more bytes are written than are left.
struct Limited<'o> {
    out: &'o mut dyn Write,
    left: usize,
}

impl Write for Limited<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.out.write_str(text)
    }
}

struct Nothing;

impl Write for Nothing {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

/// Bytes that are printed as hex digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The bytes that are not read yet, and where their values are written.
struct Rest<'a, 'o, 'w> {
    bytes: &'a [u8],
    /// How many items lists and maps may still have.
    items: usize,
    out: &'o mut Limited<'w>,
    is_json: bool,
}

impl<'a> Rest<'a, '_, '_> {
    fn value(&mut self, schema: &Schema) -> fmt::Result {
        match schema {
            Schema::Bool => match self.take(1)? {
                [0] => self.out.write_str("false"),
                [1] => self.out.write_str("true"),
                _ => Err(fmt::Error),
            },
            Schema::Unsigned(bits) => {
                let number = self.number(*bits)?;
                write!(self.out, "{number}")
            }
            Schema::Signed(8) => {
                let number = self.number(8)? as i8;
                write!(self.out, "{number}")
            }
            Schema::Signed(bits) => {
                let number = self.number(*bits)?;
                write!(self.out, "{}", (number >> 1).cast_signed() ^ -(number & 1).cast_signed())
            }
            Schema::F32 => {
                let number = f32::from_le_bytes(*self.array()?);
                self.float(number.is_finite(), format_args!("{number:?}"))
            }
            Schema::F64 => {
                let number = f64::from_le_bytes(*self.array()?);
                self.float(number.is_finite(), format_args!("{number:?}"))
            }
            Schema::Char => {
                let text = self.counted_text()?;
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(found), None) if !self.is_json => write!(self.out, "{found:?}"),
                    (Some(_), None) => self.text(text),
                    _ => Err(fmt::Error),
                }
            }
            Schema::Text => {
                let text = self.counted_text()?;
                self.text(text)
            }
            Schema::Bytes => {
                let count = usize::try_from(self.number(64)?).map_err(|_| fmt::Error)?;
                let bytes = self.take(count)?;
                self.list("[", bytes.iter(), "]", |rest, byte| write!(rest.out, "{byte}"))
            }
            Schema::Unit => self.out.write_str(if self.is_json { "null" } else { "()" }),
            Schema::Option(item) => match self.take(1)? {
                [0] => self.out.write_str(if self.is_json { "null" } else { "none" }),
                [1] => self.value(item),
                _ => Err(fmt::Error),
            },
            Schema::Sequence(item) => {
                let count = self.count()?;
                self.list("[", 0..count, "]", |rest, _| rest.value(item))
            }
            Schema::Map(entry) => {
                let ([key, value], count) = (&**entry, self.count()?);
                self.list("{", 0..count, "}", |rest, _| {
                    rest.key(key)?;
                    rest.out.write_str(if rest.is_json { ":" } else { ": " })?;
                    rest.value(value)
                })
            }
            Schema::Tuple(items) => {
                let [begin, end] = if self.is_json { ["[", "]"] } else { ["(", ")"] };
                self.list(begin, items.iter(), end, Self::value)
            }
            Schema::Struct(fields) => self.fields(fields),
            Schema::Enum(variants) => {
                let number = usize::try_from(self.number(32)?).map_err(|_| fmt::Error)?;
                let (name, data) = variants.get(number).ok_or(fmt::Error)?;
                self.variant(name, data.as_ref())
            }
        }
    }

    fn variant(&mut self, name: &str, data: Option<&Schema>) -> fmt::Result {
        let is_object = self.is_json && data.is_some();
        self.out.write_str(if is_object { "{" } else { "" })?;
        self.name(name)?;
        match data {
            None => Ok(()),
            Some(data) if self.is_json => {
                self.out.write_str(":")?;
                self.value(data)?;
                self.out.write_str("}")
            }
            Some(data @ (Schema::Struct(_) | Schema::Tuple(_))) => self.value(data),
            Some(data) => {
                self.out.write_str("(")?;
                self.value(data)?;
                self.out.write_str(")")
            }
        }
    }

    fn fields(&mut self, fields: &[(String, Schema)]) -> fmt::Result {
        self.out.write_str("{")?;
        for (index, (name, schema)) in fields.iter().enumerate() {
            self.out.write_str(match self.is_json {
                _ if index == 0 => "",
                true => ",",
                false => " ",
            })?;
            self.name(name)?;
            self.out.write_str(if self.is_json { ":" } else { "=" })?;
            self.value(schema)?;
        }
        self.out.write_str("}")
    }

    /// Writes a key. JSON has only texts as keys.
    fn key(&mut self, schema: &Schema) -> fmt::Result {
        if !self.is_json || matches!(schema, Schema::Text | Schema::Char) {
            return self.value(schema);
        }
        let mut key = String::new();
        let mut out = Limited { out: &mut key, left: self.out.left };
        let mut inner =
            Rest { bytes: self.bytes, items: self.items, out: &mut out, is_json: false };
        inner.value(schema)?;
        (self.bytes, self.items) = (inner.bytes, inner.items);
        self.text(&key)
    }

    fn list<I>(
        &mut self,
        begin: &str,
        items: impl Iterator<Item = I>,
        end: &str,
        write: impl Fn(&mut Self, I) -> fmt::Result,
    ) -> fmt::Result {
        self.out.write_str(begin)?;
        for (index, item) in items.enumerate() {
            self.out.write_str(match self.is_json {
                _ if index == 0 => "",
                true => ",",
                false => ", ",
            })?;
            write(self, item)?;
        }
        self.out.write_str(end)
    }

    fn float(&mut self, is_finite: bool, number: fmt::Arguments<'_>) -> fmt::Result {
        let quote = if self.is_json && !is_finite { "\"" } else { "" };
        write!(self.out, "{quote}{number}{quote}")
    }

    /// Writes a name from the schema.
    fn name(&mut self, name: &str) -> fmt::Result {
        if self.is_json { self.text(name) } else { write!(self.out, "{}", name.escape_debug()) }
    }

    fn text(&mut self, text: &str) -> fmt::Result {
        if !self.is_json {
            return write!(self.out, "{text:?}");
        }
        self.out.write_char('"')?;
        for next in text.chars() {
            match next {
                '"' | '\\' => write!(self.out, "\\{next}")?,
                '\0'..' ' => write!(self.out, "\\u{:04x}", u32::from(next))?,
                _ => self.out.write_char(next)?,
            }
        }
        self.out.write_char('"')
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], fmt::Error> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(fmt::Error)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], fmt::Error> {
        self.take(N)?.first_chunk().ok_or(fmt::Error)
    }

    /// Reads an integer of this number of bits: seven in each byte, unless it has one byte.
    fn number(&mut self, bits: u32) -> Result<u128, fmt::Error> {
        if bits == 8 {
            return self.array().map(|[byte]| u128::from(*byte));
        }
        let (mut number, mut shift) = (0_u128, 0);
        loop {
            let [byte] = *self.array()?;
            let part = u128::from(byte & 0x7f);
            if shift >= bits || part.checked_shr(bits - shift).unwrap_or_default() > 0 {
                return Err(fmt::Error);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    fn count(&mut self) -> Result<usize, fmt::Error> {
        let count = usize::try_from(self.number(64)?).map_err(|_| fmt::Error)?;
        let left = self.items.min(self.bytes.len()).checked_sub(count).map(|_| self.items - count);
        self.items = left.ok_or(fmt::Error)?;
        Ok(count)
    }

    fn counted_text(&mut self) -> Result<&'a str, fmt::Error> {
        let count = usize::try_from(self.number(64)?).map_err(|_| fmt::Error)?;
        std::str::from_utf8(self.take(count)?).map_err(|_| fmt::Error)
    }
}
