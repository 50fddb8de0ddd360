//! The layout of a message in memory, as constants: names, types, offsets and sizes.
//!
//! `#[message]` makes a [`Descriptor`] for each type. A tool can print it, a recorder can store it,
//! and a peer can request it over the link. Its hash is the [`Digest`]: two sides with equal
//! digests read the same bytes in the same way. The digest covers only what matters for that: not
//! the name of the type or its path, and no source text. `docs/wire-format.md` says how to compute
//! it, also in other languages.

use core::fmt;

/// The layout of one struct: a message, or a struct nested in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The name of the type, for people; not part of the digest.
    pub name: &'static str,
    /// The size of the struct in bytes.
    pub size: usize,
    /// The alignment of the struct in bytes, at most 8.
    pub align: usize,
    /// Its fields in the order of their declaration, which is the order of their offsets.
    pub fields: &'static [FieldDescriptor],
}

/// One field of a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldDescriptor {
    /// The name of the field.
    pub name: &'static str,
    /// The offset of the field in bytes, from the start of the struct.
    pub offset: usize,
    /// The size of the field in bytes.
    pub size: usize,
    /// What the bytes of the field mean.
    pub ty: FieldType,
    /// The bytes that the field has if it is missing in a message, because the program that sent it
    /// is older. Not part of the digest.
    pub default: Option<&'static [u8]>,
    /// Whether the field is the message that this one carries: the request of a call, or the reply
    /// of an answer. It may grow as that message does. Not part of the digest.
    pub is_carried: bool,
}

impl FieldDescriptor {
    /// Returns the type and the schema of a value in postcard, if the field is a list of bytes that
    /// holds one: its name then begins with `postcard` and a space, which no name in Rust has.
    #[must_use]
    pub fn postcard(&self) -> Option<&'static str> {
        self.name.strip_prefix("postcard ")
    }
}

/// What the bytes of a field mean. Numbers are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldType {
    /// An unsigned integer of 8 bits.
    U8,
    /// An unsigned integer of 16 bits.
    U16,
    /// An unsigned integer of 32 bits.
    U32,
    /// An unsigned integer of 64 bits.
    U64,
    /// An unsigned integer of 128 bits.
    U128,
    /// An unsigned integer of 256 bits.
    U256,
    /// A signed integer of 8 bits.
    I8,
    /// A signed integer of 16 bits.
    I16,
    /// A signed integer of 32 bits.
    I32,
    /// A signed integer of 64 bits.
    I64,
    /// A signed integer of 128 bits.
    I128,
    /// An IEEE 754 number of 32 bits.
    F32,
    /// An IEEE 754 number of 64 bits.
    F64,
    /// One byte, 0 or 1.
    Bool,
    /// `len` consecutive items.
    Array {
        /// The type of each item.
        item: &'static FieldType,
        /// The number of items.
        len: usize,
    },
    /// A `u16` count of bytes, then `capacity` bytes of which the first `count` are UTF-8.
    Text {
        /// The capacity in bytes.
        capacity: usize,
    },
    /// A `u16` count of items, then `capacity` items, unaligned, of which the first `count` are in
    /// use.
    List {
        /// The type of each item.
        item: &'static FieldType,
        /// The capacity in items.
        capacity: usize,
    },
    /// A nested struct.
    Struct(&'static Descriptor),
    /// An enum without fields.
    Enum(&'static EnumDescriptor),
    /// A Unicode character as a `u32`.
    Char,
    /// A `u64` of seconds and a `u32` of nanoseconds below 10⁹, as a struct of both.
    Duration,
    /// One byte, 4 or 6, and 16 bytes of an address, of which version 4 uses the first four.
    IpAddr,
    /// A byte, 0 or 1, and a value at its alignment, which is zero behind a 0.
    Option {
        /// The type of the value.
        item: &'static FieldType,
        /// The size in bytes, with a value or without.
        size: usize,
        /// The alignment in bytes, and where a value begins.
        align: usize,
    },
    /// UTF-8 of any length: the place and the length of the body, a `u32` each.
    String,
    /// Any number of items: the place of the body and the number of items, a `u32` each.
    Sequence {
        /// The type of each item.
        item: &'static FieldType,
        /// The number of bytes from one item to the next.
        stride: usize,
    },
    /// A sequence of pairs whose first items, the keys, rise.
    Map {
        /// The type of a pair.
        entry: &'static FieldType,
    },
    /// An enum with data.
    Choice(&'static ChoiceDescriptor),
}

/// The variants of an enum with data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChoiceDescriptor {
    /// The name of the type, for people; not part of the digest.
    pub name: &'static str,
    /// The size of a value in bytes: of the largest variant.
    pub size: usize,
    /// The alignment of a value in bytes, and where the fields of each variant begin: the bytes
    /// before are the number of the variant, one byte, and zeros.
    pub align: usize,
    /// The variants, in the order of their declaration, which numbers them from 0. Each is a struct
    /// whose offsets count from where the fields begin.
    pub variants: &'static [Descriptor],
}

/// The values of an enum without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnumDescriptor {
    /// The name of the type, for people; not part of the digest.
    pub name: &'static str,
    /// The integer that stores it.
    pub repr: FieldType,
    /// The variants of the enum, in the order of their declaration.
    pub variants: &'static [VariantDescriptor],
}

