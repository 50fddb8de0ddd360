//! Messages that have grown: a message of a peer whose program has more or fewer fields at its end
//! becomes one of this program.
//!
//! Fields that only the peer has are dropped. Fields that only this program has are empty if they
//! are optional, or have the default of their `#[message(default = ..)]`. The bytes of a peer are
//! foreign: a message that no encoder writes is not converted, and each byte is visited once.
//! Whether the values are valid is checked when the result is received.

use mycelium_core::descriptor::{Descriptor, FieldDescriptor, FieldType};

use super::layout::{Difference, LONGEST_FORM, differ, difference};
use crate::layout::{Field, FieldKind, Layout};
use crate::local::Schema;

/// A body begins at a multiple of this number of bytes.
const ALIGNMENT: usize = 8;

/// How messages with a peer's layout become messages with that of this program.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    own: &'static Descriptor,
    part: Part,
    /// The fields of the part before this one are those of both layouts.
    common: usize,
    /// The size of the peer's fixed part.
    there: usize,
    is_fixed: bool,
}

/// What may have grown: a message, or the one that it carries in its last field.
#[derive(Clone, Copy, Debug)]
struct Part {
    own: &'static Descriptor,
    /// Where it begins here, and at the peer.
    at: usize,
    at_peer: usize,
    /// The end of what both have before it. For an optional part, this is the byte that says
    /// whether it is there.
    head: usize,
    is_optional: bool,
}

impl Growth {
    /// Compares a message here with a peer's, whose layout has this canonical form. Returns `None`
    /// if its messages cannot be converted, or if the bytes are not a layout.
    #[must_use]
    pub fn of_form(own: &Schema, form: &[u8]) -> Option<Growth> {
        let form = Some(form).filter(|form| form.len() <= LONGEST_FORM)?;
        Growth::between(own, &Layout::parse(form).ok()?).ok()
    }

    /// Compares the layout of a topic here with that of a peer.
    ///
    /// # Errors
    /// If messages cannot be converted: the difference that is the reason, if it is not one of the
    /// fields that both have.
    pub(crate) fn between(own: &Schema, there: &Layout) -> Result<Growth, Option<Difference>> {
        let (part, of_peer) = Part::of(own.descriptor, there)?;
        let fields = part.own.fields;
        let mut others = of_peer.fields().iter().filter(|field| !field.is_padding());
        let mut common = fields.len();
        for (index, field) in fields.iter().enumerate() {
            if is_padding(field) {
                continue;
            }
            let Some(other) = others.next() else {
                common = index;
                break;
            };
            if !is_same(field, other) {
                return Err(None);
            }
        }
        let more = fields[common..].iter().find(|field| !may_be_absent(field));
        if let Some(field) = more {
            let here = format!("{} without a default", field.ty);
            return Err(differ(field.name, here, "missing"));
        }
        if own.is_fixed != there.fields().iter().all(|field| may_be_fixed(field.kind())) {
            return Err(differ_as_fixed(own.is_fixed));
        }
        let (own, is_fixed, there) = (own.descriptor, own.is_fixed, there.size());
        Ok(Growth { own, part, common, there, is_fixed })
    }

    /// Returns how many bytes a message may have more here than at the peer.
    pub(crate) fn more(&self) -> usize {
        self.own.size.next_multiple_of(ALIGNMENT).saturating_sub(self.there)
    }

    /// Returns the message here. Returns `None` if the bytes are not those of a message of the peer.
    #[must_use]
    pub fn convert(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (size, end) = (self.own.size, self.there);
        if bytes.len() < end || self.is_fixed && bytes.len() != end {
            return None;
        }
        let [first, here] = [end, size].map(|size| size.next_multiple_of(ALIGNMENT));
        let bodies = bytes.get(first..).unwrap_or_default();
        let mut message = vec![0; size];
        if !bodies.is_empty() {
            message.resize(here, 0);
            message.extend_from_slice(bodies);
        }
        let Part { own, at, at_peer, head, is_optional } = self.part;
        message.get_mut(..head)?.copy_from_slice(bytes.get(..head)?);
        let is_there = !is_optional || message.get(head.checked_sub(1)?) != Some(&0);
        let mut bodies = Bodies { message, end: size, moved: first.wrapping_sub(here) };
        if is_there {
            for (index, field) in own.fields.iter().enumerate() {
                let place = bodies.message.get_mut(at + field.offset..)?.get_mut(..field.size)?;
                if index >= self.common {
                    place.copy_from_slice(field.default.unwrap_or(&vec![0; field.size]));
                } else if !is_padding(field) {
                    place.copy_from_slice(bytes.get(at_peer + field.offset..)?.get(..field.size)?);
                }
            }
            for field in &own.fields[..self.common] {
                bodies.shift(&field.ty, at + field.offset)?;
            }
        }
        let Bodies { mut message, end, .. } = bodies;
        message.truncate(end);
        Some(message)
    }
}

