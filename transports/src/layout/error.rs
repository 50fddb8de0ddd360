//! Why bytes are not a layout, and the limits of layouts.

use mycelium_core::debug_as_display;
use mycelium_core::descriptor::Digest;
use thiserror::Error;

/// The limit on the nesting depth of types.
pub const DEEPEST: usize = 64;

/// The most bytes of a fixed message and of the parts of any other, and therefore of a type.
pub(super) const LONGEST: usize = 65_535;

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
    /// The sizes of a type's parts do not fit each other.
    #[error("the layout has {what} whose parts do not fit each other")]
    Parts {
        /// The type.
        what: &'static str,
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
