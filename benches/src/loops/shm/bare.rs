//! The simplest exchange through shared pages: a number on a line, and stamped slots without a
//! protocol for joining, ending or sleeping. Nothing is checked: the other side is trusted.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};
use zerocopy::IntoBytes;

use super::duplex::{Duplex, capacity};
use crate::machine::processes::{Talk, number};

const LINE: usize = 64;
const WORD: usize = size_of::<u64>();
const MAPPED: &str = "pages can be mapped";
const INSIDE: &str = "within the pages";

/// Pages that one process writes to, and another one reads.
struct Pages(MmapRegion);

impl Pages {
    /// Makes pages of this process and opens those of the other one.
    fn meet(other: &mut Talk, bytes: usize) -> [Pages; 2] {
        let file = memfd_create("pages of a bench", MemfdFlags::CLOEXEC).expect(MAPPED);
        ftruncate(&file, bytes as u64).expect(MAPPED);
        other.say(number(&file));
        let [theirs] = other.numbers();
        let theirs = other.open(theirs, true);
        [File::from(file), theirs].map(|file| {
            let region = MmapRegion::from_file(FileOffset::new(file, 0), bytes).expect(MAPPED);
            // Resolved now, and not in the loop.
            let page = |offset| region.get_atomic_ref::<AtomicU64>(offset).expect(MAPPED);
            (0..bytes).step_by(4096).for_each(|offset| _ = page(offset).load(Ordering::Relaxed));
            Pages(region)
        })
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU64 {
        self.0.get_atomic_ref(offset).expect(INSIDE)
    }
}

/// A number on a line in each direction.
pub(crate) struct Numbers {
    pages: [Pages; 2],
    last: u64,
}

impl Duplex<1> for Numbers {
    const KIND: &'static str = "numbers";

    fn meet(other: &mut Talk) -> Numbers {
        Numbers { pages: Pages::meet(other, 4096), last: 0 }
    }

    #[inline]
    fn send(&mut self, message: &[usize; 1]) -> bool {
        self.pages[0].word(0).store(message[0] as u64, Ordering::Release);
        true
    }

    #[inline]
    fn receive(&mut self, message: &mut [usize; 1]) -> bool {
        let found = self.pages[1].word(0).load(Ordering::Acquire);
        message[0] = found as usize;
        found != std::mem::replace(&mut self.last, found)
    }
}

/// Slots with a stamp and a message, in whole cache lines, in each direction; the reader shows its
/// position eight times a lap.
pub(crate) struct Slots {
    own: Pages,
    theirs: Pages,
    sent: usize,
    /// The position up to which there was room at the last look at the reader's position.
    room_to: usize,
    taken: usize,
}

/// Returns the offset of a position's slot: positions are in the first page, slots behind it.
#[inline]
const fn slot<const W: usize>(position: usize) -> usize {
    4096 + position % capacity::<W>() * ((W + 1) * WORD).next_multiple_of(LINE)
}

impl<const W: usize> Duplex<W> for Slots {
    const KIND: &'static str = "slots";

    fn meet(other: &mut Talk) -> Slots {
        let bytes = slot::<W>(capacity::<W>() - 1) + ((W + 1) * WORD).next_multiple_of(LINE);
        let [own, theirs] = Pages::meet(other, bytes);
        Slots { own, theirs, sent: 0, room_to: capacity::<W>(), taken: 0 }
    }

    #[inline]
    fn send(&mut self, message: &[usize; W]) -> bool {
        if self.sent == self.room_to {
            let taken = self.theirs.word(0).load(Ordering::Acquire) as usize;
            self.room_to = taken + capacity::<W>();
            if self.sent == self.room_to {
                return false;
            }
        }
        let at = slot::<W>(self.sent);
        self.sent += 1;
        let pages = &self.own.0;
        if W == FEW {
            let message: [u64; FEW] = std::array::from_fn(|index| message[index % W] as u64);
            pages.get_ref(at + WORD).expect(INSIDE).store(message);
        } else {
            pages.get_slice(at + WORD, W * WORD).expect(INSIDE).copy_from(message.as_bytes());
        }
        self.own.word(at).store(self.sent as u64, Ordering::Release);
        true
    }

    #[inline]
    fn receive(&mut self, message: &mut [usize; W]) -> bool {
        let at = slot::<W>(self.taken);
        if self.theirs.word(at).load(Ordering::Acquire) != self.taken as u64 + 1 {
            return false;
        }
        let pages = &self.theirs.0;
        if W == FEW {
            let found: [u64; FEW] = pages.get_ref(at + WORD).expect(INSIDE).load();
            message.iter_mut().zip(found).for_each(|(word, found)| *word = found as usize);
        } else {
            pages.get_slice(at + WORD, W * WORD).expect(INSIDE).copy_to(message.as_mut_bytes());
        }
        self.taken += 1;
        if self.taken.is_multiple_of(capacity::<W>().div_ceil(8)) {
            fence(Ordering::Release);
            self.own.word(0).store(self.taken as u64, Ordering::Relaxed);
        }
        true
    }
}

/// A message of this number of words takes a constant number of accesses, any other a `memcpy`.
const FEW: usize = 8;
