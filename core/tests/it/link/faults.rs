//! Links where frames cross, buffers are full, or the peer is hostile. A peer that follows the
//! protocol never loses its link, and no side waits for a frame that never arrives.

use std::time::Duration;

use mycelium_core::link::{
    Batching, CloseReason, Interest, LinkError, RejectReason, SendError, StreamStart,
    UnsubscribeProgress,
};
use mycelium_core::{Digest, Envelope, Frames, Limits};
use zerocopy::IntoBytes;

use super::errors::word;
use crate::pair::conversation::{
    LEFT, RIGHT, control, frame, name, open, payload, reading, resubscribe, send, send_run,
    subscribe, subscribe_to, subscribed, swaps, try_open,
};
use crate::pair::{Pair, Received, STREAMS};

/// A frame that subscribes and announces this many resumes.
fn wish(number: u32, resumes: u8) -> Vec<u8> {
    let (number, window) = (number.to_le_bytes(), 8_u32.to_le_bytes());
    let topic = name("swaps");
    let wishes = [0, 0, resumes, 0];
    control(0, 0, &payload(3, &[&[1, 0], &number, &[7; 16], &wishes, &window, topic.as_bytes()]))
}

/// A frame that resumes a stream of this subscription.
fn resume(number: u32, epoch: u64, next: u64) -> Vec<u8> {
    let (number, epoch, next) = (number.to_le_bytes(), epoch.to_le_bytes(), next.to_le_bytes());
    control(0, 0, &payload(4, &[&[0, 0], &number, &epoch, &next]))
}

#[test]
fn a_message_above_a_limit_is_refused() {
    let (mut pair, outgoing, _) = reading(Pair::with(1024, |_, _| {}), 8);
    let envelope = Envelope::default();
    let refused = pair.sides[LEFT].link.send(pair.now, outgoing, &envelope, 0, &[0; 900]);
    assert!(matches!(refused, Err(SendError::TooLong { length: 924, .. })), "{refused:?}");

    let limits = Limits { max_frame: 1001 };
    let (mut pair, outgoing, _) = reading(Pair::with(4096, |_, right| right.limits = limits), 8);
    let link = &mut pair.sides[LEFT].link;
    assert_eq!(link.send(pair.now, outgoing, &envelope, 0, &[0; 1001 - 24]), Ok(()));
    let refused = link.send(pair.now, outgoing, &envelope, 0, &[0; 1002 - 24]);
    assert_eq!(refused, Err(SendError::TooLong { length: 1002, limit: 1001 }));
    let refused = link.send(pair.now, outgoing, &envelope, 3, &[0; 2]);
    assert_eq!(refused, Err(SendError::Fixed { fixed: 3, payload: 2 }));
}

#[test]
fn a_close_frame_fits_a_full_buffer() {
    let (mut pair, outgoing, _) = reading(Pair::with(2048, |_, _| {}), 1000);
    send(&mut pair, outgoing, 1000).unwrap_err();
    while pair.sides[LEFT].link.skip(pair.now, outgoing, 1, 1).is_ok() {}
    pair.sides[LEFT].link.close(pair.now, CloseReason::Shutdown);
    pair.settle();
    assert_eq!(pair.sides[RIGHT].failed, Some(LinkError::PeerClosed(CloseReason::Shutdown)));
}

#[test]
fn no_message_has_the_last_sequence() {
    let (mut pair, ..) = reading(Pair::new(), 8);
    let failed = pair.feed(RIGHT, &word(10, 1, u64::MAX, u64::MAX - 100));
    let error = LinkError::Sequence { stream: 1, expected: 100, found: u64::MAX };
    assert_eq!(failed, Some(error));

    let (mut pair, _, export) = subscribe(Pair::new(), 8);
    assert_eq!(try_open(&mut pair, export, 1, u64::MAX), Err(SendError::Exhausted));
    let stream = try_open(&mut pair, export, 1, u64::MAX - 1).unwrap();
    send(&mut pair, stream, 1).unwrap();
    assert_eq!(send(&mut pair, stream, 1), Err(SendError::Exhausted));

    let (mut pair, ..) = reading(Pair::new(), 8);
    pair.cut();
    // Then a forged resume.
    resubscribe(&mut pair);
    let failed = pair.feed(LEFT, &resume(1, 7, u64::MAX));
    assert!(matches!(failed, Some(LinkError::Sequence { found: u64::MAX, .. })), "{failed:?}");
}

