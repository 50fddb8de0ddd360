//! Extensions: what a frame says beyond its header, each with a kind and a length, so that an older
//! reader can skip what it does not know.
//!
//! A kind whose top bit is set is critical: a reader that does not know it refuses the frame.

use zerocopy::FromBytes;

use super::ExtensionError;
use crate::envelope::{Envelope, TraceContext};

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
    /// An earlier process of the reader may have had the message, 0 bytes.
    pub const REDELIVERED: u16 = 5;
    /// This bit marks kinds that must not be skipped.
    pub const CRITICAL: u16 = 0x8000;
    /// A [`Fragment`](super::Fragment), 10 bytes. Critical, since its frame does not hold the whole of its message.
    pub const FRAGMENT: u16 = 0x8005;
}

/// Which part of a message a frame holds, where the message is too long for one frame. The frame's own fixed length is 0:
/// what is not whole cannot be taken for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// How many bytes of the message come before.
    pub offset: u32,
    /// The length of the message.
    pub total: u32,
    /// The length of its fixed part.
    pub fixed_len: u16,
}

impl Fragment {
    const LEN: usize = 10;

    fn to_bytes(self) -> [u8; Fragment::LEN] {
        let ([a, b, c, d], [e, f, g, h]) = (self.offset.to_le_bytes(), self.total.to_le_bytes());
        let [i, j] = self.fixed_len.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j]
    }

    fn from_bytes(bytes: [u8; Fragment::LEN]) -> Fragment {
        let [a, b, c, d, e, f, g, h, i, j] = bytes;
        Fragment {
            offset: u32::from_le_bytes([a, b, c, d]),
            total: u32::from_le_bytes([e, f, g, h]),
            fixed_len: u16::from_le_bytes([i, j]),
        }
    }
}

/// Kind and length, in front of each value.
const LEAD: usize = 4;

/// The extensions of a frame, checked; the iterator gives them one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extensions<'a> {
    bytes: &'a [u8],
}

/// One extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// What it is; see [`kind`].
    pub kind: u16,
    /// Its value, without padding.
    pub value: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Checks the extensions that fill `bytes`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the first that is not as it must be.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ExtensionError> {
        if !bytes.is_empty() {
            check(bytes)?;
        }
        Ok(Self { bytes })
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Their bytes, as they stand in the frame.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Which part of a message the frame holds, if it holds not all of one.
    #[inline]
    pub fn fragment(mut self) -> Option<Fragment> {
        if self.is_empty() {
            return None;
        }
        let Extension { value, .. } = self.find(|extension| extension.kind == kind::FRAGMENT)?;
        value.try_into().ok().map(Fragment::from_bytes)
    }

    /// Whether an earlier process of the reader may have had the message.
    #[inline]
    pub fn is_redelivered(mut self) -> bool {
        !self.is_empty() && self.any(|extension| extension.kind == kind::REDELIVERED)
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
                _ => {}
            }
        }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        // They were checked: `split` fails at the end only.
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
        check_kind(kind, before)?;
        let found = value.len() as u16; // it came from 16 bits
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

fn check_kind(kind: u16, before: u16) -> Result<(), ExtensionError> {
    if kind == 0 {
        return Err(ExtensionError::Reserved);
    }
    if kind < before {
        return Err(ExtensionError::Order { kind, after: before });
    }
    Ok(())
}

fn known_length(kind: u16) -> Option<u16> {
    match kind {
        kind::TRACE => Some(25),
        kind::CORRELATION => Some(16),
        kind::DESTINATION | kind::DEADLINE => Some(8),
        kind::REDELIVERED => Some(0),
        kind::FRAGMENT => Some(Fragment::LEN as u16),
        _ => None,
    }
}

/// The first extension, its padding, and the rest.
fn split(bytes: &[u8]) -> Result<(Extension<'_>, &[u8], &[u8]), ExtensionError> {
    let found = bytes.len();
    let Some(([kind_low, kind_high, len_low, len_high], body)) = bytes.split_first_chunk() else {
        return Err(ExtensionError::Truncated { needed: LEAD, found });
    };
    let kind = u16::from_le_bytes([*kind_low, *kind_high]);
    let len = usize::from(u16::from_le_bytes([*len_low, *len_high]));
    let needed = (LEAD + len).next_multiple_of(8);
    let parts = body.split_at_checked(needed - LEAD).and_then(|(padded, rest)| {
        let (value, padding) = padded.split_at_checked(len)?;
        Some((Extension { kind, value }, padding, rest))
    });
    parts.ok_or(ExtensionError::Truncated { needed, found })
}

/// How many bytes a fragment takes among the extensions.
pub(super) const FRAGMENT_LEN: u16 = (LEAD + Fragment::LEN).next_multiple_of(8) as u16;

/// How many bytes the extensions of an envelope take: at most 96.
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
    len
}

/// Writes the extensions of an envelope, and of a fragment, into `room`, which has just the length they take.
pub(super) fn write_extensions(room: &mut [u8], envelope: &Envelope, fragment: Option<Fragment>) {
    let mut room = Room(room);
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
    if let Some(fragment) = fragment {
        room.put(kind::FRAGMENT, &fragment.to_bytes());
    }
}

/// The room that is left.
struct Room<'a>(&'a mut [u8]);

impl Room<'_> {
    #[inline]
    fn put<const LEN: usize>(&mut self, kind: u16, value: &[u8; LEN]) {
        let padded = (LEAD + LEN).next_multiple_of(8);
        let Some((room, rest)) = core::mem::take(&mut self.0).split_at_mut_checked(padded) else {
            return;
        };
        // All padding lies in the last eight bytes.
        if let Some(last) = room.last_chunk_mut::<8>() {
            *last = [0; 8];
        }
        if let Some((lead, body)) = room.split_first_chunk_mut::<LEAD>() {
            // As one number: both halves are 16 bits, the lower one comes first.
            *lead = (u32::from(kind) | (LEN as u32) << 16).to_le_bytes();
            if let Some(body) = body.first_chunk_mut::<LEN>() {
                *body = *value;
            }
        }
        self.0 = rest;
    }
}
