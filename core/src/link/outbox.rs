//! The bytes that are to be sent, in a buffer that the caller lends, and when a batch of them is due.
//!
//! Frames are appended whole. Bytes leave from the front, in pieces of any length: a frame of which a half is out stays
//! until the rest is, whoever was cancelled meanwhile. When the buffer's end is reached, what is left moves to its start.

use core::time::Duration;

use super::config::Batching;
use super::{OutgoingId, RunBytes, Transmit};

#[derive(Debug)]
pub(super) struct Outbox<'b> {
    buffer: &'b mut [u8],
    start: usize,
    end: usize,
    pub(super) batching: Batching,
    /// Frames since the batch was begun.
    count: u32,
    /// When it was begun.
    begun: Option<Duration>,
    /// It goes as soon as it can.
    due: bool,
    /// How many of the bytes the caller was given to write.
    offered: usize,
    /// Where the last part of a message ends, if some of it may still be there.
    part: usize,
    /// A run whose bytes are not all out.
    run: Option<Run>,
}

/// A run between the bytes of the buffer.
#[derive(Debug)]
struct Run {
    lent: RunBytes,
    /// Where in the buffer its bytes belong: its header ends there.
    at: usize,
    /// The peer discards it, and the caller need not keep its bytes: any others go in their place.
    is_discarded: bool,
}

/// What goes in place of bytes that the peer discards.
const VOID: [u8; 512] = [0; 512];

impl<'b> Outbox<'b> {
    pub(super) fn new(buffer: &'b mut [u8], batching: Batching) -> Outbox<'b> {
        Outbox {
            buffer,
            start: 0,
            end: 0,
            batching,
            count: 0,
            begun: None,
            due: false,
            offered: 0,
            part: 0,
            run: None,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn room(&self) -> usize {
        self.buffer.len() - (self.end - self.start)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end && self.run.is_none()
    }

    /// Whether a run is on its way out.
    pub(super) fn has_run(&self) -> bool {
        self.run.is_some()
    }

    /// Behind what is in the buffer come bytes of the caller's, as soon as they can.
    pub(super) fn lend(&mut self, lent: RunBytes) {
        self.run = Some(Run { lent, at: self.end, is_discarded: false });
        self.due = true;
    }

    /// The first message of a stream that belongs to a run and is not all out.
    pub(super) fn first_untransmitted(&self, stream: OutgoingId) -> Option<u64> {
        let lent = self.run.as_ref().map(|run| run.lent).filter(|lent| lent.stream == stream)?;
        Some(lent.first + (lent.offset / lent.shape.stride as usize) as u64)
    }

    /// The peer discards the run that is on its way out, if it is of such a stream.
    pub(super) fn discard_run(&mut self, is_discarded: impl FnOnce(OutgoingId) -> bool) {
        if let Some(run) = &mut self.run {
            run.is_discarded = run.is_discarded || is_discarded(run.lent.stream);
        }
    }

    /// Lets `write` put a frame of `length` bytes behind the others; false if there is no room for it.
    // As for `Link::send`.
    #[inline(always)]
    pub(super) fn append(
        &mut self,
        now: Duration,
        length: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> bool {
        if self.buffer.len() - self.end < length && !self.make_room(length) {
            return false;
        }
        let Some(place) = self.buffer.get_mut(self.end..self.end + length) else { return false };
        write(place);
        self.end += length;
        self.count += 1;
        if self.begun.is_none() {
            self.begun = Some(now);
        }
        if self.end - self.start >= self.batching.bytes || self.count >= self.batching.messages {
            self.due = true;
        }
        true
    }

    /// As `append`, for part of a message.
    pub(super) fn append_fragment(
        &mut self,
        now: Duration,
        length: usize,
        write: impl FnOnce(&mut [u8]),
    ) {
        if self.append(now, length, write) {
            self.part = self.end;
        }
    }

    /// Whether part of a message is not out yet.
    pub(super) fn has_fragment(&self) -> bool {
        self.part > self.start
    }

    #[cold]
    fn make_room(&mut self, length: usize) -> bool {
        if self.room() < length {
            return false;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.part = self.part.saturating_sub(self.start);
        if let Some(run) = &mut self.run {
            run.at -= self.start;
        }
        (self.start, self.end) = (0, self.end - self.start);
        true
    }

    /// Whether it goes as soon as it can, and none of it has gone.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.due && self.start == 0
    }

    /// What is there goes as soon as it can.
    pub(super) fn flush(&mut self) {
        self.due = !self.is_empty();
    }

    /// The bytes that are due, if any.
    pub(super) fn due(&mut self, now: Duration) -> Option<Transmit<'_>> {
        if self.is_empty() {
            return None;
        }
        if !self.due && self.deadline().is_some_and(|deadline| now < deadline) {
            return None;
        }
        // Once begun it goes to its end: what came meanwhile goes with it.
        self.due = true;
        let Some(run) = &self.run else {
            self.offered = self.end - self.start;
            let bytes = self.buffer.get(self.start..self.end)?;
            return Some(Transmit { bytes, run: None });
        };
        let before = run.at - self.start;
        let (bytes, lent) = match (run.is_discarded, before) {
            (true, 0) => (VOID.get(..run.lent.length.min(VOID.len()))?, None),
            (true, _) => (self.buffer.get(self.start..run.at)?, None),
            (false, _) => (self.buffer.get(self.start..run.at)?, Some(run.lent)),
        };
        self.offered = bytes.len() + lent.map_or(0, |lent| lent.length);
        Some(Transmit { bytes, run: lent })
    }

    /// When the batch will be due if nothing more comes. `None` also if it is due already: then it waits for the
    /// connection and not for the time.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let begun = self.begun.filter(|_| !self.due)?;
        Some(begun.saturating_add(self.batching.delay))
    }

    /// `count` of the bytes that were given to the caller are out. Returns how many of them can be:
    /// a write of the previous connection takes none of this one's.
    pub(super) fn sent(&mut self, count: usize) -> usize {
        let count = count.min(self.offered);
        self.offered -= count;
        let Some(run) = &mut self.run else {
            self.start += count;
            if self.start == self.end {
                self.clear();
            }
            return count;
        };
        let before = count.min(run.at - self.start);
        self.start += before;
        run.lent.offset += count - before;
        run.lent.length -= count - before;
        if run.lent.length == 0 {
            self.run = None;
            if self.start == self.end {
                self.clear();
            }
        }
        count
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.offered, self.part) = (0, 0, 0, 0);
        (self.count, self.begun, self.due) = (0, None, false);
        self.run = None;
    }
}
