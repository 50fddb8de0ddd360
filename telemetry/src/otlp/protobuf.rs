//! The wire format of Protocol Buffers, as far as OTLP needs it: fields are written into a buffer,
//! and answers are read field by field.

/// A message that is being written.
#[derive(Debug, Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

/// The form of a field's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn number(&mut self, field: u32, value: u64) {
        self.key(field, WireType::Varint);
        self.varint(value);
    }

    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, WireType::Fixed64);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, WireType::Fixed32);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// A repeated field of 64 bits each, as one.
    pub(crate) fn packed64(&mut self, field: u32, values: impl Iterator<Item = u64>) {
        self.message(field, |packed| values.for_each(|it| packed.bytes.extend(it.to_le_bytes())));
    }

    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, WireType::Length);
        self.varint(value.len() as u64);
        self.bytes.extend(value);
    }

    /// A message in this one.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        self.key(field, WireType::Length);
        let start = self.bytes.len();
        write(self);
        let end = self.bytes.len();
        // The length goes before the content, whose length is known only now.
        self.varint((end - start) as u64);
        let length = self.bytes.len() - end;
        self.bytes[start..].rotate_right(length);
    }

    fn key(&mut self, field: u32, wire_type: WireType) {
        self.varint(u64::from(field) << 3 | wire_type as u64);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// A field of a message that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message that was received, by their numbers. It ends at the first byte that is
/// not of a field.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields(message)
    }

    /// The last value of a field: that is the one that counts.
    pub(crate) fn last(self, field: u64) -> Option<Value<'a>> {
        self.filter(|(number, _)| *number == field).last().map(|(_, value)| value)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Number(u32::from_le_bytes(self.take(4)?.try_into().ok()?).into()),
            // Groups, which OTLP does not have, and types that do not exist.
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were_written() {
        let mut message = Message::default();
        message.number(1, 300);
        message.number(2, 0);
        message.message(3, |inner| {
            inner.bytes(1, b"text");
            inner.message(2, |_| {});
        });
        message.fixed64(16, u64::MAX);
        message.fixed32(2048, 7);
        message.double(17, -2.0);
        message.packed64(4, [1, 258].into_iter());
        let expected = [
            &[0x08, 0xac, 0x02, 0x10, 0, 0x1a, 0x08, 0x0a, 4][..],
            b"text",
            &[0x12, 0, 0x81, 0x01, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0x85, 0x80, 0x01, 7, 0, 0, 0],
            &[0x89, 0x01, 0, 0, 0, 0, 0, 0, 0, 0xc0],
            &[0x22, 16, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(message.as_bytes(), expected.concat());
        let fields: Vec<_> = Fields::of(message.as_bytes()).collect();
        let inner = b"\x0a\x04text\x12\x00";
        assert_eq!(
            fields,
            [
                (1, Value::Number(300)),
                (2, Value::Number(0)),
                (3, Value::Bytes(inner)),
                (16, Value::Number(u64::MAX)),
                (2048, Value::Number(7)),
                (17, Value::Number((-2.0_f64).to_bits())),
                (4, Value::Bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0])),
            ]
        );
        assert_eq!(Fields::of(inner).last(1), Some(Value::Bytes(b"text")));
    }

    #[test]
    fn a_long_message_has_a_long_length() {
        for length in [127, 128, 20_000] {
            let mut message = Message::default();
            message.message(1, |inner| inner.bytes(1, &vec![7; length]));
            let Some(Value::Bytes(inner)) = Fields::of(message.as_bytes()).last(1) else {
                panic!()
            };
            let Some(Value::Bytes(content)) = Fields::of(inner).last(1) else { panic!() };
            assert_eq!(content.len(), length);
        }
    }

    #[test]
    fn any_bytes_end() {
        for bytes in
            [&[0x80; 20][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 1], &[0x0b], &[0x09, 1]]
        {
            assert_eq!(Fields::of(bytes).count(), 0, "{bytes:?}");
        }
    }
}