#[test]
fn a_closed_link_has_no_timer_and_confirms_what_arrived() {
    let (mut pair, outgoing, _) = reading(Pair::new(), 64);
    send(&mut pair, outgoing, 3).unwrap();
    pair.deliver();
    pair.sides[RIGHT].link.close(pair.now, CloseReason::Shutdown);
    // As long as the peer reads nothing, the close frame stays in the buffer.
    assert_eq!(pair.sides[RIGHT].link.poll_timeout(), None);
    assert_eq!(pair.settled(LEFT), [Received::Window { stream: outgoing, confirmed: 103 }]);
}

#[test]
fn a_sender_with_little_room_gets_early_confirmations() {
    let (mut pair, _, export) = subscribe(Pair::with(1 << 16, |_, _| {}), 1024);
    let link = &mut pair.sides[LEFT].link;
    let stream =
        link.open_stream(pair.now, export, name("feed"), StreamStart::new(77, 0, 64)).unwrap();
    for _ in 0..10 {
        send(&mut pair, stream, 64).unwrap();
        pair.deliver();
        assert_eq!(pair.sides[LEFT].link.unconfirmed(stream), 0);
    }
}

#[test]
fn a_long_frame_in_pieces_keeps_the_link_alive() {
    let (mut pair, ..) = reading(Pair::new(), 8);
    let envelope = Envelope { type_id: 1, stream: 1, sequence: 100, ..Envelope::default() };
    for piece in frame(&envelope, None, &[0; 2000]).chunks(64) {
        pair.now += Duration::from_secs(1);
        pair.feed(RIGHT, piece);
        assert_eq!(pair.sides[RIGHT].link.handle_timeout(pair.now), Ok(()));
    }
}

#[test]
fn a_waiting_batch_is_sent_as_keep_alive() {
    let batching = Batching { bytes: 1000, messages: 100, delay: Duration::MAX };
    let (mut pair, outgoing, _) = reading(Pair::with(4096, |left, _| left.batching = batching), 8);
    send(&mut pair, outgoing, 1).unwrap();
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.failed(), [None, None]);
}

#[test]
fn a_late_write_report_does_not_count() {
    let mut pair = Pair::new();
    let late = pair.sides[LEFT].link.poll_transmit(pair.now).unwrap().len();
    pair.cut();
    pair.connect();
    pair.sides[LEFT].link.transmitted(pair.now, late);
    pair.settle();
    assert_eq!(pair.failed(), [None, None]);
    assert!(pair.sides.iter().all(|side| side.link.is_up()));
}

#[test]
fn only_offered_bytes_count_as_written() {
    let (mut pair, outgoing, _) = reading(Pair::new(), 8);
    send(&mut pair, outgoing, 1).unwrap();
    pair.sides[LEFT].link.flush();
    let offered = pair.sides[LEFT].link.poll_transmit(pair.now).unwrap().len();
    send(&mut pair, outgoing, 1).unwrap();
    pair.sides[LEFT].link.transmitted(pair.now, offered + 64);
    assert_eq!(pair.sides[LEFT].link.poll_transmit(pair.now).map(<[u8]>::len), Some(64));
}

