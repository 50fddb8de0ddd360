//! The ring for many writers and readers against a plain model: any sequence of operations on one
//! thread, then threads.
// A handle of these tests implements an unsafe trait.
#![allow(unsafe_code)]
// The counters of a test are not checked themselves.
#![allow(clippy::disallowed_types)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use mycelium_core::ring::mpmc::{InSlice, Inline, Mpmc, Slot};
use mycelium_core::ring::{self, CapacityError, GrantError, Handle, PopError, PushError};
use proptest::prelude::*;

use crate::cases::cases;
use crate::sides::Sides;

const CAPACITY: usize = 4;

#[derive(Clone, Debug)]
enum Operation {
    Push,
    Pop,
    PopMany(usize),
    /// Requests this many slots, fills this many of them, does this many of the next operations,
    /// and then commits or drops the grant.
    Grant(usize, usize, usize, bool),
    Close,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        80 => Just(Operation::Push),
        60 => Just(Operation::Pop),
        20 => (0..7usize).prop_map(Operation::PopMany),
        40 => (0..6usize, 0..6usize, 0..6usize, any::<bool>())
            .prop_map(|(count, fill, next, commit)| Operation::Grant(count, fill, next, commit)),
        1 => Just(Operation::Close),
    ]
}

/// The model of a slot between head and tail.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Claimed(usize),
    Item(usize),
    Skip,
}

#[derive(Default)]
struct Model {
    slots: VecDeque<State>,
    pushed: usize,
    grants: usize,
    closed: bool,
}

impl Model {
    fn next(&mut self) -> usize {
        self.pushed += 1;
        self.pushed
    }

    fn room(&self) -> usize {
        CAPACITY - self.slots.len()
    }

    fn pop_many(&mut self, most: usize) -> Result<Vec<usize>, PopError> {
        let mut items = Vec::new();
        while items.is_empty() && most > 0 {
            let is_ready = |slot: &&State| !matches!(slot, State::Claimed(_));
            let ready = self.slots.iter().take_while(is_ready).count();
            if ready == 0 {
                let over = self.closed && self.slots.is_empty();
                return Err(if over { PopError::Closed } else { PopError::Empty });
            }
            items.extend(self.slots.drain(..ready.min(most)).filter_map(|slot| match slot {
                State::Item(item) => Some(item),
                _ => None,
            }));
        }
        Ok(items)
    }
}

type Item = (usize, Rc<()>);
type Ring<'a> = &'a Inline<Item, CAPACITY>;

