//! The frames of the original system, for its clients: `u16 type | u32 length | payload`,
//! little-endian, without magic, version or checksum. `docs/legacy.md` describes what a node
//! serves.
//!
//! ```text
//! hello   20 00 | 32 bytes: the digest of the client's contract; once, where a digest is demanded
//! frame   type: 2 bytes | length of the payload: 4 bytes | payload
//! ```
//! Frames follow each other without a gap. A [`Decoder`] reads them from the front of the caller's
//! buffer, and returns `None` if it needs more bytes. All bytes may come from a hostile peer:
//! nothing here panics, and no length is used before it is compared with the limit and the
//! available bytes. The payload of an unknown type is skipped as it arrives, so it needs no buffer
//! of its length.

use core::fmt;

use thiserror::Error;

use crate::debug_as_display;

/// The size of a frame's header in bytes.
pub const HEADER: usize = 6;

/// The longest payload, in bytes, that a client of the original system accepts.
pub const LONGEST_PAYLOAD: u32 = 16 << 20;

/// The size of a hello in bytes.
pub const HELLO: usize = 2 + DIGEST;

/// The size of a digest in bytes.
const DIGEST: usize = 32;

/// The digest of a contract, as clients of the original system send it. Printed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ContractDigest(pub [u8; DIGEST]);

impl ContractDigest {
    /// Parses 64 hexadecimal digits; returns `None` for any other text.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<ContractDigest> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let digits = text.as_bytes();
        let mut digest = [0; DIGEST];
        for (place, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            *place = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        (digits.len() == 2 * DIGEST).then_some(ContractDigest(digest))
    }
}

impl fmt::Display for ContractDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContractDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a client is no longer served.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LegacyError {
    /// The client's first bytes are not a hello.
    #[error(
        "expected the digest of a contract, which begins with 32, found {found}: the client sends none"
    )]
    NoHello {
        /// The first two bytes, which are 32 in a hello.
        found: u16,
    },
    /// The client was built for another contract.
    #[error("the client has the contract digest {found}, which is not expected")]
    Digest {
        /// The digest from the client.
        found: ContractDigest,
    },
    /// The first frame looks like a hello, but no digest is expected.
    #[error(
        "the first frame has type 32, which has no topic: the client seems to send a digest, and \
         none is expected"
    )]
    Hello,
    /// A payload is longer than the limit.
    #[error("a frame of type {type_id} claims {length} bytes: at most {limit} are accepted")]
    TooLong {
        /// The type of the frame.
        type_id: u16,
        /// The length in the header.
        length: u32,
        /// The limit.
        limit: u32,
    },
    /// The connection ended within a frame, or within the hello.
    #[error("the connection ended in the middle of a frame")]
    Truncated,
}

debug_as_display!(LegacyError);

/// What a [`Decoder`] read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// The hello, with one of the expected digests.
    Hello,
    /// A frame of a known type.
    Frame {
        /// The frame's type.
        type_id: u16,
        /// The frame's payload, at any alignment.
        payload: &'b [u8],
    },
    /// The header of a frame of an unknown type. Its payload is skipped.
    Unknown {
        /// The frame's type.
        type_id: u16,
        /// The length of the payload in bytes.
        length: u32,
    },
    /// Skipped bytes of a payload of an unknown type.
    Passed,
}

/// An event, and the number of bytes that it consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'b> {
    /// The number of bytes from the front of the buffer, at least 1.
    pub consumed: usize,
    /// The meaning of these bytes.
    pub event: Event<'b>,
}

/// Reads the frames of one client from the front of a buffer.
///
/// ```
/// use mycelium_core::legacy::{Decoder, Event, LegacyError, frame_header};
///
/// let mut bytes = frame_header(7, 3).to_vec();
/// bytes.extend([1, 2, 3, 7]);
///
/// let mut decoder = Decoder::new(&[], 1024);
/// let step = decoder.step(&bytes, |type_id| type_id == 7)?.expect("it is complete");
/// assert_eq!(step.event, Event::Frame { type_id: 7, payload: &[1, 2, 3] });
/// let rest = &bytes[step.consumed..];
/// assert_eq!(decoder.step(rest, |_| true)?, None);
/// assert_eq!(decoder.end(rest), Err(LegacyError::Truncated));
/// # Ok::<(), LegacyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<'d> {
    digests: &'d [ContractDigest],
    limit: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the hello.
    Hello,
    /// Waits for the first frame, without a hello.
    First,
    Frames,
    /// Skips a payload, of which this many bytes are left.
    Passing(u32),
}

