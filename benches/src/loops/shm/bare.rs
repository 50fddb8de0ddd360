//! The least that shared pages allow: a number on a line, and stamped slots without a protocol for
//! joining, ending or sleeping. Nothing is checked: the other side is trusted.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

use super::duplex::{Duplex, capacity};
use crate::processes::{Talk, number};

const LINE: usize = 64;
const WORD: usize = size_of::<u64>();
const MAPPED: &str = "pages can be mapped";

/// Pages that one process writes to, and another one reads.
pub(super) struct Pages(MmapRegion);

impl Pages {
    /// Makes pages of this process and opens those of the other one.
    pub(super) fn meet(other: &mut impl Talk, bytes: usize) -> [Pages; 2] {
        let file = memfd_create("pages of a bench", MemfdFlags::CLOEXEC).expect(MAPPED);
        ftruncate(&file, bytes as u64).expect(MAPPED);
        other.say(&number(&file));
        let [theirs] = other.numbers();
        let theirs = other.open(theirs, true);
        [File::from(file), theirs].map(|file| {
            let region = MmapRegion::from_file(FileOffset::new(file, 0), bytes).expect(MAPPED);
            // Now and not in the loop.
            let page = |offset| region.get_atomic_ref::<AtomicU64>(offset).expect(MAPPED);
            (0..bytes).step_by(4096).for_each(|offset| _ = page(offset).load(Ordering::Relaxed));
            Pages(region)
        })
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU64 {
        self.0.get_atomic_ref(offset).expect("within the pages")
    }

    /// A word of 32 bits, as a futex has.
    pub(super) fn half(&self, offset: usize) -> &std::sync::atomic::AtomicU32 {
        self.0.get_atomic_ref(offset).expect("within the pages")
    }
}

/// A number on a line in each direction.
pub(super) struct Numbers {
    own: Pages,
    theirs: Pages,
    last: u64,
}

impl Numbers {
    pub(super) fn meet(other: &mut impl Talk) -> Numbers {
        let [own, theirs] = Pages::meet(other, 4096);
        Numbers { own, theirs, last: 0 }
    }
}

impl Duplex<1> for Numbers {
    #[inline]
    fn send(&mut self, message: &[usize; 1]) -> bool {
        self.own.word(0).store(message[0] as u64, Ordering::Release);
        true
    }

    #[inline]
    fn receive(&mut self, message: &mut [usize; 1]) -> bool {
        let found = self.theirs.word(0).load(Ordering::Acquire);
        message[0] = found as usize;
        found != std::mem::replace(&mut self.last, found)
    }
}

/// Slots with a stamp and a message, in whole lines, in each direction; the reader shows its
/// position eight times a lap.
pub(super) struct Slots<const W: usize> {
    own: Pages,
    theirs: Pages,
    sent: usize,
    /// The position of the other side, when this one last looked.
    room_to: usize,
    taken: usize,
}

impl<const W: usize> Slots<W> {
    const BYTES: usize = ((W + 1) * WORD).next_multiple_of(LINE);
    const LAP: usize = capacity::<W>();
    /// Positions are in the first page, slots behind it.
    const FIRST: usize = 4096;

    pub(super) fn meet(other: &mut impl Talk) -> Slots<W> {
        let [own, theirs] = Pages::meet(other, Self::FIRST + Self::LAP * Self::BYTES);
        Slots { own, theirs, sent: 0, room_to: Self::LAP, taken: 0 }
    }

    #[inline]
    const fn at(position: usize) -> usize {
        Self::FIRST + (position % Self::LAP) * Self::BYTES
    }
}

impl<const W: usize> Duplex<W> for Slots<W> {
    #[inline]
    fn send(&mut self, message: &[usize; W]) -> bool {
        if self.sent == self.room_to {
            let taken = self.theirs.word(0).load(Ordering::Acquire) as usize;
            self.room_to = taken + Self::LAP;
            if self.sent == self.room_to {
                return false;
            }
        }
        let at = Self::at(self.sent);
        self.sent += 1;
        write(&self.own.0, at + WORD, message);
        self.own.word(at).store(self.sent as u64, Ordering::Release);
        true
    }

    #[inline]
    fn receive(&mut self, message: &mut [usize; W]) -> bool {
        let at = Self::at(self.taken);
        if self.theirs.word(at).load(Ordering::Acquire) != self.taken as u64 + 1 {
            return false;
        }
        read(&self.theirs.0, at + WORD, message);
        self.taken += 1;
        if self.taken.is_multiple_of(Self::LAP / 8) {
            fence(Ordering::Release);
            self.own.word(0).store(self.taken as u64, Ordering::Relaxed);
        }
        true
    }
}

/// Up to this number of words a message is a constant number of accesses, above it a `memcpy`.
const FEW: usize = 8;

#[inline]
fn write<const W: usize>(pages: &MmapRegion, at: usize, message: &[usize; W]) {
    const INSIDE: &str = "within the pages";
    if W == FEW {
        let message: [u64; FEW] = std::array::from_fn(|index| message[index % W] as u64);
        return pages.get_ref(at).expect(INSIDE).store(message);
    }
    pages.get_slice(at, size_of::<[usize; W]>()).expect(INSIDE).copy_from(message);
}

#[inline]
fn read<const W: usize>(pages: &MmapRegion, at: usize, message: &mut [usize; W]) {
    const INSIDE: &str = "within the pages";
    if W == FEW {
        let found: [u64; FEW] = pages.get_ref(at).expect(INSIDE).load();
        return message.iter_mut().zip(found).for_each(|(word, found)| *word = found as usize);
    }
    pages.get_slice(at, size_of::<[usize; W]>()).expect(INSIDE).copy_to(message);
}

/// Copies messages into pages of this process alone, one after the other: the cost of one of the
/// two copies, with nobody at the other end.
pub(super) fn copy_all<const W: usize>(pages: &Pages, messages: usize, message: &mut [usize; W]) {
    for number in 0..messages {
        message[0] = number;
        write(&pages.0, Slots::<W>::at(number), message);
    }
}

/// Pages for `copy_all`.
pub(super) fn alone<const W: usize>() -> Pages {
    let bytes = Slots::<W>::FIRST + Slots::<W>::LAP * Slots::<W>::BYTES;
    let file = memfd_create("pages of a bench", MemfdFlags::CLOEXEC).expect(MAPPED);
    ftruncate(&file, bytes as u64).expect(MAPPED);
    Pages(MmapRegion::from_file(FileOffset::new(file.into(), 0), bytes).expect(MAPPED))
}
