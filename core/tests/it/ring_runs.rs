//! Many messages at once, pushed as items and borrowed as slots, against a plain model: any
//! sequence of operations.

use mycelium_core::ring::broadcast::{self, Broadcast, HeapStorage, InlineStorage, Layout, Peek};
use proptest::prelude::*;

use crate::cases::cases;
use crate::evicted::ends;
use crate::pages::WORD;

const CAPACITY: usize = 8;
const WORDS: usize = 3;
const BYTES: usize = WORDS * WORD;
const LAYOUT: Layout = Layout::exact(CAPACITY, BYTES);
type Storage = InlineStorage<{ LAYOUT.words() }, 2>;

#[derive(Clone, Debug)]
enum Operation {
    Push,
    PushItems(usize),
    PushAll(usize),
    Pass(usize),
    /// A percentage of the retained messages.
    Release(usize),
    Rewind(usize),
    TakeRetained,
    Take,
    TakeMany(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => Just(Operation::Push),
        5 => (0..=2 * CAPACITY).prop_map(Operation::PushItems),
        3 => (0..=2 * CAPACITY).prop_map(Operation::PushAll),
        5 => (0..=CAPACITY).prop_map(Operation::Pass),
        3 => (0..=100usize).prop_map(Operation::Release),
        1 => (0..=100usize).prop_map(Operation::Rewind),
        3 => Just(Operation::TakeRetained),
        5 => Just(Operation::Take),
        3 => (0..=CAPACITY).prop_map(Operation::TakeMany),
    ]
}

/// Also positions close to the wrap-around.
fn starts() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(usize::MAX - 5), Just(usize::MAX / 2 - 5)]
}

fn message<const WORDS: usize>(sequence: usize) -> [usize; WORDS] {
    core::array::from_fn(|index| sequence.wrapping_mul(31) ^ index)
}

fn boxed(layout: Layout) -> Broadcast<HeapStorage> {
    Broadcast::boxed(layout, 2).unwrap()
}

