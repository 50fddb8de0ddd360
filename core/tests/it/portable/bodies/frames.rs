//! Headers and extensions are read unchanged, and each kind of broken bytes has its
//! error. On hosts of any byte order.

use mycelium_core::{
    Envelope, FrameError, FrameView, Limits, TraceContext,
    frame::{ExtensionError, MAX_LENGTH},
    write_frame,
};

/// A frame with every extension: trace at byte 24, correlation at 56, destination at 80, deadline
/// at 96, redelivered at 112, sent at 120, then 3 bytes.
fn full(buffer: &mut [u8; 152]) -> &mut [u8] {
    let len = write_frame(buffer, &envelope(), 2, b"abc").unwrap();
    assert_eq!(len, 144);
    &mut buffer[..len]
}

fn envelope() -> Envelope {
    Envelope {
        type_id: 0x0201,
        stream: 0x0605_0403,
        sequence: 0x0e0d_0c0b_0a09_0807,
        trace: Some(TraceContext { trace_id: [0x11; 16], span_id: [0x22; 8], flags: 1 }),
        correlation: Some(1),
        destination: Some(2),
        deadline: Some(3),
        redelivered: true,
        sent_at: Some(4),
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Result<FrameView<'_>, FrameError> {
    FrameView::parse(bytes, &Limits::default()).map(|(frame, rest)| {
        assert!(rest.is_empty());
        frame
    })
}

/// The error of the full frame with some bytes replaced.
fn refused(at: usize, bytes: &[u8]) -> FrameError {
    let mut buffer = [0xa5; 152];
    let frame = full(&mut buffer);
    frame[at..][..bytes.len()].copy_from_slice(bytes);
    parse(frame).unwrap_err()
}

pub(crate) fn a_frame_comes_back() {
    let mut buffer = [0xa5; 152];
    let bytes = full(&mut buffer);
    // The same order of bytes on every host.
    assert_eq!(bytes[..16], [0xa1, 0, 1, 2, 139, 0, 0, 0, 2, 0, 112, 0, 3, 4, 5, 6]);
    assert_eq!(bytes[16..28], [7, 8, 9, 10, 11, 12, 13, 14, 1, 0, 25, 0]);
    assert_eq!(bytes[56..64], [2, 0, 16, 0, 1, 0, 0, 0]);
    assert_eq!(bytes[80..96], [3, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[112..120], [5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[120..136], [6, 0, 8, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[136..], *b"abc\0\0\0\0\0");
    let frame = parse(bytes).unwrap();
    assert_eq!(frame.envelope(), envelope());
    assert!(frame.extensions().map(|extension| extension.kind).eq([1, 2, 3, 4, 5, 6]));
    assert_eq!(buffer[144..], [0xa5; 8], "nothing is written behind the frame");
}

pub(crate) fn broken_headers_are_refused() {
    assert_eq!(refused(0, &[0xb1]), FrameError::Magic { found: 0xb1 });
    assert_eq!(refused(0, &[0xa2]), FrameError::Version { expected: 1, found: 2 });
    assert_eq!(refused(1, &[0x40]), FrameError::Flags { found: 0x40 });
    assert_eq!(refused(4, &[0xff; 4]), FrameError::TooLong { limit: 1 << 20, found: u32::MAX });
    assert_eq!(refused(4, &[0; 4]), FrameError::TooShort { needed: 138, found: 0 });
    assert_eq!(refused(8, &[0xff, 0xff]), FrameError::TooShort { needed: 136 + 65535, found: 139 });
    assert_eq!(refused(10, &[4]), FrameError::ExtensionsLength { found: 4 });
    assert_eq!(refused(143, &[1]), FrameError::Padding);
    // A length that does not fit `usize` together with its padding must not wrap, also where
    // `usize` has 32 bits.
    let mut buffer = [0xa5; 152];
    let frame = full(&mut buffer);
    frame[4..8].fill(0xff);
    let error = FrameView::parse(frame, &Limits { max_frame: u32::MAX }).unwrap_err();
    assert_eq!(error, FrameError::TooLong { limit: MAX_LENGTH, found: u32::MAX });
}

pub(crate) fn broken_extensions_are_refused() {
    let broken = |at, bytes: &[u8]| match refused(at, bytes) {
        FrameError::Extension(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(broken(24, &[0]), ExtensionError::Reserved);
    assert_eq!(broken(80, &[1]), ExtensionError::Order { kind: 1, after: 2 });
    assert_eq!(broken(96, &[3]), ExtensionError::Duplicate { kind: 3 });
    assert_eq!(broken(97, &[0x80]), ExtensionError::Critical { kind: 0x8004 });
    assert_eq!(broken(55, &[1]), ExtensionError::Padding { kind: 1 });
    let length = ExtensionError::Length { kind: 2, expected: 16, found: 17 };
    assert_eq!(broken(58, &[17]), length);
    assert_eq!(broken(98, &[40]), ExtensionError::Truncated { needed: 48, found: 40 });
}
