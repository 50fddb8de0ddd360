//! The canonical form of a layout as bytes, in pieces of any length: what the [`Digest`](super::Digest) is computed of.

use super::{Descriptor, EnumDescriptor, FieldType};

impl Descriptor {
    /// Writes the canonical form from byte `offset` on into `piece`, as far as it fits. Returns how many bytes were written,
    /// and how many the whole form has.
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
        let mut writer = Writer { offset, piece, total: 0 };
        writer.structure(self);
        let Writer { piece, total, .. } = writer;
        (total.saturating_sub(offset).min(piece.len()), total)
    }
}

/// Takes all bytes of the form, and keeps those of the piece.
struct Writer<'p> {
    offset: usize,
    piece: &'p mut [u8],
    /// How many bytes it has taken.
    total: usize,
}

/// A layout is a constant, and so is the depth of its types: nothing here depends on bytes of a peer.
impl Writer<'_> {
    fn structure(&mut self, descriptor: &Descriptor) {
        self.byte(0x50);
        self.number(descriptor.size);
        self.number(descriptor.align);
        self.number(descriptor.fields.len());
        for field in descriptor.fields {
            self.number(field.offset);
            self.number(field.size);
            self.text(field.name);
            self.ty(&field.ty);
        }
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) {
        self.byte(0x51);
        self.ty(&descriptor.repr);
        self.number(descriptor.variants.len());
        for variant in descriptor.variants {
            self.bytes(&variant.value.to_le_bytes());
            self.text(variant.name);
        }
    }

    fn ty(&mut self, ty: &FieldType) {
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

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: usize) {
        self.bytes(&(number as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.byte(*byte));
    }

    fn byte(&mut self, byte: u8) {
        let place = self.total.checked_sub(self.offset);
        if let Some(place) = place.and_then(|place| self.piece.get_mut(place)) {
            *place = byte;
        }
        self.total += 1;
    }
}