impl Part {
    /// Returns what may have grown of a message here, and its layout at the peer.
    fn of<'a>(
        own: &'static Descriptor,
        there: &'a Layout,
    ) -> Result<(Part, &'a Layout), Option<Difference>> {
        let Some(index) = own.fields.iter().position(|field| field.is_carried) else {
            return Ok((Part { own, at: 0, at_peer: 0, head: 0, is_optional: false }, there));
        };
        let (field, before) = (&own.fields[index], &own.fields[..index]);
        let mut others = there.fields().iter().filter(|field| !field.is_padding());
        let before = before.iter().filter(|field| !is_padding(field));
        for field in before {
            if !others.next().is_some_and(|other| is_same(field, other)) {
                return Err(None);
            }
        }
        let other = others.next().filter(|other| other.name() == field.name).ok_or(None)?;
        if others.next().is_some() || other.offset() != field.offset {
            return Err(None);
        }
        let (at, is_optional) = (field.offset, matches!(field.ty, FieldType::Option { .. }));
        match (&field.ty, other.kind()) {
            (FieldType::Struct(own), FieldKind::Struct(of_peer)) => {
                Ok((Part { own, at, at_peer: at, head: at, is_optional }, of_peer))
            }
            (
                FieldType::Option { item: FieldType::Struct(own), align, .. },
                FieldKind::Option { item, align: align_there, .. },
            ) => {
                let FieldKind::Struct(of_peer) = &**item else { return Err(None) };
                let (head, at_peer) = (at + 1, at.saturating_add(*align_there));
                Ok((Part { own, at: at + align, at_peer, head, is_optional }, of_peer))
            }
            (FieldType::Struct(_), FieldKind::Option { .. })
            | (FieldType::Option { .. }, FieldKind::Struct(_)) => {
                Err(differ_as_fixed(!is_optional))
            }
            _ => Err(None),
        }
    }
}

/// Returns the difference of a message that is fixed on one side only: a fixed message cannot gain
/// fields of any length.
fn differ_as_fixed(is_fixed_here: bool) -> Option<Difference> {
    let (mut here, mut there) = ("of any length", "of a fixed length");
    if is_fixed_here {
        std::mem::swap(&mut here, &mut there);
    }
    differ("", here, there)
}

/// The bodies of a message that was copied, whose parts still have their places at the peer.
struct Bodies {
    message: Vec<u8>,
    /// The end of the bodies that were visited.
    end: usize,
    /// How much greater a place is at the peer, with wrapping arithmetic.
    moved: usize,
}

impl Bodies {
    /// Corrects the places in the value at `at`, and in its bodies. As an encoder does, it takes
    /// each body behind the one before.
    fn shift(&mut self, ty: &FieldType, at: usize) -> Option<()> {
        match ty {
            FieldType::String => self.body(at, 1).map(drop),
            FieldType::Sequence { item, stride } => self.list(item, *stride, at),
            FieldType::Map { entry } => self.list(entry, entry.size(), at),
            FieldType::Option { item, align, .. } => match *self.message.get(at)? {
                0 => Some(()),
                _ => self.shift(item, at + align),
            },
            FieldType::Array { item, len } if !item.has_one_size() => {
                (0..*len).try_for_each(|index| self.shift(item, at + index * item.size()))
            }
            FieldType::Struct(inner) => self.fields(inner, at),
            FieldType::Choice(choice) => {
                let variant = choice.variants.get(usize::from(*self.message.get(at)?))?;
                self.fields(variant, at + choice.align)
            }
            _ => Some(()),
        }
    }

    fn fields(&mut self, of: &Descriptor, at: usize) -> Option<()> {
        of.fields.iter().try_for_each(|field| self.shift(&field.ty, at + field.offset))
    }

    fn list(&mut self, item: &FieldType, stride: usize, at: usize) -> Option<()> {
        let (place, count) = self.body(at, stride)?;
        if item.has_one_size() {
            return Some(());
        }
        (0..count).try_for_each(|index| self.shift(item, place + index * stride))
    }

    /// Corrects the place of a body, and returns it and the number of its items.
    fn body(&mut self, at: usize, stride: usize) -> Option<(usize, usize)> {
        let part = self.message.get_mut(at..at.checked_add(8)?)?;
        let (place, count) = part.split_first_chunk_mut::<4>()?;
        let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize);
        let count = number(count)?;
        if count == 0 {
            return Some((0, 0));
        }
        let here = number(place)?.wrapping_sub(self.moved);
        let end = here.checked_add(count.checked_mul(stride)?)?;
        place.copy_from_slice(&u32::try_from(here).ok()?.to_le_bytes());
        if here != self.end.next_multiple_of(ALIGNMENT) || end > self.message.len() || end == here {
            return None;
        }
        self.end = end;
        Some((here, count))
    }
}

fn is_padding(field: &FieldDescriptor) -> bool {
    field.name.starts_with("_pad")
}

/// Whether messages of an older program may be without this field.
fn may_be_absent(field: &FieldDescriptor) -> bool {
    let is_optional = matches!(field.ty, FieldType::Option { .. });
    is_padding(field) || is_optional || field.default.is_some()
}

fn is_same(own: &FieldDescriptor, other: &Field) -> bool {
    let is_same = match other.kind() {
        FieldKind::Postcard(there) => there.field() == own.name,
        kind => other.name() == own.name && difference(&own.ty, kind, own.name).is_none(),
    };
    is_same && (own.offset, own.size) == (other.offset(), other.size())
}

/// Whether a fixed message may have such a field.
fn may_be_fixed(kind: &FieldKind) -> bool {
    match kind {
        FieldKind::Array { item, .. } | FieldKind::List { item, .. } => may_be_fixed(item),
        FieldKind::Struct(layout) => layout.fields().iter().all(|field| {
            // The fields of a tuple have numbers, and a tuple is not fixed.
            !field.name().starts_with(|c: char| c.is_ascii_digit()) && may_be_fixed(field.kind())
        }),
        FieldKind::Unsigned(_)
        | FieldKind::Signed(_)
        | FieldKind::U256
        | FieldKind::F32
        | FieldKind::F64
        | FieldKind::Bool
        | FieldKind::Text { .. }
        | FieldKind::Enum(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
