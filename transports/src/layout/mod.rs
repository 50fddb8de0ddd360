//! Layouts of messages as values, decoded from its *canonical form*, the bytes of a layout that a
//! peer sent or a recording contains (`docs/wire-format.md`, section 4).
//!
//! The bytes are foreign. They are read once from the front, to a bounded depth. They cannot make
//! this code panic, loop, or allocate more than a few times their own length. A [`Layout`] that
//! exists is valid: its fields follow each other, with less than 8 bytes between them, and have the
//! sizes of their types.

mod error;
mod postcard;

use mycelium_core::descriptor::{Descriptor, Digest};

use error::LONGEST;
pub use error::{DEEPEST, LayoutError};
pub use postcard::Postcard;
pub(crate) use postcard::Schema;

/// The most variants of an enum with data, whose number is one byte.
const VARIANTS: u64 = 256;

/// The type of a topic's messages as programs compare it: its number and its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageType {
    /// The number of the type: `Message::ID`.
    pub id: u16,
    /// The canonical form of the layout, which may be foreign.
    pub form: Vec<u8>,
}

impl MessageType {
    /// Returns the schema digest of the layout.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_canonical(&self.form)
    }

    /// Decodes the layout.
    ///
    /// # Errors
    /// If the bytes are not a canonical form, or no message can have the layout.
    pub fn layout(&self) -> Result<Layout, LayoutError> {
        Layout::parse(&self.form)
    }
}

/// The layout of a message, or of a struct in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    size: usize,
    align: usize,
    fields: Vec<Field>,
    /// Whether a field has a body behind the parts of the message.
    has_bodies: bool,
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: String,
    offset: usize,
    size: usize,
    kind: FieldKind,
}

/// What the bytes of a field mean.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// An unsigned integer of 1, 2, 4, 8 or 16 bytes.
    Unsigned(usize),
    /// A signed integer of 1, 2, 4, 8 or 16 bytes.
    Signed(usize),
    /// An unsigned integer of 32 bytes.
    U256,
    /// An IEEE 754 number of 32 bits.
    F32,
    /// An IEEE 754 number of 64 bits.
    F64,
    /// One byte, 0 or 1.
    Bool,
    /// Text: a count of bytes, then room for `capacity` bytes.
    Text {
        /// The most bytes.
        capacity: usize,
    },
    /// `len` items.
    Array {
        /// The type of each item.
        item: Box<FieldKind>,
        /// The number of items.
        len: usize,
    },
    /// A count of items, then room for `capacity` items.
    List {
        /// The type of each item.
        item: Box<FieldKind>,
        /// The most items.
        capacity: usize,
    },
    /// A struct.
    Struct(Layout),
    /// An enum, whose values the [`EnumLayout`] lists.
    Enum(EnumLayout),
    /// A character, as its number in Unicode.
    Char,
    /// A `u64` of seconds and a `u32` of nanoseconds.
    Duration,
    /// One byte, 4 or 6, and 16 bytes of an address.
    IpAddr,
    /// Text of any length: the place and the length of its body.
    String,
    /// A byte, 0 or 1, and a value.
    Option {
        /// The type of the value.
        item: Box<FieldKind>,
        /// The size with a value or without.
        size: usize,
        /// Where a value begins.
        align: usize,
    },
    /// Any number of items: the place and the length of their body.
    Sequence {
        /// The type of each item.
        item: Box<FieldKind>,
    },
    /// A sequence of bytes that hold a value in postcard.
    Postcard(Postcard),
    /// A sequence of keys and values, each a struct of two fields.
    Map {
        /// The type of an entry.
        entry: Box<FieldKind>,
    },
    /// An enum with data.
    Choice(ChoiceLayout),
}

/// The variants of an enum with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoiceLayout {
    size: usize,
    /// Where the fields of each variant begin.
    align: usize,
    variants: Vec<(String, Layout)>,
    has_bodies: bool,
}

/// The values of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnumLayout {
    /// Whether the enum's integer has a sign, and the number of its bytes.
    is_signed: bool,
    bytes: usize,
    variants: Vec<(i128, String)>,
}

