//! Extensions of a frame. Each has a kind and a length, so that an older reader can skip unknown
//! kinds.
//!
//! A kind with its top bit set is critical: a reader that does not know it refuses the frame.

use zerocopy::FromBytes;

use super::ExtensionError;
use crate::envelope::Envelope;
use crate::trace::TraceContext;

/// The kinds that this version defines.
pub mod kind {
    /// A [`TraceContext`](crate::TraceContext), 25 bytes.
    pub const TRACE: u16 = 1;
    /// A correlation id, 16 bytes.
    pub const CORRELATION: u16 = 2;
    /// A destination key, 8 bytes.
    pub const DESTINATION: u16 = 3;
    /// A deadline in nanoseconds since 1970 UTC, 8 bytes.
    pub const DEADLINE: u16 = 4;
    /// The message may have been delivered to an earlier process of the reader, 0 bytes.
    pub const REDELIVERED: u16 = 5;
    /// When the message was sent, in nanoseconds since 1970 UTC, 8 bytes.
    pub const SENT_AT: u16 = 6;
    /// Kinds with this bit must not be skipped.
    pub const CRITICAL: u16 = 0x8000;
    /// A [`Fragment`](super::Fragment), 10 bytes. Critical, because its frame has only part of a
    /// message.
    pub const FRAGMENT: u16 = 0x8005;
}

/// Says which part of a message is in a frame, if the message is too long for one frame. The fixed
/// length of the frame itself is 0, so that no reader takes a part for a whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// How many bytes of the message precede this part.
    pub offset: u32,
    /// The length of the message.
    pub total: u32,
    /// The length of the message's fixed part.
    pub fixed_len: u16,
}

impl Fragment {
    const LEN: usize = 10;

    fn to_bytes(self) -> [u8; Fragment::LEN] {
        let ([a, b, c, d], [e, f, g, h]) = (self.offset.to_le_bytes(), self.total.to_le_bytes());
        let [i, j] = self.fixed_len.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j]
    }

    pub(super) fn from_bytes(bytes: [u8; Fragment::LEN]) -> Fragment {
        let [a, b, c, d, e, f, g, h, i, j] = bytes;
        Fragment {
            offset: u32::from_le_bytes([a, b, c, d]),
            total: u32::from_le_bytes([e, f, g, h]),
            fixed_len: u16::from_le_bytes([i, j]),
        }
    }
}

/// The size of the kind and the length before each value, in bytes.
const PREFIX: usize = 4;

/// The checked extensions of a frame, as an iterator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extensions<'a> {
    bytes: &'a [u8],
}

/// One extension of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The kind of the extension; see [`kind`].
    pub kind: u16,
    /// The value of the extension, without padding.
    pub value: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Checks the extensions that fill `bytes`.
    ///
    /// # Errors
    ///
    /// The first error in the bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ExtensionError> {
        if !bytes.is_empty() {
            check(bytes)?;
        }
        Ok(Self { bytes })
    }

    /// Returns whether there are no extensions.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the bytes of the extensions in the frame.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the value of the first extension of this kind.
    #[inline]
    pub(super) fn value(mut self, kind: u16) -> Option<&'a [u8]> {
        if self.is_empty() {
            return None;
        }
        self.find(|extension| extension.kind == kind).map(|extension| extension.value)
    }

    pub(super) fn fill(self, envelope: &mut Envelope) {
        for Extension { kind, value } in self {
            match kind {
                kind::TRACE => envelope.trace = TraceContext::read_from_bytes(value).ok(),
                kind::CORRELATION => {
                    envelope.correlation = value.try_into().ok().map(u128::from_le_bytes);
                }
                kind::DESTINATION => {
                    envelope.destination = value.try_into().ok().map(u64::from_le_bytes);
                }
                kind::DEADLINE => {
                    envelope.deadline = value.try_into().ok().map(u64::from_le_bytes);
                }
                kind::REDELIVERED => envelope.redelivered = true,
                kind::SENT_AT => envelope.sent_at = value.try_into().ok().map(u64::from_le_bytes),
                _ => {}
            }
        }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        // `parse` has checked all extensions, so `split` fails only at the end.
        let (extension, _, rest) = split(self.bytes).ok()?;
        self.bytes = rest;
        Some(extension)
    }
}

impl core::iter::FusedIterator for Extensions<'_> {}

