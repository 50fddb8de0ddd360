//! What the code that `#[message]` generates uses. Private: it changes without notice.

pub use ::zerocopy as real_zerocopy;
use ::zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};
use core::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use crate::{
    descriptor::{FieldDescriptor, FieldType},
    error::Invalid,
    message::Field,
};

/// The crate zerocopy, as its derives see it.
///
/// The derive of `IntoBytes` computes the padding with a macro of the crate, and reports it in
/// many errors. Here another macro takes its place.
pub mod zerocopy {
    pub use ::zerocopy::*;

    pub use crate::__padding_unless_reported as struct_padding;
}

/// The padding of a struct as zerocopy computes it; 0 if [`layout_error`] finds an error in the
/// struct, which then does not compile. So there is one error.
#[doc(hidden)]
#[macro_export]
macro_rules! __padding_unless_reported {
    ($t:ty, $align:expr, $packed:expr, $fields:tt) => {
        if $crate::__private::is_refused(<$t as $crate::__private::HasLayout>::LAYOUT) {
            0
        } else {
            $crate::__private::real_zerocopy::struct_padding!($t, $align, $packed, $fields)
        }
    };
}

// Layouts that a message cannot have, and what to write instead. All of it runs while compiling.

/// A struct as the compiler lays it out.
pub struct Layout {
    /// The struct's name.
    pub name: &'static str,
    /// The struct's size in bytes.
    pub size: usize,
    /// The struct's alignment in bytes.
    pub align: usize,
    /// The struct's fields, in the order of their declaration.
    pub fields: &'static [FieldLayout],
    /// The visibility and the name of a field for padding.
    pub pad: &'static str,
    /// The arguments of `#[message]` with `pad` added, as a suggested fix has them.
    pub arguments: &'static str,
}

/// A field, as the compiler lays it out.
pub struct FieldLayout {
    /// The field's name.
    pub name: &'static str,
    /// The field's declaration, without a comma.
    pub source: &'static str,
    /// The field's size in bytes.
    pub size: usize,
    /// The field's alignment in bytes.
    pub align: usize,
}

/// A struct with `#[message]`.
pub trait HasLayout {
    /// Its layout.
    const LAYOUT: &'static Layout;
}

/// Whether [`layout_error`] finds an error.
pub const fn is_refused(layout: &Layout) -> bool {
    let Layout { size, align, .. } = *layout;
    size > sum(layout.fields) || align > 8 || size == 0 || size > u16::MAX as usize
}

/// The error in the layout of a message, if it has one: padding, or a size or alignment that does
/// not fit a frame.
pub const fn layout_error(layout: &Layout) -> Option<ConstText> {
    if !is_refused(layout) {
        return None;
    }
    let Layout { name, size, align, .. } = *layout;
    let mut error = ConstText::new();
    if size > sum(layout.fields) {
        padding(layout, &mut error);
    } else if align > 8 {
        let field = &layout.fields[most(layout.fields, true)];
        error.text("message `").text(name).text("` is aligned to ").number(align);
        error.text(" bytes by its field `").text(field.name);
        error.text("`, but a message is aligned to 8 at most: give the field a type of smaller ");
        error.text("alignment, such as `U128` in place of `u128`");
    } else if size == 0 {
        error.text("message `").text(name).text("` has no bytes: give it a field that has some");
    } else {
        let field = &layout.fields[most(layout.fields, false)];
        error.text("message `").text(name).text("` has ").bytes(size);
        error.text(", but a message has 65535 at most: make it smaller (its largest field is `");
        error.text(field.name).text("` with ").bytes(field.size);
        error.text("), or write its content to a file and send the name of that");
    }
    Some(error)
}

const fn padding(layout: &Layout, error: &mut ConstText) {
    let fields = layout.fields;
    let sum = sum(fields);
    error.text("message `").text(layout.name).text("` has padding: ");
    let at_end = gaps(fields, layout.size, error);
    let inner = layout.size - sum - at_end;
    if inner == 0 {
        error.text("\n\nadd this field at the end:\n");
        pad(layout, at_end, error);
    } else {
        error.text("\n\nwrite the fields in this order, which needs no padding between them:\n");
        // Each size is a multiple of its alignment, so fields in falling order of alignment need no
        // padding between them.
        let mut align = layout.align;
        while align > 0 {
            let mut index = 0;
            while index < fields.len() {
                if fields[index].align == align {
                    error.text("\n    ").text(fields[index].source).text(",");
                }
                index += 1;
            }
            align /= 2;
        }
        pad(layout, sum.next_multiple_of(layout.align) - sum, error);
    }
    error.text("\n\nor let the macro add the padding: #[message(").text(layout.arguments);
    error.text(")]");
}

/// Writes where the padding is. Returns how much of it is at the end.
const fn gaps(fields: &[FieldLayout], size: usize, error: &mut ConstText) -> usize {
    let (mut end, mut index, mut any) = (0_usize, 0, false);
    while index < fields.len() {
        let start = end.next_multiple_of(fields[index].align);
        if start > end {
            write_gap(start - end, any, error);
            error.text(" before `").text(fields[index].name).text("`");
            any = true;
        }
        end = start + fields[index].size;
        index += 1;
    }
    if size > end {
        write_gap(size - end, any, error);
        error.text(" at the end");
    }
    size - end
}

