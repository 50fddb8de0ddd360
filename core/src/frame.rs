//! Frames: a message, or anything else, as it stands in a buffer between two processes.
//!
//! A frame is a header of 24 bytes, extensions that a reader may skip by length, and a payload, in a
//! multiple of 8 bytes; frames stand back to back. `docs/wire-format.md` has every byte.
//! [`FrameView`] reads them, [`write_frame`], [`write_message`] and [`write_fragment`] write them.
//!
//! # Panics
//!
//! Nothing here panics, whatever the bytes, and nothing reads outside of them. [`FrameView::parse`]
//! checks a frame once: no length is believed before it was compared with the limit, with the other
//! lengths and with the bytes at hand. After that all accessors are infallible. Nothing is allocated
//! and nothing loops longer than the frame has bytes. There is one form only: what parses and has no
//! unknown extensions is, byte for byte, what the writers here make of its envelope and payload (a fragment, if its own
//! fixed length is 0, as it must be for a link).

mod error;
mod extension;
mod header;
mod write;

pub use error::{ExtensionError, FrameError, WriteError};
pub use extension::{Extension, Extensions, Fragment, kind};
pub use header::{HEADER_LEN, Header, MAGIC, MAX_LENGTH, VERSION};
pub(crate) use write::head_len;
pub use write::{frame_len, write_fragment, write_frame, write_head, write_message};

use core::mem::size_of;

use zerocopy::FromBytes;

use crate::{
    envelope::Envelope,
    error::DecodeError,
    message::{self, Message},
};

/// What a reader is willing to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame in bytes, header included, final padding not.
    pub max_frame: u32,
}

impl Default for Limits {
    /// One MiB.
    fn default() -> Self {
        Self { max_frame: 1 << 20 }
    }
}

