//! The rings for one writer and one reader, in both layouts, against a plain queue: any sequence of
//! operations on one thread, then threads; room that is shown at once, and forgotten ends.
// The counters of the test are not shared memory of the crate.
#![allow(clippy::disallowed_types)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use mycelium_core::ring::spsc::{self, Consumer, Producer, SlotLayout, Spsc};
use mycelium_core::ring::{CapacityError, GrantError, Handle, PopError, PushError};
use proptest::prelude::*;

use crate::cases::cases;
use crate::portable::bodies::drops::{Counted, Drops};
use crate::sides::{Side, Sides};

const CAPACITY: usize = 16;
/// Of 16 slots: an eighth.
const LAG: usize = 2;

#[derive(Clone, Debug)]
enum Operation {
    Push,
    /// Requests this many slots, fills this many of them, and commits or aborts.
    Grant(usize, usize, bool),
    PushSlice(usize),
    Pop,
    PopMany(usize),
    PopSlice(usize),
    /// Borrows this many items, and releases this many of them.
    Read(usize, usize),
    Flush,
    /// Drops an end and takes it again.
    RetakeProducer,
    RetakeConsumer,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => Just(Operation::Push),
        3 => (0..CAPACITY + 2, 0..CAPACITY, any::<bool>())
            .prop_map(|(asked, filled, commit)| Operation::Grant(asked, filled, commit)),
        2 => (0..CAPACITY + 2).prop_map(Operation::PushSlice),
        6 => Just(Operation::Pop),
        2 => (0..CAPACITY + 2).prop_map(Operation::PopMany),
        2 => (1..CAPACITY + 2).prop_map(Operation::PopSlice),
        2 => (1..CAPACITY + 2, 0..CAPACITY + 2)
            .prop_map(|(asked, released)| Operation::Read(asked, released)),
        1 => Just(Operation::Flush),
        1 => Just(Operation::RetakeProducer),
        1 => Just(Operation::RetakeConsumer),
    ]
}

/// The queue, and how many popped items the writer has not been shown.
#[derive(Default)]
struct Model {
    items: VecDeque<u64>,
    hidden: usize,
    next: u64,
}

impl Model {
    fn room(&self) -> usize {
        CAPACITY - self.items.len() - self.hidden
    }

    fn push(&mut self) -> u64 {
        self.items.push_back(self.next);
        self.next += 1;
        self.next - 1
    }

    fn popped(&mut self, count: usize) {
        self.hidden += count;
        if self.hidden >= LAG {
            self.hidden = 0;
        }
    }

    fn pop(&mut self, most: usize) -> (Result<usize, PopError>, Vec<u64>) {
        if self.items.is_empty() && most > 0 {
            self.hidden = 0;
            return (Err(PopError::Empty), Vec::new());
        }
        let items: Vec<u64> = self.items.drain(..most.min(self.items.len())).collect();
        self.popped(items.len());
        (Ok(items.len()), items)
    }
}

