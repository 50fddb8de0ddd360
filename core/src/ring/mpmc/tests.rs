//! Tests of ends that were idle for longer than a test can push items, with positions set by hand.

use super::*;
use crate::ring::{GrantError, PopError, PushError};

const CAPACITY: usize = 4;

/// Returns distances by which an end may be behind. With 32-bit positions these reach a whole
/// round, which an idle end may be behind; a round of 64 bits is out of reach.
fn distances() -> impl Iterator<Item = usize> {
    let half = 1 << (usize::BITS - 3);
    let near = [1, 2, 3, 4, 5, 7, 8, 9, 1 << 20, half / 2 + 1];
    let far =
        [half - 5, half - 1, half, half + 1, half + 6, 2 * half - 9, 2 * half - 5, 2 * half - 1];
    near.into_iter().chain(far.into_iter().filter(|_| usize::BITS < 64))
}

#[test]
fn an_idle_end_sees_the_current_state() {
    for (distance, depth) in
        distances().flat_map(|far| (0..=CAPACITY).map(move |depth| (far, depth)))
    {
        for start in [0, 3, usize::MAX / STEP - 2, usize::MAX - 2] {
            let ring = Inline::<usize, CAPACITY>::new().starting_at(start);
            let (mut producer, mut consumer) = (Mpmc::producer(&ring), Mpmc::consumer(&ring));
            let (mut writer, mut reader) = (producer.clone(), consumer.clone());
            for item in 0..depth {
                assert_eq!(producer.try_push(item), Ok(()));
            }
            let behind = |position: usize| position.wrapping_sub(distance * STEP);
            (writer.known, reader.known) = (behind(producer.known), behind(consumer.known));
            let room = CAPACITY - depth;
            match writer.grant(room + 1) {
                Err(GrantError::Full { room: found }) => assert_eq!(found, room),
                Err(GrantError::Count { .. }) => assert_eq!(room, CAPACITY),
                other => panic!("{other:?} with room for {room}, {distance} behind"),
            }
            writer.known = behind(producer.known);
            let expected = if room > 0 { Ok(()) } else { Err(PushError::Full(9)) };
            assert_eq!(writer.try_push(9), expected, "{distance} behind");
            let expected = if depth > 0 { Ok(0) } else { Ok(9) };
            assert_eq!(reader.try_pop(), expected, "{distance} behind");
            while consumer.try_pop().is_ok() {}
            reader.known = behind(consumer.known);
            assert_eq!(reader.try_pop(), Err(PopError::Empty), "{distance} behind");
            writer.known = behind(producer.known);
            ring.close();
            assert_eq!(writer.try_push(9), Err(PushError::Closed(9)), "{distance} behind");
            reader.known = behind(consumer.known);
            assert_eq!(reader.try_pop(), Err(PopError::Closed), "{distance} behind");
        }
    }
}
