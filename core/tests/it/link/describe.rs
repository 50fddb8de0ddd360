//! Layouts that are requested over a link, piece by piece.

use mycelium_core::Message;
use mycelium_core::link::{LinkError, SendError};

use crate::pair::conversation::{LEFT, name, reading, send_run};
use crate::pair::{Pair, offered};
use crate::portable::bodies::codec::Swap;

#[test]
#[cfg_attr(miri, ignore = "takes minutes there, and runs through code without `unsafe`")]
fn pieces_of_any_length_are_the_same_form() {
    let mut whole = [0; 512];
    let (written, total) = Swap::DESCRIPTOR.canonical(0, &mut whole);
    assert_eq!(written, total);
    for length in 0..total + 2 {
        for offset in [0, 1, length, total - 1, total, total + 7, usize::MAX] {
            let mut piece = vec![0xa5; length];
            let (written, again) = Swap::DESCRIPTOR.canonical(offset, &mut piece);
            let expected = whole.get(offset..total).unwrap_or_default();
            let expected = &expected[..expected.len().min(length)];
            assert_eq!((written, again), (expected.len(), total));
            assert_eq!(&piece[..written], expected);
            assert!(piece[written..].iter().all(|byte| *byte == 0xa5), "only the piece is written");
        }
    }
}

#[test]
fn a_peer_has_the_features_that_it_names() {
    let (mut pair, outgoing, _) = reading(Pair::new(), 8);
    let mut features = offered("features");
    for (bits, named) in [
        (0, [false; 3]),
        (1, [true, false, false]),
        // Runs, demand, and those of a later version.
        (!1_u32, [false, true, true]),
        (u32::MAX, [true; 3]),
    ] {
        *features.last_chunk_mut::<4>().unwrap() = bits.to_le_bytes();
        assert_eq!(pair.feed(LEFT, &features), None);
        let link = &mut pair.sides[LEFT].link;
        let found = [link.peer_describes(), link.peer_accepts_runs(), link.peer_signals_demand()];
        assert_eq!(found, named);
        let expected = if named[0] { Ok(()) } else { Err(SendError::Gone) };
        assert_eq!(link.describe(pair.now, name("swaps"), 0), expected);
        assert_eq!(send_run(&mut pair, outgoing, 3), Ok(3 * usize::from(named[1])));
        pair.settle();
    }
    let link = &mut pair.sides[LEFT].link;
    link.lost();
    assert!(!link.peer_describes() && !link.peer_accepts_runs() && !link.peer_signals_demand());
}

#[test]
fn invalid_pieces_end_the_link() {
    for (length, offset, total, good) in [
        (84_u16, 0_u32, 84_u32, true),
        (85, 0, 1000, false),
        (u16::MAX, 0, u32::MAX, false),
        (84, 1, 84, false),
        (1, u32::MAX, u32::MAX, false),
        (0, u32::MAX, 0, true),
    ] {
        let mut frame = offered("descriptor");
        frame[26..28].copy_from_slice(&length.to_le_bytes());
        frame[28..32].copy_from_slice(&offset.to_le_bytes());
        frame[32..36].copy_from_slice(&total.to_le_bytes());
        let mut pair = Pair::new();
        pair.settle();
        let expected = (!good).then_some(LinkError::Piece { offset, total, length });
        assert_eq!(pair.feed(LEFT, &frame), expected);
    }
}
