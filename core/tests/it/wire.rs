//! The bytes of frames: the examples of `docs/wire-format.md`, and all errors that it names.

use mycelium_core::{
    DecodeError, Envelope, FrameError, FrameView, Frames, Limits, Message, TraceContext,
    WriteError,
    frame::{
        Extension, ExtensionError, Fragment, MAX_LENGTH, frame_len, write_fragment, write_head,
    },
    write_frame, write_message,
};

use crate::schema::{Aligned, Swap};

const PLAIN: &str = "\
    a1000100400000002800000003000000 0900000000000000\
    cb04fb711f010000fbffffffffffffff4d0000000201 03004554480000000000 020007002c010000";

const TAIL: &str = "\
    a1000102210000000400000001000000 0000000000010000 01020304 68656c6c6f 00000000000000";

const FULL: &str = "\
    a1000100980000002800580003000000 0a00000000000000\
    01001900 101112131415161718191a1b1c1d1e1f 2021222324252627 01 000000\
    02001000 100f0e0d0c0b0a090807060504030201 00000000\
    03000800 2a00000000000000 00000000\
    04000800 00002a36fe9c9717 00000000\
    cb04fb711f010000fbffffffffffffff4d0000000201 03004554480000000000 020007002c010000";

const REDELIVERED: &str = "\
    a1000100480000002800080003000000 0b00000000000000 0500000000000000\
    cb04fb711f010000fbffffffffffffff4d0000000201 03004554480000000000 020007002c010000";

const SENT_AT: &str = "\
    a1000100500000002800100003000000 0c00000000000000\
    06000800 15cd853dfe9c9717 00000000\
    cb04fb711f010000fbffffffffffffff4d0000000201 03004554480000000000 020007002c010000";

const UNKNOWN: &str = "\
    a1000200280000000800080001000000 0000000000000000 210003006e657700 0500000000000000";

const CRITICAL: &str = "\
    a1000200300000000800100001000000 0000000000000000 21800800 0100000000000000 00000000\
    0500000000000000";

/// 2023-11-14 22:13:20.123456789 UTC, in nanoseconds.
const SENT: u64 = 1_700_000_000_123_456_789;

const DIGEST: &str = "d951b210f68d7797a59308674285af0a";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn full_envelope() -> Envelope {
    Envelope {
        trace: Some(TraceContext {
            trace_id: core::array::from_fn(|i| 0x10 + i as u8),
            span_id: core::array::from_fn(|i| 0x20 + i as u8),
            flags: 1,
        }),
        correlation: Some(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        destination: Some(42),
        deadline: Some(1_700_000_000_000_000_000),
        ..Envelope::of::<Swap>(3, 10)
    }
}

fn parse(bytes: &[u8]) -> Result<FrameView<'_>, FrameError> {
    FrameView::parse(bytes, &Limits::default()).map(|(frame, rest)| {
        assert!(rest.is_empty());
        frame
    })
}