#[inline(never)]
fn check(bytes: &[u8]) -> Result<(), ExtensionError> {
    let mut rest = bytes;
    let mut before = 0;
    while !rest.is_empty() {
        let (Extension { kind, value }, padding, next) = split(rest)?;
        if kind == 0 {
            return Err(ExtensionError::Reserved);
        }
        if kind < before {
            return Err(ExtensionError::Order { kind, after: before });
        }
        let found = value.len() as u16; // read from 16 bits
        match known_length(kind) {
            Some(expected) if expected != found => {
                return Err(ExtensionError::Length { kind, expected, found });
            }
            Some(_) if kind == before => return Err(ExtensionError::Duplicate { kind }),
            None if kind & kind::CRITICAL != 0 => return Err(ExtensionError::Critical { kind }),
            _ => {}
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ExtensionError::Padding { kind });
        }
        before = kind;
        rest = next;
    }
    Ok(())
}

fn known_length(kind: u16) -> Option<u16> {
    match kind {
        kind::TRACE => Some(25),
        kind::CORRELATION => Some(16),
        kind::DESTINATION | kind::DEADLINE | kind::SENT_AT => Some(8),
        kind::REDELIVERED => Some(0),
        kind::FRAGMENT => Some(Fragment::LEN as u16),
        _ => None,
    }
}

/// Returns the first extension, its padding, and the bytes after both.
fn split(bytes: &[u8]) -> Result<(Extension<'_>, &[u8], &[u8]), ExtensionError> {
    let found = bytes.len();
    let Some(([kind_low, kind_high, len_low, len_high], body)) = bytes.split_first_chunk() else {
        return Err(ExtensionError::Truncated { needed: PREFIX, found });
    };
    let kind = u16::from_le_bytes([*kind_low, *kind_high]);
    let len = usize::from(u16::from_le_bytes([*len_low, *len_high]));
    let needed = (PREFIX + len).next_multiple_of(8);
    let parts = body.split_at_checked(needed - PREFIX).and_then(|(padded, rest)| {
        let (value, padding) = padded.split_at_checked(len)?;
        Some((Extension { kind, value }, padding, rest))
    });
    parts.ok_or(ExtensionError::Truncated { needed, found })
}

/// The size of a fragment extension.
pub(super) const FRAGMENT_LEN: u16 = (PREFIX + Fragment::LEN).next_multiple_of(8) as u16;

/// The limit on the bytes of an envelope's extensions.
pub(crate) const MOST_EXTENSIONS: usize = 112;

/// Returns the size of an envelope's extensions, at most [`MOST_EXTENSIONS`].
#[inline]
pub(super) fn extensions_len(envelope: &Envelope) -> u16 {
    let mut len = 0;
    if envelope.trace.is_some() {
        len += 32;
    }
    if envelope.correlation.is_some() {
        len += 24;
    }
    if envelope.destination.is_some() {
        len += 16;
    }
    if envelope.deadline.is_some() {
        len += 16;
    }
    if envelope.redelivered {
        len += 8;
    }
    if envelope.sent_at.is_some() {
        len += 16;
    }
    len
}

/// Writes the extensions of an envelope and of a fragment into `room`, which has exactly their
/// size.
pub(super) fn write_extensions(room: &mut [u8], envelope: &Envelope, fragment: Option<Fragment>) {
    let mut room = ExtensionWriter(room);
    if let Some(trace) = &envelope.trace {
        room.put::<25>(kind::TRACE, &zerocopy::transmute!(*trace));
    }
    if let Some(correlation) = envelope.correlation {
        room.put(kind::CORRELATION, &correlation.to_le_bytes());
    }
    if let Some(destination) = envelope.destination {
        room.put(kind::DESTINATION, &destination.to_le_bytes());
    }
    if let Some(deadline) = envelope.deadline {
        room.put(kind::DEADLINE, &deadline.to_le_bytes());
    }
    if envelope.redelivered {
        room.put(kind::REDELIVERED, &[]);
    }
    if let Some(sent_at) = envelope.sent_at {
        room.put(kind::SENT_AT, &sent_at.to_le_bytes());
    }
    if let Some(fragment) = fragment {
        room.put(kind::FRAGMENT, &fragment.to_bytes());
    }
}

/// The room that is left for extensions.
struct ExtensionWriter<'a>(&'a mut [u8]);

impl ExtensionWriter<'_> {
    #[inline]
    fn put<const LEN: usize>(&mut self, kind: u16, value: &[u8; LEN]) {
        let padded = (PREFIX + LEN).next_multiple_of(8);
        let Some((room, rest)) = core::mem::take(&mut self.0).split_at_mut_checked(padded) else {
            return;
        };
        // Zeroes the last eight bytes, which contain all padding.
        if let Some(last) = room.last_chunk_mut::<8>() {
            *last = [0; 8];
        }
        if let Some((lead, body)) = room.split_first_chunk_mut::<PREFIX>() {
            // Two 16-bit numbers as one; the lower half is first.
            *lead = (u32::from(kind) | (LEN as u32) << 16).to_le_bytes();
            if let Some(body) = body.first_chunk_mut::<LEN>() {
                *body = *value;
            }
        }
        self.0 = rest;
    }
}
