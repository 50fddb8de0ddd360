//! Recordings of topics: MCAP files with every message of a stream, its gaps and its end.
//!
//! A [`Recording`] encodes into memory, and a [`Reader`] decodes from any [`Read`](std::io::Read).
//! Nothing here opens a file, starts a thread or asks a clock. Viewers of MCAP files read a
//! recording, too, and show fields if it was made [with JSON](Recording::with_json).
//!
//! A recording adds up: for each stream, `first + recorded + missed = next`. The recording refuses
//! what would break this sum. It writes the counts at the end of each chunk, and the reader
//! computes them again. A file that was cut off is readable up to its last whole chunk.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mycelium_record::{End, Entry, Reader, Recorded, Recording, Stream};
//! use mycelium_core::{Message, message};
//! use mycelium_transports::untyped::MessageType;
//!
//! #[message(topic = "ticks", id = 1)]
//! struct Tick {
//!     price: u64,
//! }
//!
//! let (_, length) = Tick::DESCRIPTOR.canonical(0, &mut []);
//! let mut form = vec![0; length];
//! _ = Tick::DESCRIPTOR.canonical(0, &mut form);
//! let message = Arc::new(MessageType { id: Tick::ID, form });
//! let (node, topic, publisher) = ("feed".into(), "ticks".into(), "Feed".into());
//! let mut recording = Recording::new();
//! let stream = recording.begin(Stream { node, topic, publisher, epoch: 7, message }, 0, 1_000)?;
//! let bytes = 42_u64.to_le_bytes();
//! let (sent_at, trace, retained) = (None, None, false);
//! let tick =
//!     Recorded { sequence: 0, received_at: 1_001, sent_at, trace, retained, bytes: &bytes };
//! recording.message(stream, &tick)?;
//! recording.end(stream, End::Ended, 1, 1_002)?;
//! let (file, totals) = recording.finish();
//! assert_eq!(totals.messages(), 1);
//!
//! let mut reader = Reader::new(&file[..])?;
//! while let Some(entry) = reader.next()? {
//!     if let Entry::Message { layout, message, .. } = entry {
//!         assert_eq!(layout.view(message.bytes)?.to_string(), "price=42");
//!     }
//! }
//! assert!(reader.is_whole());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Files: `totals` has the sums that both sides compute, `format` what both sides write and read;
//! `write` (with `schema` and `json`) is the recording, `read` (with `records` and `entry`) the
//! reader, and `compare` uses two readers.
#![forbid(unsafe_code)]

mod compare;
mod entry;
mod error;
mod format;
pub mod json;
mod read;
mod records;
mod schema;
mod totals;
mod write;

use std::sync::Arc;

use mycelium_core::TraceContext;
use mycelium_transports::untyped::MessageType;

pub use compare::{CompareError, Comparison, Difference, DifferenceKind, Item, Side, compare};
pub use entry::Entry;
pub use error::{ReadError, RecordError};
pub use read::Reader;
pub use totals::{End, StreamTotals, Totals};
pub use write::Recording;

/// The messages that one start of a publisher has sent to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The node of the publisher.
    pub node: String,
    /// The topic.
    pub topic: String,
    /// The name of the publisher.
    pub publisher: String,
    /// The publisher's epoch, which differs for each start.
    pub epoch: u64,
    /// The type of the messages.
    pub message: Arc<MessageType>,
}

/// A message of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded<'a> {
    /// The sequence that the publisher gave to the message.
    pub sequence: u64,
    /// When the message was received, in nanoseconds since 1970 UTC.
    pub received_at: u64,
    /// When the message was sent, in nanoseconds since 1970 UTC, by the clock of the sender.
    pub sent_at: Option<u64>,
    /// The trace that the message belongs to.
    pub trace: Option<TraceContext>,
    /// The publisher has retained the message for readers that join later. It does not count in the
    /// sum of the stream, and may have any sequence.
    pub retained: bool,
    /// The bytes of the message, with its bodies or its tail.
    pub bytes: &'a [u8],
}

/// A stream of a recording: its number in the order of the begins, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) usize);

impl StreamId {
    /// Returns the number of the stream, which is its index in [`Totals::streams`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}
