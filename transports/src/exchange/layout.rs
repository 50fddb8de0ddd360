//! Compares two layouts of one topic's messages: the layout here, and the canonical form of the
//! peer's layout. Where do they differ first?
//!
//! The peer's bytes are foreign. They are read once from the front, as long as they agree with the
//! layout here, whose depth bounds all recursion. They cannot make this code allocate more than a
//! name, loop, or panic.

use std::fmt;

use mycelium_core::descriptor::{Descriptor, Digest, EnumDescriptor, FieldType};

use crate::local::Schema;

/// The longest canonical form of a peer that is read.
pub(crate) const LONGEST_FORM: usize = 64 << 10;

/// The most characters of a peer's name that are shown.
const SHOWN: usize = 64;

/// The messages of a topic have another layout at a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutMismatch {
    /// The message's size here, in bytes.
    pub size: usize,
    /// The digest here.
    pub digest: Digest,
    /// The message's size at the peer, if the peer has sent its layout.
    pub peer_size: Option<u64>,
    /// The digest at the peer.
    pub peer_digest: Digest,
    /// Where the two differ first, if the peer has sent its layout.
    pub first: Option<Difference>,
}

/// The first place where two layouts differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path of the field, such as `order.side`; empty for the message itself.
    pub field: String,
    /// What the field is here.
    pub here: String,
    /// What the field is at the peer.
    pub there: String,
}

impl LayoutMismatch {
    /// For a peer whose layout has this digest, and this canonical form if it has sent it.
    pub(super) fn new(own: &Schema, peer_digest: Digest, form: Option<&[u8]>) -> LayoutMismatch {
        let size_of = |form: &[u8]| Form(form.get(1..)?).number();
        LayoutMismatch {
            size: own.size,
            digest: own.digest,
            peer_size: form.and_then(size_of),
            peer_digest,
            first: form.and_then(|form| difference(own.descriptor, form)),
        }
    }
}

impl fmt::Display for LayoutMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LayoutMismatch { size, digest, peer_size, peer_digest, first } = self;
        if digest == peer_digest {
            return write!(f, "both sides have layout {digest}, but different message ids");
        }
        write!(f, "{size} bytes, digest {digest} here; ")?;
        match peer_size {
            Some(size) => write!(f, "{size} bytes, digest {peer_digest} there")?,
            None => write!(f, "digest {peer_digest} there")?,
        }
        match first {
            Some(Difference { field, here, there }) if field.is_empty() => {
                write!(f, "; the message is {here} here and {there} there")
            }
            Some(Difference { field, here, there }) => {
                write!(f, "; first difference: field `{field}` is {here} here and {there} there")
            }
            None => Ok(()),
        }
    }
}

/// The first difference between a layout and the canonical form of another; `None` if there is
/// none, or if the form is cut off before it.
fn difference(own: &'static Descriptor, form: &[u8]) -> Option<Difference> {
    match Form(form).ty(&FieldType::Struct(own), "") {
        Err(Stop::Differs(difference)) => Some(difference),
        Err(Stop::Malformed) | Ok(()) => None,
    }
}

/// Why a comparison ends.
enum Stop {
    Differs(Difference),
    /// The peer's bytes are not a canonical form.
    Malformed,
}

fn differ<T>(field: &str, here: impl ToString, there: impl ToString) -> Result<T, Stop> {
    let (field, here, there) = (field.to_owned(), here.to_string(), there.to_string());
    Err(Stop::Differs(Difference { field, here, there }))
}

/// The rest of the peer's canonical form.
struct Form<'a>(&'a [u8]);

impl<'a> Form<'a> {
    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        self.array::<1>().map(|[byte]| byte).ok_or(Stop::Malformed)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Result<u64, Stop> {
        self.number().ok_or(Stop::Malformed)
    }

