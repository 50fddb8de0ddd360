//! The parts of a recording's file that MCAP does not define.
//!
//! The profile of the header is [`PROFILE`]. Each stream has a channel of its own with the encoding
//! [`ENCODING`], and its names and its message type as metadata. The data of a message are a byte
//! of flags, 8 bytes of its sequence, 25 bytes of its trace if it has one, and the message itself.
//! Everything else is an [`Event`], as JSON in the channel [`EVENTS`]. All messages are in chunks
//! without compression, which end with counts.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::totals::{End, StreamTotals};

/// The profile in the header.
pub(crate) const PROFILE: &str = "mycelium";
/// The version of the format, in the metadata of the channel of events.
pub(crate) const VERSION: &str = "1";
/// The topic of the channel of events.
pub(crate) const EVENTS: &str = "mycelium/events";
/// The encoding of messages.
pub(crate) const ENCODING: &str = "mycelium";
/// The encoding of events, and of messages as their fields.
pub(crate) const JSON: &str = "json";
/// What follows the topic in the name of the channel with its fields.
pub(crate) const FIELDS: &str = " (fields)";

/// The keys of a channel's metadata.
pub(crate) mod key {
    pub(crate) const VERSION: &str = "version";
    pub(crate) const NODE: &str = "node";
    pub(crate) const PUBLISHER: &str = "publisher";
    pub(crate) const EPOCH: &str = "epoch";
    pub(crate) const TYPE: &str = "type";
    pub(crate) const DIGEST: &str = "digest";
    pub(crate) const FORM: &str = "form";
    /// Which begin of the stream in this file it is; only from the second one on.
    pub(crate) const BEGIN: &str = "begin";
}

/// The flags of a message.
pub(crate) mod flag {
    pub(crate) const RETAINED: u8 = 1;
    pub(crate) const SENT_AT: u8 = 2;
    pub(crate) const TRACE: u8 = 4;
}

/// From this size on, a chunk is closed.
pub(crate) const CHUNK: usize = 1 << 20;
/// The most bytes of a message that is written as JSON, too, and the most bytes of its JSON. Other
/// messages are only in the channel of their stream.
pub(crate) const LONGEST_JSON_OF: usize = 1 << 20;
pub(crate) const LONGEST_JSON: usize = 16 << 20;
/// The most bytes of a message type's canonical form.
pub(crate) const LONGEST_FORM: usize = 1 << 20;
/// The most bytes of a name, and of the reason of a disconnection.
pub(crate) const LONGEST_NAME: usize = 4096;
/// The most bytes of a record: a chunk with the longest message, its JSON and the counts of all
/// streams.
pub(crate) const LONGEST_RECORD: u64 = 128 << 20;

/// An entry that is not a message. Its time is that of its record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Event<'a> {
    Began {
        channel: u16,
        first: u64,
    },
    Gap {
        channel: u16,
        next: u64,
        missed: u64,
        reason: Cow<'a, str>,
    },
    Ended {
        channel: u16,
        next: u64,
    },
    Lost {
        channel: u16,
        next: u64,
    },
    Disconnected {
        node: Cow<'a, str>,
        topic: Cow<'a, str>,
        reason: Cow<'a, str>,
    },
    /// The sums of all streams that have changed since the last counts.
    Counts {
        streams: Vec<Counts>,
    },
}

/// The sums of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) channel: u16,
    pub(crate) first: u64,
    pub(crate) recorded: u64,
    pub(crate) missed: u64,
    pub(crate) next: u64,
    pub(crate) has_ended: bool,
}

impl Counts {
    pub(crate) fn of(channel: u16, totals: &StreamTotals) -> Counts {
        let StreamTotals { first, recorded, missed, next, end, .. } = *totals;
        let has_ended = end == Some(End::Ended);
        Counts { channel, first, recorded, missed, next, has_ended }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { first, recorded, missed, next, has_ended, .. } = self;
        let ended = if *has_ended { ", ended" } else { "" };
        write!(f, "first {first}, recorded {recorded}, missed {missed}, next {next}{ended}")
    }
}