/// Applies the operations to the ring and to the model. One of two ends of its side does each: the
/// position of the other end becomes old. Grants nest: a recursive call does the operations in
/// between.
fn run(
    steps: &mut core::slice::Iter<'_, (usize, Operation)>,
    most: usize,
    ring: Ring<'_>,
    model: &mut Model,
    alive: &Rc<()>,
) -> Result<(), TestCaseError> {
    let mut producers = [(); 2].map(|()| Mpmc::producer(ring));
    let mut consumers = [(); 2].map(|()| Mpmc::consumer(ring).clone());
    for _ in 0..most {
        let Some((end, operation)) = steps.next() else { break };
        let (producer, consumer) = (&mut producers[*end], &mut consumers[*end]);
        match *operation {
            Operation::Push => {
                let number = model.next();
                let full = ring::Producer::is_full(producer);
                prop_assert_eq!(full, model.room() == 0);
                let pushed = producer.try_push((number, alive.clone()));
                match pushed.map_err(|refused| (refused.is_full(), refused.into_inner().0)) {
                    Ok(()) => {
                        prop_assert!(!full && !model.closed);
                        model.slots.push_back(State::Item(number));
                    }
                    Err(refused) => {
                        prop_assert_eq!(refused, (!model.closed, number));
                        prop_assert!(full || model.closed);
                    }
                }
            }
            Operation::Pop => {
                let popped = consumer.try_pop().map(|(number, _)| vec![number]);
                prop_assert_eq!(popped, model.pop_many(1));
            }
            Operation::PopMany(most) => {
                let mut items = Vec::new();
                let popped = consumer.pop_many(most, |(number, _)| items.push(number));
                if let Ok(count) = popped {
                    prop_assert_eq!(count, items.len());
                }
                prop_assert_eq!(popped.map(|_| items), model.pop_many(most));
            }
            Operation::Grant(count, fill, meanwhile, commit) => {
                let room = model.room();
                let grant = producer.grant(count);
                let refused = match count {
                    1..=CAPACITY if model.closed => Some(GrantError::Closed),
                    1..=CAPACITY => (count > room).then_some(GrantError::Full { room }),
                    _ => Some(GrantError::Count { asked: count, capacity: CAPACITY }),
                };
                if refused.is_some() {
                    prop_assert_eq!(grant.err(), refused);
                    continue;
                }
                let mut grant = grant.expect("there is room");
                model.grants += 1;
                let mark = model.grants;
                model.slots.extend(std::iter::repeat_n(State::Claimed(mark), count));
                let numbers: Vec<usize> = (0..fill.min(count)).map(|_| model.next()).collect();
                for &number in &numbers {
                    prop_assert!(grant.push((number, alive.clone())).is_ok());
                }
                prop_assert_eq!(grant.room(), count - numbers.len());
                if fill > count {
                    prop_assert!(grant.push((0, alive.clone())).is_err());
                }
                run(steps, meanwhile, ring, model, alive)?;
                let mut filled = numbers.iter().filter(|_| commit);
                for slot in model.slots.iter_mut().filter(|slot| **slot == State::Claimed(mark)) {
                    *slot = filled.next().map_or(State::Skip, |number| State::Item(*number));
                }
                if commit {
                    prop_assert_eq!(grant.commit(), numbers.len());
                } else {
                    drop(grant);
                }
            }
            Operation::Close => {
                ring.close();
                model.closed = true;
            }
        }
        prop_assert_eq!(ring.len(), model.slots.len());
        prop_assert_eq!(producers[*end].is_closed(), model.closed);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn behaves_like_the_model(
        steps in prop::collection::vec((0..2usize, operation()), 1..if cfg!(miri) { 20 } else { 150 }),
        start in prop_oneof![Just(0), usize::MAX - 40..=usize::MAX, usize::MAX / 4 - 40..usize::MAX / 4 + 40],
    ) {
        let ring = Inline::<Item, CAPACITY>::new().starting_at(start);
        let (mut model, alive) = (Model::default(), Rc::new(()));
        run(&mut steps.iter(), usize::MAX, &ring, &mut model, &alive)?;
        let left = model.slots.iter().filter(|slot| matches!(slot, State::Item(_))).count();
        prop_assert_eq!(Rc::strong_count(&alive), left + 1);
        drop(ring);
        prop_assert_eq!(Rc::strong_count(&alive), 1, "items are dropped with the ring");
    }

    #[test]
    fn slices_behave_like_the_model(
        counts in prop::collection::vec((any::<bool>(), 0..200usize), 1..60),
        start in usize::MAX - 300..=usize::MAX,
    ) {
        let ring = Inline::<usize, 128>::new().starting_at(start);
        let (mut producer, mut consumer) = (Mpmc::producer(&ring), Mpmc::consumer(&ring));
        let (mut model, mut pushed) = (VecDeque::<usize>::new(), 0);
        for (push, count) in counts {
            if push {
                let items: Vec<usize> = (pushed..pushed + count).collect();
                let taken = producer.push_slice(&items).unwrap_or(0);
                prop_assert_eq!(taken, count.min(128 - model.len()));
                model.extend(&items[..taken]);
                pushed += taken;
            } else {
                let mut items = vec![0; count];
                let popped = consumer.pop_slice(&mut items);
                if count > 0 && model.is_empty() {
                    prop_assert_eq!(popped, Err(PopError::Empty));
                    continue;
                }
                let popped = popped.expect("there are items");
                prop_assert_eq!(popped, count.min(model.len()).min(64));
                prop_assert!(model.drain(..popped).eq(items[..popped].iter().copied()));
            }
        }
    }
}

#[test]
fn a_full_and_a_closed_ring_differ_for_slices() {
    let ring = Inline::<u32, 4>::new();
    let mut producer = Mpmc::producer(&ring);
    assert_eq!(producer.push_slice(&[]), Ok(0));
    assert_eq!(producer.push_slice(&[1, 2, 3, 4, 5]), Ok(4));
    assert_eq!(producer.push_slice(&[5]), Err(PushError::Full(())));
    ring.close();
    assert_eq!(producer.push_slice(&[5]), Err(PushError::Closed(())));
}

#[test]
fn borrowed_slots_serve_one_ring_after_another() {
    let mut slots: [Slot<u32>; 4] = Default::default();
    for _ in 0..3 {
        let ring = InSlice::in_slots(&mut slots).unwrap();
        let (mut producer, mut consumer) = (Mpmc::producer(&ring), Mpmc::consumer(&ring));
        assert_eq!(producer.push_slice(&[1, 2, 3, 4, 5]), Ok(4));
        assert_eq!(consumer.try_pop(), Ok(1));
        assert_eq!(producer.try_push(5), Ok(()));
        assert!(consumer.eq([2, 3, 4, 5]));
    }
    assert_eq!(InSlice::in_slots(&mut slots[..3]).err(), Some(CapacityError::Invalid { given: 3 }));
}

/// Counts its drops, and panics at one of them.
struct Fragile<'a> {
    drops: &'a Cell<usize>,
    panics: bool,
}

