//! The bytes that are to be sent, in a buffer that the caller lends, and when a batch of them is due.
//!
//! Frames are appended whole. Bytes leave from the front, in pieces of any length: a frame of which a half is out stays
//! until the rest is, whoever was cancelled meanwhile. When the buffer's end is reached, what is left moves to its start.

use core::time::Duration;

use super::config::Batching;

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
    /// So many of the bytes were shown to who writes them.
    shown: usize,
    /// Where the last part of a message ends, if some of it may still be there.
    part: usize,
}

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
            shown: 0,
            part: 0,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn room(&self) -> usize {
        self.buffer.len() - (self.end - self.start)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
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
    pub(super) fn append_part(
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
    pub(super) fn has_part(&self) -> bool {
        self.part > self.start
    }

    #[cold]
    fn make_room(&mut self, length: usize) -> bool {
        if self.room() < length {
            return false;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.part = self.part.saturating_sub(self.start);
        (self.start, self.end) = (0, self.end - self.start);
        true
    }

    /// Whether it goes as soon as it can, and none of it has gone.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.due && self.start == 0
    }

    /// What is there goes as soon as it can.
    pub(super) fn hurry(&mut self) {
        self.due = !self.is_empty();
    }

    /// The bytes that are due, if any.
    pub(super) fn due(&mut self, now: Duration) -> Option<&[u8]> {
        if self.is_empty() {
            return None;
        }
        if !self.due && self.deadline().is_some_and(|deadline| now < deadline) {
            return None;
        }
        // Once begun it goes to its end: what came meanwhile goes with it.
        self.due = true;
        self.shown = self.end - self.start;
        self.buffer.get(self.start..self.end)
    }

    /// When the batch will be due if nothing more comes. `None` also if it is due already: then it waits for the
    /// connection and not for the time.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let begun = self.begun.filter(|_| !self.due)?;
        Some(begun.saturating_add(self.batching.delay))
    }

    /// So many of the bytes that were shown are out. Returns how many of them can be: a write of the connection before
    /// takes none of this one's.
    pub(super) fn sent(&mut self, count: usize) -> usize {
        let count = count.min(self.shown);
        self.start += count;
        self.shown -= count;
        if self.start == self.end {
            self.clear();
        }
        count
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.shown, self.part) = (0, 0, 0, 0);
        (self.count, self.begun, self.due) = (0, None, false);
    }
}
