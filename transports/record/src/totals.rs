//! The sums of streams, which the recording and the reader compute in the same way.

use std::collections::HashSet;
use std::sync::Arc;

use crate::{Recorded, Stream};

/// The sums of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The streams, in the order of their begins.
    pub streams: Vec<StreamTotals>,
    /// How many times connections were lost.
    pub disconnections: u64,
}

/// The sums of a stream: `first + recorded + missed = next`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTotals {
    /// The stream.
    pub stream: Arc<Stream>,
    /// The sequence with which the stream began.
    pub first: u64,
    /// The number of recorded messages without retained ones.
    pub recorded: u64,
    /// The number of retained messages.
    pub retained: u64,
    /// The number of gaps.
    pub gaps: u64,
    /// The number of messages in gaps.
    pub missed: u64,
    /// The sequence after the last message or gap.
    pub next: u64,
    /// How the stream has ended; `None` if it has not.
    pub end: Option<End>,
    /// The bytes of all messages.
    pub bytes: u64,
    /// When the first and the last message were received, in the order of the file.
    pub received_at: Option<(u64, u64)>,
}

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The publisher has ended. All messages that it sent are recorded, or are in gaps.
    Ended,
    /// The publisher has ended while it was not connected: how many messages it sent from `next` on
    /// is unknown.
    Lost,
}

/// An entry that would break the sum of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The expected sequence; `None` if the stream has ended.
    pub(crate) expected: Option<u64>,
    pub(crate) found: u64,
}

impl Totals {
    /// Returns the number of messages, with retained ones.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.sum(|stream| stream.recorded.saturating_add(stream.retained))
    }

    /// Returns the number of topics.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.streams.iter().map(|it| &*it.stream.topic).collect::<HashSet<&str>>().len()
    }

    /// Returns the number of gaps.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.sum(|stream| stream.gaps)
    }

    /// Returns the number of messages in gaps.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.sum(|stream| stream.missed)
    }

    /// Returns the number of streams whose rest is unknown.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.streams.iter().filter(|stream| stream.end == Some(End::Lost)).count()
    }

    fn sum(&self, of: impl Fn(&StreamTotals) -> u64) -> u64 {
        self.streams.iter().map(of).fold(0, u64::saturating_add)
    }
}

impl StreamTotals {
    pub(crate) fn new(stream: Arc<Stream>, first: u64) -> StreamTotals {
        StreamTotals {
            stream,
            first,
            recorded: 0,
            retained: 0,
            gaps: 0,
            missed: 0,
            next: first,
            end: None,
            bytes: 0,
            received_at: None,
        }
    }

    /// Adds a message, unless it breaks the sum.
    #[inline]
    pub(crate) fn add(&mut self, message: &Recorded<'_>) -> Result<(), Broken> {
        let broken = Broken { expected: Some(self.next), found: message.sequence };
        if self.end.is_some() {
            return Err(Broken { expected: None, ..broken });
        }
        if message.retained {
            self.retained += 1;
        } else {
            if message.sequence != self.next {
                return Err(broken);
            }
            let ended = Broken { expected: None, ..broken };
            self.next = self.next.checked_add(1).ok_or(ended)?;
            self.recorded += 1;
        }
        self.bytes += message.bytes.len() as u64;
        let begin = self.received_at.map_or(message.received_at, |(begin, _)| begin);
        self.received_at = Some((begin, message.received_at));
        Ok(())
    }

    /// Adds a gap of `missed` messages before `next`, unless it breaks the sum.
    pub(crate) fn skip(&mut self, next: u64, missed: u64) -> Result<(), Broken> {
        let expected = self.next.checked_add(missed).filter(|_| self.end.is_none());
        if expected != Some(next) {
            return Err(Broken { expected, found: next });
        }
        (self.next, self.gaps, self.missed) = (next, self.gaps + 1, self.missed + missed);
        Ok(())
    }

    /// Ends the stream before `next`, unless that breaks the sum.
    pub(crate) fn finish(&mut self, end: End, next: u64) -> Result<(), Broken> {
        let expected = Some(self.next).filter(|_| self.end.is_none());
        if expected != Some(next) {
            return Err(Broken { expected, found: next });
        }
        self.end = Some(end);
        Ok(())
    }
}
