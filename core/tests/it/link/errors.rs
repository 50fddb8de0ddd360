//! Limits of a link, and errors that end it: the table of `docs/wire-format.md`.

use std::time::Duration;

use mycelium_core::Fixed;
use mycelium_core::frame::{ExtensionError, Fragment, FrameError};
use mycelium_core::link::{
    CloseReason, Config, ConfigError, FragmentError, Interest, LinkError, RunError, SendError,
};
use mycelium_core::{Envelope, Limits};

use super::memory::pair;
use crate::pair::conversation::{
    LEFT, MS, RIGHT, control, frame, name, open, payload, reading, send, subscribe_to, subscribed,
    swaps, try_open,
};
use crate::pair::{Pair, STREAMS, TOPICS, TestLink, config, lasting};
use crate::portable::bodies::codec::Swap;

const FIRST: Fragment = Fragment { offset: 0, total: 48, fixed_len: 40 };
const SECOND: Fragment = Fragment { offset: 24, ..FIRST };

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
    let export = subscribed(&mut pair);
    (0..STREAMS as u64).for_each(|epoch| _ = try_open(&mut pair, export, epoch, 0).unwrap());
    let one_more = try_open(&mut pair, export, 99, 0);
    assert_eq!(one_more, Err(SendError::Streams { limit: STREAMS }));
}

/// A message of the type of `Swap`.
fn message(stream: u32, sequence: u64) -> Vec<u8> {
    let envelope = Envelope { type_id: 1, stream, sequence, ..Envelope::default() };
    frame(&envelope, None, Swap::golden().encoded())
}

/// A fragment of a message of this stream.
fn part(stream: u32, sequence: u64, fragment: Fragment, length: usize) -> Vec<u8> {
    let envelope = Envelope { type_id: 1, stream, sequence, ..Envelope::default() };
    frame(&envelope, Some(fragment), &vec![7; length])
}

/// A frame of which one byte is another one.
fn patched(mut frame: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    frame[at] = byte;
    frame
}

/// The header of a run of stream 1.
fn run(sequence: u64, skip: u16, words: [u32; 3]) -> Vec<u8> {
    let words = words.map(u32::to_le_bytes).concat();
    control(1, sequence, &payload(19, &[&skip.to_le_bytes(), &words]))
}

/// A number with eight bytes, behind six without a meaning.
pub(super) fn word(kind: u16, stream: u32, sequence: u64, word: u64) -> Vec<u8> {
    control(stream, sequence, &payload(kind, &[&[0; 6], &word.to_le_bytes()]))
}

fn end(sequence: u64) -> Vec<u8> {
    control(1, sequence, &payload(11, &[&[0; 6]]))
}

pub(super) fn region(stream: u32, sequence: u64) -> Vec<u8> {
    control(stream, sequence, &payload(0x8016, &[&[0, 0, 7, 0, 0, 0]]))
}

fn memory() -> Vec<u8> {
    control(0, 0, &payload(21, &[&[0; 6], b"a token of bytes"]))
}

fn sequence(expected: u64, found: u64) -> LinkError {
    LinkError::Sequence { stream: 1, expected, found }
}

/// The side ends with the error when it receives these frames, and its peer learns of that.
fn ends(side: usize, frames: &[Vec<u8>], error: LinkError) {
    let (mut pair, ..) = pair([true; 2]);
    assert_eq!(pair.feed(side, &frames.concat()), Some(error), "{frames:02x?}");
    pair.settle();
    let failed = pair.sides[1 - side].failed;
    assert_eq!(failed, Some(LinkError::PeerClosed(CloseReason::Protocol)), "{frames:02x?}");
}

#[test]
fn a_protocol_error_closes_the_link() {
    let size = |kind, expected, found| LinkError::ControlSize { kind, expected, found };
    for (frame, error) in [
        (vec![0xff], LinkError::Frame(FrameError::Magic { found: 0xff })),
        (message(1, 101), sequence(100, 101)),
        (message(1, 99), sequence(100, 99)),
        (patched(message(1, 100), 2, 9), LinkError::Type { expected: 1, found: 9 }),
        (message(5, 100), LinkError::Stream { number: 5 }),
        (control(0, 0, &[13, 0, 0]), size(13, 16, 3)),
        (control(0, 0, &[13]), size(0, 2, 1)),
        (control(0, 0, &[1, 0x80]), LinkError::ControlKind { kind: 0x8001 }),
        (end(101), sequence(100, 101)),
        (control(0, 0, &[6, 0, 0, 0, 99, 0, 0, 0]), LinkError::Subscription { number: 99 }),
    ] {
        ends(RIGHT, &[frame], error);
    }
    for (frame, error) in [
        // Messages that were not sent, and less credit than before.
        (word(12, 1, 101, 8), LinkError::Window { stream: 1 }),
        (word(12, 1, 100, 7), LinkError::Window { stream: 1 }),
        (word(12, 9, 100, 8), LinkError::Stream { number: 9 }),
        (control(9, 0, &payload(20, &[&[0; 6]])), LinkError::Stream { number: 9 }),
    ] {
        ends(LEFT, &[frame], error);
    }
}