/// One variant of an enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariantDescriptor {
    /// The name of the variant.
    pub name: &'static str,
    /// The value of the variant.
    pub value: i128,
}

impl FieldType {
    /// Returns whether all values have the same size, without options, lists and texts of any
    /// length.
    #[must_use]
    pub fn has_one_size(&self) -> bool {
        match self {
            Self::Array { item, .. } | Self::List { item, .. } => item.has_one_size(),
            Self::Struct(descriptor) => {
                descriptor.fields.iter().all(|field| field.ty.has_one_size())
            }
            Self::Option { .. }
            | Self::String
            | Self::Sequence { .. }
            | Self::Map { .. }
            | Self::Choice(_) => false,
            _ => true,
        }
    }

    /// Returns the size of a value of this type, in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use mycelium_core::FieldType;
    ///
    /// assert_eq!(FieldType::Text { capacity: 30 }.size(), 32);
    /// ```
    pub const fn size(&self) -> usize {
        match self {
            Self::Array { item, len } => item.size() * *len,
            Self::Text { capacity } => 2 + *capacity,
            Self::List { item, capacity } => 2 + item.size() * *capacity,
            Self::Struct(descriptor) => descriptor.size,
            Self::Enum(descriptor) => descriptor.repr.size(),
            Self::Choice(descriptor) => descriptor.size,
            Self::Option { size, .. } => *size,
            _ => self.plain().1,
        }
    }

    /// Returns the alignment of a value of this type, in bytes.
    #[must_use]
    pub const fn align(&self) -> usize {
        match self {
            Self::Array { item, .. } => item.align(),
            Self::Option { align, .. } => *align,
            Self::Struct(descriptor) => descriptor.align,
            Self::Enum(descriptor) => descriptor.repr.align(),
            Self::Choice(descriptor) => descriptor.align,
            Self::String | Self::Sequence { .. } | Self::Map { .. } => 4,
            Self::Duration => 8,
            Self::U256 | Self::Text { .. } | Self::List { .. } | Self::IpAddr => 1,
            _ => self.plain().1,
        }
    }

    /// Returns the byte for this type in the canonical form.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(mycelium_core::FieldType::U64.tag(), 0x04);
    /// ```
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.plain().0
    }

    /// Returns the byte in the canonical form; for a number or `bool` also its size and its name.
    const fn plain(&self) -> (u8, usize, &'static str) {
        match self {
            Self::U8 => (0x01, 1, "u8"),
            Self::U16 => (0x02, 2, "u16"),
            Self::U32 => (0x03, 4, "u32"),
            Self::U64 => (0x04, 8, "u64"),
            Self::U128 => (0x05, 16, "u128"),
            Self::U256 => (0x06, 32, "u256"),
            Self::I8 => (0x11, 1, "i8"),
            Self::I16 => (0x12, 2, "i16"),
            Self::I32 => (0x13, 4, "i32"),
            Self::I64 => (0x14, 8, "i64"),
            Self::I128 => (0x15, 16, "i128"),
            Self::F32 => (0x23, 4, "f32"),
            Self::F64 => (0x24, 8, "f64"),
            Self::Bool => (0x30, 1, "bool"),
            Self::Char => (0x31, 4, "char"),
            Self::Duration => (0x32, 16, "duration"),
            Self::IpAddr => (0x33, 17, "IP address"),
            Self::Array { .. } => (0x40, 0, ""),
            Self::Text { .. } => (0x41, 0, ""),
            Self::List { .. } => (0x42, 0, ""),
            Self::String => (0x43, 8, "text"),
            Self::Sequence { .. } => (0x44, 8, ""),
            Self::Map { .. } => (0x45, 8, ""),
            Self::Option { .. } => (0x46, 0, ""),
            Self::Struct(_) => (0x50, 0, ""),
            Self::Enum(_) => (0x51, 0, ""),
            Self::Choice(_) => (0x52, 0, ""),
        }
    }
}