/// Writes the size of a gap. The first gap names the unit.
const fn write_gap(size: usize, any: bool, error: &mut ConstText) {
    if any {
        error.text(", ").number(size);
    } else {
        error.bytes(size);
    }
}

const fn pad(layout: &Layout, size: usize, error: &mut ConstText) {
    if size > 0 {
        error.text("\n    ").text(layout.pad).text(": [u8; ").number(size).text("],");
    }
}

const fn sum(fields: &[FieldLayout]) -> usize {
    let (mut sum, mut index) = (0, 0);
    while index < fields.len() {
        sum += fields[index].size;
        index += 1;
    }
    sum
}

/// Returns the first field of the largest alignment, or of the largest size.
const fn most(fields: &[FieldLayout], of_alignment: bool) -> usize {
    let (mut most, mut index) = (0, 0);
    while index < fields.len() {
        let (field, best) = (&fields[index], &fields[most]);
        if if of_alignment { field.align > best.align } else { field.size > best.size } {
            most = index;
        }
        index += 1;
    }
    most
}

/// Text of bounded length. Text after the limit is cut off.
#[derive(Clone, Copy)]
pub struct ConstText {
    bytes: [u8; 8192],
    len: usize,
}

impl ConstText {
    const fn new() -> Self {
        Self { bytes: [0; 8192], len: 0 }
    }

    const fn text(&mut self, text: &str) -> &mut Self {
        let text = text.as_bytes();
        let mut index = 0;
        while index < text.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = text[index];
            self.len += 1;
            index += 1;
        }
        self
    }

    const fn number(&mut self, number: usize) -> &mut Self {
        if number >= 10 {
            self.number(number / 10);
        }
        let digit = [b'0' + (number % 10) as u8];
        if let Ok(digit) = core::str::from_utf8(&digit) {
            self.text(digit);
        }
        self
    }

    /// Appends a number of bytes: `1 byte`, `2 bytes`.
    const fn bytes(&mut self, number: usize) -> &mut Self {
        self.number(number).text(if number == 1 { " byte" } else { " bytes" })
    }

    /// The text.
    pub const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            // If a name was cut off in the middle of a character, the text is not UTF-8: a general
            // text replaces it.
            Err(_) => "this message has padding, or does not fit a frame",
        }
    }
}

// Padding as fields, for `#[message(.., pad)]`.

/// `N` bytes without a meaning. A writer sets them to zero, a reader ignores them: all values are
/// equal.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
pub struct Pad<const N: usize>([u8; N]);

impl<const N: usize> Pad<N> {
    /// Zeros.
    pub const ZERO: Self = Self([0; N]);
}

impl<const N: usize> Field for Pad<N> {
    const TYPE: FieldType = <[u8; N]>::TYPE;
    const EMPTY: Self = Self::ZERO;

    #[inline]
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl<const N: usize> Default for Pad<N> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<const N: usize> PartialEq for Pad<N> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<const N: usize> Eq for Pad<N> {}

impl<const N: usize> PartialOrd for Pad<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Pad<N> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl<const N: usize> Hash for Pad<N> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<const N: usize> fmt::Debug for Pad<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// Returns the padding before a field of this alignment, after fields of these sizes and
/// alignments.
#[must_use]
pub const fn gap(before: &[(usize, usize)], align: usize) -> usize {
    let (mut end, mut index) = (0_usize, 0);
    while index < before.len() {
        let (size, align) = before[index];
        end = end.next_multiple_of(align) + size;
        index += 1;
    }
    end.next_multiple_of(align) - end
}

/// Returns the padding at the end of a struct.
#[must_use]
pub const fn gap_at_end(fields: &[(usize, usize)]) -> usize {
    let (mut most, mut index) = (1, 0);
    while index < fields.len() {
        if fields[index].1 > most {
            most = fields[index].1;
        }
        index += 1;
    }
    gap(fields, most)
}

/// Counts the fields, without paddings of no bytes.
#[must_use]
pub const fn count_without_empty(fields: &[FieldDescriptor], is_pad: &[bool]) -> usize {
    let (mut count, mut index) = (0, 0);
    while index < fields.len() {
        if !(is_pad[index] && fields[index].size == 0) {
            count += 1;
        }
        index += 1;
    }
    count
}

/// Returns the fields, without paddings of no bytes. `N` is their count.
#[must_use]
pub const fn without_empty<const N: usize>(
    fields: &[FieldDescriptor],
    is_pad: &[bool],
) -> [FieldDescriptor; N] {
    let mut kept = [fields[0]; N];
    let (mut count, mut index) = (0, 0);
    while index < fields.len() {
        if !(is_pad[index] && fields[index].size == 0) {
            kept[count] = fields[index];
            count += 1;
        }
        index += 1;
    }
    kept
}