#[test]
fn invalid_fragments_end_the_link() {
    let good = || part(1, 100, FIRST, 24);
    let wrong = |error| LinkError::Fragment { stream: 1, error };
    let offset = |expected, found| wrong(FragmentError::Offset { expected, found });
    let (length, changed) = (wrong(FragmentError::Length), wrong(FragmentError::Changed));
    let long = wrong(FragmentError::TooLong { limit: 1 << 20, found: (1 << 20) + 1 });
    let critical = FrameError::Extension(ExtensionError::Critical { kind: 0x8005 });
    let empty = Fragment { total: 0, fixed_len: 0, ..FIRST };
    for (frames, error) in [
        (vec![part(1, 100, SECOND, 24)], offset(0, 24)),
        (vec![good(), part(1, 100, Fragment { offset: 32, ..FIRST }, 8)], offset(24, 32)),
        (vec![good(), good()], offset(24, 0)),
        (vec![good(), part(1, 100, Fragment { total: 56, ..SECOND }, 8)], changed),
        (vec![good(), part(1, 100, Fragment { fixed_len: 8, ..SECOND }, 8)], changed),
        (vec![part(1, 100, Fragment { total: (1 << 20) + 1, ..FIRST }, 24)], long),
        // The whole message, nothing, nothing of nothing, more than the rest, and an odd length.
        (vec![part(1, 100, FIRST, 48)], length),
        (vec![part(1, 100, FIRST, 0)], length),
        (vec![part(1, 100, empty, 0)], length),
        (vec![good(), part(1, 100, SECOND, 32)], length),
        (vec![part(1, 100, FIRST, 25)], length),
        (vec![part(1, 100, Fragment { fixed_len: 49, ..FIRST }, 24)], length),
        // A fixed part of its own.
        (vec![patched(good(), 8, 8)], length),
        (vec![good(), message(1, 100)], wrong(FragmentError::Open)),
        (vec![good(), end(100)], wrong(FragmentError::Open)),
        (vec![good(), region(1, 100)], wrong(FragmentError::Open)),
        (vec![good(), part(1, 101, FIRST, 24)], sequence(100, 101)),
        (vec![patched(part(1, 0, FIRST, 16), 2, 0)], LinkError::Frame(critical)),
    ] {
        ends(RIGHT, &frames, error);
    }
    let (mut pair, ..) = reading(Pair::with(4096, |_, right| right.max_open = 1), 8);
    let (_, export) = subscribe_to(&mut pair, Interest { topic: name("others"), ..swaps(8) });
    open(&mut pair, export, 78, 0);
    let both = [good(), part(2, 0, FIRST, 24)].concat();
    assert_eq!(pair.feed(RIGHT, &both), Some(LinkError::TooMany { limit: 1 }));
}

#[test]
fn invalid_runs_end_the_link() {
    let wrong = |error| LinkError::Run { stream: 1, error };
    let shape = |stride, length| wrong(RunError::Shape { stride, length });
    let length = |found| wrong(RunError::Length { found, limit: 256 << 10 });
    let most = u64::from(u32::MAX);
    assert_eq!(pair([true; 2]).0.feed(RIGHT, &run(100, 8, [8, 48, 40])), None);
    for (skip, words, error) in [
        (8, [0, 48, 40], length(0)),
        (8, [4, 0, 40], shape(0, 40)),
        (8, [4, 52, 40], shape(52, 40)),
        (4, [4, 56, 40], shape(56, 40)),
        (16, [4, 48, 40], shape(48, 40)),
        (8, [4, 48, 0], shape(48, 0)),
        (8, [4, 48, u32::MAX], shape(48, u32::MAX)),
        (8, [4, 1 << 17, 1 << 16], shape(1 << 17, 1 << 16)),
        (65_528, [4, 65_536, 9], shape(65_536, 9)),
        (8, [u32::MAX, 48, 40], length(most * 48)),
        (8, [u32::MAX, u32::MAX - 7, 40], length(most * (most - 7))),
        (8, [5462, 48, 40], length(5462 * 48)),
        (8, [9, 48, 40], LinkError::Credit { stream: 1 }),
    ] {
        ends(RIGHT, &[run(100, skip, words)], error);
    }
    ends(RIGHT, &[run(101, 8, [4, 48, 40])], sequence(100, 101));
    ends(RIGHT, &[part(1, 100, FIRST, 24), run(100, 8, [4, 48, 40])], wrong(RunError::Open));
    let mut pair = Pair::new();
    pair.settle();
    let unknown = pair.feed(RIGHT, &run(100, 8, [4, 48, 40]));
    assert_eq!(unknown, Some(LinkError::Stream { number: 1 }));
    // Its messages would be too long as frames.
    let limits = Limits { max_frame: 1024 };
    let (mut pair, ..) = reading(Pair::with(4096, |_, right| right.limits = limits), 8);
    assert_eq!(pair.feed(RIGHT, &run(100, 8, [1, 1016, 1008])), Some(length(1016)));
}