#[test]
fn streams_to_resume_keep_their_places() {
    let (mut pair, _, export) = subscribe(Pair::new(), 8);
    (0..STREAMS as u64).for_each(|epoch| _ = try_open(&mut pair, export, epoch, 0).unwrap());
    pair.settle();
    pair.reconnect();
    let export = subscribed(&mut pair);
    let fresh = try_open(&mut pair, export, 900, 0);
    assert_eq!(fresh, Err(SendError::Streams { limit: STREAMS }), "the reader has no place");
    let link = &mut pair.sides[LEFT].link;
    assert_eq!(link.refuse_resume(pair.now, export, 901), Err(SendError::Gone), "no such resume");
    link.refuse_resume(pair.now, export, 2).unwrap();
    open(&mut pair, export, 900, 0);
    assert_eq!(pair.failed(), [None, None]);
}

/// The reader makes room for another stream by forgetting one of which its peer knows that it has
/// ended and is confirmed: not one whose confirmation is on its way.
#[test]
fn a_stream_is_kept_until_the_peer_knows_that_it_is_confirmed() {
    let (mut pair, _, export) = subscribe(Pair::new(), 8);
    let streams: Vec<_> = (0..STREAMS as u64).map(|it| open(&mut pair, export, it, 0)).collect();
    // The bytes of the right side stay on their way.
    let arrive = |pair: &mut Pair| {
        pair.write(LEFT, usize::MAX);
        pair.sides[RIGHT].read(pair.now, usize::MAX);
        pair.write(RIGHT, usize::MAX);
    };
    send(&mut pair, streams[0], 1).unwrap();
    pair.sides[LEFT].link.end_stream(pair.now, streams[0]).unwrap();
    pair.sides[LEFT].link.flush();
    arrive(&mut pair);
    // This stream has no message, so its place is free at once.
    pair.sides[LEFT].link.end_stream(pair.now, streams[1]).unwrap();
    try_open(&mut pair, export, 900, 0).unwrap();
    arrive(&mut pair);
    pair.reconnect();
    let resumed = pair.sides[LEFT].take_events().into_iter().filter_map(|event| match event {
        Received::Resume { epoch, .. } => Some(epoch),
        _ => None,
    });
    let mut resumed: Vec<_> = resumed.collect();
    resumed.sort_unstable();
    assert_eq!(resumed, [0, 2, 3, 900]);
}

#[test]
fn resumes_of_an_unsubscribed_topic_are_ignored() {
    let mut pair = Pair::new();
    pair.settled(LEFT);
    let unsubscribe = control(0, 0, &payload(5, &[&[0, 0], &5_u32.to_le_bytes()]));
    pair.feed(LEFT, &[wish(5, 1), unsubscribe, resume(5, 7, 9)].concat());
    let news = pair.sides[LEFT].take_events();
    assert!(matches!(news[..], [Received::Subscribe { .. }, Received::Unsubscribe(_)]), "{news:?}");
}

#[test]
fn numbers_of_an_earlier_connection_are_invalid() {
    let demand = payload(20, &[&[0; 6]]);
    let window = payload(12, &[&[0; 6], &8_u64.to_le_bytes()]);
    let cases = [(&demand, false), (&window, false), (&demand, true), (&window, true)];
    for (of_a_stream, again) in cases {
        let (mut pair, outgoing, _) = reading(Pair::new(), 8);
        if again {
            pair.cut();
            pair.connect();
        } else {
            // It has ended here, and its reader may not know it yet.
            pair.sides[LEFT].link.end_stream(pair.now, outgoing).unwrap();
        }
        pair.settle();
        pair.feed(LEFT, &control(1, 100, of_a_stream));
        let expected = again.then_some(LinkError::Stream { number: 1 });
        assert_eq!(pair.sides[LEFT].failed, expected, "{of_a_stream:?}");
    }
}

