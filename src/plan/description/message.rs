//! The layouts of messages in a description.

use std::collections::BTreeSet;

use mycelium_core::descriptor::{
    ChoiceDescriptor, Descriptor, Digest, EnumDescriptor, FieldDescriptor, FieldType,
    VariantDescriptor,
};
use mycelium_core::ring::broadcast::CONTENT;
use mycelium_transports::link::check_readable;
use mycelium_transports::local::Schema;
use serde::{Deserialize, Serialize};

use super::intern;

/// The maximum size of a fixed message in bytes, or of the fixed part of another one.
const LARGEST: usize = 65_535;
/// The longest message of any size.
const LONGEST: usize = 64 << 20;
/// The maximum length of a name in bytes.
pub(super) const LONGEST_NAME: usize = 1024;

/// A message type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageForm {
    pub(crate) id: u16,
    /// The digest in hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) layout: StructForm,
    /// The most bytes of a message, unless it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    longest: Option<usize>,
    /// The type with its module path, for messages to users.
    #[serde(default)]
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StructForm {
    pub(crate) name: String,
    size: usize,
    align: usize,
    fields: Vec<FieldForm>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FieldForm {
    name: String,
    offset: usize,
    size: usize,
    r#type: TypeForm,
    /// The bytes of the field in messages of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<Vec<u8>>,
    /// Whether the field is the message that this one carries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_carried: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TypeForm {
    U8,
    U16,
    U32,
    U64,
    U128,
    U256,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    Bool,
    Char,
    Duration,
    IpAddr,
    String,
    Option { item: Box<TypeForm>, size: usize, align: usize },
    Sequence { item: Box<TypeForm>, stride: usize },
    Map { entry: Box<TypeForm> },
    Choice { name: String, size: usize, align: usize, variants: Vec<StructForm> },
    Array { item: Box<TypeForm>, len: usize },
    Text { capacity: usize },
    List { item: Box<TypeForm>, capacity: usize },
    Struct(StructForm),
    Enum { name: String, repr: Box<TypeForm>, variants: Vec<VariantForm> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct VariantForm {
    name: String,
    /// The number as text, because JSON has no 128-bit numbers.
    value: String,
}

impl MessageForm {
    pub(crate) fn of(schema: &Schema) -> MessageForm {
        let layout = StructForm::of(schema.descriptor);
        let (digest, path) = (schema.digest.to_string(), schema.path.to_owned());
        let longest = (!schema.is_fixed).then_some(schema.longest);
        MessageForm { id: schema.id, digest, layout, longest, path }
    }

    /// Returns why programs with these messages of one topic cannot read each other's; `None` if
    /// they can.
    pub(crate) fn difference(&self, other: &MessageForm) -> Option<String> {
        if (&self.layout.name, self.id, &self.digest)
            == (&other.layout.name, other.id, &other.digest)
        {
            return None;
        }
        // The schemas were checked when the descriptions were read.
        let (Ok(here), Ok(there)) = (self.schema(), other.schema()) else {
            return Some("a layout is invalid".to_owned());
        };
        check_readable(&here, &there).err().map(|difference| difference.to_string())
    }

    /// Returns the schema, after checking that its digest matches its layout.
    pub(crate) fn schema(&self) -> Result<Schema, String> {
        let name = self.layout.name.escape_debug();
        let json = serde_json::to_string(&self.layout).map_err(|error| error.to_string())?;
        let descriptor = intern::layout(json, || self.layout.descriptor())
            .map_err(|problem: String| format!("the layout of message `{name}`: {problem}"))?;
        let digest = Digest::of(descriptor);
        if digest.to_string() != self.digest {
            return Err(format!(
                "message `{name}` has the digest `{}`, but its layout has {digest}",
                self.digest.escape_debug()
            ));
        }
        let path = if self.path.is_empty() { descriptor.name } else { kept(&self.path)? };
        let is_fixed = self.longest.is_none();
        let size = if is_fixed { descriptor.size } else { size_of::<[usize; CONTENT]>() };
        let longest = match self.longest {
            None => descriptor.size,
            Some(longest) if !(descriptor.size..=LONGEST).contains(&longest) => {
                return Err(format!(
                    "message `{name}` has at most {longest} bytes: expected {} to {LONGEST}",
                    descriptor.size
                ));
            }
            Some(longest) => longest,
        };
        let arena = if is_fixed { 0 } else { Schema::default_arena(longest) };
        Ok(Schema { id: self.id, digest, size, longest, is_fixed, arena, descriptor, path })
    }
}

impl StructForm {
    fn of(descriptor: &Descriptor) -> StructForm {
        let fields = descriptor.fields.iter().map(|field| FieldForm {
            name: field.name.to_owned(),
            offset: field.offset,
            size: field.size,
            r#type: TypeForm::of(&field.ty),
            default: field.default.map(<[u8]>::to_vec),
            is_carried: field.is_carried,
        });
        StructForm {
            name: descriptor.name.to_owned(),
            size: descriptor.size,
            align: descriptor.align,
            fields: fields.collect(),
        }
    }

    fn descriptor(&self) -> Result<&'static Descriptor, String> {
        if self.size > LARGEST {
            return Err(format!("{} bytes: expected at most {LARGEST}", self.size));
        }
        check_alignment(self.align)?;
        let mut fields = Vec::new();
        let (mut end, mut names) = (0, BTreeSet::new());
        for field in &self.fields {
            let (ty, size) = field.r#type.field_type()?;
            let own = field.name.escape_debug();
            let after = field.offset.checked_add(field.size).filter(|after| *after <= self.size);
            let (true, Some(after)) = (size == field.size && field.offset >= end, after) else {
                return Err(format!(
                    "field `{own}` of {} bytes at {}: expected {size} bytes at {end} or later, \
                     within {} bytes",
                    field.size, field.offset, self.size
                ));
            };
            if !names.insert(&field.name) {
                return Err(format!("two fields `{own}`: expected one of each name"));
            }
            end = after;
            if let Some(bytes) = field.default.as_ref().filter(|bytes| bytes.len() != size) {
                let found = bytes.len();
                return Err(format!(
                    "default of field `{own}`: expected {size} bytes, found {found}"
                ));
            }
            let name = kept(&field.name)?;
            let default = field.default.clone().map(|bytes| &*Vec::leak(bytes));
            let FieldForm { offset, is_carried, .. } = *field;
            fields.push(FieldDescriptor { name, offset, size, ty, default, is_carried });
        }
        Ok(Box::leak(Box::new(Descriptor {
            name: kept(&self.name)?,
            size: self.size,
            align: self.align,
            fields: Vec::leak(fields),
        })))
    }
}

impl TypeForm {
    fn of(ty: &FieldType) -> TypeForm {
        match ty {
            FieldType::U8 => TypeForm::U8,
            FieldType::U16 => TypeForm::U16,
            FieldType::U32 => TypeForm::U32,
            FieldType::U64 => TypeForm::U64,
            FieldType::U128 => TypeForm::U128,
            FieldType::U256 => TypeForm::U256,
            FieldType::I8 => TypeForm::I8,
            FieldType::I16 => TypeForm::I16,
            FieldType::I32 => TypeForm::I32,
            FieldType::I64 => TypeForm::I64,
            FieldType::I128 => TypeForm::I128,
            FieldType::F32 => TypeForm::F32,
            FieldType::F64 => TypeForm::F64,
            FieldType::Bool => TypeForm::Bool,
            FieldType::Array { item, len } => {
                TypeForm::Array { item: Box::new(TypeForm::of(item)), len: *len }
            }
            FieldType::Text { capacity } => TypeForm::Text { capacity: *capacity },
            FieldType::List { item, capacity } => {
                TypeForm::List { item: Box::new(TypeForm::of(item)), capacity: *capacity }
            }
            FieldType::Struct(descriptor) => TypeForm::Struct(StructForm::of(descriptor)),
            FieldType::Enum(descriptor) => TypeForm::Enum {
                name: descriptor.name.to_owned(),
                repr: Box::new(TypeForm::of(&descriptor.repr)),
                variants: descriptor.variants.iter().map(VariantForm::of).collect(),
            },
            FieldType::Char => TypeForm::Char,
            FieldType::Duration => TypeForm::Duration,
            FieldType::IpAddr => TypeForm::IpAddr,
            FieldType::String => TypeForm::String,
            FieldType::Option { item, size, align } => {
                TypeForm::Option { item: Box::new(TypeForm::of(item)), size: *size, align: *align }
            }
            FieldType::Sequence { item, stride } => {
                TypeForm::Sequence { item: Box::new(TypeForm::of(item)), stride: *stride }
            }
            FieldType::Map { entry } => TypeForm::Map { entry: Box::new(TypeForm::of(entry)) },
            FieldType::Choice(descriptor) => TypeForm::Choice {
                name: descriptor.name.to_owned(),
                size: descriptor.size,
                align: descriptor.align,
                variants: descriptor.variants.iter().map(StructForm::of).collect(),
            },
            // The enum is `non_exhaustive`; `tests/it/describe.rs` covers all of its types.
            other => unreachable!("the type {other:?} has no form"),
        }
    }

    /// Returns the type, and the number of bytes of its values.
    fn field_type(&self) -> Result<(FieldType, usize), String> {
        let plain = |ty: FieldType| Ok((ty, ty.size()));
        match self {
            TypeForm::U8 => plain(FieldType::U8),
            TypeForm::U16 => plain(FieldType::U16),
            TypeForm::U32 => plain(FieldType::U32),
            TypeForm::U64 => plain(FieldType::U64),
            TypeForm::U128 => plain(FieldType::U128),
            TypeForm::U256 => plain(FieldType::U256),
            TypeForm::I8 => plain(FieldType::I8),
            TypeForm::I16 => plain(FieldType::I16),
            TypeForm::I32 => plain(FieldType::I32),
            TypeForm::I64 => plain(FieldType::I64),
            TypeForm::I128 => plain(FieldType::I128),
            TypeForm::F32 => plain(FieldType::F32),
            TypeForm::F64 => plain(FieldType::F64),
            TypeForm::Bool => plain(FieldType::Bool),
            TypeForm::Char => plain(FieldType::Char),
            TypeForm::Duration => plain(FieldType::Duration),
            TypeForm::IpAddr => plain(FieldType::IpAddr),
            TypeForm::String => plain(FieldType::String),
            TypeForm::Option { item, size, align } => {
                let (item, _) = item.field_type()?;
                let item = Box::leak(Box::new(item));
                check_alignment(*align)?;
                plain(FieldType::Option { item, size: within_limit(Some(*size))?, align: *align })
            }
            TypeForm::Sequence { item, stride } => {
                let (item, _) = item.field_type()?;
                plain(FieldType::Sequence { item: Box::leak(Box::new(item)), stride: *stride })
            }
            TypeForm::Map { entry } => {
                let (entry, _) = entry.field_type()?;
                plain(FieldType::Map { entry: Box::leak(Box::new(entry)) })
            }
            TypeForm::Choice { name, size, align, variants } => {
                check_alignment(*align)?;
                let (size, align) = (within_limit(Some(*size))?, *align);
                let variants = variants.iter().map(|variant| variant.descriptor().copied());
                let variants = Vec::leak(variants.collect::<Result<Vec<_>, String>>()?);
                let name = kept(name)?;
                let descriptor = ChoiceDescriptor { name, size, align, variants };
                plain(FieldType::Choice(Box::leak(Box::new(descriptor))))
            }
            TypeForm::Array { item, len } => {
                let (item, size) = item.field_type()?;
                let size = within_limit(size.checked_mul(*len))?;
                Ok((FieldType::Array { item: Box::leak(Box::new(item)), len: *len }, size))
            }
            TypeForm::Text { capacity } => {
                let size = within_limit(capacity.checked_add(2))?;
                Ok((FieldType::Text { capacity: *capacity }, size))
            }
            TypeForm::List { item, capacity } => {
                let (item, size) = item.field_type()?;
                let size = size.checked_mul(*capacity).and_then(|size| size.checked_add(2));
                let (item, capacity) = (Box::leak(Box::new(item)), *capacity);
                Ok((FieldType::List { item, capacity }, within_limit(size)?))
            }
            TypeForm::Struct(form) => {
                let descriptor = form.descriptor()?;
                Ok((FieldType::Struct(descriptor), descriptor.size))
            }
            TypeForm::Enum { name, repr, variants } => {
                let (repr, size) = match &**repr {
                    TypeForm::Struct(_) | TypeForm::Enum { .. } => {
                        return Err("an enum that is not stored as an integer".to_owned());
                    }
                    repr => repr.field_type()?,
                };
                let variants = variants.iter().map(VariantForm::descriptor);
                let variants = Vec::leak(variants.collect::<Result<Vec<_>, String>>()?);
                let name = kept(name)?;
                let descriptor = Box::leak(Box::new(EnumDescriptor { name, repr, variants }));
                Ok((FieldType::Enum(descriptor), size))
            }
        }
    }
}

impl VariantForm {
    fn of(variant: &VariantDescriptor) -> VariantForm {
        VariantForm { name: variant.name.to_owned(), value: variant.value.to_string() }
    }

    fn descriptor(&self) -> Result<VariantDescriptor, String> {
        let value = self.value.parse().map_err(|_| {
            format!("the value `{}` of an enum: expected an integer", self.value.escape_debug())
        })?;
        Ok(VariantDescriptor { name: kept(&self.name)?, value })
    }
}

fn check_alignment(align: usize) -> Result<(), String> {
    match align {
        1 | 2 | 4 | 8 => Ok(()),
        _ => Err(format!("an alignment of {align}: expected 1, 2, 4 or 8")),
    }
}

fn within_limit(size: Option<usize>) -> Result<usize, String> {
    size.filter(|size| *size <= LARGEST)
        .ok_or_else(|| format!("a field of more than {LARGEST} bytes"))
}

/// Returns a name that lives as long as the process.
pub(crate) fn kept(name: &str) -> Result<&'static str, String> {
    check_name(name)?;
    Ok(intern::text(name))
}

pub(crate) fn check_name(name: &str) -> Result<(), String> {
    match name.len() {
        ..=LONGEST_NAME => Ok(()),
        // Has a schema.
        ..=LARGEST if name.starts_with("postcard ") => Ok(()),
        bytes => Err(format!("a name of {bytes} bytes: expected at most {LONGEST_NAME}")),
    }
}
