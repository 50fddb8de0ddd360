//! Ends of rings that wait for each other.

use loom::thread;
use mycelium_core::ring::broadcast::{self, BroadcastHandle, Peek};
use mycelium_core::ring::{Consumer, PopError, Producer, PushError};

/// Pushes an item, and yields to the other threads while the ring is full.
///
/// # Panics
/// If the ring is closed.
pub fn push<P: Producer>(producer: &mut P, mut item: P::Item) {
    loop {
        match producer.try_push(item) {
            Ok(()) => return,
            Err(PushError::Full(back)) => item = back,
            Err(PushError::Closed(_)) => panic!("the ring is closed"),
        }
        thread::yield_now();
    }
}

/// Takes the next item; yields to the other threads while there is none.
///
/// # Panics
/// If the ring is closed.
pub fn pop<C: Consumer>(consumer: &mut C) -> C::Item {
    loop {
        match consumer.try_pop() {
            Ok(item) => return item,
            Err(PopError::Empty) => thread::yield_now(),
            Err(PopError::Closed) => panic!("an item was lost"),
        }
    }
}

/// Takes all items until the ring reports its end; yields to the other threads while there is none.
pub fn drain<C: Consumer>(consumer: &mut C) -> Vec<C::Item> {
    let mut items = Vec::new();
    loop {
        match consumer.try_pop() {
            Ok(item) => items.push(item),
            Err(PopError::Empty) => thread::yield_now(),
            Err(PopError::Closed) => return items,
        }
    }
}

/// Returns two words that belong together, so that a mixture of two messages is detected.
#[must_use]
pub fn content(sequence: usize) -> [usize; 2] {
    [sequence + 10, sequence + 20]
}

/// Peeks once, and yields to the other threads if there is nothing.
///
/// # Panics
/// If a message is not complete or not in order.
pub fn look<H: BroadcastHandle>(
    reader: &mut broadcast::Consumer<H>,
    next: &mut usize,
    missed: &mut usize,
) -> Peek {
    let mut words = [0; 2];
    let look = reader.peek(&mut words);
    match look {
        Peek::Message { sequence, length } => {
            assert_eq!((sequence, length), (*next, 16));
            assert_eq!(words, content(sequence), "a mixture was read");
            assert!(reader.advance());
            *next += 1;
        }
        Peek::Gap { missed: gap } => {
            assert!(gap > 0);
            *next += gap;
            *missed += gap;
        }
        Peek::Empty => thread::yield_now(),
        Peek::Closed | Peek::Evicted => {}
    }
    look
}

/// Reads messages until the ring reports its end, a gap or the eviction, and returns that report. A
/// reader that `may_miss` messages, as it may be suspended or evicted, continues after a gap.
///
/// # Panics
/// If a message is not complete or not in order.
pub fn read<H: BroadcastHandle>(reader: &mut broadcast::Consumer<H>, may_miss: bool) -> Peek {
    loop {
        let mut next = reader.cursor();
        match look(reader, &mut next, &mut 0) {
            Peek::Message { .. } | Peek::Empty => {}
            // A reader that was evicted may see a gap before it sees the eviction.
            Peek::Gap { .. } if may_miss => assert_eq!(reader.cursor(), next),
            found => return found,
        }
    }
}
