//! Messages that are too long for one frame: they arrive in fragments, do not block other streams,
//! and need no buffer of their own length. Invalid fragments end the link.

use std::time::Duration;

use mycelium_core::frame::{ExtensionError, Fragment, write_fragment};
use mycelium_core::link::{
    Config, FragmentError, IncomingId, Interest, LinkError, OutgoingId, RejectReason, SendError,
};
use mycelium_core::{Digest, Envelope, FrameError, TraceContext};
use zerocopy::IntoBytes;

use crate::pair::conversation::{
    LEFT, RIGHT, blob, fragment, last_subscribed, name, open, reading, send, send_rest, subscribe,
    swaps, whole,
};
use crate::pair::{Pair, Received, TestLink, config};
use crate::schema::Swap;

/// Opens a stream of another topic from left to right.
fn another(pair: &mut Pair, topic: &str, epoch: u64) -> (OutgoingId, IncomingId) {
    pair.sides[RIGHT].link.subscribe(Interest { topic: name(topic), ..swaps(64) }).unwrap();
    pair.settle();
    let export = last_subscribed(pair, LEFT);
    let outgoing = open(pair, export, epoch, 0);
    pair.settle();
    let incoming =
        pair.sides[RIGHT].take_events().into_iter().find_map(|received| match received {
            Received::Stream { stream, .. } => Some(stream),
            _ => None,
        });
    (outgoing, incoming.unwrap())
}

/// Sends a whole message, and returns the events of the right side.
fn through(pair: &mut Pair, stream: OutgoingId, message: &[u8]) -> Vec<Received> {
    let (mut sent, mut events) = (0, Vec::new());
    loop {
        let result = send_rest(pair, stream, message, &mut sent);
        assert!(matches!(result, Ok(()) | Err(SendError::Room { .. })), "{result:?}");
        pair.deliver();
        events.extend(pair.sides[RIGHT].take_events());
        if result.is_ok() {
            return events;
        }
    }
}

#[test]
fn a_message_longer_than_the_buffer_arrives_in_fragments() {
    for buffer in [TestLink::MIN_BUFFER, 2048, 1 << 17] {
        let mut pair = Pair::with(config("left"), config("right"), buffer);
        let (outgoing, incoming) = reading(&mut pair, 8);
        for length in [40, 4096, 16384, 16385, 100_001] {
            let message = blob(length);
            let events = through(&mut pair, outgoing, &message);
            assert_eq!(whole(&events, incoming), [message], "{length} in {buffer}");
            pair.sides[RIGHT].link.grant(incoming, 1).unwrap();
        }
        pair.pass(Duration::from_millis(20));
        let link = &mut pair.sides[LEFT].link;
        assert_eq!((link.sequence(outgoing), link.unconfirmed(outgoing)), (Ok(105), 0));
        assert_eq!(link.credit(outgoing), 8, "each counts once");
    }
}

#[test]
fn extensions_arrive_with_the_first_fragment() {
    let mut pair = Pair::with(config("left"), config("right"), TestLink::MIN_BUFFER);
    let (outgoing, _) = reading(&mut pair, 8);
    let trace = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    let envelope = Envelope {
        trace: Some(trace),
        correlation: Some(1),
        destination: Some(2),
        deadline: Some(3),
        sent_at: Some(4),
        ..Envelope::default()
    };
    let message = blob(1000);
    let link = &mut pair.sides[LEFT].link;
    let sent =
        link.send_fragment(pair.now, outgoing, &envelope, fragment(&message, 0), &message).unwrap();
    link.flush();
    pair.settle();
    let rest = fragment(&message, sent);
    let link = &mut pair.sides[LEFT].link;
    link.send_fragment(pair.now, outgoing, &envelope, rest, &message[sent..]).unwrap();
    link.flush();
    let news = pair.settled(RIGHT);
    let [
        Received::Fragment { envelope: first, sequence: 100, .. },
        Received::Fragment { envelope: second, sequence: 100, .. },
    ] = &news[..]
    else {
        panic!("{news:?}")
    };
    assert_eq!(Envelope { type_id: 1, stream: 1, sequence: 100, ..envelope }, *first);
    assert_eq!(second.trace, None);
}