    fn name(&mut self) -> Result<&'a str, Stop> {
        let count = self.count()?;
        let bytes = self.bytes(count).ok_or(Stop::Malformed)?;
        std::str::from_utf8(bytes).map_err(|_| Stop::Malformed)
    }

    fn ty(&mut self, own: &FieldType, path: &str) -> Result<(), Stop> {
        let tag = self.byte()?;
        if tag != own.tag() {
            return differ(path, own, self.describe(tag));
        }
        match own {
            FieldType::Array { item, len: count } | FieldType::List { item, capacity: count } => {
                let there = self.count()?;
                if there != *count as u64 {
                    return differ(path, own, self.counted(tag, Some(there)));
                }
                self.ty(item, path)
            }
            FieldType::Text { capacity } => {
                let there = self.count()?;
                if there != *capacity as u64 {
                    return differ(path, own, self.counted(tag, Some(there)));
                }
                Ok(())
            }
            FieldType::Struct(descriptor) => self.structure(descriptor, path),
            FieldType::Enum(descriptor) => self.enumeration(descriptor, path),
            _ => Ok(()),
        }
    }

    /// A struct, after its tag. Its fields are compared before its size: if a field differs, that
    /// is why the size does.
    fn structure(&mut self, own: &Descriptor, path: &str) -> Result<(), Stop> {
        let (size, align, count) = (self.count()?, self.count()?, self.count()?);
        for (index, field) in own.fields.iter().enumerate() {
            let here = inner(path, field.name);
            if index as u64 >= count {
                return differ(&here, field.ty, "missing");
            }
            let (offset, size, name) = (self.count()?, self.count()?, self.name()?);
            if name != field.name {
                return differ(&here, "there", format!("`{}` in its place", shown(name)));
            }
            self.ty(&field.ty, &here)?;
            let (offset_here, size_here) = (field.offset as u64, field.size as u64);
            if (offset, size) != (offset_here, size_here) {
                let place = |offset, size| format!("{size} bytes at {offset}");
                return differ(&here, place(offset_here, size_here), place(offset, size));
            }
        }
        if count > own.fields.len() as u64 {
            let (_offset, _size, name) = (self.count()?, self.count()?, self.name()?);
            let tag = self.byte()?;
            return differ(&inner(path, &shown(name)), "missing", self.describe(tag));
        }
        if (size, align) != (own.size as u64, own.align as u64) {
            let shape = |size, align| format!("{size} bytes, aligned to {align}");
            return differ(path, shape(own.size as u64, own.align as u64), shape(size, align));
        }
        Ok(())
    }

    /// An enum, after its tag.
    fn enumeration(&mut self, own: &EnumDescriptor, path: &str) -> Result<(), Stop> {
        let tag = self.byte()?;
        if tag != own.repr.tag() {
            let there = format!("stored as {}", self.describe(tag));
            return differ(path, format!("stored as {}", own.repr), there);
        }
        let count = self.count()?;
        let variant = |name: &str, value| format!("an enum with `{name} = {value}`");
        let fewer = || format!("an enum of {count} variants");
        for (index, known) in own.variants.iter().enumerate() {
            let here = variant(known.name, known.value);
            if index as u64 >= count {
                return differ(path, here, fewer());
            }
            let value = self.array().map(i128::from_le_bytes).ok_or(Stop::Malformed)?;
            let name = self.name()?;
            if (name, value) != (known.name, known.value) {
                return differ(path, here, variant(&shown(name), value));
            }
        }
        if count > own.variants.len() as u64 {
            return differ(path, format!("an enum of {} variants", own.variants.len()), fewer());
        }
        Ok(())
    }

    /// A type of the peer, after its tag, as text.
    fn describe(&mut self, tag: u8) -> String {
        let count = matches!(tag, 0x40..=0x42 | 0x50).then(|| self.number()).flatten();
        self.counted(tag, count)
    }

    fn counted(&self, tag: u8, count: Option<u64>) -> String {
        let name = match tag {
            0x01 => "u8",
            0x02 => "u16",
            0x03 => "u32",
            0x04 => "u64",
            0x05 => "u128",
            0x06 => "u256",
            0x11 => "i8",
            0x12 => "i16",
            0x13 => "i32",
            0x14 => "i64",
            0x15 => "i128",
            0x23 => "f32",
            0x24 => "f64",
            0x30 => "bool",
            0x51 => "an enum",
            _ => "",
        };
        match (tag, count) {
            (0x40, Some(count)) => format!("an array of {count}"),
            (0x41, Some(count)) => format!("text of at most {count} bytes"),
            (0x42, Some(count)) => format!("a list of at most {count}"),
            (0x50, Some(count)) => format!("a struct of {count} bytes"),
            _ if name.is_empty() => format!("of type 0x{tag:02x}"),
            _ => name.to_owned(),
        }
    }
}

/// A field within another.
fn inner(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A name that the peer has sent, escaped and shortened for a log line.
fn shown(name: &str) -> String {
    name.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