impl<'d> Decoder<'d> {
    /// Creates the decoder of a client that must send one of these digests first; with an empty
    /// list, the client sends none. Payloads of known types have at most `limit` bytes, all others
    /// [`LONGEST_PAYLOAD`].
    #[must_use]
    pub fn new(digests: &'d [ContractDigest], limit: u32) -> Decoder<'d> {
        let state = if digests.is_empty() { State::First } else { State::Hello };
        Decoder { digests, limit: limit.min(LONGEST_PAYLOAD), state }
    }

    /// Reads the next event from the front of `bytes`; returns `None` if it needs more bytes. A
    /// buffer of `limit` plus [`HEADER`] bytes is enough for every event.
    ///
    /// # Errors
    /// If the client broke the protocol. Nothing is consumed then.
    pub fn step<'b>(
        &mut self,
        bytes: &'b [u8],
        is_known: impl FnOnce(u16) -> bool,
    ) -> Result<Option<Step<'b>>, LegacyError> {
        match self.state {
            State::Hello => self.hello(bytes),
            State::Passing(left) => Ok(self.pass(bytes, left)),
            State::First | State::Frames => self.frame(bytes, is_known),
        }
    }

    /// Returns whether the client's bytes end in the middle: the hello is missing, or `rest` (the
    /// bytes left in the buffer) or skipped bytes belong to an incomplete frame.
    #[must_use]
    pub fn is_within(&self, rest: &[u8]) -> bool {
        match self.state {
            State::Hello | State::Passing(_) => true,
            State::First | State::Frames => !rest.is_empty(),
        }
    }

    /// Returns whether the client has yet to send its hello.
    #[must_use]
    pub fn needs_hello(&self) -> bool {
        self.state == State::Hello
    }

    /// Checks the end of the client's stream of bytes; `rest` has the bytes left in the buffer.
    ///
    /// # Errors
    /// [`LegacyError::Truncated`] if the stream ends within a frame or within the hello.
    pub fn end(&self, rest: &[u8]) -> Result<(), LegacyError> {
        // A client that sends nothing and disconnects causes no error.
        let is_whole = if self.needs_hello() { rest.is_empty() } else { !self.is_within(rest) };
        if is_whole { Ok(()) } else { Err(LegacyError::Truncated) }
    }

    fn hello<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Step<'b>>, LegacyError> {
        let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let found = u16::from_le_bytes(*length);
        if usize::from(found) != DIGEST {
            return Err(LegacyError::NoHello { found });
        }
        let Some(digest) = rest.first_chunk() else { return Ok(None) };
        let found = ContractDigest(*digest);
        if !self.digests.contains(&found) {
            return Err(LegacyError::Digest { found });
        }
        self.state = State::Frames;
        Ok(Some(Step { consumed: HELLO, event: Event::Hello }))
    }

    fn frame<'b>(
        &mut self,
        bytes: &'b [u8],
        is_known: impl FnOnce(u16) -> bool,
    ) -> Result<Option<Step<'b>>, LegacyError> {
        let Some(&[a, b, c, d, e, f]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let (type_id, length) = (u16::from_le_bytes([a, b]), u32::from_le_bytes([c, d, e, f]));
        let is_known = is_known(type_id);
        if self.state == State::First && !is_known && usize::from(type_id) == DIGEST {
            return Err(LegacyError::Hello);
        }
        let limit = if is_known { self.limit } else { LONGEST_PAYLOAD };
        if length > limit {
            return Err(LegacyError::TooLong { type_id, length, limit });
        }
        if !is_known {
            self.state = if length > 0 { State::Passing(length) } else { State::Frames };
            return Ok(Some(Step { consumed: HEADER, event: Event::Unknown { type_id, length } }));
        }
        let end = HEADER + length as usize;
        let Some(payload) = bytes.get(HEADER..end) else { return Ok(None) };
        self.state = State::Frames;
        Ok(Some(Step { consumed: end, event: Event::Frame { type_id, payload } }))
    }

    fn pass<'b>(&mut self, bytes: &'b [u8], left: u32) -> Option<Step<'b>> {
        let consumed = bytes.len().min(left as usize);
        let left = left - consumed as u32;
        self.state = if left > 0 { State::Passing(left) } else { State::Frames };
        (consumed > 0).then_some(Step { consumed, event: Event::Passed })
    }
}

/// Creates the header of a frame with a payload of `length` bytes, at most [`LONGEST_PAYLOAD`].
#[must_use]
pub fn frame_header(type_id: u16, length: u32) -> [u8; HEADER] {
    let ([a, b], [c, d, e, f]) = (type_id.to_le_bytes(), length.to_le_bytes());
    [a, b, c, d, e, f]
}
