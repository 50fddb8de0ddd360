//! The cold path of decoding: which error it is, and in which field.

use crate::{
    descriptor::{Descriptor, FieldType},
    error::DecodeError,
};

#[cold]
pub(super) fn size(descriptor: &Descriptor, bytes: &[u8]) -> DecodeError {
    let message = descriptor.name;
    DecodeError::Size { message, expected: descriptor.size, found: bytes.len() }
}

/// Names the first `bool` or enum with an invalid value. `zerocopy` only says that there is one, so
/// this walks the bytes again, by the descriptor.
#[cold]
pub(super) fn value(descriptor: &Descriptor, bytes: &[u8]) -> DecodeError {
    let message = descriptor.name;
    let (field, found) = in_struct(descriptor, bytes).unwrap_or(("", 0));
    DecodeError::Value { message, field, found }
}

fn in_struct(descriptor: &Descriptor, bytes: &[u8]) -> Option<(&'static str, i128)> {
    descriptor.fields.iter().find_map(|field| {
        let bytes = bytes.get(field.offset..)?.get(..field.size)?;
        in_type(&field.ty, bytes).map(|(inner, found)| (inner.unwrap_or(field.name), found))
    })
}

/// The name is missing outside of a struct.
fn in_type(ty: &FieldType, bytes: &[u8]) -> Option<(Option<&'static str>, i128)> {
    match ty {
        FieldType::Bool => {
            let found = *bytes.first()?;
            (found > 1).then_some((None, found.into()))
        }
        FieldType::Enum(descriptor) => {
            let found = integer(&descriptor.repr, bytes)?;
            let known = descriptor.variants.iter().any(|variant| variant.value == found);
            (!known).then_some((None, found))
        }
        FieldType::Struct(descriptor) => {
            in_struct(descriptor, bytes).map(|(name, found)| (Some(name), found))
        }
        FieldType::Array { item, .. } => in_items(item, bytes),
        FieldType::List { item, .. } => in_items(item, bytes.get(2..)?),
        _ => None,
    }
}

fn in_items(item: &FieldType, bytes: &[u8]) -> Option<(Option<&'static str>, i128)> {
    // `max` because `chunks_exact` panics at 0, the size of an item such as `[u8; 0]`.
    bytes.chunks_exact(item.size().max(1)).find_map(|bytes| in_type(item, bytes))
}

fn integer(repr: &FieldType, bytes: &[u8]) -> Option<i128> {
    let mut wide = [0; 16];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let unsigned = i128::from_le_bytes(wide);
    let unused = 128 - 8 * u32::try_from(bytes.len()).ok()?;
    Some(match repr {
        // The two shifts extend the sign.
        FieldType::I8 | FieldType::I16 | FieldType::I32 | FieldType::I64 => {
            unsigned.checked_shl(unused)?.checked_shr(unused)?
        }
        _ => unsigned,
    })
}
