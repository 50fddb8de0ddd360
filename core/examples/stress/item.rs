//! What goes through the rings, and the books about it: every item is dropped once, wherever that is.
//!
//! Each thread keeps books of its own until it ends. Counters that all threads share would put their operations in
//! an order, and hide what a ring does not.

use std::cell::RefCell;
use std::sync::Mutex;

use crate::dice::scramble;

/// An item of one writer.
pub(crate) struct Item {
    pub(crate) writer: usize,
    pub(crate) number: u64,
    /// Made for a push that will not be: nobody may see it.
    pub(crate) ghost: bool,
    check: u64,
    /// So that an item that is dropped twice, or never, is one of the allocator's, too.
    heap: Option<Box<u64>>,
}

impl Item {
    pub(crate) fn new(writer: usize, number: u64, ghost: bool) -> Item {
        let check = check(writer, number);
        note(writer, |books| books.made += 1);
        Item {
            writer,
            number,
            ghost,
            check,
            heap: number.is_multiple_of(4).then(|| Box::new(check)),
        }
    }

    /// A mixture of two items shows.
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
pub(crate) const WRITERS: usize = 8;

/// A set of numbers, by its size and a sum that two different ones do not share by chance.
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

/// About the items of one writer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Books {
    /// All items, ghosts among them: each is made once and goes once.
    pub(crate) made: u64,
    pub(crate) gone: u64,
    /// Without ghosts.
    pub(crate) pushed: Numbers,
    pub(crate) taken: Numbers,
    pub(crate) dropped: Numbers,
}

thread_local! {
    static OWN: RefCell<[Books; WRITERS]> = RefCell::default();
}

/// Of all threads that have ended.
static ALL: Mutex<[Books; WRITERS]> = Mutex::new([EMPTY; WRITERS]);
const EMPTY: Books = {
    let none = Numbers { count: 0, sum: 0 };
    Books { made: 0, gone: 0, pushed: none, taken: none, dropped: none }
};

pub(crate) fn note(writer: usize, write: impl FnOnce(&mut Books)) {
    OWN.with_borrow_mut(|books| write(&mut books[writer]));
}

/// Hands the books of this thread in.
pub(crate) fn hand_in() {
    let own = OWN.take();
    let mut all = ALL.lock().expect("nobody panics here");
    for (all, own) in all.iter_mut().zip(own) {
        all.made += own.made;
        all.gone += own.gone;
        all.pushed.merge(own.pushed);
        all.taken.merge(own.taken);
        all.dropped.merge(own.dropped);
    }
}

/// The books of all threads, which begin new ones.
pub(crate) fn close_the_books() -> [Books; WRITERS] {
    hand_in();
    std::mem::take(&mut *ALL.lock().expect("nobody panics here"))
}