impl Layout {
    /// Decodes a whole canonical form. The bytes may be anything.
    ///
    /// # Errors
    /// If the bytes are not a canonical form, or no message can have the layout.
    ///
    /// # Examples
    ///
    /// ```
    /// use mycelium_core::{Message, message};
    /// use mycelium_transports::untyped::Layout;
    ///
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     price: u64,
    /// }
    ///
    /// let mut form = [0; 55];
    /// _ = Tick::DESCRIPTOR.canonical(0, &mut form);
    /// let layout = Layout::parse(&form)?;
    /// assert_eq!((layout.size(), layout.fields()[0].name()), (8, "price"));
    /// assert!(Layout::parse(&form[..54]).is_err());
    /// # Ok::<(), mycelium_transports::untyped::LayoutError>(())
    /// ```
    pub fn parse(form: &[u8]) -> Result<Layout, LayoutError> {
        let mut rest = Form(form);
        match rest.byte()? {
            0x50 => {}
            found => return Err(LayoutError::NotStruct { found }),
        }
        let layout = rest.structure(1)?;
        match rest.0.len() {
            0 => Ok(layout),
            count => Err(LayoutError::Trailing { count }),
        }
    }

    /// Returns the layout of a type of this program.
    ///
    /// # Errors
    /// If its types are nested deeper than [`DEEPEST`], or it has items without bytes.
    pub fn of(descriptor: &Descriptor) -> Result<Layout, LayoutError> {
        Layout::parse(&canonical(descriptor))
    }

    /// Returns the size of the message's fixed part in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn align(&self) -> usize {
        self.align
    }

    /// Whether messages have bodies behind the fixed part, and therefore different lengths.
    #[must_use]
    pub fn has_bodies(&self) -> bool {
        self.has_bodies
    }

    /// Returns the fields, in the order of their offsets.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the field of this name, or the first of them if there are several.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Returns the whole canonical form of a layout.
fn canonical(descriptor: &Descriptor) -> Vec<u8> {
    let (_, total) = descriptor.canonical(0, &mut []);
    let mut form = vec![0; total];
    _ = descriptor.canonical(0, &mut form);
    form
}

/// Checks that a canonical form has the digest that its sender has announced.
pub(super) fn check_digest(form: &[u8], said: Digest) -> Result<(), LayoutError> {
    match Digest::of_canonical(form) {
        found if found == said => Ok(()),
        found => Err(LayoutError::Digest { said, found }),
    }
}

impl Field {
    /// Returns the field's name; of a value in postcard, that of its type.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the offset of the field in its struct.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the field's size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns what the field's bytes mean.
    #[must_use]
    pub fn kind(&self) -> &FieldKind {
        &self.kind
    }

    /// Whether the field fills a gap and has no meaning: by convention it is named `_pad`.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        self.name.starts_with("_pad")
    }
}

impl FieldKind {
    /// Returns the size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            FieldKind::Unsigned(bytes) | FieldKind::Signed(bytes) => *bytes,
            FieldKind::U256 => 32,
            FieldKind::F32 => 4,
            FieldKind::F64 => 8,
            FieldKind::Bool => 1,
            FieldKind::Text { capacity } => 2 + capacity,
            // The products were checked when the layout was made.
            FieldKind::Array { item, len } => item.size() * len,
            FieldKind::List { item, capacity } => 2 + item.size() * capacity,
            FieldKind::Struct(layout) => layout.size,
            FieldKind::Enum(layout) => layout.bytes,
            FieldKind::Char => 4,
            FieldKind::Duration => 16,
            FieldKind::IpAddr => 17,
            FieldKind::String
            | FieldKind::Sequence { .. }
            | FieldKind::Postcard(_)
            | FieldKind::Map { .. } => 8,
            FieldKind::Option { size, .. } => *size,
            FieldKind::Choice(layout) => layout.size,
        }
    }

    /// Whether values have bodies behind the parts of the message.
    pub(crate) fn has_bodies(&self) -> bool {
        match self {
            FieldKind::String
            | FieldKind::Sequence { .. }
            | FieldKind::Postcard(_)
            | FieldKind::Map { .. } => true,
            FieldKind::Array { item, .. }
            | FieldKind::List { item, .. }
            | FieldKind::Option { item, .. } => item.has_bodies(),
            FieldKind::Struct(layout) => layout.has_bodies,
            FieldKind::Choice(layout) => layout.has_bodies,
            _ => false,
        }
    }

    /// Whether the type has a field without bytes, of which there could be any number.
    fn has_empty(&self) -> bool {
        let has_empty = |layout: &Layout| layout.fields.iter().any(|it| it.kind.has_empty());
        match self {
            FieldKind::Array { item, .. }
            | FieldKind::List { item, .. }
            | FieldKind::Option { item, .. } => self.size() == 0 || item.has_empty(),
            FieldKind::Struct(layout) => layout.size == 0 || has_empty(layout),
            FieldKind::Choice(layout) => layout.variants.iter().any(|(_, it)| has_empty(it)),
            _ => false,
        }
    }
}

impl ChoiceLayout {
    /// Returns where the fields of a variant begin.
    pub(crate) fn align(&self) -> usize {
        self.align
    }

