//! Frames on hosts of any byte order and width. Messages need a little-endian host, frames do not:
//! `cargo +nightly miri test --target s390x-unknown-linux-gnu -p mycelium-core --test it any_host::`.

use mycelium_core::{
    Envelope, FixedStr, FrameView, Limits, TraceContext, frame::HEADER_LEN, write_frame,
};
use zerocopy::IntoBytes;

#[test]
fn a_frame_has_the_same_bytes_everywhere() {
    let envelope = Envelope {
        type_id: 0x0201,
        stream: 0x0605_0403,
        sequence: 0x0e0d_0c0b_0a09_0807,
        trace: Some(TraceContext { trace_id: [0x11; 16], span_id: [0x22; 8], flags: 1 }),
        correlation: Some(1),
        destination: Some(2),
        deadline: Some(3),
        redelivered: true,
        sent_at: Some(4),
    };
    let mut buffer = [0xa5; 152];
    let len = write_frame(&mut buffer, &envelope, 2, b"abc").unwrap();
    assert_eq!(len, 144);
    let header = [
        0xa1, 0, 1, 2, 139, 0, 0, 0, 2, 0, 112, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, //
    ];
    assert_eq!(buffer[..HEADER_LEN], header);
    assert_eq!(buffer[24..28], [1, 0, 25, 0]);
    assert_eq!(buffer[56..64], [2, 0, 16, 0, 1, 0, 0, 0]);
    assert_eq!(buffer[80..96], [3, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(buffer[112..120], [5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(buffer[120..136], [6, 0, 8, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(buffer[136..144], *b"abc\0\0\0\0\0");

    let (frame, rest) = FrameView::parse(&buffer[..len], &Limits::default()).unwrap();
    assert_eq!((frame.envelope(), frame.fixed(), frame.tail()), (envelope, &b"ab"[..], &b"c"[..]));
    assert!(rest.is_empty());
}

#[test]
fn text_has_the_same_bytes_everywhere() {
    let text = FixedStr::<4>::try_from("abc").unwrap();
    assert_eq!(text.as_bytes(), [3, 0, b'a', b'b', b'c', 0]);
}
