//! Many threads at one ring: writers that push their own numbers, and readers that pop one by one
//! and in batches. Each item is popped once, and each reader sees each writer's items in order.
//!
//! Rings differ in how items are written, and in the order that they guarantee. The test that
//! includes this passes both.
// The counters of a test are not checked themselves.
#![allow(clippy::disallowed_types)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use mycelium_core::doorbell::{Key, WaiterList, Waiters, announce};
use mycelium_core::ring::{Consumer, PopError};

/// The writers and the readers of a ring, which park while they wait for each other: a thread that
/// yields in a loop waits for the time slices of everything else on the machine.
pub(crate) struct Sides {
    waiting: [Waiting; 2],
    ring: fn(&Waiting),
    failed: AtomicBool,
}

type Waiting = WaiterList<4>;

impl Sides {
    /// Sides of a ring whose items go to one reader each.
    pub(crate) fn waking_one() -> Sides {
        Sides { waiting: Default::default(), ring: Waiting::ring, failed: AtomicBool::new(false) }
    }

    /// Sides of a ring whose items go to all readers.
    pub(crate) fn waking_all() -> Sides {
        Sides { ring: Waiting::ring_all, ..Sides::waking_one() }
    }

    pub(crate) fn writer(&self) -> Side<'_> {
        self.side(0)
    }

    pub(crate) fn reader(&self) -> Side<'_> {
        self.side(1)
    }

    /// An end that the calling thread uses.
    fn side(&self, own: usize) -> Side<'_> {
        let key = self.waiting[own].register().expect("up to four threads at a side");
        Side { sides: self, own, key, waker: Arc::new(Unpark(thread::current())).into() }
    }
}

/// One thread at one side of a ring.
pub(crate) struct Side<'a> {
    sides: &'a Sides,
    own: usize,
    key: Key,
    waker: Waker,
}

impl Side<'_> {
    /// How many attempts may fail before the thread parks.
    pub(crate) const SPINS: usize = if cfg!(miri) { 0 } else { 64 };

    /// Tries until `attempt` returns something. The other side tries again after each attempt that
    /// succeeds, and before this thread parks: a failed one may have passed aborted slots.
    pub(crate) fn until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let waiting = &self.sides.waiting;
        let mut attempts = 0;
        loop {
            let done = attempt();
            if done.is_some() || attempts >= Side::SPINS {
                announce();
                (self.sides.ring)(&waiting[1 - self.own]);
            }
            match done {
                Some(done) => {
                    if attempts > Side::SPINS {
                        waiting[self.own].unpark(&self.key);
                    }
                    return done;
                }
                None if attempts < Side::SPINS => {}
                None => {
                    if attempts > Side::SPINS {
                        assert!(!self.sides.failed.load(Relaxed), "another thread has failed");
                        thread::park();
                    }
                    waiting[self.own].park(&self.key, &self.waker);
                }
            }
            attempts += 1;
        }
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        self.sides.waiting[self.own].unregister(&self.key);
        if thread::panicking() {
            self.sides.failed.store(true, Relaxed);
        }
        announce();
        self.sides.waiting.iter().for_each(Waiters::ring_all);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How many writers and readers there are, and how many items each writer has.
pub(crate) struct Crowd {
    pub(crate) writers: usize,
    pub(crate) readers: usize,
    pub(crate) each: usize,
}

impl Crowd {
    /// `write` pushes all items of the writer that it is given, each as the writer and a number,
    /// from 0 on; after the last of them, `close` closes the ring. `consumer` makes an end for one
    /// reader, which may take a number after the last one of the same writer if
    /// `follows(last, number)`.
    pub(crate) fn gather<C: Consumer<Item = [usize; 2]> + Send>(
        &self,
        write: impl Fn(usize, &Side<'_>) + Sync,
        close: impl Fn() + Sync,
        consumer: impl Fn() -> C,
        follows: impl Fn(usize, usize) -> bool,
    ) {
        let (left, sides) = (AtomicUsize::new(self.writers), Sides::waking_one());
        let taken: Vec<_> = std::thread::scope(|scope| {
            for writer in 0..self.writers {
                let (write, close, left, sides) = (&write, &close, &left, &sides);
                scope.spawn(move || {
                    let side = sides.writer();
                    write(writer, &side);
                    if left.fetch_sub(1, Relaxed) == 1 {
                        close();
                    }
                });
            }
            let reader = |index| {
                let (consumer, sides) = (consumer(), &sides);
                scope.spawn(move || take_all(consumer, &sides.reader(), index % 2 == 1))
            };
            let readers: Vec<_> = (0..self.readers).map(reader).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        // Not by the readers: if one panicked, the writers would wait for room for ever.
        for writer in 0..self.writers {
            let mut all = Vec::new();
            for items in &taken {
                let of_one = items.iter().filter(|item| item[0] == writer).map(|item| item[1]);
                let start = all.len();
                all.extend(of_one);
                let in_order = all[start..].is_sorted_by(|last, number| follows(*last, *number));
                assert!(in_order, "a writer's items are in order");
            }
            all.sort_unstable();
            assert!(all.into_iter().eq(0..self.each), "a writer's items are lost or doubled");
        }
    }
}

/// Pops until the ring is closed and empty, one by one or in batches.
fn take_all<C: Consumer>(mut consumer: C, side: &Side<'_>, batches: bool) -> Vec<C::Item> {
    let mut items = Vec::new();
    let mut take = || {
        let looked = if batches {
            consumer.pop_many(7, |item| items.push(item)).map(|_| ())
        } else {
            consumer.try_pop().map(|item| items.push(item))
        };
        match looked {
            Ok(()) => Some(true),
            Err(PopError::Empty) => None,
            Err(PopError::Closed) => Some(false),
        }
    };
    while side.until(&mut take) {}
    items
}
