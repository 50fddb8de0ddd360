//! Limits of a link, and errors that end it.

use mycelium_core::link::{CloseReason, ConfigError, Interest, LinkError, SendError};
use mycelium_core::{Envelope, FrameError, write_frame};
use zerocopy::IntoBytes;

use crate::pair::conversation::{
    LEFT, RIGHT, control, last_subscribed, name, reading, send, swaps,
};
use crate::pair::{Pair, STREAMS, TOPICS, config};
use crate::schema::Swap;

#[test]
fn topics_and_streams_are_limited() {
    let mut pair = Pair::new();
    for number in 0..TOPICS {
        let topic = name(&format!("topic {number}"));
        pair.sides[RIGHT].link.subscribe(Interest { topic, ..swaps(1) }).unwrap();
    }
    let one_more = pair.sides[RIGHT].link.subscribe(swaps(1));
    assert_eq!(one_more, Err(SendError::Topics { limit: TOPICS }));
    pair.settle();
    let export = last_subscribed(&mut pair, LEFT);
    let link = &mut pair.sides[LEFT].link;
    for epoch in 0..STREAMS as u64 {
        link.open_stream(pair.now, export, name("feed"), epoch, 0, 1024).unwrap();
    }
    let one_more = link.open_stream(pair.now, export, name("feed"), 99, 0, 1024);
    assert_eq!(one_more, Err(SendError::Streams { limit: STREAMS }));
}

#[test]
fn a_protocol_error_closes_the_link() {
    type Breach = (&'static str, Vec<u8>, LinkError);
    let message = |sequence: u64, type_id: u16, stream: u32| {
        let mut frame = vec![0; 256];
        let envelope = Envelope { type_id, stream, sequence, ..Envelope::default() };
        let swap = Swap::golden();
        let length = write_frame(&mut frame, &envelope, 40, swap.as_bytes()).unwrap();
        frame.truncate(length);
        frame
    };
    let window = |confirmed: u64, granted: u64| {
        let mut payload = [12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        payload[8..].copy_from_slice(&granted.to_le_bytes());
        control(1, confirmed, &payload)
    };
    // Numbers start at 1: the left side's first stream, and the right side's first interest.
    let to_reader: Vec<Breach> = vec![
        ("not a frame", vec![0xff], LinkError::Frame(FrameError::Magic { found: 0xff })),
        (
            "a hole",
            message(101, 1, 1),
            LinkError::Sequence { stream: 1, expected: 100, found: 101 },
        ),
        (
            "a duplicate",
            message(99, 1, 1),
            LinkError::Sequence { stream: 1, expected: 100, found: 99 },
        ),
        ("another type", message(100, 9, 1), LinkError::Type { expected: 1, found: 9 }),
        ("an unknown stream", message(100, 1, 5), LinkError::Stream { number: 5 }),
        (
            "a short frame",
            control(0, 0, &[13, 0, 0]),
            LinkError::ControlSize { kind: 13, expected: 16, found: 3 },
        ),
        (
            "too short for a kind",
            control(0, 0, &[13]),
            LinkError::ControlSize { kind: 0, expected: 2, found: 1 },
        ),
        ("a critical kind", control(0, 0, &[1, 0x80]), LinkError::ControlKind { kind: 0x8001 }),
        (
            "an end too late",
            control(1, 101, &[11, 0, 0, 0, 0, 0, 0, 0]),
            LinkError::Sequence { stream: 1, expected: 100, found: 101 },
        ),
        (
            "an accept of no subscription",
            control(0, 0, &[6, 0, 0, 0, 99, 0, 0, 0]),
            LinkError::Subscription { number: 99 },
        ),
    ];
    let to_writer: Vec<Breach> = vec![
        ("confirmed before it was sent", window(101, 8), LinkError::Window { stream: 1 }),
        ("confirmed back", window(100, 7), LinkError::Window { stream: 1 }),
        (
            "a window of an unknown stream",
            control(9, 100, &[12, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]),
            LinkError::Stream { number: 9 },
        ),
        (
            "demand on an unknown stream",
            control(9, 0, &[20, 0, 0, 0, 0, 0, 0, 0]),
            LinkError::Stream { number: 9 },
        ),
    ];
    let both = to_reader.into_iter().map(|breach| (RIGHT, breach));
    for (side, (what, bytes, error)) in
        both.chain(to_writer.into_iter().map(|breach| (LEFT, breach)))
    {
        let mut pair = Pair::new();
        reading(&mut pair, 8);
        assert_eq!(pair.feed(side, &bytes), Some(error), "{what}");
        pair.settle();
        let failed = pair.sides[1 - side].failed;
        assert_eq!(failed, Some(LinkError::PeerClosed(CloseReason::Protocol)), "{what}");
    }
}

#[test]
fn a_message_without_room_ends_the_link() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 1);
    send(&mut pair, outgoing, 1).unwrap();
    pair.deliver();
    let mut frame = vec![0; 256];
    let envelope = Envelope { type_id: 1, stream: 1, sequence: 101, ..Envelope::default() };
    let length = write_frame(&mut frame, &envelope, 40, Swap::golden().as_bytes()).unwrap();
    assert_eq!(pair.feed(RIGHT, &frame[..length]), Some(LinkError::Credit { stream: 1 }));
}

#[test]
fn frames_before_hello_are_refused() {
    let mut pair = Pair::new();
    let ping = control(0, 0, &[13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(pair.feed(LEFT, &ping), Some(LinkError::NoHello));
}

#[test]
fn kinds_of_a_later_version_are_skipped() {
    let mut pair = Pair::new();
    pair.settle();
    assert_eq!(pair.feed(LEFT, &control(0, 0, &[99, 0, 1, 2, 3])), None);
}

#[test]
fn a_buffer_that_is_too_small_is_refused() {
    let least = crate::pair::TestLink::MIN_BUFFER;
    let buffer = crate::pair::lasting(least - 1);
    let error = crate::pair::TestLink::new(config("left"), buffer).unwrap_err();
    assert_eq!(error, ConfigError::Buffer { least, found: least - 1 });
}
