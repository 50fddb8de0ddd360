//! Subscriptions and streams: rejects, unsubscribes and ends that cross other frames.

use mycelium_core::Digest;
use mycelium_core::link::{LinkError, RejectReason, SendError, UnsubscribeProgress};

use super::{others, payload};
use crate::pair::conversation::{
    LEFT, RIGHT, control, name, open, reading, send, subscribe, subscribed, swaps,
};
use crate::pair::{Pair, Received, STREAMS};

#[test]
fn no_stream_opens_after_unsubscribe_or_reject() {
    let mut pair = Pair::new();
    let (interest, export) = subscribe(&mut pair, 8);
    assert_eq!(pair.sides[RIGHT].link.unsubscribe(interest), Ok(UnsubscribeProgress::Pending));
    pair.write(RIGHT, usize::MAX);
    pair.sides[LEFT].read(pair.now, usize::MAX);
    let link = &mut pair.sides[LEFT].link;
    assert_eq!(link.open_stream(pair.now, export, name("feed"), 77, 0, 64), Err(SendError::Gone));
    assert_eq!(link.accept(export), Err(SendError::Gone));
    pair.settle();

    pair.sides[RIGHT].link.subscribe(swaps(8)).unwrap();
    pair.sides[LEFT].take_events();
    pair.settle();
    let export = subscribed(&mut pair);
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Forbidden, Digest([0; 16])).unwrap();
    assert_eq!(link.open_stream(pair.now, export, name("feed"), 77, 0, 64), Err(SendError::Gone));
    pair.settle();
    assert_eq!(pair.failed(), [None, None]);
}

#[test]
fn an_ended_stream_is_still_confirmed() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 64);
    send(&mut pair, outgoing, 3).unwrap();
    let link = &mut pair.sides[LEFT].link;
    link.end_stream(pair.now, outgoing).unwrap();
    assert_eq!(
        (link.unconfirmed(outgoing), link.end_stream(pair.now, outgoing)),
        (3, Err(SendError::Gone))
    );
    assert_eq!(pair.settled(LEFT), [Received::Window { stream: outgoing, confirmed: 103 }]);
    assert_eq!(pair.sides[LEFT].link.sequence(outgoing), Err(SendError::Gone));
}

#[test]
fn interests_wait_for_a_free_place_at_the_peer() {
    let mut pair = Pair::new();
    pair.sides[LEFT].link.subscribe(swaps(8)).unwrap();
    let second = pair.sides[LEFT].link.subscribe(others(8)).unwrap();
    // A peer with room for one subscription.
    let (frame, boot) = ((1u32 << 20).to_le_bytes(), 7u64.to_le_bytes());
    let (alive, topics, streams) = (5000u32.to_le_bytes(), 1u16.to_le_bytes(), 4u16.to_le_bytes());
    let mut hello = payload(1, &[&[1, 1], &frame, &boot, &alive, &topics, &streams]);
    hello.resize(96, 0);
    pair.feed(LEFT, &control(0, 0, &hello));
    pair.write(LEFT, usize::MAX);
    assert_eq!(pair.sides[LEFT].failed, None);
    let subscribed = |pair: &Pair| crate::pair::count(&pair.written[LEFT], 3);
    assert_eq!(subscribed(&pair), 1);
    // The second subscribe was not sent, so the interest is removed at once.
    assert_eq!(pair.sides[LEFT].link.unsubscribe(second), Ok(UnsubscribeProgress::Done));
}

#[test]
fn no_stream_opens_for_a_rejected_subscription() {
    let mut pair = Pair::new();
    let (_, export) = subscribe(&mut pair, 8);
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Forbidden, Digest([0; 16])).unwrap();
    pair.settle();
    let (number, epoch) = (1_u32.to_le_bytes(), 77_u64.to_le_bytes());
    let mut publisher = [0; 64];
    publisher[..6].copy_from_slice(b"\x04\x00feed");
    let keeps = [64, 0, 0, 0, 0, 0, 0, 0];
    let stream = payload(8, &[&[0, 0], &number, &epoch, &keeps, &publisher]);
    assert_eq!(
        pair.feed(RIGHT, &control(9, 100, &stream)),
        Some(LinkError::Subscription { number: 1 })
    );

    // The next connection subscribes again.
    pair.reconnect();
    subscribed(&mut pair);
}

#[test]
fn ended_streams_leave_room_for_others() {
    let mut pair = Pair::new();
    let (_, export) = subscribe(&mut pair, 8);
    for epoch in 0..3 * STREAMS as u64 {
        let stream = open(&mut pair, export, epoch, 0);
        send(&mut pair, stream, 1).unwrap();
        pair.sides[LEFT].link.end_stream(pair.now, stream).unwrap();
        pair.settle();
        assert_eq!(pair.failed(), [None, None], "{epoch}");
    }
}
