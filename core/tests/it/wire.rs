//! The bytes of frames: the examples of `docs/wire-format.md`, and all errors that it names.

use std::time::Duration;

use mycelium_core::{
    DecodeError, Digest, Envelope, FrameError, Frames, Limits, Message, TraceContext, WriteError,
    decode, encode,
    frame::{
        Extension, ExtensionError, Fragment, MAX_LENGTH, frame_len, write_fragment, write_head,
    },
    message, write_frame, write_message,
};

use crate::pair::offered;
use crate::portable::bodies::codec::{Buffer, Swap};
use crate::portable::bodies::frames::parse;

/// 2023-11-14 22:13:20.123456789 UTC, in nanoseconds.
const SENT: u64 = 1_700_000_000_123_456_789;

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

#[test]
fn golden_frames_are_written_and_read() {
    for (name, envelope) in [
        ("plain", Envelope::of::<Swap>(3, 9)),
        ("full", full_envelope()),
        ("redelivered", Envelope { redelivered: true, ..Envelope::of::<Swap>(3, 11) }),
        ("sent_at", Envelope { sent_at: Some(SENT), ..Envelope::of::<Swap>(3, 12) }),
    ] {
        let buffer = &mut Buffer([0xa5; 256]).0;
        let len = write_message(buffer, &envelope, &Swap::golden()).unwrap();
        assert_eq!(buffer[..len], offered(name), "{name}");
        assert!(buffer[len..].iter().all(|byte| *byte == 0xa5), "{name}: no byte after the frame");
        let frame = parse(&buffer[..len]).unwrap();
        assert_eq!((frame.envelope(), frame.header().length() as usize), (envelope, len), "{name}");
        let found = (frame.is_redelivered(), frame.sent_at());
        assert_eq!(found, (envelope.redelivered, envelope.sent_at), "{name}");
        assert_eq!(frame.message::<Swap>(), Ok(&Swap::golden()), "{name}");
        assert_eq!((frame.read::<Swap>(), frame.tail()), (Ok(Swap::golden()), &[][..]), "{name}");
    }
    let bytes = offered("full");
    assert!(parse(&bytes).unwrap().extensions().map(|it| it.kind).eq([1, 2, 3, 4]));

    let envelope = Envelope { type_id: 513, stream: 1, sequence: 1 << 40, ..Envelope::default() };
    let buffer = &mut Buffer([0xa5; 256]).0;
    let len = write_frame(buffer, &envelope, 4, b"\x01\x02\x03\x04hello").unwrap();
    assert_eq!(buffer[..len], offered("tail"));
    let tail = parse(&buffer[..len]).unwrap();
    assert_eq!((tail.fixed(), tail.tail()), (&[1, 2, 3, 4][..], &b"hello"[..]));
}

