//! Control frames: frames of type id 0, with one fixed layout for each kind. The kind comes first.
//!
//! `docs/wire-format.md` describes the bytes. Integers are little-endian and unaligned, so a frame
//! can be read in any buffer on any host. A frame about a stream has the stream's number, and its
//! sequence if needed, only in the header.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::LinkError;
use crate::fixed::FixedStr;
use crate::frame::HEADER_LEN;
use crate::message::check_value;

/// The name of a node, a topic or a publisher, or the text of a close frame.
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
                #[allow(clippy::too_many_arguments, reason = "one for each field of the frame")]
                pub(super) fn new($($field: impl Into<$ty>),*) -> Self {
                    $name { kind: U16::new($kind), $($field: $field.into(),)* }
                }
            }
        )*

        /// A control frame, with a variant for each kind.
        #[derive(Debug)]
        #[allow(dead_code, reason = "some kinds have no fields of interest")]
        pub(super) enum Control<'a> {
            $($(#[$doc])* $name(&'a $name),)*
            /// An unknown kind, of a later version, which may be skipped.
            Unknown,
        }

        impl<'a> Control<'a> {
            /// Parses the payload of a frame of type 0.
            pub(super) fn parse(payload: &'a [u8]) -> Result<Control<'a>, LinkError> {
                let found = payload.len();
                let Ok((kind, _)) = U16::ref_from_prefix(payload) else {
                    return Err(LinkError::ControlSize { kind: 0, expected: 2, found });
                };
                // Only `Retained` has bytes of a message behind its fields.
                let fields = if kind.get() == 25 { size_of::<Retained>() } else { found };
                let payload = payload.get(..fields).unwrap_or(payload);
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

/// The most bytes of a layout in one frame. With this limit, the frame is as long as the longest
/// other control frame.
pub(super) const PIECE: usize = 84;

/// Feature: this side answers `Describe`.
pub(super) const LAYOUTS: u32 = 1;
/// Feature: this side accepts runs.
pub(super) const RUNS: u32 = 2;
/// Feature: this side sends and reads `Demand`.
pub(super) const DEMAND: u32 = 4;
/// Feature: this side sends and reads streams through shared memory. Set in the link's
/// configuration.
pub(super) const MEMORY: u32 = 8;
/// Feature: this side reads the start of a `Subscribe`.
pub(super) const STARTS: u32 = 16;
/// Feature: this side sends and reads `Retained`, and reads `Recall`.
pub(super) const RETAINED: u32 = 32;
/// The features of every side of this version.
pub(super) const FEATURES: u32 = LAYOUTS | RUNS | DEMAND | STARTS | RETAINED;

/// Set in kinds that a reader must not skip.
const CRITICAL: u16 = 0x8000;

frames! {
    /// The first frame of each side.
    Hello = 1 {
        min_version: u8,
        max_version: u8,
        max_frame: U32,
        boot: U64,
        /// The keep-alive interval in milliseconds.
        keep_alive: U32,
        topics: U16,
        streams: U16,
        /// The longest fragmented message in bytes, and how many fragmented messages may be open at
        /// once.
        max_message: U32,
        max_open: U16,
        /// The number of streams of earlier connections that this side resumes, each by a `Resume`.
        known: U16,
        node: Name,
    }
    /// The last frame of a side: the reason why it ends the link.
    Close = 2 {
        reason: U16,
        detail: U32,
        words: Name,
    }
    /// The sender subscribes to a topic.
    Subscribe = 3 {
        type_id: U16,
        subscription: U32,
        digest: [u8; 16],
        mode: u8,
        /// Where a stream starts if the sender does not know it.
        start: u8,
        resumes: U16,
        /// The credit of each new stream, in messages.
        window: U32,
        topic: Name,
    }
    /// Says where a stream of an earlier connection continues. The `Subscribe` before it says how
    /// many of these frames follow.
    Resume = 4 {
        /// 1 if the stream has moved to shared memory.
        moved: U16,
        subscription: U32,
        epoch: U64,
        next: U64,
    }
    /// The sender unsubscribes from a topic.
    Unsubscribe = 5 {
        _pad: U16,
        subscription: U32,
    }
    /// The topic is or will be sent.
    Accept = 6 {
        _pad: U16,
        subscription: U32,
    }
    /// The topic is not sent.
    Reject = 7 {
        reason: U16,
        subscription: U32,
        /// The digest of the layout on this side.
        digest: [u8; 16],
    }
    /// Opens a stream: header.stream is its number, header.sequence the sequence of its next
    /// message.
    Stream = 8 {
        /// 1 if the messages that the publisher retains follow, before all others of the stream.
        retains: U16,
        subscription: U32,
        epoch: U64,
        /// How many unconfirmed messages the publisher can keep.
        keeps: U32,
        /// Only in packets: how many messages before the next one are perhaps not stored.
        unstored: U32,
        publisher: Name,
    }
    /// Answers a resume: the stream has ended, and its last sequence is unknown.
    Gone = 9 {
        _pad: U16,
        subscription: U32,
        epoch: U64,
    }
    /// The next messages of header.stream, before header.sequence, are not sent.
    Gap = 10 {
        reason: U16,
        _pad: U32,
        missed: U64,
    }
    /// header.stream has ended before header.sequence.
    End = 11 {
        _pad: [u8; 6],
    }
    /// Raises the total of messages that may be sent on header.stream to `granted`. Messages before
    /// header.sequence are confirmed.
    Window = 12 {
        _pad: [u8; 6],
        granted: U64,
    }
    /// Answers `Unsubscribe`: the last frame about this subscription.
    Left = 15 {
        _pad: U16,
        subscription: U32,
    }
    /// The features of this side beyond version 1. This is its first frame after the hello. A
    /// reader ignores unknown bits.
    Features = 16 {
        _pad: U16,
        bits: U32,
    }
    /// Requests the layout of a topic's messages, from byte `offset` of its canonical form on.
    Describe = 17 {
        _pad: U16,
        offset: U32,
        topic: Name,
    }
    /// Answers `Describe` with `length` bytes from `offset` on, of `total`. If `total` is 0, this
    /// peer gets no layout.
    Piece = 18 {
        length: U16,
        offset: U32,
        total: U32,
        bytes: [u8; PIECE],
    }
    /// A run: `count` messages of header.stream from header.sequence on. The frame is followed by
    /// `count` items of `stride` bytes: `skip` bytes to ignore, `length` bytes of message, and
    /// padding.
    Run = 19 {
        skip: U16,
        count: U32,
        stride: U32,
        length: U32,
    }
    /// A reader of header.stream waits for messages, so a message that arrives now is delivered
    /// soon.
    Demand = 20 {
        _pad: [u8; 6],
    }
    /// The sender offers shared memory: a token with which the reader requests its regions.
    Memory = 21 {
        _pad: [u8; 6],
        token: [u8; 16],
    }
    /// The messages of header.stream from header.sequence on are in this region of shared memory.
    /// Only its end may follow.
    Region = 0x8016 {
        _pad: U16,
        number: U32,
    }
    /// The next frame is the `Subscribe` of this subscription, and a message of its streams uses
    /// one credit for every begun 2^bits bytes. Without this frame, each message uses one.
    Unit = 23 {
        bits: U16,
        subscription: U32,
    }
    /// Requests what the publisher of a stream retains, for readers that join before this sequence.
    Recall = 24 {
        _pad: U16,
        subscription: U32,
        epoch: U64,
        before: U64,
    }
    /// A part of a retained message, whose sequence is header.sequence: the rest of the frame, from
    /// `offset` on, of `total` bytes.
    Retained = 25 {
        /// 1 if all retained messages were sent. The frame then has no message.
        end: U16,
        subscription: U32,
        epoch: U64,
        total: U32,
        offset: U32,
    }
    /// Requests a pong.
    Ping = 13 {
        _pad: [u8; 6],
        token: U64,
    }
    /// Answers a ping.
    Pong = 14 {
        _pad: [u8; 6],
        token: U64,
    }
}

/// Returns a received name, after checking its length and UTF-8.
pub(super) fn text(name: &Name) -> Result<&str, LinkError> {
    check_value(name).map_err(|_| LinkError::Text)?;
    Ok(name.as_str())
}

/// The size of the longest control frame in bytes.
pub(super) const MAX_CONTROL: usize = HEADER_LEN + size_of::<Subscribe>();
/// The part of the send buffer that is reserved for a close frame.
pub(super) const CLOSE_RESERVE: usize = HEADER_LEN + size_of::<Close>();
/// The part of the send buffer that is reserved for control frames.
pub(super) const CONTROL_RESERVE: usize = CLOSE_RESERVE + 2 * MAX_CONTROL;
