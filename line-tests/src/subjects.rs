//! The measured rings, each with two ends that push or take one message at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mycelium_core::ring::broadcast::{self, Broadcast, HeapStorage, Layout, Peek};
use mycelium_core::ring::mpmc::{self, Mpmc};
use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::ring::stamped;
use mycelium_core::ring::{Consumer, Producer};

use crate::caches::LAP_LINES;

/// One end: pushes or takes one message at a time.
#[derive(Clone)]
pub struct End(Rc<RefCell<dyn FnMut() -> bool>>);

impl End {
    /// Pushes or takes one message. Returns false if that was impossible.
    pub fn one(&self) -> bool {
        (self.0.borrow_mut())()
    }

    /// Pushes or takes up to `most` messages, until it cannot, and returns how many.
    pub fn repeat(&self, most: usize) -> usize {
        let mut done = 0;
        while done < most && self.one() {
            done += 1;
        }
        done
    }
}

/// A ring with its ends.
pub struct Subject {
    /// How many messages it has slots for.
    pub capacity: usize,
    /// The end that pushes.
    pub writer: End,
    /// The end that takes.
    pub reader: End,
}

/// The measured rings, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `broadcast`, 56 bytes, one gating reader that peeks and advances.
    Broadcast,
    /// `broadcast`, 56 bytes, one gating reader that borrows all messages.
    BroadcastRuns,
    /// `spsc`, 56 bytes.
    Spsc,
    /// `stamped`, 56 bytes.
    Stamped,
    /// `stamped`, items of one word.
    StampedWord,
    /// `mpmc`, one writer and one reader, 56 bytes.
    Mpmc,
}

/// A ring for one writer and one reader, in one of both layouts.
macro_rules! one_to_one {
    ($layout:ident, $item:ty, $capacity:expr) => {{
        let ring = Arc::new($layout::Boxed::with_capacity($capacity).expect("a capacity"));
        let writer = Spsc::producer(ring.clone()).expect("the only one");
        items::<$item>($capacity, writer, Spsc::consumer(ring).expect("the only one"))
    }};
}

impl Kind {
    /// All rings, in the order of the table.
    pub const ALL: [Kind; 6] = [
        Kind::Broadcast,
        Kind::BroadcastRuns,
        Kind::Spsc,
        Kind::Stamped,
        Kind::StampedWord,
        Kind::Mpmc,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Broadcast => "`broadcast`, 56 bytes",
            Kind::BroadcastRuns => "`broadcast`, 56 bytes, borrowed in runs",
            Kind::Spsc => "`spsc`, 56 bytes",
            Kind::Stamped => "`stamped`, 56 bytes",
            Kind::StampedWord => "`stamped`, 8 bytes",
            Kind::Mpmc => "`mpmc` 1→1, 56 bytes",
        }
    }

    /// The bytes of a message.
    pub fn bytes(self) -> usize {
        if self == Kind::StampedWord { 8 } else { 56 }
    }

    /// A new one. One lap takes [`LAP_LINES`] lines, or a few more.
    pub fn make(self) -> Subject {
        match self {
            Kind::Broadcast => one_by_one(LAP_LINES),
            Kind::BroadcastRuns => in_runs(LAP_LINES),
            Kind::Spsc => one_to_one!(spsc, [u64; 7], LAP_LINES),
            Kind::Stamped => one_to_one!(stamped, [u64; 7], LAP_LINES),
            Kind::StampedWord => one_to_one!(stamped, [u64; 1], 4 * LAP_LINES),
            Kind::Mpmc => many(LAP_LINES),
        }
    }
}

fn subject(
    capacity: usize,
    push: impl FnMut() -> bool + 'static,
    take: impl FnMut() -> bool + 'static,
) -> Subject {
    let (writer, reader) = (Rc::new(RefCell::new(push)), Rc::new(RefCell::new(take)));
    Subject { capacity, writer: End(writer), reader: End(reader) }
}

fn many(capacity: usize) -> Subject {
    let ring = Arc::new(mpmc::Boxed::<[u64; 7]>::with_capacity(capacity).expect("a capacity"));
    items(capacity, Mpmc::producer(ring.clone()), Mpmc::consumer(ring))
}

/// An item whose words are its number, so that the reader sees that items are whole and in order.
trait Item: Copy + PartialEq + Send + 'static {
    fn of(number: u64) -> Self;
}

impl<const WORDS: usize> Item for [u64; WORDS] {
    fn of(number: u64) -> [u64; WORDS] {
        [number; WORDS]
    }
}

fn items<T: Item>(
    capacity: usize,
    mut writer: impl Producer<Item = T> + 'static,
    mut reader: impl Consumer<Item = T> + 'static,
) -> Subject {
    let (mut sent, mut taken) = (0, 0);
    let push = move || {
        let pushed = writer.try_push(T::of(sent)).is_ok();
        sent += u64::from(pushed);
        pushed
    };
    let take = move || {
        let Ok(item) = reader.try_pop() else { return false };
        assert!(item == T::of(taken), "whole items in order");
        taken += 1;
        true
    };
    subject(capacity, push, take)
}

const WORDS: usize = 56 / size_of::<usize>();

type Ring = Arc<Broadcast<HeapStorage>>;

fn broadcast(capacity: usize) -> (impl FnMut() -> bool, broadcast::Consumer<Ring>) {
    let ring = Arc::new(Broadcast::boxed(Layout::exact(capacity, 56), 1).expect("a capacity"));
    let mut writer = Broadcast::producer(ring.clone()).expect("the only one");
    let push = move || writer.try_push(&[7; WORDS], 56).is_ok();
    (push, Broadcast::gating(ring).expect("one entry"))
}

fn one_by_one(capacity: usize) -> Subject {
    let (push, mut reader) = broadcast(capacity);
    let take = move || {
        let mut words = [0; WORDS];
        let Peek::Message { .. } = reader.peek(&mut words) else { return false };
        assert_eq!(words, [7; WORDS]);
        reader.advance()
    };
    subject(capacity, push, take)
}

fn in_runs(capacity: usize) -> Subject {
    let (push, mut reader) = broadcast(capacity);
    // A run of up to 16, of which one at a time is counted.
    let mut left = 0;
    let take = move || {
        if left == 0 {
            let Some(messages) = reader.read(16) else {
                // The same call that a reader makes when it found nothing.
                assert_eq!(reader.peek(&mut [0; WORDS]), Peek::Empty);
                return false;
            };
            assert!(messages.iter().all(|bytes| bytes.len() == 56));
            left = messages.count();
            messages.release(left);
        }
        left -= 1;
        true
    };
    subject(capacity, push, take)
}