#[test]
fn other_streams_send_between_fragments() {
    let mut pair = Pair::with(config("left"), config("right"), 4096);
    let (long, of_long) = reading(&mut pair, 8);
    let (short, of_short) = another(&mut pair, "others", 78);
    let (message, mut sent, mut events) = (blob(1 << 17), 0, Vec::new());
    let mut beside = 0;
    while sent < message.len() {
        let _ = send_rest(&mut pair, long, &message, &mut sent);
        // The buffer has a fragment, and room for other messages.
        while beside < 64 && send(&mut pair, short, 1).is_ok() {
            beside += 1;
        }
        pair.sides[LEFT].link.flush();
        pair.write(LEFT, 700);
        pair.pass(Duration::from_millis(700));
        events.extend(pair.sides[RIGHT].take_events());
    }
    assert_eq!(beside, 64);
    assert_eq!(pair.sides[LEFT].failed, None, "keep-alive frames arrive too");
    assert_eq!((whole(&events, of_long), whole(&events, of_short).len()), (vec![message], 64));
    let last = |of| {
        events.iter().rposition(|received| match received {
            Received::Message { stream, .. } | Received::Fragment { stream, .. } => *stream == of,
            _ => false,
        })
    };
    assert!(last(of_short) < last(of_long));
}

#[test]
fn an_open_message_is_completed_or_aborted() {
    let mut pair = Pair::with(config("left"), config("right"), 2048);
    let (outgoing, incoming) = reading(&mut pair, 1);
    let (now, message, mut sent) = (pair.now, blob(8000), 0);
    send_rest(&mut pair, outgoing, &message, &mut sent).unwrap_err();
    assert!(sent > 0);
    let link = &mut pair.sides[LEFT].link;
    let plain = Envelope::default();
    assert_eq!(link.send(now, outgoing, &plain, 0, &[1]), Err(SendError::Open));
    assert_eq!(link.end_stream(now, outgoing), Err(SendError::Open));
    for wrong in [
        fragment(&message, 0),
        fragment(&message, sent + 8),
        Fragment { total: 8001, ..fragment(&message, sent) },
        Fragment { fixed_len: 39, ..fragment(&message, sent) },
    ] {
        let refused = link.send_fragment(now, outgoing, &plain, wrong, &message[sent..]);
        assert_eq!(refused, Err(SendError::Fragment { expected: sent as u32 }));
    }
    let few = link.send_fragment(now, outgoing, &plain, fragment(&message, sent), &message[..7]);
    assert_eq!(few, Err(SendError::Fragment { expected: sent as u32 }));
    assert_eq!(link.sequence(outgoing), Ok(100));

    // Overwritten messages use no credit.
    link.skip(now, outgoing, 3, 9).unwrap();
    let news = pair.settled(RIGHT);
    assert_eq!(whole(&news, incoming), [[0; 0]; 0]);
    assert_eq!(news.last(), Some(&Received::Gap { stream: incoming, missed: 3, reason: 9 }));
    let events = through(&mut pair, outgoing, &message);
    assert_eq!(whole(&events, incoming), [message]);
    assert_eq!(send(&mut pair, outgoing, 1), Err(SendError::Credit));
}

#[test]
fn an_open_message_restarts_after_a_lost_connection() {
    let mut pair = Pair::with(config("left"), config("right"), 2048);
    let (outgoing, incoming) = reading(&mut pair, 8);
    let (message, mut sent) = (blob(8000), 0);
    send_rest(&mut pair, outgoing, &message, &mut sent).unwrap_err();
    pair.deliver();
    assert!(matches!(pair.sides[RIGHT].take_events()[..], [Received::Fragment { .. }]));
    pair.reconnect();
    let news = pair.sides[LEFT].take_events();
    let [.., Received::Resume { export, epoch: 77, next: 100 }] = news[..] else {
        panic!("{news:?}")
    };
    let again = open(&mut pair, export, 77, 100);
    pair.settle();
    let events = through(&mut pair, again, &message);
    assert_eq!(whole(&events, incoming), [message]);
}

