//! The name of the field that holds a value in postcard: `postcard`, the name of the type, and its
//! schema. `docs/wire-format.md` has the grammar. All of it is computed at compile time.

use postcard_schema::schema::{DataModelType, DataModelVariant, NamedType, NamedValue};

/// What a type is in postcard.
#[derive(Clone, Copy, Debug)]
pub enum Schema {
    /// `schema = 3`: a number that its user raises with each change.
    Number(u64),
    /// That of `postcard_schema`.
    Of(&'static NamedType),
}

/// A type whose schema is known.
#[diagnostic::on_unimplemented(
    message = "postcard does not describe itself, so `{Self}` needs a schema",
    label = "a message without a schema",
    note = "derive `postcard_schema::Schema`; or write `schema = 1` in its `#[message]`, and raise \
            the number with each change of the type"
)]
pub trait HasSchema {
    /// The schema.
    const SCHEMA: &'static NamedType;
}

#[diagnostic::do_not_recommend]
impl<T: postcard_schema::Schema> HasSchema for T {
    const SCHEMA: &'static NamedType = T::SCHEMA;
}

/// Returns the first `N` bytes of the name of the field, and the number of all its bytes.
#[must_use]
pub const fn name<const N: usize>(of: &str, schema: Schema) -> ([u8; N], usize) {
    let mut text = Text { bytes: [0; N], len: 0 };
    text.text("postcard ");
    text.name(of);
    match schema {
        Schema::Number(number) => {
            text.byte(b'#');
            text.number(number);
        }
        Schema::Of(schema) => {
            text.byte(b'=');
            text.ty(schema);
        }
    }
    (text.bytes, text.len)
}

/// Receives bytes, and keeps those that fit.
struct Text<const N: usize> {
    bytes: [u8; N],
    /// The number of bytes received.
    len: usize,
}

impl<const N: usize> Text<N> {
    const fn byte(&mut self, byte: u8) {
        if self.len < N {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
    }

    const fn text(&mut self, text: &str) {
        let mut index = 0;
        while index < text.len() {
            self.byte(text.as_bytes()[index]);
            index += 1;
        }
    }

    const fn number(&mut self, number: u64) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.byte(b'0' + (number % 10) as u8);
    }

    /// Writes a name, and a backslash before each character that has a meaning of its own.
    const fn name(&mut self, name: &str) {
        let mut index = 0;
        while index < name.len() {
            let byte = name.as_bytes()[index];
            if matches!(byte, b'\\' | b'#' | b'=' | b':' | b',' | b'}' | b'>') {
                self.byte(b'\\');
            }
            self.byte(byte);
            index += 1;
        }
    }

    /// Writes what the bytes of a value are. Types that have the same bytes are the same, and names
    /// of types are left out, as in all layouts.
    const fn ty(&mut self, ty: &NamedType) {
        match ty.ty {
            DataModelType::Bool => self.text("bool"),
            DataModelType::I8 => self.text("i8"),
            DataModelType::U8 => self.text("u8"),
            DataModelType::I16 => self.text("i16"),
            DataModelType::I32 => self.text("i32"),
            DataModelType::I64 => self.text("i64"),
            DataModelType::I128 => self.text("i128"),
            DataModelType::U16 => self.text("u16"),
            DataModelType::U32 => self.text("u32"),
            DataModelType::U64 => self.text("u64"),
            DataModelType::U128 => self.text("u128"),
            DataModelType::Usize => self.text("usize"),
            DataModelType::Isize => self.text("isize"),
            DataModelType::F32 => self.text("f32"),
            DataModelType::F64 => self.text("f64"),
            DataModelType::Char => self.text("char"),
            DataModelType::String => self.text("str"),
            DataModelType::ByteArray => self.text("bytes"),
            DataModelType::Schema => self.text("schema"),
            DataModelType::Unit | DataModelType::UnitStruct => self.text("()"),
            DataModelType::NewtypeStruct(inner) => self.ty(inner),
            DataModelType::Option(item) => {
                self.byte(b'?');
                self.ty(item);
            }
            DataModelType::Seq(item) => {
                self.byte(b'[');
                self.ty(item);
                self.byte(b']');
            }
            DataModelType::Map { key, val } => {
                self.byte(b'[');
                self.ty(key);
                self.byte(b':');
                self.ty(val);
                self.byte(b']');
            }
            DataModelType::Tuple(items) | DataModelType::TupleStruct(items) => self.tuple(items),
            DataModelType::Struct(fields) => self.fields(fields),
            DataModelType::Enum(variants) => {
                self.byte(b'<');
                let mut index = 0;
                while index < variants.len() {
                    if index > 0 {
                        self.byte(b',');
                    }
                    self.name(variants[index].name);
                    self.variant(variants[index].ty);
                    index += 1;
                }
                self.byte(b'>');
            }
        }
    }

    const fn variant(&mut self, variant: &DataModelVariant) {
        if matches!(variant, DataModelVariant::UnitVariant) {
            return;
        }
        self.byte(b':');
        match variant {
            DataModelVariant::UnitVariant => {}
            DataModelVariant::NewtypeVariant(inner) => self.ty(inner),
            DataModelVariant::TupleVariant(items) => self.tuple(items),
            DataModelVariant::StructVariant(fields) => self.fields(fields),
        }
    }

    const fn tuple(&mut self, items: &[&NamedType]) {
        self.byte(b'(');
        let mut index = 0;
        while index < items.len() {
            if index > 0 {
                self.byte(b',');
            }
            self.ty(items[index]);
            index += 1;
        }
        self.byte(b')');
    }

    const fn fields(&mut self, fields: &[&NamedValue]) {
        self.byte(b'{');
        let mut index = 0;
        while index < fields.len() {
            if index > 0 {
                self.byte(b',');
            }
            self.name(fields[index].name);
            self.byte(b':');
            self.ty(fields[index].ty);
            index += 1;
        }
        self.byte(b'}');
    }
}
