//! Functions for the code that `#[message]` generates. Private: they change without notice.

pub use zerocopy;

/// The error in the layout of a message, if it has one: padding, or a size or alignment that does
/// not fit a frame.
pub const fn layout_error(
    name: &str,
    size: usize,
    align: usize,
    fields: &[usize],
) -> Option<ConstText> {
    let mut sum = 0;
    let mut index = 0;
    while index < fields.len() {
        sum += fields[index];
        index += 1;
    }
    let subject = ConstText::new().text("message `").text(name);
    if size > sum {
        return Some(
            subject
                .text("` has ")
                .number(size - sum)
                .text(" bytes of padding: order its fields from large to small alignment, or add ")
                .text("a field `_pad: [u8; ")
                .number(size - sum)
                .text("]` where the gap is"),
        );
    }
    if align > 8 {
        return Some(
            subject
                .text("` is aligned to ")
                .number(align)
                .text(" bytes, but a frame aligns to 8: use `[u64; 2]` or a smaller field"),
        );
    }
    if size == 0 || size > u16::MAX as usize {
        return Some(
            subject
                .text("` has ")
                .number(size)
                .text(" bytes, but must have from 1 to 65535: send more in parts, or as a tail"),
        );
    }
    None
}

/// Text that is built while compiling. Text that does not fit is cut off.
#[derive(Clone, Copy)]
pub struct ConstText {
    bytes: [u8; 320],
    len: usize,
}

impl ConstText {
    const fn new() -> Self {
        Self { bytes: [0; 320], len: 0 }
    }

    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut index = 0;
        while index < text.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = text[index];
            self.len += 1;
            index += 1;
        }
        self
    }

    const fn number(self, number: usize) -> Self {
        let before = if number >= 10 { self.number(number / 10) } else { self };
        let digit = [b'0' + (number % 10) as u8];
        match core::str::from_utf8(&digit) {
            Ok(digit) => before.text(digit),
            Err(_) => before,
        }
    }

    /// The text.
    pub const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            // A name was cut off in the middle of a character.
            Err(_) => "this message has padding, or does not fit a frame",
        }
    }
}
