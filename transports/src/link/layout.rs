//! Compares two layouts of one topic's messages: the layout here, and the canonical form of the
//! peer's layout. It finds the first difference.
//!
//! The peer's bytes are foreign: [`Layout`] checks them, and without a valid layout there is no
//! first difference.

use std::fmt;

use mycelium_core::descriptor::{Descriptor, Digest, EnumDescriptor, FieldType};

use crate::layout::{EnumLayout, FieldKind, Layout, shown};
use crate::local::Schema;

/// The most bytes of a peer's canonical form that are read.
pub(crate) const LONGEST_FORM: usize = 64 << 10;

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
    /// Creates the mismatch with a peer whose layout has this digest, and this canonical form if
    /// the peer has sent it.
    pub(crate) fn new(own: &Schema, peer_digest: Digest, form: Option<&[u8]>) -> LayoutMismatch {
        let size_of = |form: &[u8]| Some(u64::from_le_bytes(*form.get(1..)?.first_chunk()?));
        let layout = form.and_then(|form| Layout::parse(form).ok());
        LayoutMismatch {
            size: own.size,
            digest: own.digest,
            peer_size: form.and_then(size_of),
            peer_digest,
            first: layout.and_then(|layout| in_struct(own.descriptor, &layout, "")),
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

/// Returns the first difference between a type here and a type of a peer, in a field at this path.
fn difference(own: &FieldType, there: &FieldKind, path: &str) -> Option<Difference> {
    match (own, there) {
        (FieldType::Array { item, len: here }, FieldKind::Array { item: other, len: there })
        | (
            FieldType::List { item, capacity: here },
            FieldKind::List { item: other, capacity: there },
        ) if here == there => difference(item, other, path),
        (FieldType::Struct(own), FieldKind::Struct(there)) => in_struct(own, there, path),
        (FieldType::Enum(own), FieldKind::Enum(there)) => in_enum(own, there, path),
        // For all other types the text shows every difference.
        _ if own.to_string() == describe(there) => None,
        _ => differ(path, own, describe(there)),
    }
}

fn differ(field: &str, here: impl ToString, there: impl ToString) -> Option<Difference> {
    let (field, here, there) = (field.to_owned(), here.to_string(), there.to_string());
    Some(Difference { field, here, there })
}

/// The fields are compared before the shape: if a field differs, that is why the shape does.
fn in_struct(own: &Descriptor, there: &Layout, path: &str) -> Option<Difference> {
    for (index, field) in own.fields.iter().enumerate() {
        let here = inner(path, field.name);
        let Some(other) = there.fields().get(index) else {
            return differ(&here, field.ty, "missing");
        };
        if other.name() != field.name {
            return differ(&here, "there", format!("`{}` in its place", shown(other.name())));
        }
        let found = difference(&field.ty, other.kind(), &here);
        if found.is_some() {
            return found;
        }
    }
    if let Some(more) = there.fields().get(own.fields.len()) {
        return differ(&inner(path, &shown(more.name())), "missing", describe(more.kind()));
    }
    let shape = |size, align| format!("{size} bytes, aligned to {align}");
    let (here, there) = (shape(own.size, own.align), shape(there.size(), there.align()));
    if here == there { None } else { differ(path, here, there) }
}

fn in_enum(own: &EnumDescriptor, there: &EnumLayout, path: &str) -> Option<Difference> {
    let (here, repr) = (own.repr.to_string(), describe(&there.repr()));
    if here != repr {
        return differ(path, format!("stored as {here}"), format!("stored as {repr}"));
    }
    let count = there.variants().count();
    let variants = |count| format!("an enum of {count} variants");
    let variant = |name: &str, value| format!("an enum with `{name} = {value}`");
    let mut others = there.variants();
    for known in own.variants {
        let here = variant(known.name, known.value);
        match others.next() {
            None => return differ(path, here, variants(count)),
            Some((value, name)) if (name, value) != (known.name, known.value) => {
                return differ(path, here, variant(&shown(name), value));
            }
            Some(_) => {}
        }
    }
    let known = own.variants.len();
    if count > known { differ(path, variants(known), variants(count)) } else { None }
}

/// Describes a type of the peer.
fn describe(there: &FieldKind) -> String {
    match there {
        FieldKind::Unsigned(bytes) => format!("u{}", 8 * bytes),
        FieldKind::Signed(bytes) => format!("i{}", 8 * bytes),
        FieldKind::U256 => "u256".to_owned(),
        FieldKind::F32 => "f32".to_owned(),
        FieldKind::F64 => "f64".to_owned(),
        FieldKind::Bool => "bool".to_owned(),
        FieldKind::Array { len, .. } => format!("an array of {len}"),
        FieldKind::Text { capacity } => format!("text of at most {capacity} bytes"),
        FieldKind::List { capacity, .. } => format!("a list of at most {capacity}"),
        FieldKind::Struct(layout) => format!("a struct of {} bytes", layout.size()),
        FieldKind::Enum(_) => "an enum".to_owned(),
    }
}

/// Returns the path of a field within another.
fn inner(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests;
