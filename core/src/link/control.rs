//! The frames that are the link's own: type id 0, a fixed layout for each kind, the kind first.
//!
//! `docs/wire-format.md` has the bytes. All integers are little-endian and lie unaligned, so that a frame can be read in
//! any buffer on any host. What a header can say is not said again: frames about a stream have its number there, and a
//! sequence where one belongs to them.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::LinkError;
use crate::fixed::FixedStr;
use crate::message::Field;

/// Names of nodes, topics and publishers in these frames, and the words of a refusal.
pub type Name = FixedStr<62>;

macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident = $kind:literal { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
            #[repr(C)]
            pub(super) struct $name {
                kind: U16,
                $($(#[$field_doc])* pub(super) $field: $ty,)*
            }

            impl $name {
                #[allow(clippy::too_many_arguments, reason = "as many as the frame has fields")]
                pub(super) fn new($($field: impl Into<$ty>),*) -> Self {
                    $name { kind: U16::new($kind), $($field: $field.into(),)* }
                }
            }
        )*

        /// A frame of the link, by kind.
        #[derive(Debug)]
        #[allow(dead_code, reason = "of some kinds it is enough to know that they came")]
        pub(super) enum Control<'a> {
            $($(#[$doc])* $name(&'a $name),)*
            /// A kind that a later version has defined, which may be skipped.
            Unknown,
        }

        impl<'a> Control<'a> {
            /// Reads the payload of a frame of type 0.
            pub(super) fn parse(payload: &'a [u8]) -> Result<Control<'a>, LinkError> {
                let found = payload.len();
                let Ok((kind, _)) = U16::ref_from_prefix(payload) else {
                    return Err(LinkError::ControlSize { kind: 0, expected: 2, found });
                };
                match kind.get() {
                    $($kind => match $name::ref_from_bytes(payload) {
                        Ok(frame) => Ok(Control::$name(frame)),
                        Err(_) => Err(LinkError::ControlSize { kind: $kind, expected: size_of::<$name>(), found }),
                    },)*
                    kind if kind & CRITICAL != 0 || kind == 0 => Err(LinkError::ControlKind { kind }),
                    _ => Ok(Control::Unknown),
                }
            }
        }
    };
}

/// The most bytes of a layout in one frame, which then is as long as the longest of the others.
pub(super) const PIECE: usize = 84;

/// The peer answers `Describe`.
pub(super) const LAYOUTS: u32 = 1;
/// The peer takes runs.
pub(super) const RUNS: u32 = 2;
/// The peer says when its readers ask for messages, and takes note of it.
pub(super) const DEMAND: u32 = 4;
/// What this side understands.
pub(super) const FEATURES: u32 = LAYOUTS | RUNS | DEMAND;

/// This bit marks kinds that must not be skipped.
const CRITICAL: u16 = 0x8000;

frames! {
    /// Who is there: the first frame of each side.
    Hello = 1 {
        min_version: u8,
        max_version: u8,
        max_frame: U32,
        boot: U64,
        /// In milliseconds.
        keep_alive: U32,
        topics: U16,
        streams: U16,
        /// The longest message in parts, and how many of them at once.
        max_message: U32,
        max_open: U16,
        /// How many streams of an earlier connection will be asked for, each by a `Resume`.
        known: U16,
        node: Name,
    }
    /// The link ends, and why: the last frame of a side.
    Close = 2 {
        reason: U16,
        detail: U32,
        words: Name,
    }
    /// A topic is wanted.
    Subscribe = 3 {
        type_id: U16,
        subscription: U32,
        digest: [u8; 16],
        mode: u8,
        _pad: u8,
        resumes: U16,
        /// How many messages each of its streams may send at first.
        window: U32,
        topic: Name,
    }
    /// Where a stream of an earlier connection goes on; there are as many as `Subscribe` said, right behind it.
    Resume = 4 {
        _pad: U16,
        subscription: U32,
        epoch: U64,
        next: U64,
    }
    /// A topic is wanted no more.
    Unsubscribe = 5 {
        _pad: U16,
        subscription: U32,
    }
    /// The topic is, or will be, sent.
    Accept = 6 {
        _pad: U16,
        subscription: U32,
    }
    /// The topic is not sent, and why.
    Reject = 7 {
        reason: U16,
        subscription: U32,
        /// The digest that this side knows the topic by.
        digest: [u8; 16],
    }
    /// One start of a publisher: header.stream is its number, header.sequence that of its next message.
    Stream = 8 {
        _pad: U16,
        subscription: U32,
        epoch: U64,
        /// How many messages that were not confirmed its sender keeps.
        keeps: U32,
        _pad2: U32,
        publisher: Name,
    }
    /// The stream that was to be resumed is no more, and nobody knows what it had sent.
    Gone = 9 {
        _pad: U16,
        subscription: U32,
        epoch: U64,
    }
    /// Messages of header.stream before header.sequence that are not sent.
    Gap = 10 {
        reason: U16,
        _pad: U32,
        missed: U64,
    }
    /// header.stream has ended before header.sequence.
    End = 11 {
        _pad: [u8; 6],
    }
    /// header.stream: `granted` messages may be sent in all; those before header.sequence are
    /// confirmed.
    Window = 12 {
        _pad: [u8; 6],
        granted: U64,
    }
    /// The other side's `Unsubscribe` is known: nothing more comes for it.
    Left = 15 {
        _pad: U16,
        subscription: U32,
    }
    /// What this side understands beside version 1: the first frame behind its hello. A bit that a reader does not know means
    /// nothing to it.
    Features = 16 {
        _pad: U16,
        bits: U32,
    }
    /// The layout of a topic's messages is asked for, from a byte of its canonical form on.
    Describe = 17 {
        _pad: U16,
        offset: U32,
        topic: Name,
    }
    /// A piece of it: `length` bytes from `offset` on, of `total`. A total of 0: the peer may not know
    /// the topic.
    Piece = 18 {
        length: U16,
        offset: U32,
        total: U32,
        bytes: [u8; PIECE],
    }
    /// `count` messages of header.stream from header.sequence on. Behind this frame stand `count` items of `stride` bytes:
    /// `skip` bytes that mean nothing, `length` bytes of message, and padding.
    Run = 19 {
        skip: U16,
        count: U32,
        stride: U32,
        length: U32,
    }
    /// The readers of header.stream have asked for messages: what comes from now on is in hand soon.
    Demand = 20 {
        _pad: [u8; 6],
    }
    /// Is anybody there?
    Ping = 13 {
        _pad: [u8; 6],
        token: U64,
    }
    /// Somebody is.
    Pong = 14 {
        _pad: [u8; 6],
        token: U64,
    }
}

/// A name that was received, if its count and its bytes are those of a text.
pub(super) fn text(name: &Name) -> Result<&str, LinkError> {
    name.check().map_err(|_| LinkError::Text)?;
    Ok(name.as_str())
}
