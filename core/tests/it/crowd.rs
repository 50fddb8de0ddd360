//! Many threads at one ring: writers that push their own numbers, and readers that pop one by one
//! and in batches. Each item is popped once, and each reader sees each writer's items in order.
//!
//! Rings differ in how items are written, and in the order that they guarantee. The test that
//! includes this passes both.
// The counters of a test are not checked themselves.
#![allow(clippy::disallowed_types)]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mycelium_core::ring::{Consumer, PopError};

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
        write: impl Fn(usize) + Sync,
        close: impl Fn() + Sync,
        consumer: impl Fn() -> C,
        follows: impl Fn(usize, usize) -> bool,
    ) {
        let left = AtomicUsize::new(self.writers);
        let taken: Vec<_> = std::thread::scope(|scope| {
            for writer in 0..self.writers {
                let (write, close, left) = (&write, &close, &left);
                scope.spawn(move || {
                    write(writer);
                    if left.fetch_sub(1, Relaxed) == 1 {
                        close();
                    }
                });
            }
            let reader = |index| {
                let consumer = consumer();
                scope.spawn(move || take_all(consumer, index % 2 == 1))
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

/// Waits for the other side of a ring, which runs on another core or needs this one. A thread that
/// yields each time waits for the time slices of everything else on the machine.
pub(crate) fn wait(attempt: &mut usize) {
    *attempt += 1;
    if cfg!(miri) || attempt.is_multiple_of(64) {
        std::thread::yield_now();
    }
}

/// Pops until the ring is closed and empty, one by one or in batches.
fn take_all<C: Consumer>(mut consumer: C, batches: bool) -> Vec<C::Item> {
    let (mut items, mut attempt) = (Vec::new(), 0);
    loop {
        let looked = if batches {
            consumer.pop_many(7, |item| items.push(item)).map(|_| ())
        } else {
            consumer.try_pop().map(|item| items.push(item))
        };
        match looked {
            Ok(()) => {}
            Err(PopError::Empty) => wait(&mut attempt),
            Err(PopError::Closed) => break items,
        }
    }
}
