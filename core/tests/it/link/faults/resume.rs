//! Lost connections: what the next connection resumes, and what it ignores.

use mycelium_core::link::{ExportId, LinkError, RunShape, SendError};
use mycelium_core::{FrameView, Limits};
use zerocopy::IntoBytes;

use super::{payload, resumes};
use crate::pair::conversation::{
    LEFT, RIGHT, control, name, open, reading, resubscribe, send, sequences, subscribe, subscribed,
};
use crate::pair::{Pair, Received, STREAMS};
use crate::schema::Swap;

#[test]
fn used_credit_survives_a_lost_connection() {
    let mut pair = Pair::new();
    let (mut outgoing, incoming) = reading(&mut pair, 8);
    let mut held = 0;
    for round in 0..4 {
        let _ = send(&mut pair, outgoing, 8);
        pair.deliver();
        held += sequences(&pair.sides[RIGHT].take_events()).len();
        assert_eq!(held, 8 + round, "credit for eight, and one more in each round");
        pair.sides[RIGHT].link.grant(incoming, 1).unwrap();
        pair.reconnect();
        let news = pair.sides[LEFT].take_events();
        let [(77, next)] = resumes(&news)[..] else { panic!("{news:?}") };
        let export = news.iter().find_map(|received| match received {
            Received::Subscribe { export, .. } => Some(*export),
            _ => None,
        });
        let link = &mut pair.sides[LEFT].link;
        outgoing = link.open_stream(pair.now, export.unwrap(), name("feed"), 77, next, 64).unwrap();
        pair.settle();
    }
}

#[test]
fn streams_to_resume_keep_their_places() {
    let mut pair = Pair::new();
    let (_, export) = subscribe(&mut pair, 8);
    for epoch in 0..STREAMS as u64 {
        open(&mut pair, export, epoch, 0);
    }
    pair.settle();
    pair.reconnect();
    let export = subscribed(&mut pair);
    let link = &mut pair.sides[LEFT].link;
    let fresh = link.open_stream(pair.now, export, name("feed"), 900, 0, 64);
    assert_eq!(fresh, Err(SendError::Streams { limit: STREAMS }), "the reader has no place");
    assert_eq!(link.refuse_resume(pair.now, export, 901), Err(SendError::Gone), "no such resume");
    link.refuse_resume(pair.now, export, 2).unwrap();
    link.open_stream(pair.now, export, name("feed"), 900, 0, 64).unwrap();
    pair.settle();
    assert_eq!(pair.failed(), [None, None]);
}

#[test]
fn resumes_of_an_unsubscribed_topic_are_ignored() {
    let mut pair = Pair::new();
    pair.settled(LEFT);
    let number = 5u32.to_le_bytes();
    let (one, window) = (1u16.to_le_bytes(), 8u32.to_le_bytes());
    let mut subscribe = payload(3, &[&one, &number, &[0; 16], &[0, 0], &one, &window]);
    subscribe.resize(96, 0);
    let mut bytes = control(0, 0, &subscribe);
    bytes.extend(control(0, 0, &payload(5, &[&[0, 0], &number])));
    bytes.extend(control(0, 0, &payload(4, &[&[0, 0], &number, &[7; 8], &[9; 8]])));
    pair.feed(LEFT, &bytes);
    let news = pair.sides[LEFT].take_events();
    assert!(matches!(news[..], [Received::Subscribe { .. }, Received::Unsubscribe(_)]), "{news:?}");
}

