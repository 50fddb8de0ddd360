//! Text that is built while compiling.

/// Text of bounded length. Text after the limit is cut off.
#[derive(Clone, Copy)]
pub struct ConstText {
    bytes: [u8; 8192],
    len: usize,
}

impl ConstText {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; 8192], len: 0 }
    }

    pub(super) const fn text(&mut self, text: &str) -> &mut Self {
        let text = text.as_bytes();
        let mut index = 0;
        while index < text.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = text[index];
            self.len += 1;
            index += 1;
        }
        self
    }

    pub(super) const fn number(&mut self, number: usize) -> &mut Self {
        if number >= 10 {
            self.number(number / 10);
        }
        let digit = [b'0' + (number % 10) as u8];
        if let Ok(digit) = core::str::from_utf8(&digit) {
            self.text(digit);
        }
        self
    }

    /// `1 byte`, `2 bytes`.
    pub(super) const fn bytes(&mut self, number: usize) -> &mut Self {
        self.number(number).text(if number == 1 { " byte" } else { " bytes" })
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
