//! The items that pass through the rings; the *books*, which count how many items were made,
//! pushed, taken and dropped, because every item must be dropped once; and the dice of a thread.
//!
//! Each thread keeps its own books until it ends. Shared counters would order the operations of the
//! threads, and hide an order that a ring lacks.

use std::cell::RefCell;
use std::sync::Mutex;

/// An item of one writer.
pub(crate) struct Item {
    pub(crate) writer: usize,
    pub(crate) number: u64,
    /// Made for a push that will be aborted: no reader may see it.
    pub(crate) ghost: bool,
    check: u64,
    /// A value on the heap, so that the allocator also detects an item that is dropped twice, or
    /// never.
    heap: Option<Box<u64>>,
}

impl Item {
    pub(crate) fn new(writer: usize, number: u64, ghost: bool) -> Item {
        let check = check(writer, number);
        note(writer, |books| books.made += 1);
        let heap = number.is_multiple_of(4).then(|| Box::new(check));
        Item { writer, number, ghost, check, heap }
    }

    /// Detects a mixture of two items.
    pub(crate) fn is_whole(&self) -> bool {
        self.check == check(self.writer, self.number)
            && self.heap.as_deref().is_none_or(|heap| *heap == self.check)
            && self.heap.is_some() == self.number.is_multiple_of(4)
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        note(self.writer, |books| {
            books.gone += 1;
            if !self.ghost {
                books.dropped.add(self.number);
            }
        });
    }
}

fn check(writer: usize, number: u64) -> u64 {
    scramble(number ^ (writer as u64) << 48)
}

/// The most writers of a round.
pub(crate) const WRITERS: usize = 4;

/// A set of numbers, as its size and a sum of hashes, which differs for different sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) count: u64,
    sum: u64,
}

impl Numbers {
    pub(crate) fn add(&mut self, number: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(scramble(number));
    }

    fn merge(&mut self, other: Numbers) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// The books about the items of one writer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Books {
    /// All items, each made once and dropped once. They include ghosts: items that the ring does
    /// not accept.
    pub(crate) made: u64,
    pub(crate) gone: u64,
    /// The items without ghosts.
    pub(crate) pushed: Numbers,
    pub(crate) taken: Numbers,
    pub(crate) dropped: Numbers,
}

thread_local! {
    static OWN: RefCell<[Books; WRITERS]> = RefCell::default();
}

/// The sums of the books of all threads that have ended, for each writer.
static ALL: Mutex<Option<[Books; WRITERS]>> = Mutex::new(None);

pub(crate) fn note(writer: usize, write: impl FnOnce(&mut Books)) {
    OWN.with_borrow_mut(|books| write(&mut books[writer]));
}

/// Adds the books of this thread to [`ALL`].
pub(crate) fn hand_in() {
    let own = OWN.take();
    let mut all = ALL.lock().expect("no thread panics here");
    for (all, own) in all.get_or_insert_default().iter_mut().zip(own) {
        all.made += own.made;
        all.gone += own.gone;
        all.pushed.merge(own.pushed);
        all.taken.merge(own.taken);
        all.dropped.merge(own.dropped);
    }
}

/// Returns the sums of the books of all threads, and starts new ones.
pub(crate) fn close_the_books() -> [Books; WRITERS] {
    hand_in();
    ALL.lock().expect("no thread panics here").take().unwrap_or_default()
}

/// Pseudo-random numbers: splitmix64, by Sebastiano Vigna.
pub(crate) struct Dice(u64);

impl Dice {
    /// The random numbers of the round or thread `name` in a run with this seed.
    pub(crate) fn of(seed: u64, name: u64) -> Dice {
        Dice(scramble(seed ^ scramble(name)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

fn scramble(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