#[test]
fn fragments_after_unsubscribe_are_discarded() {
    let mut pair = Pair::with(config("left"), config("right"), 1 << 16);
    let (interest, export) = subscribe(&mut pair, 8);
    let outgoing = open(&mut pair, export, 77, 0);
    pair.settle();
    let (message, mut sent) = (blob(20_000), 0);
    send_rest(&mut pair, outgoing, &message, &mut sent).unwrap_err();
    pair.deliver();
    pair.sides[RIGHT].take_events();
    send_rest(&mut pair, outgoing, &message, &mut sent).unwrap();
    pair.sides[LEFT].link.flush();
    pair.write(LEFT, usize::MAX);
    pair.sides[RIGHT].link.unsubscribe(interest).unwrap();
    assert_eq!(pair.settled(RIGHT), [Received::Unsubscribed { interest, discarded: 1 }]);
}

#[test]
fn the_reader_limits_long_and_open_messages() {
    let right = Config { max_message: 5000, max_open: 1, ..config("right") };
    let mut pair = Pair::with(config("left"), right, 2048);
    let (first, _) = reading(&mut pair, 8);
    let (second, incoming) = another(&mut pair, "others", 78);
    let (mut sent, mut other) = (0, 0);
    let refused = send_rest(&mut pair, first, &blob(5001), &mut sent);
    assert_eq!(refused, Err(SendError::TooLong { length: 5001, limit: 5000 }));

    let message = blob(5000);
    send_rest(&mut pair, first, &message, &mut sent).unwrap_err();
    let refused = send_rest(&mut pair, second, &message, &mut other);
    assert_eq!(refused, Err(SendError::Fragments { limit: 1 }));

    pair.settle();
    pair.sides[LEFT].link.skip(pair.now, first, 1, 1).unwrap();
    let events = through(&mut pair, second, &message);
    assert_eq!(whole(&events, incoming), [message]);
}

#[test]
fn a_reader_may_refuse_fragments() {
    let right = Config { max_open: 0, ..config("right") };
    let mut pair = Pair::with(config("left"), right, 2048);
    let (outgoing, _) = reading(&mut pair, 8);
    let refused = send_rest(&mut pair, outgoing, &blob(5000), &mut 0);
    assert_eq!(refused, Err(SendError::TooLong { length: 5000, limit: 0 }));
}

#[test]
fn a_reject_is_sent_before_another_open_message() {
    let right = Config { max_open: 1, ..config("right") };
    let mut pair = Pair::with(config("left"), right, 4096);
    let (_, export) = subscribe(&mut pair, 8);
    let first = open(&mut pair, export, 77, 0);
    pair.settled(RIGHT);
    let (second, incoming) = another(&mut pair, "others", 78);
    let (message, mut sent) = (blob(8000), 0);
    send_rest(&mut pair, first, &message, &mut sent).unwrap_err();
    pair.settle();
    pair.sides[LEFT].link.reject(export, RejectReason::Unknown, Digest([0; 16])).unwrap();
    let events = through(&mut pair, second, &message);
    assert_eq!(whole(&events, incoming), [message]);
    assert_eq!(pair.sides[RIGHT].failed, None);
}

#[test]
fn the_document_shows_the_same_bytes() {
    let left = Config { fragment: 24, ..config("left") };
    let mut pair = Pair::with(left, config("right"), 4096);
    let (outgoing, _) = reading(&mut pair, 8);
    pair.written[LEFT].clear();
    through(&mut pair, outgoing, Swap::golden().as_bytes());
    let offered = ["first", "rest"].map(crate::pair::offered).concat();
    assert_eq!(pair.written[LEFT], offered);
}

/// A fragment of a message of stream 1, as a hostile peer may send it.
fn part(sequence: u64, fragment: Fragment, bytes: &[u8]) -> Vec<u8> {
    let envelope = Envelope { type_id: 1, stream: 1, sequence, ..Envelope::default() };
    let mut frame = vec![0; 1024];
    let length = write_fragment(&mut frame, &envelope, fragment, bytes).unwrap();
    frame.truncate(length);
    frame
}

