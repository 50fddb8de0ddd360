//! Layouts that a message cannot have, and what to write instead. All of it runs while compiling.

use super::text::ConstText;

/// A struct as the compiler lays it out.
pub struct Layout {
    /// Its name.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its alignment in bytes.
    pub align: usize,
    /// Its fields, in the order of their declaration.
    pub fields: &'static [FieldLayout],
    /// The visibility and the name of a field for padding.
    pub pad: &'static str,
    /// The arguments of `#[message]`, with `pad`.
    pub arguments: &'static str,
}

/// A field, as the compiler lays it out.
pub struct FieldLayout {
    /// Its name.
    pub name: &'static str,
    /// Its declaration, without a comma.
    pub source: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its alignment in bytes.
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
            gap(start - end, any, error);
            error.text(" before `").text(fields[index].name).text("`");
            any = true;
        }
        end = start + fields[index].size;
        index += 1;
    }
    if size > end {
        gap(size - end, any, error);
        error.text(" at the end");
    }
    size - end
}

/// The first gap names the unit.
const fn gap(size: usize, any: bool, error: &mut ConstText) {
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

/// The first field of the largest alignment, or of the largest size.
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