/// The golden frame with some bytes replaced.
fn patched(golden: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = hex(golden);
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[test]
fn golden_frames_are_written() {
    let mut buffer = Aligned::new();
    let buffer = buffer.bytes();

    let len = write_message(buffer, &Envelope::of::<Swap>(3, 9), &Swap::golden()).unwrap();
    assert_eq!(buffer[..len], hex(PLAIN));
    assert!(buffer[len..].iter().all(|byte| *byte == 0xa5), "no byte after the frame is written");

    let len = write_message(buffer, &full_envelope(), &Swap::golden()).unwrap();
    assert_eq!(buffer[..len], hex(FULL));

    let envelope = Envelope { redelivered: true, ..Envelope::of::<Swap>(3, 11) };
    let len = write_message(buffer, &envelope, &Swap::golden()).unwrap();
    assert_eq!(buffer[..len], hex(REDELIVERED));

    let envelope = Envelope { sent_at: Some(SENT), ..Envelope::of::<Swap>(3, 12) };
    let len = write_message(buffer, &envelope, &Swap::golden()).unwrap();
    assert_eq!(buffer[..len], hex(SENT_AT));

    let envelope = Envelope { type_id: 513, stream: 1, sequence: 1 << 40, ..Envelope::default() };
    let len = write_frame(buffer, &envelope, 4, b"\x01\x02\x03\x04hello").unwrap();
    assert_eq!(buffer[..len], hex(TAIL));
}

#[test]
fn golden_frames_are_read() {
    let mut buffer = Aligned::holding(&hex(PLAIN));
    let plain = parse(&buffer.bytes()[..64]).unwrap();
    assert_eq!(plain.message::<Swap>(), Ok(&Swap::golden()));
    assert_eq!(plain.envelope(), Envelope::of::<Swap>(3, 9));
    assert_eq!(plain.header().length(), 64);
    assert_eq!(plain.tail(), b"");

    let bytes = hex(FULL);
    let full = parse(&bytes).unwrap();
    assert_eq!(full.read::<Swap>(), Ok(Swap::golden()));
    assert_eq!(full.envelope(), full_envelope());
    assert_eq!(full.extensions().map(|e| e.kind).collect::<Vec<_>>(), [1, 2, 3, 4]);

    let bytes = hex(REDELIVERED);
    assert!(parse(&bytes).unwrap().is_redelivered() && !plain.is_redelivered());

    let bytes = hex(SENT_AT);
    assert_eq!((parse(&bytes).unwrap().sent_at(), plain.sent_at()), (Some(SENT), None));

    let bytes = hex(TAIL);
    let tail = parse(&bytes).unwrap();
    assert_eq!((tail.fixed(), tail.tail()), (&[1, 2, 3, 4][..], &b"hello"[..]));
}

#[test]
#[cfg_attr(miri, ignore = "searches text for long, and shows nothing that Miri could see")]
fn the_document_shows_the_same_bytes() {
    let document = include_str!("../../../docs/wire-format.md");
    let shown = |name: &str| {
        let start = document.find(&format!("```hex {name}\n")).expect(name);
        let block = document[start..].lines().skip(1).take_while(|line| *line != "```");
        hex(&block.map(|line| line.split(';').next().unwrap()).collect::<String>())
    };
    for (name, golden) in [
        ("plain", PLAIN),
        ("tail", TAIL),
        ("full", FULL),
        ("redelivered", REDELIVERED),
        ("sent_at", SENT_AT),
        ("unknown", UNKNOWN),
        ("critical", CRITICAL),
        ("digest", DIGEST),
    ] {
        assert_eq!(shown(name), hex(golden), "{name}");
    }
    assert_eq!(fnv_1a(&shown("canonical")), hex(DIGEST)[..]);
    assert_eq!(Swap::DIGEST.to_string(), DIGEST);
    assert!(document.contains(&Swap::DESCRIPTOR.to_string()), "the layout is as it prints");
}

/// The hash as the document specifies it, written independently of the crate.
fn fnv_1a(bytes: &[u8]) -> [u8; 16] {
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    let prime = 0x0000_0000_0100_0000_0000_0000_0000_013b_u128;
    bytes.iter().fold(start, |h, b| (h ^ u128::from(*b)).wrapping_mul(prime)).to_be_bytes()
}

#[test]
fn an_old_reader_skips_unknown_kinds() {
    // Kind 0x21 is as unknown here as trace context is to a reader without tracing.
    let bytes = hex(UNKNOWN);
    let frame = parse(&bytes).unwrap();
    let extension = Extension { kind: 0x21, value: b"new" };
    assert_eq!(frame.extensions().collect::<Vec<_>>(), [extension]);
    assert_eq!(frame.payload(), [5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(frame.envelope(), Envelope { type_id: 2, stream: 1, ..Envelope::default() });
}

/// A decoder that knows only the header, as a peer from before all extensions.
#[test]
fn a_peer_without_extensions_decodes_a_frame_with_a_trace() {
    let mut buffer = Aligned::new();
    let envelope = Envelope { trace: full_envelope().trace, ..Envelope::of::<Swap>(3, 10) };
    let len = write_message(buffer.bytes(), &envelope, &Swap::golden()).unwrap();
    let frame = &buffer.bytes()[..len];

    let number = |at: usize, len: usize| {
        frame[at..at + len].iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte))
    };
    let (end, extensions_end) = (number(4, 4), 24 + number(10, 2));
    let mut at = 24;
    while at < extensions_end {
        assert_eq!(number(at, 2) & 0x8000, 0, "not critical, so it may be skipped");
        at += (4 + number(at + 2, 2)).next_multiple_of(8);
    }
    assert_eq!(at, extensions_end);
    assert_eq!(mycelium_core::decode::<Swap>(&frame[at..end]), Ok(Swap::golden()));
}

#[test]
fn headers_at_their_limits_are_refused() {
    for (at, bytes, error) in [
        (4, &[0, 0, 0x11, 0][..], FrameError::TooLong { limit: 1 << 20, found: 0x11_0000 }),
        (4, &[63], FrameError::TooShort { needed: 64, found: 63 }),
        (10, &[0xf8, 0xff], FrameError::TooShort { needed: 24 + 65528 + 40, found: 64 }),
    ] {
        assert_eq!(parse(&patched(PLAIN, at, bytes)).unwrap_err(), error);
    }
    let bytes = hex(PLAIN);
    let error = FrameView::parse(&bytes, &Limits { max_frame: 63 }).unwrap_err();
    assert_eq!(error, FrameError::TooLong { limit: 63, found: 64 });
}

#[test]
fn a_wrong_first_byte_is_found_before_the_header_is_complete() {
    assert_eq!(parse(b"").unwrap_err(), FrameError::Incomplete { needed: 24 });
    assert_eq!(parse(b"\xa1").unwrap_err(), FrameError::Incomplete { needed: 24 });
    assert_eq!(parse(b"G").unwrap_err(), FrameError::Magic { found: b'G' });
    assert_eq!(parse(b"\xa7").unwrap_err(), FrameError::Version { expected: 1, found: 7 });
}

#[test]
fn invalid_extensions_are_refused() {
    let refused = |golden, at, bytes: &[u8]| match parse(&patched(golden, at, bytes)) {
        Err(FrameError::Extension(error)) => error,
        other => panic!("{other:?}"),
    };
    // In FULL, kind 4 starts at 96.
    let length = ExtensionError::Length { kind: 4, expected: 8, found: 9 };
    assert_eq!(refused(FULL, 98, &[9]), length);
    let truncated = ExtensionError::Truncated { needed: 24, found: 16 };
    assert_eq!(refused(FULL, 98, &[20]), truncated);
    assert_eq!(
        refused(UNKNOWN, 26, &[0xff, 0xff]),
        ExtensionError::Truncated { needed: 65544, found: 8 }
    );
    assert_eq!(refused(UNKNOWN, 31, &[1]), ExtensionError::Padding { kind: 0x21 });
    let length = ExtensionError::Length { kind: 0x8005, expected: 10, found: 8 };
    assert_eq!(refused(CRITICAL, 24, &[5]), length);
    assert_eq!(
        parse(&hex(CRITICAL)).unwrap_err(),
        FrameError::Extension(ExtensionError::Critical { kind: 0x8021 })
    );
}

#[test]
fn unknown_kinds_may_repeat() {
    let mut bytes = hex(UNKNOWN);
    bytes.splice(32..32, bytes[24..32].to_vec());
    (bytes[4], bytes[10]) = (48, 16);
    assert_eq!(parse(&bytes).unwrap().extensions().count(), 2);
}

#[test]
fn frames_end_with_an_error() {
    let mut bytes = [hex(PLAIN), hex(PLAIN), hex(PLAIN)].concat();
    bytes[64] = 0;
    let mut frames = Frames::new(&bytes, Limits::default());
    assert!(frames.next().unwrap().is_ok());
    assert_eq!(frames.next().unwrap().unwrap_err(), FrameError::Magic { found: 0 });
    assert!(frames.next().is_none(), "after an error, the start of the next frame is unknown");
}

#[test]
fn a_frame_of_another_type_or_size_is_refused() {
    let bytes = patched(PLAIN, 2, &[2]);
    let error = DecodeError::Type { message: "Swap", expected: 1, found: 2 };
    assert_eq!(parse(&bytes).unwrap().message::<Swap>(), Err(error));
    assert_eq!(error.to_string(), "message `Swap` has id 1, but the frame carries id 2");

    let bytes = patched(PLAIN, 8, &[39]);
    let error = DecodeError::Size { message: "Swap", expected: 40, found: 39 };
    assert_eq!(parse(&bytes).unwrap().read::<Swap>(), Err(error));
}

#[test]
fn an_unaligned_payload_is_copied_and_not_borrowed() {
    let mut buffer = Aligned::new();
    buffer.bytes()[1..65].copy_from_slice(&hex(PLAIN));
    let frame = parse(&buffer.bytes()[1..65]).unwrap();
    let misaligned = DecodeError::Misaligned { message: "Swap", expected: 8 };
    assert_eq!(frame.message::<Swap>(), Err(misaligned));
    assert_eq!(frame.read::<Swap>(), Ok(Swap::golden()));
}

#[test]
fn a_buffer_is_unchanged_if_the_fixed_part_is_too_long() {
    let envelope = full_envelope();
    let mut buffer = Aligned::new();
    let error = write_frame(buffer.bytes(), &envelope, 3, b"ab");
    assert_eq!(error, Err(WriteError::Fixed { fixed: 3, payload: 2 }));
    assert!(buffer.bytes().iter().all(|byte| *byte == 0xa5));
}

#[test]
fn a_fragment_names_its_part_and_is_not_a_message() {
    let mut buffer = Aligned::new();
    let fragment = Fragment { offset: 1 << 16, total: 1 << 17, fixed_len: 40 };
    let envelope = full_envelope();
    let bytes = [7; 40];
    let len = write_fragment(buffer.bytes(), &envelope, fragment, &bytes).unwrap();
    let frame = parse(&buffer.bytes()[..len]).unwrap();
    assert_eq!((frame.fragment(), frame.envelope()), (Some(fragment), envelope));
    assert_eq!((frame.payload(), frame.fixed()), (&bytes[..], &[][..]));
    assert!(matches!(frame.message::<Swap>(), Err(DecodeError::Size { found: 0, .. })));
    assert_eq!(parse(&hex(FULL)).unwrap().fragment(), None);
}

#[test]
fn a_payload_above_the_longest_frame_is_refused() {
    let plain = Envelope::default();
    let longest = MAX_LENGTH as usize - 24;
    assert_eq!(frame_len(&plain, longest), Ok(MAX_LENGTH as usize));
    for payload in [longest + 1, usize::MAX] {
        assert_eq!(frame_len(&plain, payload), Err(WriteError::TooLong { payload }));
        let head = write_head(&mut [0; 24], &plain, 0, payload);
        assert_eq!(head, Err(WriteError::TooLong { payload }));
    }
}

#[test]
fn a_head_is_the_start_of_the_frame() {
    let mut head = [0; 112];
    assert_eq!(write_head(&mut head, &full_envelope(), 40, 40), Ok(112));
    assert_eq!(head, hex(FULL)[..112]);
    let error = WriteError::Space { needed: 112, available: 111 };
    assert_eq!(write_head(&mut head[..111], &full_envelope(), 40, 40), Err(error));
}
