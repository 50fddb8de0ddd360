//! The send buffer, in the caller's memory, and the timing of its batch.
//!
//! Frames are appended whole. Written bytes leave at the front, in pieces of any length, so a
//! partly written frame stays until the rest is written. When the end of the buffer is reached, the
//! remaining bytes move to its start.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes};

use super::config::Batching;
use super::control::CLOSE_RESERVE;
use super::event::{LentBytes, Transmit};
use super::tables::OutgoingId;
use crate::envelope::Envelope;
use crate::frame::{frame_len, write_frame};

#[derive(Debug)]
pub(super) struct Outbox<'b> {
    buffer: &'b mut [u8],
    start: usize,
    end: usize,
    pub(super) batching: Batching,
    /// The number of frames in the batch.
    count: u32,
    /// When the first frame of the batch was appended.
    begun: Option<Duration>,
    /// Whether the batch should be written as soon as possible.
    due: bool,
    /// The number of bytes that the caller has got to write and has not reported as written.
    offered: usize,
    /// The end of the last fragment, if some of it may be unwritten.
    fragment_end: usize,
    /// A run or a fragment in the caller's memory that is not completely written.
    lent: Option<QueuedLoan>,
}

/// Lent bytes, and their place between the bytes of the buffer.
#[derive(Debug)]
struct QueuedLoan {
    bytes: LentBytes,
    /// The position in the buffer at which the lent bytes follow: the end of their header.
    at: usize,
    /// Whether the peer discards the messages. Zeros are then sent instead, and the caller need not
    /// keep the bytes.
    is_discarded: bool,
}

/// Bytes that replace lent ones that the peer discards.
const ZEROS: [u8; 512] = [0; 512];

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
            fragment_end: 0,
            lent: None,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn room(&self) -> usize {
        self.buffer.len() - (self.end - self.start)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end && self.lent.is_none()
    }

    /// Returns whether lent bytes are not completely written.
    pub(super) fn has_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// Inserts lent bytes after the bytes of the buffer.
    pub(super) fn append_lent(&mut self, bytes: LentBytes) {
        self.lent = Some(QueuedLoan { bytes, at: self.end, is_discarded: false });
        self.due = true;
    }

    /// Returns the first message of a stream with lent bytes that are not completely written.
    pub(super) fn first_untransmitted(&self, stream: OutgoingId) -> Option<u64> {
        let lent = self.lent.as_ref().map(|lent| lent.bytes).filter(|it| it.stream == stream)?;
        let written = lent.shape.map_or(0, |shape| lent.offset / shape.stride as usize);
        Some(lent.first + written as u64)
    }

    /// Sends zeros for the rest of the lent bytes if the peer discards their stream.
    pub(super) fn discard_lent(&mut self, is_discarded: impl FnOnce(OutgoingId) -> bool) {
        if let Some(lent) = &mut self.lent {
            lent.is_discarded = lent.is_discarded || is_discarded(lent.bytes.stream);
        }
    }

    /// Appends a frame of `length` bytes by calling `write`. Returns `false` if there is no room.
    // Inlined like `Link::send`.
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

    /// Appends a control frame and flushes. Returns false if the buffer has no room.
    pub(super) fn queue_control(
        &mut self,
        now: Duration,
        stream: u32,
        sequence: u64,
        frame: &(impl IntoBytes + Immutable),
    ) -> bool {
        self.append_control(now, stream, sequence, frame, CLOSE_RESERVE)
    }

    /// Appends a control frame and flushes, if `reserve` bytes stay free after it. Returns whether
    /// there was room.
    pub(super) fn append_control(
        &mut self,
        now: Duration,
        stream: u32,
        sequence: u64,
        frame: &(impl IntoBytes + Immutable),
        reserve: usize,
    ) -> bool {
        let envelope = Envelope { stream, sequence, ..Envelope::default() };
        let payload = frame.as_bytes();
        let needed = frame_len(&envelope, payload.len()).unwrap_or(usize::MAX);
        if self.room() < needed.saturating_add(reserve) {
            return false;
        }
        let appended = self.append(now, needed, |place| {
            // Cannot fail, because the frame fits, and has at most some hundred bytes.
            _ = write_frame(place, &envelope, payload.len() as u16, payload);
        });
        self.flush();
        appended
    }

    /// Appends a fragment as [`append`](Outbox::append) does, and remembers where it ends.
    pub(super) fn append_fragment(
        &mut self,
        now: Duration,
        length: usize,
        write: impl FnOnce(&mut [u8]),
    ) {
        if self.append(now, length, write) {
            self.fragment_end = self.end;
        }
    }

    /// Returns whether a fragment is not completely written.
    pub(super) fn has_fragment(&self) -> bool {
        self.fragment_end > self.start
    }

    #[cold]
    fn make_room(&mut self, length: usize) -> bool {
        if self.room() < length {
            return false;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.fragment_end = self.fragment_end.saturating_sub(self.start);
        if let Some(lent) = &mut self.lent {
            lent.at -= self.start;
        }
        (self.start, self.end) = (0, self.end - self.start);
        true
    }

    /// Returns whether the batch is due and none of it is written.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.due && self.start == 0
    }

    /// Makes the batch due.
    pub(super) fn flush(&mut self) {
        self.due = !self.is_empty();
    }

    /// Returns the bytes to write now, if any.
    pub(super) fn due(&mut self, now: Duration) -> Option<Transmit<'_>> {
        if self.is_empty() {
            return None;
        }
        if !self.due && self.deadline().is_some_and(|deadline| now < deadline) {
            return None;
        }
        // A partly written batch stays due, including frames that are appended later.
        self.due = true;
        let Some(lent) = &self.lent else {
            self.offered = self.end - self.start;
            let bytes = self.buffer.get(self.start..self.end)?;
            return Some(Transmit { bytes, lent: None });
        };
        let before = lent.at - self.start;
        let (bytes, lent) = match (lent.is_discarded, before) {
            (true, 0) => (ZEROS.get(..lent.bytes.length.min(ZEROS.len()))?, None),
            (true, _) => (self.buffer.get(self.start..lent.at)?, None),
            (false, _) => (self.buffer.get(self.start..lent.at)?, Some(lent.bytes)),
        };
        self.offered = bytes.len() + lent.map_or(0, |lent| lent.length);
        Some(Transmit { bytes, lent })
    }

    /// Returns when the batch becomes due without another frame. Returns `None` if it is due
    /// already, because it then waits for the connection, not for time.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let begun = self.begun.filter(|_| !self.due)?;
        Some(begun.saturating_add(self.batching.delay))
    }

    /// Records that the caller has written `count` of the bytes that it got. Returns how many of
    /// them are in the buffer; a late report about the previous connection counts none.
    pub(super) fn sent(&mut self, count: usize) -> usize {
        let count = count.min(self.offered);
        self.offered -= count;
        let Some(lent) = &mut self.lent else {
            self.start += count;
            if self.start == self.end {
                self.clear();
            }
            return count;
        };
        let before = count.min(lent.at - self.start);
        self.start += before;
        lent.bytes.offset += count - before;
        lent.bytes.length -= count - before;
        if lent.bytes.length == 0 {
            self.lent = None;
            if self.start == self.end {
                self.clear();
            }
        }
        count
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.offered, self.fragment_end) = (0, 0, 0, 0);
        (self.count, self.begun, self.due) = (0, None, false);
        self.lent = None;
    }
}