impl Drop for Fragile<'_> {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        assert!(!self.panics, "as told");
    }
}

#[test]
fn a_panicking_reader_drops_its_claim_and_the_ring_stays_usable() {
    let drops = Cell::new(0);
    let item = || Fragile { drops: &drops, panics: false };
    let ring = Inline::<_, 4>::new();
    let (mut producer, mut consumer) = (Mpmc::producer(&ring), Mpmc::consumer(&ring));
    (0..4).for_each(|_| assert!(producer.try_push(item()).is_ok()));
    let taken = Cell::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        consumer.pop_many(3, |_| {
            taken.set(taken.get() + 1);
            assert!(taken.get() < 2, "as told");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!((taken.get(), drops.get()), (2, 3), "each of the claim was given or dropped");
    assert_eq!(ring.len(), 1);
    (0..3).for_each(|_| assert!(producer.try_push(item()).is_ok(), "the slots are free again"));
    assert!(producer.try_push(item()).is_err());
    assert_eq!(consumer.count(), 4);
}

#[test]
fn a_grant_whose_items_panic_does_not_block_readers() {
    let drops = Cell::new(0);
    let ring = Inline::<_, 4>::new();
    let (mut producer, mut consumer) = (Mpmc::producer(&ring), Mpmc::consumer(&ring));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut grant = producer.grant(3).unwrap();
        assert!(grant.push(Fragile { drops: &drops, panics: true }).is_ok());
    }));
    assert!(panicked.is_err());
    assert!(producer.try_push(Fragile { drops: &drops, panics: false }).is_ok());
    assert!(consumer.try_pop().is_ok());
    assert_eq!(drops.get(), 2);
}