#[test]
fn the_features_frame_comes_first() {
    let (mut pair, ..) = reading(Pair::new(), 8);
    pair.cut();
    let received = pair.written[LEFT].len();
    resubscribe(&mut pair);
    pair.sides[LEFT].read(pair.now, usize::MAX);
    let export = subscribed(&mut pair);
    pair.sides[LEFT].link.refuse_resume(pair.now, export, 77).unwrap();
    pair.write(LEFT, usize::MAX);
    let frames = Frames::new(&pair.written[LEFT][received..], Limits::default());
    let kinds = frames.map(|frame| frame.unwrap().payload()[0]);
    assert!(kinds.eq([1, 16, 9]), "hello, features, gone");
}

#[test]
fn a_stream_is_resumed_once() {
    let (mut pair, ..) = reading(Pair::new(), 8);
    pair.reconnect();
    // More resumes than subscribe said.
    let resume = resume(1, 77, 100);
    assert_eq!(pair.feed(LEFT, &resume), Some(LinkError::Subscription { number: 1 }));

    let mut pair = Pair::new();
    pair.settle();
    pair.feed(LEFT, &wish(1, 2));
    assert_eq!(pair.feed(LEFT, &resume), None);
    assert_eq!(pair.feed(LEFT, &resume), Some(LinkError::SecondStream { number: 0 }));
}

#[test]
fn only_an_end_may_follow_on_a_finished_stream() {
    for in_a_run in [false, true] {
        let (mut pair, outgoing, _) = reading(Pair::new(), 8);
        pair.sides[LEFT].link.end_stream(pair.now, outgoing).unwrap();
        pair.settle();
        pair.reconnect();
        let export = subscribed(&mut pair);
        let again = open(&mut pair, export, 77, 100);
        if in_a_run {
            assert_eq!(send_run(&mut pair, again, 1), Ok(1));
        } else {
            send(&mut pair, again, 1).unwrap();
            pair.sides[LEFT].link.flush();
        }
        pair.settle();
        let failed = pair.sides[RIGHT].failed;
        assert!(matches!(failed, Some(LinkError::Stream { .. })), "{in_a_run}: {failed:?}");
    }
}

#[test]
fn no_stream_opens_after_unsubscribe_or_reject() {
    let (mut pair, interest, export) = subscribe(Pair::new(), 8);
    assert_eq!(pair.sides[RIGHT].link.unsubscribe(interest), Ok(UnsubscribeProgress::Pending));
    pair.write(RIGHT, usize::MAX);
    pair.sides[LEFT].read(pair.now, usize::MAX);
    assert_eq!(try_open(&mut pair, export, 77, 0), Err(SendError::Gone));
    assert_eq!(pair.sides[LEFT].link.accept(export), Err(SendError::Gone));
    pair.settle();

    let (_, export) = subscribe_to(&mut pair, swaps(8));
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Forbidden, Digest([0; 16])).unwrap();
    assert_eq!(try_open(&mut pair, export, 77, 0), Err(SendError::Gone));
    pair.settle();
    assert_eq!(pair.failed(), [None, None]);
}

#[test]
fn interests_wait_for_a_free_place_at_the_peer() {
    let mut pair = Pair::new();
    pair.sides[LEFT].link.subscribe(swaps(8)).unwrap();
    let others = Interest { topic: name("others"), ..swaps(8) };
    let second = pair.sides[LEFT].link.subscribe(others).unwrap();
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
    let (mut pair, _, export) = subscribe(Pair::new(), 8);
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Forbidden, Digest([0; 16])).unwrap();
    pair.settle();
    let (number, epoch) = (1_u32.to_le_bytes(), 77_u64.to_le_bytes());
    let mut publisher = [0; 64];
    publisher[..6].copy_from_slice(b"\x04\x00feed");
    let keeps = [64, 0, 0, 0, 0, 0, 0, 0];
    let stream = payload(8, &[&[0, 0], &number, &epoch, &keeps, &publisher]);
    let failed = pair.feed(RIGHT, &control(9, 100, &stream));
    assert_eq!(failed, Some(LinkError::Subscription { number: 1 }));

    // The next connection subscribes again.
    pair.reconnect();
    subscribed(&mut pair);
}