/// The schema digest: a 128-bit FNV-1a hash over the canonical form of a [`Descriptor`].
///
/// It finds mistakes, such as two builds with different fields. It does not protect against an
/// adversary: bytes are always checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(
    /// The hash, most significant byte first.
    pub [u8; 16],
);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl fmt::Display for Descriptor {
    /// Prints the layout, one line for each field, nested structs indented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes, aligned to {}", self.name, self.size, self.align)?;
        write_fields(f, self, 1)
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, of: &Descriptor, depth: usize) -> fmt::Result {
    for field in of.fields {
        let FieldDescriptor { name, offset, size, ty, .. } = field;
        write!(f, "\n{:indent$}{offset:>5} {size:>5}  {name}: {ty}", "", indent = 2 * depth)?;
        if let Some(nested) = ty.nested() {
            write_fields(f, nested, depth + 1)?;
        }
    }
    Ok(())
}

impl FieldType {
    /// Returns the struct in this type, if any: the type itself, or the items of its arrays and
    /// lists.
    const fn nested(&self) -> Option<&'static Descriptor> {
        match self {
            Self::Struct(descriptor) => Some(descriptor),
            Self::Array { item, .. }
            | Self::List { item, .. }
            | Self::Sequence { item, .. }
            | Self::Option { item, .. }
            | Self::Map { entry: item } => item.nested(),
            _ => None,
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array { item, len } => write!(f, "[{item}; {len}]"),
            Self::Text { capacity } => write!(f, "text of at most {capacity} bytes"),
            Self::List { item, capacity } => write!(f, "at most {capacity} of {item}"),
            Self::Sequence { item, .. } => write!(f, "any number of {item}"),
            Self::Map { entry } => write!(f, "map of {entry}"),
            Self::Option { item, .. } => write!(f, "optional {item}"),
            Self::Choice(descriptor) => descriptor.fmt(f),
            Self::Struct(descriptor) => f.write_str(descriptor.name),
            Self::Enum(descriptor) => descriptor.fmt(f),
            _ => f.write_str(self.plain().2),
        }
    }
}

impl fmt::Display for EnumDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {} {{", self.name, self.repr)?;
        for (index, VariantDescriptor { name, value }) in self.variants.iter().enumerate() {
            write!(f, "{} {name} = {value}", if index == 0 { "" } else { "," })?;
        }
        f.write_str(" }")
    }
}

impl fmt::Display for ChoiceDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {{", self.name)?;
        for (index, variant) in self.variants.iter().enumerate() {
            write!(f, "{} {}", if index == 0 { "" } else { "," }, variant.name)?;
            for (index, FieldDescriptor { name, ty, .. }) in variant.fields.iter().enumerate() {
                write!(f, "{}{name}: {ty}", if index == 0 { " (" } else { ", " })?;
            }
            f.write_str(if variant.fields.is_empty() { "" } else { ")" })?;
        }
        f.write_str(" }")
    }
}

// The canonical form is the layout's only form in bytes: the digest hashes it, and a peer requests
// it in pieces. One walk does both; for the digest it runs at compile time.

impl Descriptor {
    /// Writes the canonical form, from byte `offset` on, into `piece`, as far as it fits. Returns
    /// the number of written bytes and the length of the whole form.
    ///
    /// # Examples
    ///
    /// ```
    /// use mycelium_core::{Message, message};
    ///
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     price: u64,
    /// }
    ///
    /// let mut form = [0; 100];
    /// let (written, total) = Tick::DESCRIPTOR.canonical(0, &mut form);
    /// assert_eq!((written, total), (55, 55));
    /// assert_eq!(form[0], 0x50);
    ///
    /// let mut rest = [0; 100];
    /// assert_eq!(Tick::DESCRIPTOR.canonical(54, &mut rest), (1, 55));
    /// assert_eq!(rest[0], form[54]);
    /// ```
    #[must_use]
    pub fn canonical(&self, offset: usize, piece: &mut [u8]) -> (usize, usize) {
        let room = piece.len();
        let total = CanonicalForm::of(self, offset, piece).total;
        (total.saturating_sub(offset).min(room), total)
    }
}

impl Digest {
    /// Computes the digest of a layout.
    ///
    /// # Examples
    ///
    /// ```
    /// use mycelium_core::{Digest, Message, message};
    ///
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     price: u64,
    /// }
    ///
    /// assert_eq!(Tick::DIGEST, Digest::of(Tick::DESCRIPTOR));
    /// assert_eq!(Tick::DIGEST.to_string().len(), 32);
    /// ```
    pub const fn of(descriptor: &Descriptor) -> Self {
        Self(CanonicalForm::of(descriptor, 0, &mut []).hash.to_be_bytes())
    }

