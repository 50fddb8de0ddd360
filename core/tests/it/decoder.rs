//! A decoder in another language, written from `docs/wire-format.md` alone, reads the bytes of
//! links.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use mycelium_core::link::{Config, Interest, Name, ReaderMode};
use mycelium_core::{Envelope, Frames, Limits, TraceContext, write_frame};
use zerocopy::IntoBytes;

use crate::pair::conversation::{LEFT, blob, control, last_subscribed, reading, send, send_rest};
use crate::pair::{Pair, config};
use crate::schema::Swap;

fn documents() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The decoder's exit status and output for these arguments and this stream.
fn decoder(arguments: &[&str], stream: &[u8]) -> (bool, String) {
    let mut child = Command::new("python3")
        .arg(documents().join("wire_decoder.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3 (3.9 or later) in the path, to run wire_decoder.py");
    child.stdin.take().unwrap().write_all(stream).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn it_reads_every_example_of_the_document() {
    let document = documents().join("wire-format.md");
    let (good, received) = decoder(&["--self-test", document.to_str().unwrap()], &[]);
    assert!(good, "{received}");
}

/// A message with a tail of more than half of a buffer.
fn long_swap() -> Vec<u8> {
    [Swap::golden().as_bytes(), &blob(5000)].concat()
}

/// All bytes of the left side, while the right side read what it published.
fn recorded() -> Vec<u8> {
    let mut pair = Pair::new();
    let interest = Interest::of::<Swap>(ReaderMode::Gating, 8).unwrap();
    pair.sides[1].link.subscribe(interest).unwrap();
    pair.settle();
    let export = last_subscribed(&mut pair, 0);
    let name = Name::try_from("feed").unwrap();
    let link = &mut pair.sides[0].link;
    let stream = link.open_stream(pair.now, export, name, 77, 100, 1024).unwrap();
    let trace = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    let envelopes = [
        Envelope::default(),
        Envelope { trace: Some(trace), deadline: Some(9), ..Envelope::default() },
        Envelope { correlation: Some(3), destination: Some(4), ..Envelope::default() },
        Envelope { sent_at: Some(5), ..Envelope::default() },
    ];
    for envelope in envelopes {
        link.send(pair.now, stream, &envelope, 40, Swap::golden().as_bytes()).unwrap();
    }
    let (message, mut sent) = (long_swap(), 0);
    while send_rest(&mut pair, stream, &message, &mut sent).is_err() {
        pair.settle();
    }
    let link = &mut pair.sides[0].link;
    link.skip(pair.now, stream, 2, 7).unwrap();
    link.end_stream(pair.now, stream).unwrap();
    pair.pass(Duration::from_secs(6));
    pair.written[0].clone()
}

#[test]
fn it_reads_a_recorded_stream() {
    let stream = recorded();
    let frames: Vec<_> = Frames::new(&stream, Limits::default()).map(Result::unwrap).collect();
    let (good, received) = decoder(&["--swap", "-"], &stream);
    assert!(good, "{received}");
    let lines: Vec<&str> = received.lines().collect();
    assert_eq!(lines.len(), frames.len());
    for (line, frame) in lines.iter().zip(&frames) {
        let header = frame.header();
        for (name, value) in [
            ("type", u64::from(header.type_id())),
            ("stream", header.stream().into()),
            ("sequence", header.sequence()),
        ] {
            assert!(line.contains(&format!("\"{name}\": {value}")), "{name} {value}: {line}");
        }
    }
    for part in ["\"hello\"", "\"stream\"", "\"gap\"", "\"end\"", "1234567890123", "\"ETH\""] {
        assert!(received.contains(part), "{part}: {received}");
    }
    assert!(received.contains("01010101010101010101010101010101"), "the trace: {received}");

    // Fragments are assembled.
    let parts = received.lines().filter(|line| line.contains("\"fragment\""));
    let whole: Vec<_> = parts.clone().filter(|line| line.contains("\"message\"")).collect();
    assert_eq!((parts.count(), whole.len()), (3, 1));
    let bytes: String = long_swap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(whole[0].contains(&bytes) && whole[0].contains("\"ETH\""));

    let (good, received) = decoder(&["-"], &stream[..stream.len() - 3]);
    assert!(!good && received.lines().last().unwrap().contains("\"Incomplete\""), "{received}");
}

/// All bytes of the left side, whose stream moves to memory after two messages.
fn recorded_move() -> Vec<u8> {
    let with = |name| Config { memory: true, ..config(name) };
    let mut pair = Pair::with(with("left"), with("right"), 4096);
    let (stream, _) = reading(&mut pair, 8);
    send(&mut pair, stream, 2).unwrap();
    let link = &mut pair.sides[LEFT].link;
    link.offer_memory(pair.now, [5; 16]).unwrap();
    assert_eq!(link.move_stream(pair.now, stream, 3), Ok(102));
    pair.settle();
    pair.written[LEFT].clone()
}

#[test]
fn it_reads_a_stream_that_moves_to_memory() {
    let moved = recorded_move();
    let frame = |sequence: u64, payload: &[u8]| control(1, sequence, payload);
    let end = |sequence| frame(sequence, &[11, 0, 0, 0, 0, 0, 0, 0]);
    let gap = frame(103, &[10, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let region = frame(102, &[0x16, 0x80, 0, 0, 3, 0, 0, 0]);
    let mut message = vec![0; 64];
    let envelope = Envelope { type_id: 1, stream: 1, sequence: 102, ..Envelope::default() };
    write_frame(&mut message, &envelope, 40, Swap::golden().as_bytes()).unwrap();
    for (last, error) in [
        (end(102), None),
        (end(5000), None),
        (end(101), Some("Sequence")),
        (gap, Some("Moved")),
        (region, Some("Moved")),
        (message, Some("Moved")),
    ] {
        let (good, received) = decoder(&["-"], &[&moved[..], &last].concat());
        assert_eq!(good, error.is_none(), "{received}");
        assert!(received.contains("\"memory\"") && received.contains("\"number\": 3"));
        let last = received.lines().last().unwrap();
        let expected = error.map_or("\"end\"".to_owned(), |name| format!("\"error\": \"{name}\""));
        assert!(last.contains(&expected), "{last}");
    }
}
