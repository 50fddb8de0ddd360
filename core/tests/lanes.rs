//! The ring of lanes against a plain model: any sequence of operations on one thread, then threads.
// A handle of the tests implements an unsafe trait.
#![allow(unsafe_code)]
// The counts of a test are no part of what is checked.
#![allow(clippy::disallowed_types)]

mod crowd;

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mycelium_core::ring::lanes::{Borrowed, Boxed, Consumer, Inline, Lane, Lanes, Producer, Slot};
use mycelium_core::ring::{CapacityError, GrantError, Handle, PopError, PushError};
use proptest::prelude::*;

use crowd::Crowd;

const LANES: usize = 3;
const SLOTS: usize = 4;
const READERS: usize = 2;

#[derive(Clone, Debug)]
enum Operation {
    Join,
    Leave(usize),
    Push(usize),
    Grant { writer: usize, count: usize, fill: usize, commit: bool },
    Pop(usize),
    PopMany(usize, usize),
    Close,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        10 => Just(Operation::Join),
        4 => (0..LANES).prop_map(Operation::Leave),
        60 => (0..LANES).prop_map(Operation::Push),
        30 => (0..LANES, 0..6usize, 0..6usize, any::<bool>())
            .prop_map(|(writer, count, fill, commit)| Operation::Grant { writer, count, fill, commit }),
        50 => (0..READERS).prop_map(Operation::Pop),
        20 => (0..READERS, 0..14usize).prop_map(|(reader, most)| Operation::PopMany(reader, most)),
        1 => Just(Operation::Close),
    ]
}

type Item = (usize, Rc<()>);
type Ring<'a> = &'a Inline<Item, LANES, SLOTS>;

#[derive(Default)]
struct Model {
    lanes: [VecDeque<usize>; LANES],
    taken: [bool; LANES],
    closed: bool,
}

impl Model {
    fn nothing(&self) -> PopError {
        let over = self.closed
            && !self.taken.contains(&true)
            && self.lanes.iter().all(|lane| lane.is_empty());
        if over { PopError::Closed } else { PopError::Empty }
    }

    /// From one lane only; the reader stays there.
    fn pop(&mut self, at: &mut usize) -> Result<usize, PopError> {
        for _ in 0..LANES {
            if let Some(item) = self.lanes[*at].pop_front() {
                return Ok(item);
            }
            *at = (*at + 1) % LANES;
        }
        Err(self.nothing())
    }

    fn pop_many(&mut self, at: &mut usize, most: usize) -> Result<Vec<usize>, PopError> {
        let mut items = Vec::new();
        for _ in 0..LANES {
            if items.len() == most {
                return Ok(items);
            }
            let lane = &mut self.lanes[*at];
            items.extend(lane.drain(..lane.len().min(most - items.len())));
            *at = (*at + 1) % LANES;
        }
        if items.is_empty() { Err(self.nothing()) } else { Ok(items) }
    }
}

