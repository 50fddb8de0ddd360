//! Compares the layout of a topic's messages here with the canonical form of a peer's layout, and
//! finds the first difference. The bytes of a catalogue are here, too.
//!
//! The peer's bytes are foreign, so [`Layout`] checks them. Without a valid layout the first
//! difference is unknown.

use std::fmt;

use mycelium_core::debug_as_display;
use mycelium_core::descriptor::{ChoiceDescriptor, Descriptor, Digest, EnumDescriptor, FieldType};
use thiserror::Error;

use crate::layout::{ChoiceLayout, EnumLayout, FieldKind, Layout, shown};
use crate::local::{Schema, Topic};

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
    /// The first difference, if the peer has sent its layout.
    pub first: Option<Difference>,
}

/// The first place where two layouts differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path of the field, such as `order.side`; empty for the message itself.
    pub field: String,
    /// The field here, as text.
    pub here: String,
    /// The field at the peer, as text.
    pub there: String,
}

impl LayoutMismatch {
    /// Creates the mismatch with a peer whose layout has this digest, and this canonical form if
    /// the peer has sent it.
    pub(crate) fn new(own: &Schema, peer_digest: Digest, form: Option<&[u8]>) -> LayoutMismatch {
        let size_of = |form: &[u8]| Some(u64::from_le_bytes(*form.get(1..)?.first_chunk()?));
        let layout = form.and_then(|form| Layout::parse(form).ok());
        LayoutMismatch {
            size: own.descriptor.size,
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
        first.iter().try_for_each(|first| write!(f, "; {first}"))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { field, here, there } = self;
        match &**field {
            "" => write!(f, "the message is {here} here and {there} there"),
            _ => write!(f, "first difference: field `{field}` is {here} here and {there} there"),
        }
    }
}

/// Returns the first difference between a type here and a type of a peer, in a field at this path.
pub(super) fn difference(own: &FieldType, there: &FieldKind, path: &str) -> Option<Difference> {
    match (own, there) {
        (FieldType::Array { item, len: here }, FieldKind::Array { item: other, len: there })
        | (
            FieldType::List { item, capacity: here },
            FieldKind::List { item: other, capacity: there },
        ) if here == there => difference(item, other, path),
        (FieldType::Sequence { item, .. }, FieldKind::Sequence { item: other })
        | (FieldType::Option { item, .. }, FieldKind::Option { item: other, .. })
        | (FieldType::Map { entry: item }, FieldKind::Map { entry: other }) => {
            difference(item, other, path)
        }
        (FieldType::Choice(own), FieldKind::Choice(there)) => in_choice(own, there, path),
        (FieldType::Struct(own), FieldKind::Struct(there)) => in_struct(own, there, path),
        (FieldType::Enum(own), FieldKind::Enum(there)) => in_enum(own, there, path),
        // For all other types the text shows every difference.
        _ if own.to_string() == describe(there) => None,
        _ => differ(path, own, describe(there)),
    }
}

pub(super) fn differ(field: &str, here: impl ToString, there: impl ToString) -> Option<Difference> {
    let (field, here, there) = (field.to_owned(), here.to_string(), there.to_string());
    Some(Difference { field, here, there })
}

/// Compares the fields before the shape: a different field is the reason why the shape differs.
pub(super) fn in_struct(own: &Descriptor, there: &Layout, path: &str) -> Option<Difference> {
    for (index, field) in own.fields.iter().enumerate() {
        let here = inner(path, field.name);
        let Some(other) = there.fields().get(index) else {
            return differ(&here, field.ty, "missing");
        };
        match (field.postcard(), other.kind()) {
            (Some(_), FieldKind::Postcard(there)) if there.field() != field.name => {
                let [here, there] = from_difference([field.name, there.field()]);
                return differ(path, here, there);
            }
            (Some(_), FieldKind::Postcard(_)) => continue,
            _ => {}
        }
        if other.name() != field.name {
            return differ_in_name(own, there, index, path);
        }
        let found = difference(&field.ty, other.kind(), &here);
        if found.is_some() {
            return found;
        }
    }
    if let Some(more) = there.fields().get(own.fields.len()) {
        return differ(&inner(path, &shown(more.name())), "missing", describe(more.kind()));
    }
    let shape = |size, align| format!("{size} bytes aligned to {align}");
    let (here, there) = (shape(own.size, own.align), shape(there.size(), there.align()));
    if here == there { None } else { differ(path, here, there) }
}

/// Returns the difference of two fields in one place that have different names.
fn differ_in_name(
    own: &Descriptor,
    there: &Layout,
    index: usize,
    path: &str,
) -> Option<Difference> {
    let (field, other) = (&own.fields[index], &there.fields()[index]);
    let found = there.fields().iter().position(|it| it.name() == field.name);
    let is_known = own.fields.iter().any(|it| it.name == other.name());
    let (here, name) = (inner(path, field.name), shown(other.name()));
    let place = |index| format!("in place {}", index + 1);
    match found {
        Some(found) if is_known => differ(&here, place(index), place(found)),
        Some(_) => differ(&inner(path, &name), "missing", describe(other.kind())),
        None if is_known => differ(&here, field.ty, "missing"),
        None => differ(&here, field.ty, format!("replaced by `{name}`")),
    }
}

/// Returns two schemas of postcard from a little before their first difference.
fn from_difference(schemas: [&str; 2]) -> [String; 2] {
    let common = schemas[0].chars().zip(schemas[1].chars()).take_while(|(a, b)| a == b).count();
    schemas.map(|schema| {
        let skipped = common.saturating_sub(40);
        let rest: String = schema.chars().skip(skipped).collect();
        format!("`{}{}`", if skipped > 0 { "…" } else { "" }, shown(&rest))
    })
}

fn in_enum(own: &EnumDescriptor, there: &EnumLayout, path: &str) -> Option<Difference> {
    let (here, repr) = (own.repr.to_string(), describe(&there.repr()));
    if here != repr {
        return differ(path, format!("stored as {here}"), format!("stored as {repr}"));
    }
    let here = own.variants.iter().map(|known| format!("{} = {}", known.name, known.value));
    let there = there.variants().map(|(value, name)| format!("{} = {value}", shown(name)));
    differ_in_variant(path, here, there)
}

fn in_choice(own: &ChoiceDescriptor, there: &ChoiceLayout, path: &str) -> Option<Difference> {
    for (known, (name, other)) in own.variants.iter().zip(there.variants()) {
        if known.name != name {
            break;
        }
        let found = in_struct(known, other, &inner(path, known.name));
        if found.is_some() {
            return found;
        }
    }
    let here = own.variants.iter().map(|known| known.name.to_owned());
    differ_in_variant(path, here, there.variants().map(|(name, _)| shown(name).to_string()))
}

/// Returns the first difference between the variants of two enums.
fn differ_in_variant(
    path: &str,
    mut here: impl Iterator<Item = String>,
    mut there: impl Iterator<Item = String>,
) -> Option<Difference> {
    let with = |variant| format!("an enum with `{variant}`");
    loop {
        return match (here.next(), there.next()) {
            (None, None) => None,
            (Some(here), Some(there)) if here == there => continue,
            (Some(here), Some(there)) => differ(path, with(here), with(there)),
            (Some(here), None) => differ(path, with(here), "an enum without it"),
            (None, Some(there)) => {
                differ(path, format!("an enum without `{there}`"), "an enum with it")
            }
        };
    }
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
        FieldKind::Array { item, len } => format!("[{}; {len}]", describe(item)),
        FieldKind::Text { capacity } => format!("text of at most {capacity} bytes"),
        FieldKind::List { item, capacity } => format!("at most {capacity} of {}", describe(item)),
        FieldKind::Struct(layout) => format!("a struct of {} bytes", layout.size()),
        FieldKind::Enum(_) => "an enum".to_owned(),
        FieldKind::Char => "char".to_owned(),
        FieldKind::Duration => "duration".to_owned(),
        FieldKind::IpAddr => "IP address".to_owned(),
        FieldKind::String => "text".to_owned(),
        FieldKind::Option { item, .. } => format!("optional {}", describe(item)),
        FieldKind::Sequence { item } => format!("any number of {}", describe(item)),
        FieldKind::Postcard(_) => "a value in postcard".to_owned(),
        FieldKind::Map { .. } => "a map".to_owned(),
        FieldKind::Choice(_) => "an enum with data".to_owned(),
    }
}