    /// Returns the names of the variants and their fields, in the order of their declaration.
    pub fn variants(&self) -> impl Iterator<Item = (&str, &Layout)> {
        self.variants.iter().map(|(name, layout)| (&**name, layout))
    }

    /// Returns the name and the fields of the variant with this number.
    #[must_use]
    pub fn variant(&self, number: u8) -> Option<(&str, &Layout)> {
        let (name, layout) = self.variants.get(usize::from(number))?;
        Some((name, layout))
    }
}

impl EnumLayout {
    /// Returns the integer that stores the enum.
    #[must_use]
    pub fn repr(&self) -> FieldKind {
        if self.is_signed { FieldKind::Signed(self.bytes) } else { FieldKind::Unsigned(self.bytes) }
    }

    /// Returns the enum's values and their names, in the order of their declaration.
    pub fn variants(&self) -> impl Iterator<Item = (i128, &str)> {
        self.variants.iter().map(|(value, name)| (*value, &**name))
    }

    /// Returns the name of a value.
    #[must_use]
    pub fn variant(&self, value: i128) -> Option<&str> {
        self.variants().find(|(known, _)| *known == value).map(|(_, name)| name)
    }
}

/// The bytes of a canonical form that are not decoded yet.
struct Form<'a>(&'a [u8]);

