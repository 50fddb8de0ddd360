//! Ends of rings that wait for each other.

use loom::thread;
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

/// The next item; yields to the other threads while there is none.
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
