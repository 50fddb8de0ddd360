//! The schema of a value in postcard, which is in the name of its field (`docs/wire-format.md`,
//! section 3).

use super::error::DEEPEST;

/// A value in postcard: its type, and its schema if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postcard {
    field: String,
    pub(crate) schema: Option<Schema>,
}

/// What the bytes of a value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    Bool,
    /// An unsigned integer of this number of bits; more than 8 have a variable length.
    Unsigned(u32),
    Signed(u32),
    F32,
    F64,
    Char,
    Text,
    Bytes,
    Unit,
    Option(Box<Schema>),
    Sequence(Box<Schema>),
    Map(Box<[Schema; 2]>),
    Tuple(Vec<Schema>),
    Struct(Vec<(String, Schema)>),
    Enum(Vec<(String, Option<Schema>)>),
}

impl Postcard {
    /// Reads the name of a field of bytes. Returns the name of its type too; `None` for any other
    /// field.
    pub(super) fn parse(field: &str) -> Option<(String, Postcard)> {
        let mut text = Text(field.strip_prefix("postcard ")?);
        let name = text.name()?;
        let schema = match text.take('=') {
            true => text.schema(1).filter(|_| text.0.is_empty()),
            false => None,
        };
        Some((name, Postcard { field: field.to_owned(), schema }))
    }

    /// Returns the whole name of the field, with the schema.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// The rest of a schema.
struct Text<'a>(&'a str);

impl Text<'_> {
    /// Takes a character if it is the next one.
    fn take(&mut self, next: char) -> bool {
        let rest = self.0.strip_prefix(next);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Reads a name up to a character with a meaning of its own.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        loop {
            let next = self.0.chars().next();
            match next.filter(|next| !"#=:,}>".contains(*next)) {
                None => return Some(name).filter(|name| !name.is_empty()),
                Some('\\') => self.0 = &self.0[1..],
                Some(_) => {}
            }
            let next = self.0.chars().next()?;
            self.0 = &self.0[next.len_utf8()..];
            name.push(next);
        }
    }

    /// Reads parts with commas between them, up to `end`.
    fn parts<T>(
        &mut self,
        end: char,
        mut part: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut parts = Vec::new();
        while !self.take(end) {
            if !parts.is_empty() && !self.take(',') {
                return None;
            }
            parts.push(part(self)?);
        }
        Some(parts)
    }

    fn schema(&mut self, depth: usize) -> Option<Schema> {
        if depth > DEEPEST {
            return None;
        }
        let inner = |text: &mut Self| text.schema(depth + 1);
        if self.take('?') {
            return Some(Schema::Option(Box::new(inner(self)?)));
        }
        if self.take('[') {
            let item = inner(self)?;
            let schema = match self.take(':') {
                true => Schema::Map(Box::new([item, inner(self)?])),
                false => Schema::Sequence(Box::new(item)),
            };
            return self.take(']').then_some(schema);
        }
        if self.take('(') {
            let items = self.parts(')', inner)?;
            return Some(if items.is_empty() { Schema::Unit } else { Schema::Tuple(items) });
        }
        if self.take('{') {
            let field = |text: &mut Self| {
                let name = text.name()?;
                if text.take(':') { Some((name, inner(text)?)) } else { None }
            };
            return Some(Schema::Struct(self.parts('}', field)?));
        }
        if self.take('<') {
            let variant = |text: &mut Self| {
                let name = text.name()?;
                Some((name, if text.take(':') { Some(inner(text)?) } else { None }))
            };
            return Some(Schema::Enum(self.parts('>', variant)?));
        }
        let end = self.0.find(|next: char| !next.is_ascii_alphanumeric()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(match word {
            "bool" => Schema::Bool,
            "f32" => Schema::F32,
            "f64" => Schema::F64,
            "char" => Schema::Char,
            "str" => Schema::Text,
            "bytes" => Schema::Bytes,
            "u8" | "u16" | "u32" | "u64" | "u128" => Schema::Unsigned(word[1..].parse().ok()?),
            "i8" | "i16" | "i32" | "i64" | "i128" => Schema::Signed(word[1..].parse().ok()?),
            "usize" => Schema::Unsigned(64),
            "isize" => Schema::Signed(64),
            _ => return None,
        })
    }
}