macro_rules! oracle {
    ($layout:ident) => {
        fn run(operations: &[Operation], start: usize) -> Result<(), TestCaseError> {
            let ring = $layout::Inline::<u64, CAPACITY>::new().starting_at(start);
            let mut producer = Some(Spsc::producer(&ring).expect("the only writer"));
            let mut consumer = Some(Spsc::consumer(&ring).expect("the only reader"));
            let mut model = Model::default();
            for operation in operations {
                let (writer, reader) = (producer.as_mut().unwrap(), consumer.as_mut().unwrap());
                match *operation {
                    Operation::Push if model.room() == 0 => {
                        prop_assert_eq!(writer.try_push(9), Err(PushError::Full(9)));
                    }
                    Operation::Push => prop_assert_eq!(writer.try_push(model.push()), Ok(())),
                    Operation::Grant(asked, filled, commit) => match writer.grant(asked) {
                        Ok(mut grant) => {
                            prop_assert!((1..=model.room()).contains(&asked));
                            let filled = filled.min(asked);
                            for index in 0..filled {
                                prop_assert_eq!(grant.push(model.next + index as u64), Ok(()));
                            }
                            prop_assert_eq!(grant.room(), asked - filled);
                            if commit {
                                prop_assert_eq!(grant.commit(), filled);
                                (0..filled).for_each(|_| _ = model.push());
                            }
                        }
                        Err(error) => {
                            let capacity = CAPACITY;
                            let expected = match asked {
                                1..=CAPACITY => GrantError::Full { room: model.room() },
                                _ => GrantError::Count { asked, capacity },
                            };
                            prop_assert_eq!(error, expected);
                        }
                    },
                    Operation::PushSlice(count) => {
                        let items: Vec<u64> = (model.next..).take(count).collect();
                        let pushed = writer.push_slice(&items);
                        let room = model.room();
                        let full = room == 0 && count > 0;
                        let expected = if full { Err(PushError::Full(())) } else { Ok(count.min(room)) };
                        prop_assert_eq!(pushed, expected);
                        let pushed = pushed.unwrap_or(0);
                        (0..pushed).for_each(|_| _ = model.push());
                    }
                    Operation::Pop => {
                        let (popped, items) = model.pop(1);
                        prop_assert_eq!(reader.try_pop(), popped.map(|_| items[0]));
                    }
                    Operation::PopMany(most) => {
                        let mut items = Vec::new();
                        let popped = reader.pop_many(most, |item| items.push(item));
                        prop_assert_eq!((popped, items), model.pop(most));
                    }
                    Operation::PopSlice(most) => {
                        let mut items = vec![0; most];
                        let popped = reader.pop_slice(&mut items);
                        items.truncate(popped.unwrap_or(0));
                        prop_assert_eq!((popped, items), model.pop(most));
                    }
                    Operation::Read(asked, released) => match reader.read(asked) {
                        Ok(items) => {
                            let count = asked.min(model.items.len());
                            prop_assert_eq!(items.len(), count);
                            prop_assert!(items.iter().eq(model.items.iter().take(count)));
                            items.release(released);
                            let released = released.min(count);
                            model.items.drain(..released);
                            model.popped(released);
                        }
                        Err(error) => {
                            prop_assert_eq!(error, PopError::Empty);
                            prop_assert!(model.items.is_empty());
                            model.hidden = 0;
                        }
                    },
                    Operation::Flush => {
                        reader.flush();
                        model.hidden = 0;
                    }
                    Operation::RetakeProducer => {
                        prop_assert!(Spsc::producer(&ring).is_none(), "two writers");
                        drop(producer.take());
                        producer = Spsc::producer(&ring);
                    }
                    Operation::RetakeConsumer => {
                        prop_assert!(Spsc::consumer(&ring).is_none(), "two readers");
                        drop(consumer.take());
                        consumer = Spsc::consumer(&ring);
                        model.hidden = 0;
                    }
                }
                prop_assert_eq!(ring.len(), model.items.len() + model.hidden);
                prop_assert!(ring.high_water() <= CAPACITY);
            }
            // All remaining items are popped, and then the end.
            producer.take().unwrap().close();
            prop_assert!(Spsc::producer(&ring).is_none(), "closed permanently");
            let mut reader = consumer.take().unwrap();
            prop_assert!(reader.by_ref().eq(model.items));
            prop_assert_eq!(reader.try_pop(), Err(PopError::Closed));
            Ok(())
        }

        proptest! {
            #![proptest_config(cases(2))]

            #[test]
            fn behaves_like_the_model(
                operations in prop::collection::vec(operation(), 0..if cfg!(miri) { 50 } else { 200 }),
                // Positions wrap around early, late or never.
                start in prop_oneof![Just(0), (0..64usize).prop_map(|before| usize::MAX - before)],
            ) {
                run(&operations, start)?;
            }
        }
    };
}