#[test]
fn a_forgotten_grant_stops_the_ring_and_nothing_unfilled_is_dropped() {
    let alive = Rc::new(());
    let ring = Inline::<_, 4>::new();
    let (mut producer, mut consumer) = (Mpmc::producer(&ring), Mpmc::consumer(&ring));
    assert!(producer.try_push(alive.clone()).is_ok());
    std::mem::forget(producer.grant(1).unwrap());
    assert!(producer.try_push(alive.clone()).is_ok());
    assert!(consumer.try_pop().is_ok());
    assert_eq!(consumer.try_pop().err(), Some(PopError::Empty));
    ring.close();
    assert_eq!(consumer.try_pop().err(), Some(PopError::Empty), "it is not all read");
    drop(ring);
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn the_high_water_mark_is_found_by_writers() {
    let ring = Inline::<u8, 256>::new();
    let (mut producer, mut consumer) = (Mpmc::producer(&ring), Mpmc::consumer(&ring));
    assert_eq!(producer.push_slice(&[0; 63]), Ok(63));
    assert_eq!(ring.high_water(), 0);
    assert_eq!(producer.push_slice(&[0; 1]), Ok(1));
    assert_eq!(ring.high_water(), 64);
    assert_eq!(producer.push_slice(&[0; 250]), Ok(192));
    assert_eq!(ring.high_water(), 256);
    assert_eq!(consumer.by_ref().count(), 256);
    assert_eq!(ring.high_water(), 256);
}

/// A handle whose clone leads to a ring of its own, as the contract of `Handle` allows.
struct Apart(Arc<Inline<Box<u32>, 2>>);

impl Clone for Apart {
    fn clone(&self) -> Apart {
        Apart(Arc::default())
    }
}

impl Deref for Apart {
    type Target = Inline<Box<u32>, 2>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

// SAFETY: an `Arc` leads to the same ring as long as it lives.
unsafe impl Handle for Apart {}

#[test]
fn a_clone_of_an_end_uses_the_ring_of_its_own_handle() {
    let first = Arc::<Inline<Box<u32>, 2>>::default();
    let mut producer = Mpmc::producer(Apart(first.clone()));
    let mut consumer = Mpmc::consumer(Apart(first));
    let mut unused = consumer.clone();
    assert_eq!(Mpmc::producer(unused.ring().0.clone()).try_push(Box::new(5)), Ok(()));
    assert_eq!(unused.try_pop(), Ok(Box::new(5)));
    let mut unused = producer.clone();
    assert_eq!(unused.try_push(Box::new(6)), Ok(()));
    assert_eq!(Mpmc::consumer(unused.ring().0.clone()).try_pop(), Ok(Box::new(6)));
    for item in 0..5 {
        assert_eq!(producer.try_push(Box::new(item)), Ok(()));
        assert_eq!(consumer.try_pop(), Ok(Box::new(item)));
    }
}

#[test]
fn a_ring_is_full_to_writers_while_an_earlier_slot_is_being_emptied() {
    let ring = Inline::<u32, 4>::new();
    let mut producer = Mpmc::producer(&ring);
    let (mut slow, mut fast) = (Mpmc::consumer(&ring), Mpmc::consumer(&ring));
    assert_eq!(producer.push_slice(&[1, 2, 3, 4]), Ok(4));
    let mut first = true;
    let popped = slow.pop_many(2, |item| {
        if std::mem::take(&mut first) {
            assert_eq!(item, 1);
            assert_eq!(fast.try_pop(), Ok(3), "2 is the other reader's");
            assert_eq!(producer.try_push(5), Ok(()));
            assert_eq!(producer.try_push(6), Err(PushError::Full(6)), "the slot of 3 is empty");
        }
    });
    assert_eq!(popped, Ok(2));
    assert_eq!(producer.push_slice(&[6, 7]), Ok(2));
    assert!(fast.eq([4, 5, 6, 7]));
}

/// Writers push one by one and in batches, and abort some claimed slots; each reader sees each
/// writer's items in order.
fn threads<const N: usize>(writers: usize, readers: usize, each: usize) {
    let ring = Inline::<[usize; 2], N>::new().starting_at(usize::MAX / 4 - each);
    let sides = &Sides::waking_one();
    let write = |writer| {
        let side = sides.writer();
        // After an aborted grant the same item is pushed alone: all slots may be those of the grant.
        let (mut producer, mut number, mut aborted) = (Mpmc::producer(&ring), 0, None);
        let mut push = || {
            let (before, count) = (number, (number % 5).min(each - number).min(N));
            match number % 3 {
                0 => {
                    let items = [[writer, number], [writer, number + 1]];
                    number += producer.push_slice(&items[..2.min(each - number)]).unwrap_or(0);
                }
                1 if count > 0 && aborted != Some(number) => {
                    let mut grant = producer.grant(count).ok()?;
                    for index in 0..(count - 1).max(1) {
                        grant.push([writer, number + index]).unwrap();
                    }
                    // Some grants are dropped, most have a slot to skip.
                    if number % 7 != 0 {
                        number += grant.commit();
                    } else {
                        drop(grant);
                        aborted = Some(number);
                        number += usize::from(producer.try_push([writer, number]).is_ok());
                    }
                }
                _ => number += usize::from(producer.try_push([writer, number]).is_ok()),
            }
            (number > before).then_some(number)
        };
        while side.until(&mut push) < each {}
    };
    let read = |batches| {
        let (side, mut consumer, mut items) = (sides.reader(), Mpmc::consumer(&ring), Vec::new());
        let mut take = || {
            let taken = if batches {
                consumer.pop_many(7, |item| items.push(item)).map(|_| ())
            } else {
                consumer.try_pop().map(|item| items.push(item))
            };
            match taken {
                Ok(()) => Some(true),
                Err(PopError::Empty) => None,
                Err(PopError::Closed) => Some(false),
            }
        };
        while side.until(&mut take) {}
        items
    };
    let (write, read) = (&write, &read);
    let taken: Vec<_> = thread::scope(|scope| {
        let reading: Vec<_> =
            (0..readers).map(|index| scope.spawn(move || read(index % 2 == 1))).collect();
        thread::scope(|scope| {
            (0..writers).for_each(|writer| _ = scope.spawn(move || write(writer)));
        });
        ring.close();
        // The end of a side wakes all threads.
        drop(sides.writer());
        reading.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    for writer in 0..writers {
        let mut all = Vec::new();
        for items in &taken {
            let start = all.len();
            all.extend(items.iter().filter(|item| item[0] == writer).map(|item| item[1]));
            assert!(all[start..].is_sorted(), "a writer's items are in order");
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..each), "a writer's items are lost or doubled");
    }
    assert!(ring.high_water() <= N);
}

#[test]
fn nothing_is_lost_or_doubled_between_threads() {
    let each = if cfg!(miri) { 8 } else { 4_000 };
    threads::<4>(2, 2, each);
    threads::<64>(1, 1, each);
    if !cfg!(miri) {
        threads::<16>(4, 1, each);
        threads::<64>(4, 4, each);
    }
}