impl<'a> Form<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], LayoutError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(LayoutError::Incomplete)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Result<u8, LayoutError> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, LayoutError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Decodes a number that counts bytes or items of a message.
    fn count(&mut self) -> Result<usize, LayoutError> {
        let found = self.number()?;
        let count = usize::try_from(found).ok().filter(|count| *count <= LONGEST);
        count.ok_or(LayoutError::TooLong { found })
    }

    fn name(&mut self) -> Result<&'a str, LayoutError> {
        let count = usize::try_from(self.number()?).map_err(|_| LayoutError::Incomplete)?;
        let (name, rest) = self.0.split_at_checked(count).ok_or(LayoutError::Incomplete)?;
        self.0 = rest;
        std::str::from_utf8(name).map_err(|_| LayoutError::Name)
    }

    /// Decodes a type that is nested in `depth - 1` others.
    fn kind(&mut self, depth: usize) -> Result<FieldKind, LayoutError> {
        if depth > DEEPEST {
            return Err(LayoutError::TooDeep);
        }
        Ok(match self.byte()? {
            0x01 => FieldKind::Unsigned(1),
            0x02 => FieldKind::Unsigned(2),
            0x03 => FieldKind::Unsigned(4),
            0x04 => FieldKind::Unsigned(8),
            0x05 => FieldKind::Unsigned(16),
            0x06 => FieldKind::U256,
            0x11 => FieldKind::Signed(1),
            0x12 => FieldKind::Signed(2),
            0x13 => FieldKind::Signed(4),
            0x14 => FieldKind::Signed(8),
            0x15 => FieldKind::Signed(16),
            0x23 => FieldKind::F32,
            0x24 => FieldKind::F64,
            0x30 => FieldKind::Bool,
            0x40 => {
                let (len, item) = self.items(0, depth)?;
                FieldKind::Array { item, len }
            }
            0x41 => FieldKind::Text { capacity: fits(2, self.count()?, 1)? },
            0x42 => {
                let (capacity, item) = self.items(2, depth)?;
                if item.has_bodies() {
                    return Err(LayoutError::Parts { what: "a list" });
                }
                FieldKind::List { item, capacity }
            }
            0x50 => FieldKind::Struct(self.structure(depth + 1)?),
            0x51 => FieldKind::Enum(self.enumeration()?),
            0x31 => FieldKind::Char,
            0x32 => FieldKind::Duration,
            0x33 => FieldKind::IpAddr,
            0x43 => FieldKind::String,
            0x44 => {
                let stride = self.count()?;
                let item = Box::new(self.item(depth)?);
                if item.size() != stride {
                    return Err(LayoutError::Parts { what: "a list" });
                }
                FieldKind::Sequence { item }
            }
            0x45 => {
                let entry = Box::new(self.item(depth)?);
                match &*entry {
                    FieldKind::Struct(layout) if layout.fields.len() == 2 => {}
                    _ => return Err(LayoutError::Parts { what: "a map" }),
                }
                FieldKind::Map { entry }
            }
            0x46 => {
                let (size, align) = (self.count()?, self.count()?);
                let item = Box::new(self.kind(depth + 1)?);
                if align == 0 || !is_padded(size, align + item.size()) {
                    return Err(LayoutError::Parts { what: "an optional value" });
                }
                FieldKind::Option { item, size, align }
            }
            0x52 => FieldKind::Choice(self.choice(depth + 1)?),
            tag => return Err(LayoutError::Type { tag }),
        })
    }

    /// Decodes the number and the type of the items of an array or list. The items begin at `from`.
    /// Refuses items without bytes, because any number of them would fit.
    fn items(&mut self, from: usize, depth: usize) -> Result<(usize, Box<FieldKind>), LayoutError> {
        let count = self.count()?;
        let item = self.kind(depth + 1)?;
        if item.size() == 0 {
            return Err(LayoutError::NoBytes);
        }
        Ok((fits(from, count, item.size())?, Box::new(item)))
    }

    /// Decodes the type of items of which there may be any number. Refuses items that have parts
    /// without bytes, because a few bytes could then be any number of values.
    fn item(&mut self, depth: usize) -> Result<FieldKind, LayoutError> {
        let item = self.kind(depth + 1)?;
        if item.size() == 0 || item.has_empty() { Err(LayoutError::NoBytes) } else { Ok(item) }
    }

    /// Decodes an enum with data, after its tag.
    fn choice(&mut self, depth: usize) -> Result<ChoiceLayout, LayoutError> {
        if depth > DEEPEST {
            return Err(LayoutError::TooDeep);
        }
        let (size, align, count) = (self.count()?, self.count()?, self.number()?);
        let (mut variants, mut has_bodies) = (Vec::new(), false);
        for _ in 0..count {
            let name = self.name()?.to_owned();
            let layout = match self.byte()? {
                0x50 => self.structure(depth)?,
                found => return Err(LayoutError::NotStruct { found }),
            };
            has_bodies |= layout.has_bodies;
            if align == 0 || count > VARIANTS || align + layout.size > size {
                return Err(LayoutError::Parts { what: "an enum" });
            }
            variants.push((name, layout));
        }
        match variants.is_empty() {
            true => Err(LayoutError::Parts { what: "an enum" }),
            false => Ok(ChoiceLayout { size, align, variants, has_bodies }),
        }
    }

    /// Decodes a struct, after its tag.
    fn structure(&mut self, depth: usize) -> Result<Layout, LayoutError> {
        let (size, align, count) = (self.count()?, self.count()?, self.number()?);
        // If the count is too large, the loop fails at the end of the bytes.
        let (mut fields, mut end, mut has_bodies) = (Vec::<Field>::new(), 0, false);
        for _ in 0..count {
            let (offset, size, name) = (self.count()?, self.count()?, self.name()?);
            let kind = self.kind(depth)?;
            has_bodies |= kind.has_bodies();
            if size != kind.size() || !is_padded(offset, end) {
                let (field, expected) = (shown(name), kind.size());
                return Err(LayoutError::Place { field, offset, size, begins: end, expected });
            }
            end = offset + size;
            let postcard = match &kind {
                FieldKind::Sequence { item } if **item == FieldKind::Unsigned(1) => {
                    Postcard::parse(name)
                }
                _ => None,
            };
            let (name, kind) = match postcard {
                Some((of, postcard)) => (of, FieldKind::Postcard(postcard)),
                None => (name.to_owned(), kind),
            };
            fields.push(Field { name, offset, size, kind });
        }
        match is_padded(size, end) {
            true => Ok(Layout { size, align, fields, has_bodies }),
            false => Err(LayoutError::Size { size, fields: end }),
        }
    }

    /// Decodes an enum, after its tag.
    fn enumeration(&mut self) -> Result<EnumLayout, LayoutError> {
        let (is_signed, bytes) = match self.byte()? {
            tag @ 0x01..=0x05 => (false, 1 << (tag - 0x01)),
            tag @ 0x11..=0x15 => (true, 1 << (tag - 0x11)),
            tag => return Err(LayoutError::Type { tag }),
        };
        let mut variants = Vec::new();
        for _ in 0..self.number()? {
            let value = i128::from_le_bytes(self.array()?);
            variants.push((value, self.name()?.to_owned()));
        }
        Ok(EnumLayout { is_signed, bytes, variants })
    }
}

/// Whether a place is where the part before it ends, or up to 7 bytes behind it.
fn is_padded(place: usize, end: usize) -> bool {
    (end..end + 8).contains(&place)
}

/// Returns `count` if that many items, beginning at `from`, fit in the longest message.
fn fits(from: usize, count: usize, item: usize) -> Result<usize, LayoutError> {
    let end = count.checked_mul(item).and_then(|bytes| bytes.checked_add(from));
    match end.is_some_and(|end| end <= LONGEST + 2) {
        true => Ok(count),
        false => Err(LayoutError::TooLong { found: (count as u64).saturating_mul(item as u64) }),
    }
}

/// Returns the beginning of a foreign name, escaped.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}