#[test]
fn invalid_fragments_end_the_link() {
    let first = Fragment { offset: 0, total: 48, fixed_len: 40 };
    let good = || part(100, first, &[7; 24]);
    let second = Fragment { offset: 24, ..first };
    let whole_one = {
        let mut frame = part(100, first, &[7; 40]);
        // Without the extension.
        frame.drain(24..40);
        (frame[4], frame[10]) = (64, 0);
        frame
    };
    let own_fixed = {
        let mut frame = good();
        frame[8] = 8;
        frame
    };
    let mut control = part(0, first, &[13; 16]);
    control[2] = 0;
    let end = crate::pair::conversation::control(1, 100, &[11, 0, 0, 0, 0, 0, 0, 0]);
    let wrong = |error| LinkError::Fragment { stream: 1, error };
    let offset = |expected, found| wrong(FragmentError::Offset { expected, found });
    let long = FragmentError::TooLong { limit: 1 << 20, found: (1 << 20) + 1 };
    let critical = ExtensionError::Critical { kind: 0x8005 };
    let sequence = LinkError::Sequence { stream: 1, expected: 100, found: 101 };
    for (what, frames, error) in [
        ("no first fragment", vec![part(100, second, &[7; 24])], offset(0, 24)),
        (
            "a hole",
            vec![good(), part(100, Fragment { offset: 32, ..first }, &[7; 8])],
            offset(24, 32),
        ),
        ("a duplicate", vec![good(), good()], offset(24, 0)),
        (
            "another length",
            vec![good(), part(100, Fragment { total: 56, ..second }, &[7; 8])],
            wrong(FragmentError::Changed),
        ),
        (
            "another fixed part",
            vec![good(), part(100, Fragment { fixed_len: 8, ..second }, &[7; 8])],
            wrong(FragmentError::Changed),
        ),
        (
            "too long",
            vec![part(100, Fragment { total: (1 << 20) + 1, ..first }, &[7; 24])],
            wrong(long),
        ),
        ("the whole message", vec![part(100, first, &[7; 48])], wrong(FragmentError::Length)),
        ("an empty fragment", vec![part(100, first, &[])], wrong(FragmentError::Length)),
        (
            "an empty message",
            vec![part(100, Fragment { total: 0, fixed_len: 0, ..first }, &[])],
            wrong(FragmentError::Length),
        ),
        ("beyond the end", vec![good(), part(100, second, &[7; 32])], wrong(FragmentError::Length)),
        ("not a multiple of 8", vec![part(100, first, &[7; 25])], wrong(FragmentError::Length)),
        (
            "a longer fixed part",
            vec![part(100, Fragment { fixed_len: 49, ..first }, &[7; 24])],
            wrong(FragmentError::Length),
        ),
        ("a fixed part of its own", vec![own_fixed], wrong(FragmentError::Length)),
        ("a message between", vec![good(), whole_one], wrong(FragmentError::Open)),
        ("an end between", vec![good(), end], wrong(FragmentError::Open)),
        ("the next message", vec![good(), part(101, first, &[7; 24])], sequence),
        ("a control frame", vec![control], LinkError::Frame(FrameError::Extension(critical))),
    ] {
        let mut pair = Pair::new();
        reading(&mut pair, 8);
        assert_eq!(pair.feed(RIGHT, &frames.concat()), Some(error), "{what}");
    }
}

#[test]
fn too_many_open_messages_end_the_link() {
    let right = Config { max_open: 1, ..config("right") };
    let mut pair = Pair::with(config("left"), right, 4096);
    reading(&mut pair, 8);
    another(&mut pair, "others", 78);
    let first = Fragment { offset: 0, total: 48, fixed_len: 40 };
    let mut second = part(0, first, &[7; 24]);
    second[12] = 2;
    let mut third = part(100, first, &[7; 24]);
    third.extend(second);
    assert_eq!(pair.feed(RIGHT, &third), Some(LinkError::TooMany { limit: 1 }));
}

#[test]
fn a_fragmented_message_needs_credit() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 1);
    send(&mut pair, outgoing, 1).unwrap();
    pair.deliver();
    let mut sent = 0;
    let refused = send_rest(&mut pair, outgoing, &blob(8000), &mut sent);
    assert_eq!((refused, sent), (Err(SendError::Credit), 0));
    let first = Fragment { offset: 0, total: 48, fixed_len: 40 };
    assert_eq!(
        pair.feed(RIGHT, &part(101, first, &[7; 24])),
        Some(LinkError::Credit { stream: 1 })
    );
}
