//! The errors of recordings and of their readers.

use std::io;

use mycelium_core::debug_as_display;
use mycelium_transports::untyped::{LayoutError, ViewError};
use thiserror::Error;

/// Why an entry cannot be recorded.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The numbers of channels or schemas of the file are used up. Begin a new file.
    #[error("a file has at most {limit} streams: begin a new file")]
    Full {
        /// The most streams of this file.
        limit: usize,
    },
    /// A name is too long.
    #[error("{what} of {found} bytes: expected at most {limit}")]
    Name {
        /// What has the name.
        what: &'static str,
        /// The length of the name in bytes.
        found: usize,
        /// The most bytes.
        limit: usize,
    },
    /// The canonical form of the message type is too long.
    #[error("topic `{topic}`: a layout of {found} bytes, expected at most {limit}")]
    Form {
        /// The topic.
        topic: String,
        /// The length of the form in bytes.
        found: usize,
        /// The most bytes.
        limit: usize,
    },
    /// The message type has no valid layout.
    #[error("topic `{topic}`: {error}")]
    Layout {
        /// The topic.
        topic: String,
        /// The reason.
        error: LayoutError,
    },
    /// A message does not match the layout of its stream.
    #[error("topic `{topic}`, publisher `{publisher}`: {error}")]
    Message {
        /// The topic.
        topic: String,
        /// The publisher.
        publisher: String,
        /// The reason.
        error: ViewError,
    },
    /// An entry does not continue its stream.
    #[error(
        "topic `{topic}`, publisher `{publisher}`: expected sequence {expected}, found {found}"
    )]
    Sequence {
        /// The topic.
        topic: String,
        /// The publisher.
        publisher: String,
        /// The expected sequence.
        expected: u64,
        /// The sequence of the entry.
        found: u64,
    },
    /// The stream has ended, or its sequences are used up.
    #[error(
        "topic `{topic}`, publisher `{publisher}`: the stream has ended before sequence {found}"
    )]
    Ended {
        /// The topic.
        topic: String,
        /// The publisher.
        publisher: String,
        /// The sequence of the entry.
        found: u64,
    },
    /// The recording has no such stream.
    #[error("the recording has no stream {index}")]
    Stream {
        /// The number of the stream.
        index: usize,
    },
}

/// Why a recording cannot be read.
#[derive(Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes cannot be read.
    #[error("at byte {offset}: {error}")]
    Input {
        /// The place in the file.
        offset: u64,
        /// The reason.
        error: io::Error,
    },
    /// The file is not in the format MCAP.
    #[error("expected an MCAP file, found other bytes at its beginning")]
    NotMcap,
    /// The file is an MCAP file of another program.
    #[error("expected a recording of `mycelium`, found an MCAP file with the profile `{profile}`")]
    NotRecording {
        /// The profile in the file, escaped.
        profile: String,
    },
    /// The file was written by a later version.
    #[error("expected a recording of version {expected}, found version `{found}`")]
    Version {
        /// The version that is read.
        expected: &'static str,
        /// The version in the file, escaped.
        found: String,
    },
    /// The file is damaged, or was not written by a recording.
    #[error("damaged at byte {offset}{}: expected {expected}, found {found}", of(topic.as_deref()))]
    Damaged {
        /// The place in the file.
        offset: u64,
        /// The topic, if it is known.
        topic: Option<String>,
        /// What was expected there.
        expected: String,
        /// What is there.
        found: String,
    },
}

debug_as_display!(RecordError, ReadError);

fn of(topic: Option<&str>) -> String {
    topic.map(|topic| format!(", topic `{}`", topic.escape_debug())).unwrap_or_default()
}