/// Returns the path of a field in another field.
fn inner(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

// The catalogue of a node as bytes: the topics that a peer may read from it (`docs/wire-format.md`,
// "Catalogue").
//
// The bytes of a peer are foreign: they are read once from the front. They cannot make this code
// panic, loop, or allocate more than their own length.

/// The most bytes of a peer's catalogue that are read.
pub(crate) const LONGEST_CATALOGUE: usize = 1 << 20;

/// The most bytes that the name of a topic may have on a link.
const LONGEST_NAME: usize = 62;

/// A topic in the catalogue of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The topic.
    pub topic: String,
    /// The type id of the topic's messages.
    pub type_id: u16,
    /// The digest of the layout of the topic's messages.
    pub digest: Digest,
    /// The number of publishers of the topic in the peer's process at the time of the answer.
    pub publishers: u32,
}

impl CatalogueEntry {
    /// Creates the entry of a topic of this process.
    pub(crate) fn of(topic: &Topic) -> CatalogueEntry {
        let Schema { id: type_id, digest, .. } = *topic.schema();
        let publishers = u32::try_from(topic.local_publishers()).unwrap_or(u32::MAX);
        CatalogueEntry { topic: topic.name().to_owned(), type_id, digest, publishers }
    }

    /// Encodes the entries as a catalogue. Leaves out topics whose names are too long for a link.
    ///
    /// ```
    /// use mycelium_core::Digest;
    /// use mycelium_transports::link::CatalogueEntry;
    ///
    /// let swaps = CatalogueEntry {
    ///     topic: "swaps".to_owned(),
    ///     type_id: 1,
    ///     digest: Digest([7; 16]),
    ///     publishers: 2,
    /// };
    /// let bytes = CatalogueEntry::to_bytes(&[swaps.clone()]);
    /// assert_eq!(bytes.len(), 8 + 24 + 5);
    /// assert_eq!(CatalogueEntry::parse(&bytes)?, [swaps]);
    /// # Ok::<(), mycelium_transports::link::CatalogueError>(())
    /// ```
    #[must_use]
    pub fn to_bytes(entries: &[CatalogueEntry]) -> Vec<u8> {
        let fits = |entry: &&CatalogueEntry| entry.topic.len() <= LONGEST_NAME;
        let count = entries.iter().filter(fits).count();
        let mut bytes = u64::try_from(count).unwrap_or(u64::MAX).to_le_bytes().to_vec();
        for entry in entries.iter().filter(fits) {
            let CatalogueEntry { topic, type_id, digest, publishers } = entry;
            bytes.extend_from_slice(&type_id.to_le_bytes());
            // The cast is lossless, because a name has at most `LONGEST_NAME` bytes.
            bytes.extend_from_slice(&(topic.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&publishers.to_le_bytes());
            bytes.extend_from_slice(&digest.0);
            bytes.extend_from_slice(topic.as_bytes());
        }
        bytes
    }

    /// Decodes a whole catalogue. The bytes may be anything.
    ///
    /// # Errors
    /// If the bytes are not a catalogue.
    pub fn parse(bytes: &[u8]) -> Result<Vec<CatalogueEntry>, CatalogueError> {
        let (count, mut rest) = bytes.split_first_chunk().ok_or(CatalogueError::Incomplete)?;
        let count = u64::from_le_bytes(*count);
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (entry, after) = entry(rest)?;
            entries.push(entry);
            rest = after;
        }
        match entries.len() as u64 == count {
            true => Ok(entries),
            false => Err(CatalogueError::Count { said: count, found: entries.len() }),
        }
    }
}