/// The 128-bit FNV-1a hash, as the document defines the digest.
fn fnv(bytes: &[u8]) -> Digest {
    let step = |state: u128, byte: &u8| {
        (state ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    Digest(bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step).to_be_bytes())
}

#[test]
fn the_document_shows_the_layout_and_its_digest() {
    assert_eq!(fnv(&offered("canonical")), Swap::DIGEST);
    assert_eq!(Swap::DIGEST.0[..], offered("digest"));
    let document = include_str!("../../../docs/wire-format.md");
    assert!(document.contains(&Swap::DESCRIPTOR.to_string()), "the layout is as it prints");
}

#[message(topic = "notes", id = 2)]
#[derive(Debug, PartialEq)]
struct Note {
    at: Duration,
    title: String,
    tags: Vec<String>,
    level: Option<u16>,
    kind: Kind,
}

#[message]
#[derive(Debug, PartialEq)]
enum Kind {
    Plain,
    Price { cents: i64 },
}

#[test]
fn the_document_shows_a_message_of_any_length() {
    let note = Note {
        at: Duration::new(7, 500),
        title: "gas".into(),
        tags: vec!["a".into(), String::new(), "bc".into()],
        level: Some(3),
        kind: Kind::Price { cents: -1 },
    };
    let buffer = &mut Buffer([0xa5; 256]).0;
    let len = encode(&note, buffer).unwrap();
    let mut form = vec![0; 4096];
    let (_, total) = Note::DESCRIPTOR.canonical(0, &mut form);
    assert_eq!(buffer[..len], offered("note"));
    assert_eq!(decode::<Note>(&buffer[..len]), Ok(note.clone()));
    assert_eq!((&form[..total], fnv(&form[..total])), (&offered("note_layout")[..], Note::DIGEST));
    let document = include_str!("../../../docs/wire-format.md");
    let len = write_message(buffer, &Envelope::of::<Note>(3, 9), &note).unwrap();
    let frame = parse(&buffer[..len]).unwrap();
    assert_eq!((frame.fixed().len(), frame.tail().len()), (56, 42));
    assert_eq!(frame.read::<Note>(), Ok(note));
    buffer[8] = 55;
    let error = DecodeError::Size { message: "Note", expected: 56, found: 55 };
    assert_eq!(parse(&buffer[..len]).unwrap().read::<Note>(), Err(error));
    for shown in [Note::DESCRIPTOR.to_string(), Note::DIGEST.to_string()] {
        assert!(document.contains(&shown), "{shown}");
    }
}

#[test]
fn an_old_reader_skips_unknown_kinds() {
    // Kind 0x21 is as unknown here as trace context is to a reader without tracing.
    let bytes = offered("unknown");
    let frame = parse(&bytes).unwrap();
    let extension = Extension { kind: 0x21, value: b"new" };
    assert_eq!(frame.extensions().collect::<Vec<_>>(), [extension]);
    assert_eq!(frame.payload(), [5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(frame.envelope(), Envelope { type_id: 2, stream: 1, ..Envelope::default() });
    let mut twice = bytes.clone();
    twice.splice(32..32, bytes[24..32].to_vec());
    (twice[4], twice[10]) = (48, 16);
    assert_eq!(parse(&twice).unwrap().extensions().count(), 2, "they may repeat");
    let critical = ExtensionError::Critical { kind: 0x8021 };
    assert_eq!(parse(&offered("critical")).unwrap_err(), FrameError::Extension(critical));
}

#[test]
fn a_wrong_first_byte_is_found_before_the_header_is_complete() {
    assert_eq!(parse(b"").unwrap_err(), FrameError::Incomplete { needed: 24 });
    assert_eq!(parse(b"\xa1").unwrap_err(), FrameError::Incomplete { needed: 24 });
    assert_eq!(parse(b"G").unwrap_err(), FrameError::Magic { found: b'G' });
    assert_eq!(parse(b"\xa7").unwrap_err(), FrameError::Version { expected: 1, found: 7 });
}

#[test]
fn frames_end_with_an_error() {
    let mut bytes = offered("plain").repeat(3);
    bytes[64] = 0;
    let mut frames = Frames::new(&bytes, Limits::default());
    assert!(frames.next().unwrap().is_ok());
    assert_eq!(frames.next().unwrap().unwrap_err(), FrameError::Magic { found: 0 });
    assert!(frames.next().is_none(), "after an error, the start of the next frame is unknown");
}

#[test]
fn a_frame_of_another_type_or_size_is_refused() {
    let mut bytes = offered("plain");
    bytes[2] = 2;
    let error = DecodeError::Type { message: "Swap", expected: 1, found: 2 };
    assert_eq!(parse(&bytes).unwrap().message::<Swap>(), Err(error));
    assert_eq!(error.to_string(), "message `Swap` has id 1, but the frame carries id 2");

    let mut bytes = offered("plain");
    bytes[8] = 39;
    let error = DecodeError::Size { message: "Swap", expected: 40, found: 39 };
    assert_eq!(parse(&bytes).unwrap().read::<Swap>(), Err(error));
}

#[test]
fn a_buffer_is_unchanged_if_the_fixed_part_is_too_long() {
    let envelope = full_envelope();
    let buffer = &mut Buffer([0xa5; 256]).0;
    let error = write_frame(buffer, &envelope, 3, b"ab");
    assert_eq!(error, Err(WriteError::Fixed { fixed: 3, payload: 2 }));
    assert!(buffer.iter().all(|byte| *byte == 0xa5));
}

#[test]
fn a_fragment_names_its_part_and_is_not_a_message() {
    let buffer = &mut Buffer([0xa5; 256]).0;
    let fragment = Fragment { offset: 1 << 16, total: 1 << 17, fixed_len: 40 };
    let envelope = full_envelope();
    let bytes = [7; 40];
    let len = write_fragment(buffer, &envelope, fragment, &bytes).unwrap();
    let frame = parse(&buffer[..len]).unwrap();
    assert_eq!((frame.fragment(), frame.envelope()), (Some(fragment), envelope));
    assert_eq!((frame.payload(), frame.fixed()), (&bytes[..], &[][..]));
    assert!(matches!(frame.message::<Swap>(), Err(DecodeError::Size { found: 0, .. })));
    assert_eq!(parse(&offered("full")).unwrap().fragment(), None);
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
    assert_eq!(head, offered("full")[..112]);
    let error = WriteError::Space { needed: 112, available: 111 };
    assert_eq!(write_head(&mut head[..111], &full_envelope(), 40, 40), Err(error));
}
