//! The frames queued for one client: a bounded queue of bytes. The hub appends whole frames; the
//! connection takes all bytes at once and writes them. Two buffers are swapped and reused, so no
//! frame allocates.

use std::sync::Mutex;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::support::lock::lock;

/// The capacity that each of the two buffers keeps after a burst, in bytes.
const KEPT: usize = 64 << 10;

/// The queue of one client.
#[derive(Debug)]
pub(super) struct Outbox {
    limit: usize,
    queue: Mutex<Queue>,
    /// Wakes the task that writes.
    writer: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    frames: u64,
    /// The number of bytes that were taken but not written yet.
    writing: usize,
    /// Whether the queue accepts no more frames.
    is_closed: bool,
}

/// The result of taking the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// This many frames were taken.
    Frames(u64),
    /// There are no frames, and none will come.
    End,
}

impl Outbox {
    /// Creates an empty queue that holds at most `limit` bytes, or one frame.
    pub(super) fn new(limit: usize) -> Outbox {
        Outbox { limit, queue: Mutex::default(), writer: AtomicWaker::new() }
    }

    /// Appends a frame. False if there is no room for it, or the queue is closed.
    pub(super) fn push(&self, header: &[u8], payload: &[u8]) -> bool {
        let mut queue = lock(&self.queue);
        let waiting = queue.bytes.len() + queue.writing;
        let length = header.len() + payload.len();
        if queue.is_closed || (waiting > 0 && waiting + length > self.limit) {
            return false;
        }
        let is_first = queue.bytes.is_empty();
        queue.bytes.extend_from_slice(header);
        queue.bytes.extend_from_slice(payload);
        queue.frames += 1;
        drop(queue);
        if is_first {
            self.writer.wake();
        }
        true
    }

    /// Takes all frames into `written`. The bytes that `written` had before count as written to the
    /// client.
    pub(super) fn poll_take(&self, context: &Context<'_>, written: &mut Vec<u8>) -> Poll<Taken> {
        written.clear();
        // Gives back the memory of a burst.
        written.shrink_to(KEPT);
        self.writer.register(context.waker());
        let mut queue = lock(&self.queue);
        queue.writing = queue.bytes.len();
        if queue.writing == 0 {
            return if queue.is_closed { Poll::Ready(Taken::End) } else { Poll::Pending };
        }
        std::mem::swap(&mut queue.bytes, written);
        Poll::Ready(Taken::Frames(std::mem::take(&mut queue.frames)))
    }

    /// Accepts no further frames; queued frames can still be taken.
    pub(super) fn close(&self) {
        lock(&self.queue).is_closed = true;
        self.writer.wake();
    }

    /// Closes the queue because the client has left, and returns the number of queued frames.
    pub(super) fn abandon(&self) -> u64 {
        let mut queue = lock(&self.queue);
        queue.is_closed = true;
        queue.bytes = Vec::new();
        std::mem::take(&mut queue.frames)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn take(outbox: &Outbox, written: &mut Vec<u8>) -> Poll<Taken> {
        outbox.poll_take(&Context::from_waker(Waker::noop()), written)
    }

    #[test]
    fn frames_are_taken_whole_and_in_order_and_bytes_that_are_written_count() {
        let (outbox, mut written) = (Outbox::new(8), Vec::new());
        assert_eq!(take(&outbox, &mut written), Poll::Pending);
        assert!(outbox.push(b"a", b"bc") && outbox.push(b"d", b"efgh"));
        assert!(!outbox.push(b"i", b""), "8 bytes wait");
        assert_eq!(take(&outbox, &mut written), Poll::Ready(Taken::Frames(2)));
        assert_eq!(written, b"abcdefgh");
        assert!(!outbox.push(b"i", b""), "they are not written yet");
        assert_eq!(take(&outbox, &mut written), Poll::Pending);
        assert!(outbox.push(b"l", b"onger than all"), "one frame always has room");
        assert!(!outbox.push(b"i", b""));
        outbox.close();
        assert_eq!(take(&outbox, &mut written), Poll::Ready(Taken::Frames(1)));
        assert_eq!(take(&outbox, &mut written), Poll::Ready(Taken::End));
        assert!(!outbox.push(b"i", b""), "it is closed");
    }

    #[test]
    fn the_buffers_are_used_again() {
        let (outbox, mut written) = (Outbox::new(64), Vec::new());
        for _ in 0..2 {
            assert!(take(&outbox, &mut written).is_pending());
            assert!(outbox.push(&[1; 6], &[1; 58]));
            assert!(take(&outbox, &mut written).is_ready());
        }
        let buffers = [written.as_ptr(), lock(&outbox.queue).bytes.as_ptr()];
        for _ in 0..4 {
            assert!(take(&outbox, &mut written).is_pending());
            assert!(outbox.push(&[2; 6], &[2; 58]));
            assert!(take(&outbox, &mut written).is_ready());
            assert!(buffers.contains(&written.as_ptr()));
        }
    }
}