fn run(operations: &[Operation], ring: Ring<'_>, alive: &Rc<()>) -> Result<usize, TestCaseError> {
    let mut model = Model::default();
    let mut writers: [Option<Producer<Ring<'_>>>; LANES] = Default::default();
    let mut readers = [const { 0 }; READERS].map(|at| (Lanes::consumer(ring), at));
    let mut number = 0;
    for operation in operations {
        match *operation {
            Operation::Join => {
                let free = model.taken.iter().position(|taken| !taken).filter(|_| !model.closed);
                let writer = Lanes::producer(ring);
                prop_assert_eq!(writer.is_some(), free.is_some());
                if let Some(free) = free {
                    writers[free] = writer;
                    model.taken[free] = true;
                }
            }
            Operation::Leave(index) => {
                writers[index] = None;
                model.taken[index] = false;
            }
            Operation::Push(index) => {
                let Some(writer) = &mut writers[index] else { continue };
                let lane = &mut model.lanes[index];
                number += 1;
                match writer.try_push((number, alive.clone())) {
                    Ok(()) => {
                        prop_assert!(!model.closed && lane.len() < SLOTS);
                        lane.push_back(number);
                    }
                    Err(PushError::Full(item)) => {
                        prop_assert!(!model.closed && lane.len() == SLOTS && item.0 == number);
                    }
                    Err(PushError::Closed(item)) => {
                        prop_assert!(model.closed && item.0 == number);
                    }
                }
                prop_assert_eq!(writer.is_closed(), model.closed);
                prop_assert_eq!(writer.room(), SLOTS - lane.len());
            }
            Operation::Grant { writer, count, fill, commit } => {
                let (Some(writer), lane) = (&mut writers[writer], &mut model.lanes[writer]) else {
                    continue;
                };
                let room = SLOTS - lane.len();
                let refused = if count == 0 || count > SLOTS {
                    Some(GrantError::Count { asked: count, capacity: SLOTS })
                } else if model.closed {
                    Some(GrantError::Closed)
                } else {
                    (count > room).then_some(GrantError::Full { room })
                };
                match writer.grant(count) {
                    Err(error) => prop_assert_eq!(Some(error), refused),
                    Ok(mut grant) => {
                        prop_assert_eq!(None, refused);
                        let items = number + 1..=number + fill.min(count);
                        for item in items.clone() {
                            prop_assert!(grant.push((item, alive.clone())).is_ok());
                        }
                        number += fill.min(count);
                        if commit {
                            prop_assert_eq!(grant.commit(), fill.min(count));
                            lane.extend(items);
                        }
                    }
                }
            }
            Operation::Pop(index) => {
                let (reader, at) = &mut readers[index];
                prop_assert_eq!(reader.try_pop().map(|item| item.0), model.pop(at));
            }
            Operation::PopMany(index, most) => {
                let (reader, at) = &mut readers[index];
                let mut items = Vec::new();
                let popped = reader.pop_many(most, |item| items.push(item.0));
                if let Ok(count) = popped {
                    prop_assert_eq!(count, items.len());
                }
                prop_assert_eq!(popped.map(|_| items), model.pop_many(at, most));
            }
            Operation::Close => {
                ring.close();
                model.closed = true;
            }
        }
        prop_assert_eq!(ring.len(), model.lanes.iter().map(VecDeque::len).sum::<usize>());
        prop_assert_eq!(ring.is_empty(), model.lanes.iter().all(VecDeque::is_empty));
    }
    Ok(ring.len())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 1_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn behaves_like_the_model(
        operations in prop::collection::vec(operation(), 1..if cfg!(miri) { 25 } else { 150 }),
        start in prop_oneof![Just(0), usize::MAX - 40..=usize::MAX],
    ) {
        let lanes = [0; LANES].map(|_| Lane::new().starting_at(start));
        let (ring, alive) = (Lanes::in_lanes(lanes), Rc::new(()));
        let left = run(&operations, &ring, &alive)?;
        prop_assert_eq!(Rc::strong_count(&alive), left + 1);
        drop(ring);
        prop_assert_eq!(Rc::strong_count(&alive), 1, "items are dropped with the ring");
    }
}

#[test]
fn a_reader_leaves_a_lane_after_64_items() {
    let ring = Inline::<usize, 2, 128>::new();
    let mut writers = [(); 2].map(|()| Lanes::producer(&ring).unwrap());
    for (index, writer) in writers.iter_mut().enumerate() {
        assert_eq!(writer.push_slice(&[index; 128]), 128);
    }
    let mut reader = Lanes::consumer(&ring);
    let popped: Vec<usize> = reader.by_ref().collect();
    assert!(popped.chunks(64).map(|chunk| chunk[0]).eq([0, 1, 0, 1]));
    for writer in &mut writers {
        assert_eq!(writer.push_slice(&[7; 100]), 100);
    }
    let mut items = [0; 200];
    assert_eq!(reader.pop_slice(&mut items), Ok(128));
    assert_eq!(reader.pop_slice(&mut items), Ok(72));
    assert_eq!(reader.pop_slice(&mut items), Err(PopError::Empty));
}

#[test]
fn who_panics_while_taking_leaves_the_lane() {
    let ring = Inline::<u32, 2, 4>::new();
    let mut writer = Lanes::producer(&ring).unwrap();
    assert_eq!(writer.push_slice(&[1, 2, 3]), 3);
    let mut reader = Lanes::consumer(&ring);
    let taken = Cell::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        reader.pop_many(3, |_| {
            taken.set(taken.get() + 1);
            assert!(taken.get() < 2, "as told");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(writer.room(), 3, "what was taken makes room");
    assert_eq!(Lanes::consumer(&ring).try_pop(), Ok(3), "the rest is for others");
}

#[test]
fn a_lane_that_is_being_emptied_is_passed_over() {
    let ring = Inline::<u32, 2, 4>::new();
    let mut writers = [(); 2].map(|()| Lanes::producer(&ring).unwrap());
    for (writer, items) in writers.iter_mut().zip([[1, 2], [11, 12]]) {
        assert_eq!(writer.push_slice(&items), 2);
    }
    let mut inner = Vec::new();
    let mut other = Lanes::consumer(&ring);
    let popped = Lanes::consumer(&ring).pop_many(1, |first| {
        assert_eq!(first, 1);
        inner.extend(other.by_ref());
    });
    assert_eq!(popped, Ok(1));
    assert_eq!(inner, [11, 12]);
    assert_eq!(other.try_pop(), Ok(2));
}

#[test]
fn lanes_may_be_lent() {
    let mut slots: [[Slot<u32>; 4]; 2] = Default::default();
    let mut lanes = slots.each_mut().map(|slots| Lane::in_slots(&mut slots[..]).unwrap());
    let ring = Borrowed::in_lanes(&mut lanes[..]);
    let mut writer = Lanes::producer(&ring).unwrap();
    writer.try_push(1).unwrap();
    assert_eq!((ring.capacity(), ring.len(), ring.high_water() <= 1), (8, 1, true));
    assert_eq!(Lanes::consumer(&ring).try_pop(), Ok(1));
    let mut three: [Slot<u32>; 3] = Default::default();
    assert_eq!(Lane::in_slots(&mut three[..]).err(), Some(CapacityError::Invalid { given: 3 }));
}

#[cfg(feature = "alloc")]
#[test]
fn a_capacity_that_cannot_be_is_an_error() {
    use mycelium_core::ring::lanes::Boxed;
    for lanes in [0, 2] {
        let refused = Boxed::<u8>::with_capacity(lanes, 3).err();
        assert_eq!(refused, Some(CapacityError::Invalid { given: 3 }));
    }
    let refused = Boxed::<u64>::with_capacity(2, CapacityError::MOST).err();
    assert_eq!(refused, Some(CapacityError::Memory { given: CapacityError::MOST }));
    assert!(Boxed::<u64>::with_capacity(usize::MAX, 2).is_err());
    let ring = std::sync::Arc::new(Boxed::with_capacity(1, 2).unwrap());
    let mut writer = Lanes::producer(ring.clone()).unwrap();
    assert_eq!(writer.try_push(1), Ok(()));
    drop(writer);
    assert_eq!(Lanes::consumer(ring).try_pop(), Ok(1));
}

#[test]
fn ends_may_go_to_other_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    type Ring = Inline<Cell<u8>, 2, 2>;
    send::<Ring>();
    sync::<Ring>();
    send::<Producer<&Ring>>();
    sync::<Producer<&Ring>>();
    send::<Consumer<&Ring>>();
}

/// How many items a writer pushes before it leaves its lane.
const STAY: usize = 20;

/// More writers than lanes come and go. Each reader sees a writer's items of one lane in order; the next stay may be in
/// a lane that the reader comes to before it.
fn threads(writers: usize, readers: usize, each: usize) {
    let ring = Inline::<[usize; 2], 3, 8>::new();
    let write = |writer| {
        let mut number = 0;
        while number < each {
            let Some(mut producer) = Lanes::producer(&ring) else {
                std::thread::yield_now();
                continue;
            };
            let end = (number + STAY).min(each);
            while number < end {
                number += match number % 2 {
                    0 => usize::from(producer.try_push([writer, number]).is_ok()),
                    _ => {
                        let items = [[writer, number], [writer, number + 1]];
                        producer.push_slice(&items[..2.min(end - number)])
                    }
                };
                if number % 16 == 0 {
                    std::thread::yield_now();
                }
            }
        }
    };
    let follows = |last, number| number / STAY != last / STAY || number > last;
    let crowd = Crowd { writers, readers, each };
    crowd.gather(write, || ring.close(), || Lanes::consumer(&ring), follows);
}

/// A handle whose clone leads to another ring, with a single lane, as the contract of `Handle` allows.
struct Apart<'a>(&'a Boxed<u32>, &'a Boxed<u32>);

impl Clone for Apart<'_> {
    fn clone(&self) -> Self {
        Apart(self.1, self.1)
    }
}

impl Deref for Apart<'_> {
    type Target = Boxed<u32>;

    fn deref(&self) -> &Boxed<u32> {
        self.0
    }
}

// SAFETY: a handle keeps the reference that it was made with.
unsafe impl Handle for Apart<'_> {}

#[test]
fn a_clone_of_a_reader_begins_with_the_first_lane_of_its_own_ring() {
    let (many, one) = (Boxed::with_capacity(4, 2).unwrap(), Boxed::with_capacity(1, 2).unwrap());
    let mut writers = [(); 2].map(|()| Lanes::producer(&many).unwrap());
    let mut consumer = Lanes::consumer(Apart(&many, &one));
    assert_eq!(writers[1].try_push(1), Ok(()));
    assert_eq!(consumer.try_pop(), Ok(1));
    let mut other = consumer.clone();
    assert_eq!(other.try_pop(), Err(PopError::Empty));
    assert_eq!(Lanes::producer(&one).unwrap().try_push(2), Ok(()));
    assert_eq!(other.try_pop(), Ok(2));
}

#[test]
fn nothing_is_lost_or_doubled_between_threads() {
    let each = if cfg!(miri) { 20 } else { 4_000 };
    threads(2, 2, each);
    if !cfg!(miri) {
        threads(3, 1, each);
        threads(5, 3, each);
    }
}
