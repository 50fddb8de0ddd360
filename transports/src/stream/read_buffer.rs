//! The read buffer of a link: its bytes are contiguous, and frames in it are aligned.
//!
//! It grows when a read fills it, up to [`BUSY`], and shrinks when a read fills little of it. So an
//! idle connection takes little memory, and a busy one needs few reads. For one long frame it grows
//! further while bytes arrive, to twice the bytes that have arrived, and never by the length that
//! the frame claims.

use zerocopy::IntoBytes;

/// The size of the buffer of an idle connection, in words: enough for 8 KiB of messages and the
/// header of their run, which has 40 bytes. A batch of that length takes one read.
const IDLE: usize = (1 << 10) + 8;
/// The size of the buffer of a busy connection, in words.
const BUSY: usize = 1 << 13;

#[derive(Debug)]
pub(super) struct ReadBuffer {
    words: Vec<u64>,
    start: usize,
    end: usize,
    /// The size in words that suits the bytes of the last read.
    suits: usize,
}

impl ReadBuffer {
    pub(super) fn new() -> ReadBuffer {
        ReadBuffer { words: vec![0; IDLE], start: 0, end: 0, suits: IDLE }
    }

    /// Returns the bytes that were read and not used.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[self.start..self.end]
    }

    /// Returns the space for the bytes of the next read.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.words.len() != self.suits {
                self.words = vec![0; self.suits];
            }
        } else if self.start > 0 {
            // The rest of a frame is short compared with the next read, so it may be moved. Frames
            // have multiples of 8 bytes, so the rest stays aligned.
            self.words.as_mut_bytes().copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.words.len() * 8 || self.words.len() < self.suits {
            let words = self.suits.max(self.end / 4);
            self.words.resize(words, 0);
        }
        &mut self.words.as_mut_bytes()[self.end..]
    }

    /// Records that a read has put `count` bytes into the space.
    pub(super) fn filled(&mut self, count: usize) {
        let space = self.words.len() * 8 - self.end;
        if count == space {
            self.suits = (self.suits * 2).min(BUSY);
        } else if count < space / 16 {
            self.suits = (self.suits / 2).max(IDLE);
        }
        self.end += count;
    }

    /// Removes the first `count` bytes, which were used.
    pub(super) fn used(&mut self, count: usize) {
        self.start += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `count` bytes of those that count up from `next`.
    fn read(buffer: &mut ReadBuffer, next: &mut u8, count: usize) -> usize {
        let space = buffer.space();
        let count = count.min(space.len());
        space[..count].fill_with(|| {
            *next = next.wrapping_add(1);
            *next
        });
        buffer.filled(count);
        count
    }

    #[test]
    fn bytes_keep_their_order_and_alignment() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut buffer, mut next, mut taken) = (ReadBuffer::new(), 0u8, 0u8);
        for _ in 0..if cfg!(miri) { 20 } else { 2000 } {
            let most = [10, 1000, 100_000][random.usize(..3)];
            read(&mut buffer, &mut next, random.usize(1..most));
            let count = random.usize(..=buffer.bytes().len()) & !7;
            for byte in &buffer.bytes()[..count] {
                taken = taken.wrapping_add(1);
                assert_eq!(*byte, taken);
            }
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(8), "the next frame is aligned");
            buffer.used(count);
            if random.u8(..) < 30 {
                let rest = buffer.bytes().len();
                taken = taken.wrapping_add(rest as u8);
                // Pretend that the rest of the last frame has arrived.
                let missing = rest.next_multiple_of(8) - rest;
                (0..missing).for_each(|_| _ = read(&mut buffer, &mut next, 1));
                taken = taken.wrapping_add(missing as u8);
                let rest = buffer.bytes().len();
                buffer.used(rest);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a megabyte, byte by byte, through safe code")]
    fn the_buffer_grows_with_its_bytes_and_shrinks_again() {
        let (mut buffer, mut next) = (ReadBuffer::new(), 0);
        for _ in 0..20 {
            let count = read(&mut buffer, &mut next, usize::MAX);
            buffer.used(count);
        }
        assert_eq!(buffer.words.len(), BUSY);
        // One long frame, which is not complete yet.
        while buffer.bytes().len() < 1 << 20 {
            read(&mut buffer, &mut next, 5000);
        }
        assert!(buffer.words.len() * 8 <= 2 << 20);
        buffer.used(buffer.bytes().len());
        for _ in 0..20 {
            let count = read(&mut buffer, &mut next, 8);
            buffer.used(count);
        }
        assert_eq!(buffer.words.len(), IDLE);
    }

    #[test]
    fn a_batch_of_8_kib_and_its_header_fit_one_read() {
        let mut buffer = ReadBuffer::new();
        assert_eq!(read(&mut buffer, &mut 0, 40 + (8 << 10)), 40 + (8 << 10));
        assert_eq!(buffer.suits, IDLE);
    }
}