/// Single cases, for both layouts.
macro_rules! laws {
    ($layout:ident) => {
        #[test]
        fn a_panic_in_the_middle_of_a_batch_loses_one_item() {
            let (mut writer, mut reader) = $layout::pair(4).unwrap();
            (0..4).for_each(|item| writer.try_push(item).unwrap());
            let batch = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                reader.pop_many(4, |item| assert_ne!(item, 1, "on purpose"))
            }));
            assert!(batch.is_err());
            assert_eq!(writer.room(), 2, "a small ring shows each item at once");
            assert!(reader.eq([2, 3]));
        }

        #[test]
        fn an_impossible_capacity_is_refused() {
            for given in [0, 1, 3, 1000, usize::MAX] {
                let error = $layout::Boxed::<u64>::with_capacity(given).unwrap_err();
                assert_eq!(error, CapacityError::Invalid { given });
            }
            let given = CapacityError::MOST;
            let error = $layout::Boxed::<[u64; 8]>::with_capacity(given).unwrap_err();
            assert_eq!(error, CapacityError::Memory { given });
            assert!($layout::InSlice::<u64>::in_slots(&mut []).is_err());
        }

        /// Items of words, of a whole number of half lines with their stamp, and the same aligned
        /// to bytes: each is copied in another way.
        #[test]
        fn slices_and_borrowed_items_wrap_around() {
            fn go<T: Copy + PartialEq + std::fmt::Debug>(items: [T; 5]) {
                let (mut writer, mut reader) = $layout::pair::<T>(8).unwrap();
                let mut out = [items[0]; 5];
                for _ in 0..4 {
                    assert_eq!(writer.push_slice(&items), Ok(5));
                    assert_eq!(reader.pop_slice(&mut out), Ok(5));
                    assert_eq!(out, items);
                    items.iter().for_each(|item| writer.try_push(*item).unwrap());
                    let lent = reader.read(5).unwrap();
                    assert!(lent.iter().eq(&items));
                    lent.release(5);
                }
            }
            go([1u64, 2, 3, 4, 5]);
            go([1, 2, 3, 4, 5].map(|number: u64| [number, !number, number << 7]));
            go([1, 2, 3, 4, 5].map(|number: u8| [number; 24]));
            // Two words and one more; one piece and a part of one; more than a line.
            go([1, 2, 3, 4, 5].map(|number: usize| [number, !number, number << 7, number + 9, !0]));
            go([1, 2, 3, 4, 5].map(|number: u32| [number, !number, number << 7]));
            go([1, 2, 3, 4, 5]
                .map(|number: usize| std::array::from_fn::<_, 17, _>(|at| number ^ at)));
        }

        #[test]
        fn released_items_are_dropped_once() {
            let value = Arc::new(());
            let (mut writer, mut reader) = $layout::pair(4).unwrap();
            (0..4).for_each(|_| writer.try_push(value.clone()).unwrap());
            assert_eq!(reader.read(4).unwrap().len(), 4);
            assert_eq!(Arc::strong_count(&value), 5);
            reader.read(3).unwrap().release(2);
            assert_eq!(Arc::strong_count(&value), 3);
        }

        #[test]
        fn reused_slots_are_empty() {
            let mut slots = [const { $layout::Slot::new() }; 4];
            for round in 0..3 {
                let mut ring = $layout::InSlice::<String>::in_slots(&mut slots).unwrap();
                let (mut writer, mut reader) = ring.split().unwrap();
                assert_eq!(reader.try_pop(), Err(PopError::Empty), "an item of the ring before");
                writer.try_push(round.to_string()).unwrap();
                assert_eq!(reader.try_pop(), Ok(round.to_string()));
            }
        }

        #[test]
        fn split_releases_the_writer_without_a_reader() {
            let mut ring = $layout::Inline::<u32, 4>::new();
            std::mem::forget(Spsc::consumer(&ring));
            assert!(ring.split().is_none());
            assert!(Spsc::producer(&ring).is_some());
        }

        #[test]
        fn room_is_shown_at_the_chosen_lag() {
            let (mut writer, mut reader) = $layout::pair(16).unwrap();
            reader.show_every(5);
            (0..16).for_each(|item| writer.try_push(item).unwrap());
            for _ in 0..4 {
                reader.try_pop().unwrap();
                assert_eq!(writer.try_push(0), Err(PushError::Full(0)));
            }
            reader.try_pop().unwrap();
            assert_eq!(writer.room(), 5);
            // More than the capacity would never be shown.
            reader.show_every(usize::MAX);
            assert_eq!(reader.by_ref().take(11).count(), 11);
            assert_eq!(writer.room(), 5);
            assert_eq!(reader.try_pop(), Err(PopError::Empty));
            assert_eq!(writer.room(), 16);
            (0..3).for_each(|item| writer.try_push(item).unwrap());
            assert_eq!((reader.try_pop(), writer.room()), (Ok(0), 13));
            reader.show_every(1);
            assert_eq!(writer.room(), 14);
        }

        #[test]
        fn a_forgotten_end_leaks_and_drops_nothing_twice() {
            // They own nothing: a leak checker misses nothing.
            let drops = Drops::new();
            let ring = $layout::Inline::<Counted<'_>, 16>::new();
            let mut writer = Spsc::producer(&ring).unwrap();
            let mut reader = Spsc::consumer(&ring).unwrap();
            (0..3).for_each(|number| writer.try_push(drops.count(number)).unwrap());
            // Taken, but not shown yet.
            drop(reader.try_pop());
            std::mem::forget(reader);
            assert!(Spsc::consumer(&ring).is_none());
            drop(writer);
            drop(ring);
            assert_eq!(drops.number(), 1);
        }

        #[test]
        fn checks_are_skipped_by_count() {
            let (mut writer, mut reader) = $layout::pair(1024).unwrap();
            for (short, left_out) in [1, 2, 4, 8, 16, 32, 64, 64].into_iter().enumerate() {
                reader.slipping(true);
                // Each check that finds few items doubles the number of skipped checks.
                for _ in 0..=short {
                    reader.force_check();
                    assert_eq!(reader.try_pop(), Err(PopError::Empty));
                }
                writer.try_push(left_out).unwrap();
                for _ in 0..left_out {
                    assert_eq!(reader.try_pop(), Err(PopError::Empty));
                }
                assert_eq!(reader.try_pop(), Ok(left_out));
            }
            reader.slipping(true);
            // After a check that finds a line of items, no check is skipped.
            (0..100).for_each(|item| writer.try_push(item).unwrap());
            assert!((0..100).all(|item| reader.try_pop() == Ok(item)));
            writer.try_push(7).unwrap();
            reader.slipping(false);
            assert_eq!(reader.try_pop(), Ok(7));
            reader.slipping(true);
            assert_eq!(reader.try_pop(), Err(PopError::Empty));
            writer.try_push(8).unwrap();
            writer.close();
            assert_eq!(reader.try_pop(), Ok(8), "the ring is closed");
        }

        #[test]
        fn order_is_kept_between_threads() {
            let count = if cfg!(miri) { 60 } else { 200_000 };
            for slips in [false, true] {
                let (writer, mut reader) = $layout::pair(16).unwrap();
                reader.slipping(slips);
                let sides = &Sides::waking_all();
                thread::scope(|scope| {
                    scope.spawn(move || send_all(writer, &sides.writer(), count));
                    receive_all(reader, &sides.reader(), count);
                });
            }
        }
    };
}