/// Runs the operations on a ring of messages with `WORDS` words.
fn run<const WORDS: usize>(
    ring: Broadcast<impl broadcast::Storage>,
    start: usize,
    operations: &[Operation],
) -> Result<(), TestCaseError> {
    let bytes = WORDS * WORD;
    let message = message::<WORDS>;
    let ring = ring.starting_at(start);
    let slot_words = ring.layout().slot_words();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap().retaining();
    let mut other = Broadcast::gating(&ring).unwrap().with_lag(1);
    let mut observer = Broadcast::observing(&ring);
    // Counted from the start.
    let (mut pushed, mut cursor, mut kept, mut taken, mut seen) = (0usize, 0, 0, 0usize, 0usize);
    let part = |kept: usize, cursor: usize, percent: usize| kept + (cursor - kept) * percent / 100;
    let at = |place: usize| start.wrapping_add(place);
    for operation in operations {
        let room = CAPACITY - (pushed - kept.min(taken));
        match *operation {
            Operation::Push => {
                let done = writer.try_push(&message(at(pushed)), bytes).is_ok();
                prop_assert_eq!(done, room > 0);
                pushed += usize::from(done);
            }
            Operation::PushItems(count) | Operation::PushAll(count) => {
                let messages = (pushed..pushed + count).map(|place| message(at(place)));
                let done = if let Operation::PushAll(_) = operation {
                    writer.push_all(bytes, messages)
                } else {
                    // Two words in front of a message, and one behind it.
                    let other = usize::MAX;
                    let item = |it: [usize; WORDS]| [&[other; 2][..], &it, &[other]].concat();
                    let items: Vec<usize> = messages.flat_map(item).collect();
                    writer.push_items(&items, 2 + WORDS + 1, 2)
                };
                prop_assert_eq!(done.is_err(), room == 0 && count > 0);
                let done = done.unwrap_or(0);
                prop_assert_eq!(done, count.min(room));
                pushed += done;
            }
            Operation::Pass(count) => {
                let ready = reader.ready(count);
                prop_assert_eq!(ready, count.min(pushed - cursor));
                reader.pass(ready);
                cursor += ready;
            }
            Operation::Release(percent) => {
                kept = part(kept, cursor, percent);
                reader.release(at(kept));
            }
            Operation::Rewind(percent) => {
                cursor = part(kept, cursor, percent);
                reader.rewind(at(cursor));
            }
            Operation::TakeRetained => {
                let mut words = [0; WORDS];
                if let Peek::Message { sequence, .. } = reader.peek(&mut words) {
                    prop_assert_eq!((sequence, words), (at(cursor), message(at(cursor))));
                    prop_assert!(reader.advance());
                    cursor += 1;
                } else {
                    prop_assert_eq!(cursor, pushed);
                }
            }
            Operation::TakeMany(count) => {
                let mut words = [0; WORDS];
                for ahead in 0..count {
                    let found = other.peek_ahead(ahead, &mut words, bytes);
                    let place = taken + ahead;
                    prop_assert_eq!(found, (place < pushed).then(|| at(place)));
                    if found.is_some() {
                        prop_assert_eq!(words, message(at(place)));
                    }
                    prop_assert_eq!(observer.peek_ahead(ahead, &mut words, bytes), None);
                }
                let ready = count.min(pushed - taken);
                other.advance_by(ready);
                taken += ready;
            }
            Operation::Take => {
                let mut words = [0; WORDS];
                if let Peek::Message { sequence, .. } = other.peek(&mut words) {
                    prop_assert_eq!((sequence, words), (at(taken), message(at(taken))));
                    taken += 1;
                    other.advance();
                }
                match observer.peek(&mut words) {
                    Peek::Message { .. } => {
                        prop_assert_eq!(words, message(at(seen)));
                        seen += 1;
                        observer.advance();
                    }
                    Peek::Gap { missed } => seen += missed,
                    Peek::Empty | Peek::Closed | Peek::Evicted => {}
                }
            }
        }
        prop_assert_eq!((reader.kept(), reader.cursor()), (at(kept), at(cursor)));
        // All messages that are retained or ready can be borrowed, and no others.
        let count = pushed - kept;
        prop_assert_eq!(reader.depth(), count);
        let [one, two] = reader.borrow(at(kept), count).expect("it is there");
        let slots: Vec<usize> = one.iter().chain(two).copied().collect();
        prop_assert_eq!(slots.len(), count * slot_words);
        for (place, slot) in (kept..).zip(slots.chunks(slot_words)) {
            prop_assert_eq!(&slot[1..=WORDS], &message(at(place)));
        }
        prop_assert_eq!(reader.borrow(at(kept), count + 1), None);
        prop_assert_eq!(reader.borrow(at(kept).wrapping_sub(1), 1), None);
        prop_assert_eq!(reader.borrow(at(pushed), 1), None);
        prop_assert_eq!(reader.borrow(at(kept), usize::MAX), None);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn any_sequence_of_operations_agrees_with_the_model(
        start in starts(),
        operations in prop::collection::vec(operation(), 0..if cfg!(miri) { 40 } else { 200 }),
    ) {
        run::<WORDS>(Broadcast::new(Storage::new(), LAYOUT).unwrap(), start, &operations)?;
        // Code of its own copies seven words.
        run::<7>(boxed(Layout::exact(CAPACITY, 7 * WORD)), start, &operations)?;
        // Slots with padding.
        run::<4>(boxed(Layout::exact(CAPACITY, 4 * WORD).in_lines()), start, &operations)?;
        run::<9>(boxed(Layout::exact(CAPACITY, 9 * WORD).in_lines()), start, &operations)?;
    }
}

/// A message that was published stays, although the batch did not end.
#[test]
fn a_panic_within_a_batch_leaves_the_messages_before_it() {
    let (mut writer, mut reader) = ends(LAYOUT);
    let messages = (0..3).map(|place| if place < 2 { message::<WORDS>(place) } else { panic!() });
    let push = std::panic::AssertUnwindSafe(|| writer.push_all(BYTES, messages));
    let pushed = std::panic::catch_unwind(push);
    assert!(pushed.is_err());
    assert_eq!(writer.push_all(BYTES, (2..4).map(message::<WORDS>)), Ok(2));
    for place in 0..4 {
        let mut words = [0; WORDS];
        assert_eq!(reader.peek(&mut words), Peek::Message { sequence: place, length: BYTES });
        assert_eq!(words, message::<WORDS>(place));
        reader.advance();
    }
}

#[test]
fn release_and_rewind_stay_between_the_positions() {
    let (mut writer, reader) = ends(LAYOUT);
    let mut reader = reader.retaining();
    for _ in 0..3 {
        writer.try_push(&message::<WORDS>(0), BYTES).unwrap();
        reader.peek(&mut [0; WORDS]);
        reader.advance();
    }
    reader.release(4);
    assert_eq!(reader.kept(), 0, "it has not been there");
    reader.release(2);
    reader.release(1);
    assert_eq!(reader.kept(), 2, "released messages are gone");
    reader.rewind(1);
    reader.rewind(4);
    assert_eq!(reader.cursor(), 3);
    reader.rewind(2);
    assert_eq!(reader.cursor(), 2);
}