    /// Computes the digest of a layout from a peer or a recording, given its whole canonical form.
    /// The bytes are not checked.
    ///
    /// # Examples
    ///
    /// ```
    /// use mycelium_core::{Digest, Message, message};
    ///
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     price: u64,
    /// }
    ///
    /// let mut form = [0; 55];
    /// let (_, total) = Tick::DESCRIPTOR.canonical(0, &mut form);
    /// assert_eq!(total, form.len());
    /// assert_eq!(Digest::of_canonical(&form), Tick::DIGEST);
    /// ```
    #[must_use]
    pub const fn of_canonical(form: &[u8]) -> Self {
        let mut hashed = CanonicalForm { hash: BASIS, offset: 0, piece: &mut [], total: 0 };
        hashed.bytes(form);
        Self(hashed.hash.to_be_bytes())
    }
}

/// The initial value of FNV-1a with 128 bits.
const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;

/// Receives the bytes of the form one by one, hashes them, and keeps those inside the piece.
struct CanonicalForm<'p> {
    /// The hash so far: FNV-1a with 128 bits.
    hash: u128,
    offset: usize,
    piece: &'p mut [u8],
    /// The number of bytes received.
    total: usize,
}

/// Cannot overflow the stack: layouts are constants, and so is the depth of their types. Nothing
/// here depends on a peer's bytes.
impl<'p> CanonicalForm<'p> {
    const fn of(descriptor: &Descriptor, offset: usize, piece: &'p mut [u8]) -> Self {
        let mut form = CanonicalForm { hash: BASIS, offset, piece, total: 0 };
        form.structure(descriptor);
        form
    }

    const fn structure(&mut self, descriptor: &Descriptor) {
        self.byte(0x50);
        self.number(descriptor.size);
        self.number(descriptor.align);
        self.number(descriptor.fields.len());
        let mut index = 0;
        while index < descriptor.fields.len() {
            let field = &descriptor.fields[index];
            self.number(field.offset);
            self.number(field.size);
            self.text(field.name);
            self.ty(&field.ty);
            index += 1;
        }
    }

    const fn enumeration(&mut self, descriptor: &EnumDescriptor) {
        self.byte(0x51);
        self.ty(&descriptor.repr);
        self.number(descriptor.variants.len());
        let mut index = 0;
        while index < descriptor.variants.len() {
            let variant = &descriptor.variants[index];
            self.bytes(&variant.value.to_le_bytes());
            self.text(variant.name);
            index += 1;
        }
    }

    const fn choice(&mut self, descriptor: &ChoiceDescriptor) {
        self.byte(0x52);
        self.number(descriptor.size);
        self.number(descriptor.align);
        self.number(descriptor.variants.len());
        let mut index = 0;
        while index < descriptor.variants.len() {
            self.text(descriptor.variants[index].name);
            self.structure(&descriptor.variants[index]);
            index += 1;
        }
    }

    const fn ty(&mut self, ty: &FieldType) {
        match ty {
            FieldType::Struct(descriptor) => return self.structure(descriptor),
            FieldType::Enum(descriptor) => return self.enumeration(descriptor),
            FieldType::Choice(descriptor) => return self.choice(descriptor),
            _ => self.byte(ty.tag()),
        }
        match ty {
            FieldType::Array { item, len: count } | FieldType::List { item, capacity: count } => {
                self.number(*count);
                self.ty(item);
            }
            FieldType::Text { capacity } => self.number(*capacity),
            FieldType::Sequence { item, stride } => {
                self.number(*stride);
                self.ty(item);
            }
            FieldType::Option { item, size, align } => {
                self.number(*size);
                self.number(*align);
                self.ty(item);
            }
            FieldType::Map { entry } => self.ty(entry),
            _ => {}
        }
    }

    const fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes(text.as_bytes());
    }

    /// Receives a count, size or offset, as eight bytes on every host.
    const fn number(&mut self, number: usize) {
        self.bytes(&(number as u64).to_le_bytes());
    }

    const fn bytes(&mut self, bytes: &[u8]) {
        let mut index = 0;
        while index < bytes.len() {
            self.byte(bytes[index]);
            index += 1;
        }
    }

    const fn byte(&mut self, byte: u8) {
        let prime = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        self.hash = (self.hash ^ byte as u128).wrapping_mul(prime);
        let place = self.total.checked_sub(self.offset);
        if let Some(place) = place
            && place < self.piece.len()
        {
            self.piece[place] = byte;
        }
        self.total += 1;
    }
}
