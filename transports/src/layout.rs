//! Layouts of messages as values, decoded from its *canonical form*, the bytes of a layout that a
//! peer sent or a recording contains (`docs/wire-format.md`, section 4).
//!
//! The bytes are foreign. They are read once from the front, to a bounded depth. They cannot make
//! this code panic, loop, or allocate more than a few times their own length. A [`Layout`] that
//! exists is valid: its fields follow each other without gaps, and have the sizes of their types.

use mycelium_core::debug_as_display;
use mycelium_core::descriptor::{Descriptor, Digest};
use thiserror::Error;

/// The limit on the nesting depth of types.
pub const DEEPEST: usize = 64;

/// The most bytes of a message, and therefore of a type.
const LONGEST: usize = 65_535;

/// The layout of a message, or of a struct in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    size: usize,
    align: usize,
    fields: Vec<Field>,
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
    /// Returns the field's name.
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
        }
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
                FieldKind::List { item, capacity }
            }
            0x50 => FieldKind::Struct(self.structure(depth + 1)?),
            0x51 => FieldKind::Enum(self.enumeration()?),
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

    /// Decodes a struct, after its tag.
    fn structure(&mut self, depth: usize) -> Result<Layout, LayoutError> {
        let (size, align, count) = (self.count()?, self.count()?, self.number()?);
        // If the count is too large, the loop fails at the end of the bytes.
        let (mut fields, mut end) = (Vec::new(), 0);
        for _ in 0..count {
            let (offset, size, name) = (self.count()?, self.count()?, self.name()?);
            let kind = self.kind(depth)?;
            if (offset, size) != (end, kind.size()) {
                let (field, expected) = (shown(name), kind.size());
                return Err(LayoutError::Place { field, offset, size, begins: end, expected });
            }
            end += size;
            fields.push(Field { name: name.to_owned(), offset, size, kind });
        }
        match size == end {
            true => Ok(Layout { size, align, fields }),
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

/// Why bytes are not a canonical form of a layout.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The form ends too early.
    #[error("the layout ends in the middle")]
    Incomplete,
    /// More bytes follow the form.
    #[error("{count} bytes follow the layout")]
    Trailing {
        /// The number of bytes after the form.
        count: usize,
    },
    /// The form does not begin with a struct.
    #[error("a layout begins with a struct (0x50), found 0x{found:02x}")]
    NotStruct {
        /// The first byte.
        found: u8,
    },
    /// A type has an unknown tag.
    #[error("the layout has the unknown type 0x{tag:02x}")]
    Type {
        /// The tag.
        tag: u8,
    },
    /// The name of a field or variant is not UTF-8.
    #[error("the layout has a name that is not UTF-8")]
    Name,
    /// Structs, arrays and lists are nested too deep.
    #[error("the layout has more than {DEEPEST} types within each other")]
    TooDeep,
    /// An array or list has items that take no room.
    #[error("the layout has items without bytes")]
    NoBytes,
    /// A type or count is larger than any message.
    #[error("the layout has a part of {found} bytes or items: expected at most {LONGEST}")]
    TooLong {
        /// The number.
        found: u64,
    },
    /// A field does not begin where the previous one ends, or has the wrong size.
    #[error(
        "field `{field}` has {size} bytes at {offset}: expected {expected} bytes at {begins}, after \
         the field before it"
    )]
    Place {
        /// The field.
        field: String,
        /// The field's offset.
        offset: usize,
        /// The field's size.
        size: usize,
        /// The end of the previous field, which is the expected offset.
        begins: usize,
        /// The size of the field's type.
        expected: usize,
    },
    /// The size of a struct differs from the sum of its fields.
    #[error("a struct of {size} bytes has fields of {fields} bytes")]
    Size {
        /// The size of the struct.
        size: usize,
        /// The sum of the sizes of its fields.
        fields: usize,
    },
    /// The layout is not the one that the peer has announced.
    #[error("the layout has digest {found}, and its sender says {said}")]
    Digest {
        /// The digest that the sender announced.
        said: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
}

debug_as_display!(LayoutError);
