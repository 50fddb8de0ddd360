//! The canonical form of a layout: the bytes that its digest hashes, and that a peer can request in
//! pieces. One walk does both, and runs at compile time for the digest.

use super::{Descriptor, Digest, EnumDescriptor, FieldType};

impl Descriptor {
    /// Writes the canonical form, from byte `offset` on, into `piece`, as far as it fits. Returns
    /// how many bytes were written, and the length of the whole form.
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
    /// The digest of a layout.
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

    /// The digest of a layout, from its whole canonical form: of a peer's layout, or of a recorded
    /// one. The bytes may be any.
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

/// Where FNV-1a with 128 bits starts.
const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;

/// Receives the bytes of the form one by one: hashes them, and keeps those of the piece.
struct CanonicalForm<'p> {
    /// FNV-1a with 128 bits.
    hash: u128,
    offset: usize,
    piece: &'p mut [u8],
    /// How many bytes it has received.
    total: usize,
}

/// A layout is a constant, and so is the depth of its types: nothing here depends on a peer's
/// bytes.
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

    const fn ty(&mut self, ty: &FieldType) {
        match ty {
            FieldType::Struct(descriptor) => return self.structure(descriptor),
            FieldType::Enum(descriptor) => return self.enumeration(descriptor),
            _ => self.byte(ty.tag()),
        }
        match ty {
            FieldType::Array { item, len: count } | FieldType::List { item, capacity: count } => {
                self.number(*count);
                self.ty(item);
            }
            FieldType::Text { capacity } => self.number(*capacity),
            _ => {}
        }
    }

    const fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes(text.as_bytes());
    }

    /// A count, size or offset: eight bytes on each host.
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
