//! Bytes that were read and not yet taken, where frames lie in one piece and messages aligned.
//!
//! It grows when a read fills all of it, up to [`BUSY`], and shrinks when a read fills little; so an idle connection takes
//! little memory, and a busy one few reads. For one long frame it grows further while its bytes keep coming, to twice what
//! has come and never by what the frame claims.

use zerocopy::IntoBytes;

/// The words of an buffer that has little to do, and of a busy one. The first is 8 KiB of messages behind the header of their
/// run, which is 40 bytes: a batch of that length comes in one read.
const IDLE: usize = (1 << 10) + 8;
const BUSY: usize = 1 << 13;

#[derive(Debug)]
pub(super) struct ReadBuffer {
    words: Vec<u64>,
    start: usize,
    end: usize,
    /// How many words suit what the last read brought.
    suits: usize,
}

impl ReadBuffer {
    pub(super) fn new() -> ReadBuffer {
        ReadBuffer { words: vec![0; IDLE], start: 0, end: 0, suits: IDLE }
    }

    /// The bytes that are there.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[self.start..self.end]
    }

    /// Where bytes can be read to.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.words.len() != self.suits {
                self.words = vec![0; self.suits];
            }
        } else if self.start > 0 {
            // The rest of a frame is short beside what the next read may bring. Frames take multiples of 8, so it begins
            // at one, and still does.
            self.words.as_mut_bytes().copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.words.len() * 8 || self.words.len() < self.suits {
            let words = self.suits.max(self.end / 4);
            self.words.resize(words, 0);
        }
        &mut self.words.as_mut_bytes()[self.end..]
    }

    /// A read has brought `count` bytes.
    pub(super) fn filled(&mut self, count: usize) {
        let space = self.words.len() * 8 - self.end;
        if count == space {
            self.suits = (self.suits * 2).min(BUSY);
        } else if count < space / 16 {
            self.suits = (self.suits / 2).max(IDLE);
        }
        self.end += count;
    }

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
    fn bytes_stay_as_they_came_however_they_are_taken() {
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
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(8), "what is next is aligned");
            buffer.used(count);
            if random.u8(..) < 30 {
                let rest = buffer.bytes().len();
                taken = taken.wrapping_add(rest as u8);
                // As if the rest of the last frame had come.
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
    fn it_grows_with_what_comes_and_shrinks_again() {
        let (mut buffer, mut next) = (ReadBuffer::new(), 0);
        for _ in 0..20 {
            let count = read(&mut buffer, &mut next, usize::MAX);
            buffer.used(count);
        }
        assert_eq!(buffer.words.len(), BUSY);
        // One long frame, of which nothing can be taken yet.
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
    fn a_batch_of_8_kib_behind_its_header_comes_in_one_read() {
        let mut buffer = ReadBuffer::new();
        assert_eq!(read(&mut buffer, &mut 0, 40 + (8 << 10)), 40 + (8 << 10));
        assert_eq!(buffer.suits, IDLE);
    }
}
