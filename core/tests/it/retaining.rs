//! A reader that retains messages, against a plain model: any sequence of operations.

use mycelium_core::ring::broadcast::{Broadcast, InlineStorage, Layout, Peek, RetainingConsumer};
use proptest::prelude::*;

const CAPACITY: usize = 4;
const BYTES: usize = size_of::<usize>();
const LAYOUT: Layout = Layout::exact(CAPACITY, BYTES);
type Storage = InlineStorage<{ LAYOUT.words() }, 1>;

#[derive(Clone, Debug)]
enum Operation {
    Push,
    Take,
    Peek,
    /// A percentage of the retained messages.
    Release(usize),
    Rewind(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => Just(Operation::Push),
        6 => Just(Operation::Take),
        1 => Just(Operation::Peek),
        3 => (0..=100usize).prop_map(Operation::Release),
        2 => (0..=100usize).prop_map(Operation::Rewind),
    ]
}

/// Also positions close to the wrap-around.
fn starts() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(usize::MAX - 5), Just(usize::MAX / 2 - 5)]
}

fn run(start: usize, gating: bool, operations: &[Operation]) -> Result<(), TestCaseError> {
    let ring = Broadcast::new(Storage::new(), LAYOUT).unwrap().starting_at(start);
    let mut writer = Broadcast::producer(&ring).unwrap();
    let reader = if gating { Broadcast::gating(&ring) } else { Some(Broadcast::observing(&ring)) };
    let mut reader = reader.unwrap().retaining();
    // Counted from the start.
    let (mut pushed, mut cursor, mut kept) = (0usize, 0usize, 0usize);
    let part = |kept: usize, cursor: usize, percent: usize| kept + (cursor - kept) * percent / 100;
    for operation in operations {
        match *operation {
            Operation::Push => {
                let message = [start.wrapping_add(pushed).wrapping_mul(31)];
                let room = !gating || pushed - kept < CAPACITY;
                prop_assert_eq!(writer.try_push(&message, BYTES).is_ok(), room);
                pushed += usize::from(room);
            }
            Operation::Take | Operation::Peek => {
                let oldest = pushed.saturating_sub(CAPACITY);
                let expected = peek(&mut reader)?;
                if cursor < oldest {
                    prop_assert_eq!(expected, Peek::Gap { missed: oldest - cursor });
                    cursor = oldest;
                } else if cursor == pushed {
                    prop_assert_eq!(expected, Peek::Empty);
                } else {
                    let sequence = start.wrapping_add(cursor);
                    prop_assert_eq!(expected, Peek::Message { sequence, length: BYTES });
                    if matches!(operation, Operation::Take) {
                        prop_assert!(reader.advance());
                        cursor += 1;
                    }
                }
            }
            Operation::Release(percent) => {
                kept = part(kept, cursor, percent);
                reader.release(start.wrapping_add(kept));
            }
            Operation::Rewind(percent) => {
                cursor = part(kept, cursor, percent);
                reader.rewind(start.wrapping_add(cursor));
            }
        }
        prop_assert_eq!(reader.kept().wrapping_sub(start), kept);
        prop_assert_eq!(reader.cursor().wrapping_sub(start), cursor);
        prop_assert_eq!(reader.depth(), pushed - kept);
        if gating {
            prop_assert_eq!(writer.room(), CAPACITY - (pushed - kept));
        }
    }
    Ok(())
}

/// Peeks. A message must be the one of its sequence.
fn peek(reader: &mut RetainingConsumer<&Broadcast<Storage>>) -> Result<Peek, TestCaseError> {
    let mut words = [0];
    let look = reader.peek(&mut words);
    if let Peek::Message { sequence, .. } = look {
        prop_assert_eq!(words[0], sequence.wrapping_mul(31));
    }
    Ok(look)
}

proptest! {
    #[test]
    fn a_gating_one_behaves_like_the_model(
        start in starts(), operations in prop::collection::vec(operation(), 0..200),
    ) {
        run(start, true, &operations)?;
    }

    #[test]
    fn an_observing_one_behaves_like_the_model(
        start in starts(), operations in prop::collection::vec(operation(), 0..200),
    ) {
        run(start, false, &operations)?;
    }
}

#[test]
fn release_and_rewind_stay_between_the_positions() {
    let ring = Broadcast::new(Storage::new(), LAYOUT).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap().retaining();
    for _ in 0..3 {
        writer.try_push(&[0], BYTES).unwrap();
        reader.peek(&mut [0]);
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