#[test]
fn invalid_frames_about_memory_end_the_link() {
    let moved = LinkError::Moved { stream: 1 };
    let stream = |number| LinkError::Stream { number };
    for valid in [
        vec![memory(), region(1, 100), end(100)],
        vec![region(1, 100), memory(), end(5000)],
        vec![region(1, 100), end(u64::MAX)],
    ] {
        assert_eq!(pair([true; 2]).0.feed(RIGHT, &valid.concat()), None, "{valid:02x?}");
    }
    ends(RIGHT, &[memory(), memory()], LinkError::SecondMemory);
    for (frame, error) in [
        (message(1, 100), moved),
        (message(1, 101), moved),
        (part(1, 100, FIRST, 24), moved),
        (run(100, 8, [2, 56, 40]), moved),
        (word(10, 1, 105, 5), moved),
        (region(1, 100), moved),
        (region(1, 101), moved),
        (end(99), sequence(100, 99)),
        (end(0), sequence(100, 0)),
    ] {
        ends(RIGHT, &[region(1, 100), frame], error);
    }
    for (frames, error) in [
        (vec![region(1, 99)], sequence(100, 99)),
        (vec![region(1, 101)], sequence(100, 101)),
        (vec![region(2, 100)], stream(2)),
        (vec![end(100), region(1, 100)], stream(1)),
        (vec![region(1, 100), end(200), region(1, 100)], stream(1)),
        (vec![region(1, 100), end(200), end(200)], stream(1)),
    ] {
        ends(RIGHT, &frames, error);
    }
    for one_side in [[false, false], [false, true], [true, false]] {
        for frame in [memory(), region(1, 100)] {
            let error = pair(one_side).0.feed(RIGHT, &frame);
            assert_eq!(error, Some(LinkError::NoMemory), "{one_side:?}");
        }
    }
}

#[test]
fn a_message_without_credit_ends_the_link() {
    for frame in [message(1, 101), part(1, 101, FIRST, 24)] {
        let (mut pair, outgoing, _) = reading(Pair::new(), 1);
        send(&mut pair, outgoing, 1).unwrap();
        pair.deliver();
        assert_eq!(pair.feed(RIGHT, &frame), Some(LinkError::Credit { stream: 1 }));
    }
}

#[test]
fn invalid_frames_before_hello_are_refused() {
    let mut small = payload(1, &[&[1, 1], &64_u32.to_le_bytes()]);
    small.resize(96, 0);
    let envelope = Envelope { type_id: 9, ..Envelope::default() };
    let long = FrameError::TooLong { limit: 1024, found: 100_024 };
    for (bytes, error) in [
        (word(13, 0, 0, 0), LinkError::NoHello),
        (control(0, 0, &small), LinkError::Limit { limit: 64 }),
        (frame(&envelope, None, &[0; 100_000])[..24].to_vec(), LinkError::Frame(long)),
    ] {
        assert_eq!(Pair::new().feed(LEFT, &bytes), Some(error));
    }
}

#[test]
fn kinds_of_a_later_version_are_skipped() {
    let mut pair = Pair::new();
    pair.settle();
    assert_eq!(pair.feed(LEFT, &control(0, 0, &[99, 0, 1, 2, 3])), None);
}

#[test]
fn settings_outside_of_their_limits_are_refused() {
    let (limits, own, least) = (Limits { max_frame: 100 }, config("left"), TestLink::MIN_BUFFER);
    for (length, config, error) in [
        (least - 1, own, ConfigError::Buffer { least, found: least - 1 }),
        (4096, Config { limits, ..own }, ConfigError::MaxFrame { least: 120 }),
        (4096, Config { keep_alive: Duration::ZERO, ..own }, ConfigError::KeepAlive),
        (4096, Config { keep_alive: Duration::from_secs(21), ..own }, ConfigError::Silence),
        (4096, Config { silence: 99 * MS, keep_alive: 33 * MS, ..own }, ConfigError::Silence),
    ] {
        assert_eq!(TestLink::new(config, lasting(length)).unwrap_err(), error);
    }
    let interest = Pair::new().sides[LEFT].link.subscribe(Interest { type_id: 0, ..swaps(8) });
    assert_eq!(interest, Err(SendError::Type));
}
