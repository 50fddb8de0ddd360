//! The measured rings, each with two ends that push or take one message at a time.

use std::sync::Arc;

use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
use mycelium_core::ring::mpmc::{self, Mpmc};
use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::ring::stamped;
use mycelium_core::ring::{Consumer, Producer};

use crate::caches::LAP_LINES;

/// One end: pushes or takes one message at a time.
pub struct End(Box<dyn FnMut() -> bool>);

impl End {
    /// Pushes or takes up to `most` messages, until it cannot, and returns how many.
    pub fn repeat(&mut self, most: usize) -> usize {
        let mut done = 0;
        while done < most && (self.0)() {
            done += 1;
        }
        done
    }
}

/// A ring with its ends.
pub struct Subject {
    /// For how many messages the ring has slots.
    pub capacity: usize,
    /// The end that pushes.
    pub writer: End,
    /// The end that takes.
    pub reader: End,
}

/// A ring for one writer and one reader, in one of both layouts.
macro_rules! one_to_one {
    ($layout:ident, $words:literal, $capacity:expr) => {{
        let ring = Arc::new($layout::Boxed::with_capacity($capacity).expect("a capacity"));
        let writer = Spsc::producer(ring.clone()).expect("the only one");
        items::<$words>($capacity, writer, Spsc::consumer(ring).expect("the only one"))
    }};
}
/// A measured ring. One lap takes [`LAP_LINES`] lines, or a few more.
pub struct Kind {
    /// The ring's name in tables.
    pub name: &'static str,
    /// The bytes of a message.
    pub bytes: usize,
    /// Creates a ring of this kind.
    pub make: fn() -> Subject,
}

/// `broadcast`, one gating reader.
pub const BROADCAST: Kind = Kind { name: "`broadcast`, 56 bytes", bytes: 56, make: broadcast };
/// `spsc`.
pub const SPSC: Kind =
    Kind { name: "`spsc`, 56 bytes", bytes: 56, make: || one_to_one!(spsc, 7, LAP_LINES) };
/// `stamped`.
pub const STAMPED: Kind =
    Kind { name: "`stamped`, 56 bytes", bytes: 56, make: || one_to_one!(stamped, 7, LAP_LINES) };
/// `stamped`, items of one word.
pub const STAMPED_WORD: Kind =
    Kind { name: "`stamped`, 8 bytes", bytes: 8, make: || one_to_one!(stamped, 1, 4 * LAP_LINES) };
/// `mpmc`, one writer and one reader.
pub const MPMC: Kind = Kind { name: "`mpmc` 1→1, 56 bytes", bytes: 56, make: many };
/// All rings, in the order of the table.
pub const ALL: [Kind; 5] = [BROADCAST, SPSC, STAMPED, STAMPED_WORD, MPMC];

fn subject(
    capacity: usize,
    push: impl FnMut() -> bool + 'static,
    take: impl FnMut() -> bool + 'static,
) -> Subject {
    Subject { capacity, writer: End(Box::new(push)), reader: End(Box::new(take)) }
}

fn many() -> Subject {
    let ring = Arc::new(mpmc::Boxed::<[u64; 7]>::with_capacity(LAP_LINES).expect("a capacity"));
    items(LAP_LINES, Mpmc::producer(ring.clone()), Mpmc::consumer(ring))
}

/// The words of an item are its number, so that the reader sees that items are whole and in order.
fn items<const WORDS: usize>(
    capacity: usize,
    mut writer: impl Producer<Item = [u64; WORDS]> + 'static,
    mut reader: impl Consumer<Item = [u64; WORDS]> + 'static,
) -> Subject {
    let (mut sent, mut taken) = (0, 0);
    let push = move || {
        let pushed = writer.try_push([sent; WORDS]).is_ok();
        sent += u64::from(pushed);
        pushed
    };
    let take = move || {
        let Ok(item) = reader.try_pop() else { return false };
        assert!(item == [taken; WORDS], "whole items in order");
        taken += 1;
        true
    };
    subject(capacity, push, take)
}

fn broadcast() -> Subject {
    const WORDS: usize = 56 / size_of::<usize>();
    let ring = Arc::new(Broadcast::boxed(Layout::exact(LAP_LINES, 56), 1).expect("a capacity"));
    let mut writer = Broadcast::producer(ring.clone()).expect("the only one");
    let mut reader = Broadcast::gating(ring).expect("one entry");
    let push = move || writer.try_push(&[7; WORDS], 56).is_ok();
    let take = move || {
        let mut words = [0; WORDS];
        let Peek::Message { .. } = reader.peek(&mut words) else { return false };
        assert_eq!(words, [7; WORDS]);
        reader.advance()
    };
    subject(LAP_LINES, push, take)
}