mod index {
    use super::*;
    use mycelium_core::ring::spsc as layout;

    oracle!(layout);
    laws!(layout);

    #[test]
    fn borrowed_items_are_two_slices() {
        let mut ring = layout::Inline::<u16, 4>::new().starting_at(usize::MAX);
        let (mut writer, mut reader) = ring.split().unwrap();
        assert_eq!(writer.push_slice(&[1, 2, 3]), Ok(3));
        let lent = reader.read(3).unwrap();
        assert_eq!(lent.as_slices(), (&[1][..], &[2, 3][..]));
        lent.release(2);
        assert_eq!(reader.read(4).unwrap().as_slices(), (&[3][..], &[][..]));
    }
}

mod stamps {
    use super::*;
    use mycelium_core::ring::stamped as layout;

    oracle!(layout);
    laws!(layout);
}

/// Uses every way of pushing in turn.
fn send_all<H>(mut writer: Producer<H>, side: &Side<'_>, count: u64)
where
    H: Handle<Target: spsc::Ring<Slot: SlotLayout<Item = [u64; 3]>>>,
{
    let item = |number: u64| [number, !number, number << 7];
    let mut number = 0;
    while number < count {
        side.until(|| {
            if number % 3 == 0 {
                let mut grant = writer.grant(2.min((count - number) as usize)).ok()?;
                while grant.push(item(number)).is_ok() {
                    number += 1;
                }
                grant.commit();
            } else {
                writer.try_push(item(number)).ok()?;
                number += 1;
            }
            Some(())
        });
    }
    writer.close();
}

fn receive_all<H>(mut reader: Consumer<H>, side: &Side<'_>, count: u64)
where
    H: Handle<Target: spsc::Ring<Slot: SlotLayout<Item = [u64; 3]>>>,
{
    let (mut next, mut empty) = (0, 0);
    let mut receive = || {
        let received = reader.pop_many(1 + next as usize % 5, |item| {
            assert_eq!(item, [next, !next, next << 7]);
            next += 1;
        });
        match received {
            Ok(_) => {
                empty = 0;
                Some(true)
            }
            Err(PopError::Empty) => {
                empty += 1;
                if empty > Side::SPINS {
                    // It parks: its next check must not be skipped.
                    reader.force_check();
                }
                None
            }
            Err(PopError::Closed) => Some(false),
        }
    };
    while side.until(&mut receive) {}
    assert_eq!(next, count);
}