/// A frame that was checked.
///
/// # Examples
///
/// ```
/// use mycelium_core::{Envelope, FrameView, Limits, message, write_message};
///
/// #[message(topic = "ticks", id = 1)]
/// #[derive(Debug, PartialEq)]
/// struct Tick {
///     price: u64,
/// }
///
/// let mut words = [0; 8]; // words, so that the payload is aligned and can be read in place
/// let buffer = zerocopy::IntoBytes::as_mut_bytes(&mut words[..]);
/// let len = write_message(buffer, &Envelope::of::<Tick>(3, 0), &Tick { price: 42 })?;
///
/// let (frame, rest) = FrameView::parse(&buffer[..len], &Limits::default())?;
/// assert_eq!(frame.header().stream(), 3);
/// assert_eq!(frame.message::<Tick>()?, &Tick { price: 42 });
/// assert!(rest.is_empty());
/// # let _: &[u64] = &words;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    header: &'a Header,
    extensions: Extensions<'a>,
    payload: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// Checks the frame at the start of `bytes`; what comes after it is returned beside it.
    ///
    /// # Errors
    ///
    /// [`FrameError::Incomplete`] if the frame may be good but is not all there: call again once
    /// there are as many bytes as it says. Any other error is final for these bytes, and comes as
    /// early as the bytes allow: a wrong magic byte, for example, with the first byte.
    // Called, it returns through memory in pieces, and is waited for where they are read as one.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<(Self, &'a [u8]), FrameError> {
        let Ok((header, _)) = Header::ref_from_prefix(bytes) else {
            return Err(header::incomplete(bytes));
        };
        let layout = header.check(limits)?;
        let needed = layout.padded();
        let Some((frame, rest)) = bytes.split_at_checked(needed) else {
            return Err(FrameError::Incomplete { needed });
        };
        let (Some(extensions), Some(payload), Some(padding)) = (
            frame.get(HEADER_LEN..layout.head),
            frame.get(layout.head..layout.length),
            frame.get(layout.length..),
        ) else {
            return Err(FrameError::Incomplete { needed });
        };
        if !padding.is_empty() && padding.iter().any(|byte| *byte != 0) {
            return Err(FrameError::Padding);
        }
        let extensions = Extensions::parse(extensions)?;
        Ok((Self { header, extensions, payload }, rest))
    }

    /// The header.
    #[inline]
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// Everything the frame says about its payload, as far as this reader knows it.
    #[inline]
    pub fn envelope(&self) -> Envelope {
        let mut envelope = Envelope {
            type_id: self.header.type_id(),
            stream: self.header.stream(),
            sequence: self.header.sequence(),
            ..Envelope::default()
        };
        if !self.extensions.is_empty() {
            self.extensions.fill(&mut envelope);
        }
        envelope
    }

    /// The extensions one by one, with those that this reader does not know.
    #[inline]
    pub fn extensions(&self) -> Extensions<'a> {
        self.extensions
    }

    /// Which part of a message this is, if it is not all of one.
    #[inline]
    pub fn fragment(&self) -> Option<Fragment> {
        self.extensions.fragment()
    }

    /// Whether an earlier process of the reader may have had the message.
    #[inline]
    pub fn is_redelivered(&self) -> bool {
        self.extensions.is_redelivered()
    }

    /// The payload, with its tail if it has one.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The fixed part of the payload: the message itself.
    #[inline]
    pub fn fixed(&self) -> &'a [u8] {
        self.payload.get(..self.header.fixed_len().into()).unwrap_or(self.payload)
    }

    /// What follows the fixed part of the payload; empty for most messages.
    #[inline]
    pub fn tail(&self) -> &'a [u8] {
        self.payload.get(self.header.fixed_len().into()..).unwrap_or(&[])
    }

    /// The message in place. It is aligned if the buffer of the frame is aligned to 8 bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Type`] if the frame carries another type; otherwise as
    /// [`decode_ref`](crate::decode_ref).
    #[inline]
    pub fn message<M: Message>(&self) -> Result<&'a M, DecodeError> {
        self.expect::<M>()?;
        message::decode_ref(self.fixed())
    }

    /// The message copied out, at any alignment.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Type`] if the frame carries another type; otherwise as
    /// [`decode`](crate::decode).
    #[inline]
    pub fn read<M: Message>(&self) -> Result<M, DecodeError> {
        self.expect::<M>()?;
        message::decode(self.fixed())
    }

    #[inline]
    fn expect<M: Message>(&self) -> Result<(), DecodeError> {
        let found = self.header.type_id();
        if found != M::ID {
            return Err(DecodeError::Type { message: M::DESCRIPTOR.name, expected: M::ID, found });
        }
        Ok(())
    }
}

/// The frames of a buffer, one after the other.
///
/// It ends at the end of the buffer, before a frame that is not all there ([`rest`](Self::rest) has
/// its beginning), and after the first error.
///
/// # Examples
///
/// ```
/// use mycelium_core::{Envelope, Frames, Limits, write_frame};
///
/// let mut buffer = [0; 64];
/// let first = write_frame(&mut buffer, &Envelope::default(), 0, b"hello")?;
/// let second = write_frame(&mut buffer[first..], &Envelope::default(), 0, b"world")?;
///
/// let mut frames = Frames::new(&buffer[..first + second], Limits::default());
/// assert_eq!(frames.next().unwrap()?.payload(), b"hello");
/// assert_eq!(frames.next().unwrap()?.payload(), b"world");
/// assert!(frames.next().is_none() && frames.rest().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
    limits: Limits,
    failed: bool,
}

impl<'a> Frames<'a> {
    /// The frames in `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self { rest: bytes, limits, failed: false }
    }

    /// The bytes that are not yet taken: once the iterator has ended, the beginning of a frame that
    /// is not all there, or the frame with the error.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<FrameView<'a>, FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        match FrameView::parse(self.rest, &self.limits) {
            Ok((frame, rest)) => {
                self.rest = rest;
                Some(Ok(frame))
            }
            Err(FrameError::Incomplete { .. }) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

impl core::iter::FusedIterator for Frames<'_> {}

const _: () = assert!(size_of::<Header>() == HEADER_LEN);
