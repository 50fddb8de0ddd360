//! Records of MCAP files: takes their fields from foreign bytes. Nothing here panics, or allocates
//! by a length that is merely claimed.

use std::collections::BTreeMap;

/// The size of what is before the content of a record: its type and its length.
pub(crate) const PREFIX: usize = 1 + 8;

/// The rest of a record.
#[derive(Clone, Copy)]
pub(crate) struct Rest<'a>(pub(crate) &'a [u8]);

/// A channel.
pub(crate) struct Channel<'a> {
    pub(crate) number: u16,
    pub(crate) topic: &'a str,
    pub(crate) encoding: &'a str,
    pub(crate) metadata: BTreeMap<&'a str, &'a str>,
}

/// A message.
pub(crate) struct Message<'a> {
    pub(crate) channel: u16,
    pub(crate) sequence: u32,
    pub(crate) log_time: u64,
    pub(crate) publish_time: u64,
    pub(crate) data: &'a [u8],
}

/// A chunk, without its times.
pub(crate) struct Chunk<'a> {
    pub(crate) size: u64,
    pub(crate) crc: u32,
    pub(crate) compression: &'a str,
    pub(crate) records: &'a [u8],
}

impl<'a> Rest<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes a text after its length.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let count = self.u32()?;
        std::str::from_utf8(self.take(usize::try_from(count).ok()?)?).ok()
    }

    /// Takes a map of texts, after its length in bytes.
    fn map(&mut self) -> Option<BTreeMap<&'a str, &'a str>> {
        let count = self.u32()?;
        let mut entries = Rest(self.take(usize::try_from(count).ok()?)?);
        let mut map = BTreeMap::new();
        while !entries.0.is_empty() {
            let (key, value) = (entries.text()?, entries.text()?);
            if map.insert(key, value).is_some() {
                return None;
            }
        }
        Some(map)
    }

    /// Takes a record: its type and its content.
    pub(crate) fn record(&mut self) -> Option<(u8, &'a [u8])> {
        let (kind, length) = (self.byte()?, self.u64()?);
        Some((kind, self.take(usize::try_from(length).ok()?)?))
    }
}

impl<'a> Channel<'a> {
    pub(crate) fn parse(record: &'a [u8]) -> Option<Channel<'a>> {
        let mut rest = Rest(record);
        let (number, _schema) = (rest.u16()?, rest.u16()?);
        let (topic, encoding, metadata) = (rest.text()?, rest.text()?, rest.map()?);
        Some(Channel { number, topic, encoding, metadata })
    }
}

impl<'a> Message<'a> {
    #[inline]
    pub(crate) fn parse(record: &'a [u8]) -> Option<Message<'a>> {
        let mut rest = Rest(record);
        let (channel, sequence) = (rest.u16()?, rest.u32()?);
        let (log_time, publish_time) = (rest.u64()?, rest.u64()?);
        Some(Message { channel, sequence, log_time, publish_time, data: rest.0 })
    }
}

impl<'a> Chunk<'a> {
    /// Takes a chunk that has no bytes after its records.
    pub(crate) fn parse(record: &'a [u8]) -> Option<Chunk<'a>> {
        let mut rest = Rest(record);
        let (_begin, _end) = (rest.u64()?, rest.u64()?);
        let (size, crc, compression, length) =
            (rest.u64()?, rest.u32()?, rest.text()?, rest.u64()?);
        let records = rest.0;
        (length == records.len() as u64).then_some(Chunk { size, crc, compression, records })
    }
}
