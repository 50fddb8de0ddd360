//! Messages that are too long for one frame: they arrive in fragments, do not block other streams,
//! and need no buffer of their own length. Invalid fragments end the link.

use std::time::Duration;

use mycelium_core::Fixed;
use mycelium_core::frame::Fragment;
use mycelium_core::link::{IncomingId, Interest, OutgoingId, RejectReason, SendError};
use mycelium_core::{Digest, Envelope, TraceContext};

use crate::pair::conversation::{
    LEFT, RIGHT, blob, fragment, name, open, opened, reading, send, send_rest, subscribe,
    subscribe_to, swaps, whole,
};
use crate::pair::{Pair, Received, TestLink};
use crate::portable::bodies::codec::Swap;

/// Opens a stream of another topic from left to right.
fn another(pair: &mut Pair, topic: &str, epoch: u64) -> (OutgoingId, IncomingId) {
    let (_, export) = subscribe_to(pair, Interest { topic: name(topic), ..swaps(64) });
    let outgoing = open(pair, export, epoch, 0);
    (outgoing, opened(pair, epoch, 0))
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
fn extensions_arrive_with_the_first_fragment() {
    let (mut pair, outgoing, _) = reading(Pair::with(TestLink::MIN_BUFFER, |_, _| {}), 8);
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
    let (link, begin) = (&mut pair.sides[LEFT].link, fragment(&message, 0));
    let sent = link.send_fragment(pair.now, outgoing, &envelope, begin, &message).unwrap();
    pair.deliver();
    let rest = fragment(&message, sent);
    let link = &mut pair.sides[LEFT].link;
    link.send_fragment(pair.now, outgoing, &envelope, rest, &message[sent..]).unwrap();
    pair.deliver();
    let news = pair.sides[RIGHT].take_events();
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
    let (mut pair, long, of_long) = reading(Pair::new(), 8);
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
fn a_lent_message_stays_with_the_caller_until_it_is_written() {
    let (mut pair, outgoing, incoming) = reading(Pair::with(2048, |_, _| {}), 8);
    pair.message = |_| blob(200_003);
    let (message, plain, now) = (blob(200_003), Envelope::default(), pair.now);
    let short = fragment(&message[..64], 0);
    let lend =
        |pair: &mut Pair, part| pair.sides[LEFT].link.lend_fragment(now, outgoing, &plain, part);
    assert_eq!(lend(&mut pair, short), Ok(0), "a short message is copied");
    let (mut sent, mut events) = (0, Vec::new());
    while sent < message.len() {
        // Four parts of one length.
        let part = lend(&mut pair, fragment(&message, sent)).unwrap();
        sent += part;
        assert_eq!(part, if sent < message.len() { 50_008 } else { 49_979 });
        if sent < message.len() {
            let refused = lend(&mut pair, fragment(&message, sent));
            assert!(matches!(refused, Err(SendError::Room { .. })), "{refused:?}");
        }
        while pair.write(LEFT, 7001) {}
        pair.deliver();
        events.extend(pair.sides[RIGHT].take_events());
    }
    assert_eq!(whole(&events, incoming), [message]);
    assert_eq!(pair.failed(), [None, None]);
}

#[test]
fn an_open_message_is_completed_or_aborted() {
    let (mut pair, outgoing, incoming) = reading(Pair::with(2048, |_, _| {}), 1);
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
fn the_reader_limits_long_and_open_messages() {
    let pair = Pair::with(2048, |_, right| (right.max_message, right.max_open) = (5000, 1));
    let (mut pair, first, _) = reading(pair, 8);
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
fn a_reject_is_sent_before_another_open_message() {
    let (mut pair, _, export) = subscribe(Pair::with(4096, |_, right| right.max_open = 1), 8);
    let first = open(&mut pair, export, 77, 0);
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
    let (mut pair, outgoing, _) = reading(Pair::with(4096, |left, _| left.fragment = 24), 8);
    pair.written[LEFT].clear();
    through(&mut pair, outgoing, Swap::golden().encoded());
    let offered = ["first", "rest"].map(crate::pair::offered).concat();
    assert_eq!(pair.written[LEFT], offered);
}
