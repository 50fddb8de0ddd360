//! Retained messages, which come beside the streams.

use mycelium_core::link::{LinkError, SendError, StreamStart};

use crate::pair::conversation::{LEFT, RIGHT, blob, control, name, payload, subscribe};
use crate::pair::{Pair, Received};

#[test]
fn messages_of_any_length_arrive_in_parts() {
    let (mut pair, interest, export) = subscribe(Pair::new(), 8);
    assert!(pair.sides[LEFT].link.peer_retains());
    pair.sides[RIGHT].link.recall(pair.now, interest, 7, 100).unwrap();
    assert_eq!(pair.settled(LEFT), [Received::Recall(export, 7, 100)]);
    let start = StreamStart { retains: true, ..StreamStart::new(7, 100, 64) };
    pair.sides[LEFT].link.open_stream(pair.now, export, name("feed"), start).unwrap();
    pair.settled(RIGHT);
    for (sequence, length) in [(3, 0), (90, 1), (91, 100_000)] {
        let (message, mut offset) = (blob(length), None);
        let mut arrived = Vec::new();
        while offset.is_none_or(|offset| offset < length) {
            let link = &mut pair.sides[LEFT].link;
            let part = (&*message, offset.unwrap_or(0));
            match link.send_retained(pair.now, export, 7, sequence, part) {
                Ok(end) => offset = Some(end),
                Err(SendError::Room { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            for event in pair.settled(RIGHT) {
                let total = length as u32;
                let Received::Retained(7, of, [at, all], bytes) = event else {
                    panic!("{event:?}")
                };
                assert_eq!((of, at as usize, all), (sequence, arrived.len(), total));
                arrived.extend(bytes);
            }
        }
        assert_eq!(arrived, message);
    }
    pair.sides[LEFT].link.end_retained(pair.now, export, 7).unwrap();
    assert_eq!(pair.settled(RIGHT), [Received::RetainedEnd(7)]);
    pair.sides[RIGHT].link.unsubscribe(interest).unwrap();
    pair.settle();
    let gone = pair.sides[LEFT].link.end_retained(pair.now, export, 7);
    assert_eq!(gone, Err(SendError::Gone));
}

#[test]
fn invalid_parts_end_the_link() {
    let part = |subscription: u32, [total, offset]: [u32; 2], bytes: &[u8]| {
        let numbers = [total, offset].map(u32::to_le_bytes).concat();
        let (subscription, epoch) = (subscription.to_le_bytes(), 7_u64.to_le_bytes());
        control(0, 3, &payload(25, &[&[0; 2], &subscription, &epoch, &numbers, bytes]))
    };
    let retained =
        |[total, offset]: [u32; 2], length| Some(LinkError::Retained { offset, total, length });
    for (numbers, bytes, error) in [
        ([8, 0], &[1; 8][..], None),
        ([8, 7], &[1], None),
        ([0, 0], &[], None),
        ([8, 1], &[1; 8], retained([8, 1], 8)),
        ([8, u32::MAX], &[1], retained([8, u32::MAX], 1)),
        ([8, 8], &[], retained([8, 8], 0)),
    ] {
        let (mut pair, ..) = subscribe(Pair::new(), 8);
        assert_eq!(pair.feed(RIGHT, &part(1, numbers, bytes)), error, "{numbers:?}");
    }
    let (mut pair, ..) = subscribe(Pair::new(), 8);
    let unknown = pair.feed(RIGHT, &part(9, [8, 0], &[1; 8]));
    assert_eq!(unknown, Some(LinkError::Subscription { number: 9 }));
    let (mut pair, ..) = subscribe(Pair::new(), 8);
    let short = pair.feed(RIGHT, &control(0, 3, &payload(25, &[&[0; 20]])));
    assert_eq!(short, Some(LinkError::ControlSize { kind: 25, expected: 24, found: 22 }));
}
