//! Frames, extensions and messages: invalid bytes are an error, and valid ones have one encoding.

use mycelium_core::Fixed;
use mycelium_core::{
    Envelope, FixedStr, FixedVec, FrameError, FrameView, Frames, Limits, decode, decode_ref,
    frame::{Extensions, frame_len, kind, write_fragment},
    from_words, message as message_type, to_words, write_frame,
};
use zerocopy::IntoBytes;

/// The bytes of the output buffer: more than libFuzzer's default limit for inputs.
const ROOM: usize = 8192;

#[message_type]
#[repr(u8)]
#[derive(Debug, PartialEq)]
enum Side {
    Buy = 1,
    Sell = 2,
}

#[message_type]
#[derive(Debug, PartialEq)]
struct Level {
    price: u32,
    note: FixedStr<5>,
    open: bool,
}

#[message_type(topic = "books", id = 1)]
#[derive(Debug, PartialEq)]
struct Book {
    at: u64,
    best: Level,
    symbol: FixedStr<10>,
    levels: FixedVec<Level, 2>,
    sides: FixedVec<Side, 3>,
    wide: FixedVec<u128, 1>,
    side: Side,
    flags: [bool; 2],
    _pad: [u8; 4],
}

/// Reads any bytes as a buffer of frames. A valid frame must be written back as the same bytes.
pub fn frame(data: &[u8]) {
    let limits = Limits { max_frame: 4096 };
    let mut frames = Frames::new(data, limits);
    let mut at = 0;
    for frame in frames.by_ref() {
        let Ok(frame) = frame else { break };
        let length = usize::try_from(frame.header().length()).expect("at most 4096");
        let end = at + length.next_multiple_of(8);
        assert_eq!(frame.payload().len(), frame.fixed().len() + frame.tail().len());
        write_back(&frame, &data[at..end]);
        let _ = (frame.message::<Book>().is_ok(), frame.read::<Book>().is_ok());
        // A frame without its last byte is incomplete, and says how many bytes it needs.
        let cut = FrameView::parse(&data[at..end - 1], &limits).map(|_| ());
        assert_eq!(cut, Err(FrameError::Incomplete { needed: end - at }));
        at = end;
    }
    assert_eq!(frames.rest(), &data[at..]);
}

fn write_back(frame: &FrameView<'_>, bytes: &[u8]) {
    let envelope = frame.envelope();
    let mut room = [0xa5; ROOM];
    let (fixed, fragment) = (frame.header().fixed_len(), frame.fragment());
    let written = match fragment {
        Some(fragment) => write_fragment(&mut room, &envelope, fragment, frame.payload()),
        None => write_frame(&mut room, &envelope, fixed, frame.payload()),
    };
    let len = written.expect("it fits");
    // Only unknown extensions are lost.
    let (again, _) = FrameView::parse(&room[..len], &Limits::default()).expect("sound");
    assert_eq!((again.envelope(), again.payload()), (envelope, frame.payload()));
    assert_eq!(again.fragment(), fragment);
    if fragment.is_some() {
        assert_eq!(again.fixed().len(), 0);
        return;
    }
    assert_eq!(Ok(len), frame_len(&envelope, frame.payload().len()));
    if frame.extensions().all(|extension| known(extension.kind)) {
        assert_eq!(&room[..len], bytes);
    }
}

fn known(kind: u16) -> bool {
    (kind::TRACE..=kind::DEADLINE).contains(&kind)
}

/// Reads any bytes as the extensions of a frame.
pub fn extensions(data: &[u8]) {
    let Ok(extensions) = Extensions::parse(data) else { return };
    let mut taken = 0;
    let mut before = 0;
    for extension in extensions {
        assert!(extension.kind >= before, "kinds ascend");
        let unknown = extension.kind & kind::CRITICAL != 0 && extension.kind != kind::FRAGMENT;
        assert!(!unknown, "an unknown critical kind");
        taken += (4 + extension.value.len()).next_multiple_of(8);
        before = extension.kind;
    }
    assert_eq!(taken, data.len(), "extensions fill their area");

    let Ok(area) = u16::try_from(data.len()) else { return };
    let mut bytes = [0; ROOM];
    let Some(room) = bytes.get_mut(24..24 + data.len()) else { return };
    room.copy_from_slice(data);
    write_frame(&mut bytes[..24], &Envelope::default(), 0, &[]).expect("it fits");
    bytes[4..8].copy_from_slice(&(24 + u32::from(area)).to_le_bytes());
    bytes[10..12].copy_from_slice(&area.to_le_bytes());
    let (frame, _) = FrameView::parse(&bytes[..24 + data.len()], &Limits::default())
        .expect("a frame accepts valid extensions");
    assert_eq!(frame.extensions(), extensions);
    frame.envelope();
}

/// Reads any bytes as a message with text, lists, `bool`s and enums, aligned and unaligned.
pub fn message(data: &[u8]) {
    let mut words = [0_u64; 32];
    let Some(room) = words.as_mut_bytes().get_mut(..data.len()) else { return };
    room.copy_from_slice(data);
    let decoded = decode::<Book>(data);
    assert_eq!(decode_ref::<Book>(&words.as_bytes()[..data.len()]).copied(), decoded);
    let Ok(book) = decoded else { return };
    assert_eq!(book.encoded(), data);
    assert_eq!(from_words::<Book>(&to_words(&book)), Ok(book));

    // A decoded message needs no further check.
    assert!(book.symbol.as_str().len() == book.symbol.len() && book.symbol.len() <= 10);
    assert_eq!(book.levels.iter().count(), book.levels.len());
    for level in book.levels.iter() {
        assert_eq!(level.note.as_str().len(), level.note.len());
    }
    let again = FixedVec::<Side, 3>::from_slice(&book.sides.iter().collect::<Vec<_>>());
    assert_eq!(again, Ok(book.sides));
    assert!(!format!("{book:?}").is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If the first check refused all seeds, the corpus would test only that check.
    #[test]
    fn some_seeds_are_valid() {
        for seed in [
            &include_bytes!("../../corpus/message/plain")[..],
            include_bytes!("../../corpus/message/full"),
        ] {
            assert!(decode::<Book>(seed).is_ok());
        }
        let frames = include_bytes!("../../corpus/frame/three");
        assert_eq!(Frames::new(frames, Limits::default()).filter(Result::is_ok).count(), 3);
        assert!(Extensions::parse(include_bytes!("../../corpus/extensions/all")).is_ok());
        assert!(Extensions::parse(include_bytes!("../../corpus/extensions/unknown")).is_ok());
    }
}