/// Decodes the entry at the start of `bytes`. Returns it and the bytes after it.
fn entry(bytes: &[u8]) -> Result<(CatalogueEntry, &[u8]), CatalogueError> {
    fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), CatalogueError> {
        let split = bytes.split_first_chunk().ok_or(CatalogueError::Incomplete)?;
        Ok((*split.0, split.1))
    }
    let (type_id, bytes) = take(bytes)?;
    let (length, bytes) = take(bytes)?;
    let (publishers, bytes) = take(bytes)?;
    let (digest, bytes) = take(bytes)?;
    let length = usize::from(u16::from_le_bytes(length));
    let (name, bytes) = bytes.split_at_checked(length).ok_or(CatalogueError::Incomplete)?;
    let name = std::str::from_utf8(name).ok();
    let name = name.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
    let topic = name.ok_or(CatalogueError::Name)?.to_owned();
    let (type_id, publishers) = (u16::from_le_bytes(type_id), u32::from_le_bytes(publishers));
    Ok((CatalogueEntry { topic, type_id, digest: Digest(digest), publishers }, bytes))
}

/// Why bytes are not a catalogue.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The bytes end within an entry.
    #[error("the catalogue ends in the middle of an entry")]
    Incomplete,
    /// The name of a topic is empty, too long, or not UTF-8.
    #[error("the catalogue has a name that no topic can have")]
    Name,
    /// The number of entries differs from the number that the catalogue states.
    #[error("the catalogue says that it has {said} entries, and has {found}")]
    Count {
        /// The number that the catalogue states.
        said: u64,
        /// The number of entries found.
        found: usize,
    },
}

debug_as_display!(CatalogueError);

#[cfg(test)]
mod tests;