#[test]
fn numbers_of_an_earlier_connection_are_invalid() {
    let demand = payload(20, &[&[0; 6]]);
    let window = payload(12, &[&[0; 6], &8_u64.to_le_bytes()]);
    for (of_a_stream, again) in
        [(&demand, false), (&window, false), (&demand, true), (&window, true)]
    {
        let mut pair = Pair::new();
        let (outgoing, _) = reading(&mut pair, 8);
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
    let mut pair = Pair::new();
    reading(&mut pair, 8);
    pair.cut();
    let received = pair.written[LEFT].len();
    resubscribe(&mut pair);
    pair.sides[LEFT].read(pair.now, usize::MAX);
    let export = subscribed(&mut pair);
    pair.sides[LEFT].link.refuse_resume(pair.now, export, 77).unwrap();
    pair.write(LEFT, usize::MAX);
    let mut rest = &pair.written[LEFT][received..];
    let mut kinds = Vec::new();
    while let Ok((frame, next)) = FrameView::parse(rest, &Limits::default()) {
        kinds.push(frame.payload()[0]);
        rest = next;
    }
    assert_eq!(kinds, [1, 16, 9], "hello, features, gone");
}

#[test]
fn a_stream_is_resumed_once() {
    let mut pair = Pair::new();
    reading(&mut pair, 8);
    pair.reconnect();
    let (number, epoch, next) = (1_u32.to_le_bytes(), 77_u64.to_le_bytes(), 100_u64.to_le_bytes());
    // More resumes than subscribe said.
    let resume = control(0, 0, &payload(4, &[&[0, 0], &number, &epoch, &next]));
    assert_eq!(pair.feed(LEFT, &resume), Some(LinkError::Subscription { number: 1 }));

    let mut pair = Pair::new();
    let topic = name("swaps");
    let mut wish = payload(3, &[&1_u16.to_le_bytes(), &number, &[7; 16], &[0, 0, 2, 0]]);
    wish.extend(8_u32.to_le_bytes());
    wish.extend(topic.as_bytes());
    pair.settle();
    pair.feed(LEFT, &control(0, 0, &wish));
    assert_eq!(pair.feed(LEFT, &resume), None);
    assert_eq!(pair.feed(LEFT, &resume), Some(LinkError::SecondStream { number: 0 }));
}

#[test]
fn an_unconfirmed_end_is_confirmed_on_the_next_connection() {
    for confirmation_written in [false, true] {
        let mut pair = Pair::new();
        let (outgoing, _) = reading(&mut pair, 8);
        send(&mut pair, outgoing, 3).unwrap();
        pair.sides[LEFT].link.end_stream(pair.now, outgoing).unwrap();
        pair.write(LEFT, usize::MAX);
        pair.sides[RIGHT].read(pair.now, usize::MAX);
        if confirmation_written {
            // The confirmation is on its way when the connection is lost.
            pair.write(RIGHT, usize::MAX);
        }
        let news = pair.sides[RIGHT].take_events();
        assert_eq!(sequences(&news), [100, 101, 102]);
        assert!(matches!(news.last(), Some(Received::End { .. })), "{news:?}");
        pair.cut();

        // The left side does not know it, and keeps all three.
        pair.connect();
        let news = pair.settled(LEFT);
        assert_eq!(resumes(&news), [(77, 103)], "no message is sent again");
        let export = subscribed_in(&news);
        let again = open(&mut pair, export, 77, 103);
        pair.sides[LEFT].link.end_stream(pair.now, again).unwrap();
        pair.settle();
        assert!(!has_stream_events(&mut pair), "the stream had ended");
        assert_eq!(pair.failed(), [None, None]);

        // Now it knows, and the stream is gone on the next connection.
        pair.reconnect();
        let export = subscribed_in(&pair.sides[LEFT].take_events());
        pair.sides[LEFT].link.refuse_resume(pair.now, export, 77).unwrap();
        pair.settle();
        assert!(!has_stream_events(&mut pair), "the stream had ended");
        assert_eq!(pair.failed(), [None, None]);
    }
}

#[test]
fn only_an_end_may_follow_on_a_finished_stream() {
    for in_a_run in [false, true] {
        let mut pair = Pair::new();
        pair.message = |_| Swap::golden().as_bytes().to_vec();
        let (outgoing, _) = reading(&mut pair, 8);
        pair.sides[LEFT].link.end_stream(pair.now, outgoing).unwrap();
        pair.settle();
        pair.reconnect();
        let export = subscribed(&mut pair);
        let link = &mut pair.sides[LEFT].link;
        let again = link.open_stream(pair.now, export, name("feed"), 77, 100, 64).unwrap();
        pair.settle();
        if in_a_run {
            let shape = RunShape { stride: 48, skip: 8, length: 40 };
            assert_eq!(pair.sides[LEFT].link.send_run(pair.now, again, shape, 1), Ok(1));
        } else {
            send(&mut pair, again, 1).unwrap();
            pair.sides[LEFT].link.flush();
        }
        pair.settle();
        let failed = pair.sides[RIGHT].failed;
        assert!(matches!(failed, Some(LinkError::Stream { .. })), "{in_a_run}: {failed:?}");
    }
}

/// Whether the right side got an event about a stream.
fn has_stream_events(pair: &mut Pair) -> bool {
    let of_stream = |received: &Received| {
        matches!(received, Received::Stream { .. } | Received::End { .. } | Received::Gone(_))
    };
    pair.sides[RIGHT].take_events().iter().any(of_stream)
}

fn subscribed_in(news: &[Received]) -> ExportId {
    let found = news.iter().find_map(|received| match received {
        Received::Subscribe { export, .. } => Some(*export),
        _ => None,
    });
    found.expect("the topic is subscribed again")
}
