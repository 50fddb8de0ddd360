//! Layouts that are requested over a link, piece by piece.

use std::time::Duration;

use mycelium_core::link::{Config, Link, LinkError, Name, SendError};
use mycelium_core::{Digest, Message};

use crate::pair::conversation::{LEFT, RIGHT, name};
use crate::pair::{Pair, Received, lasting};
use crate::schema::Swap;

/// The 128-bit FNV-1a hash, as `docs/wire-format.md` defines the digest.
fn fnv(bytes: &[u8]) -> Digest {
    let step = |state: u128, byte: &u8| {
        (state ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    Digest(bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step).to_be_bytes())
}

/// Requests the layout of `Swap`, piece by piece.
fn fetch(pair: &mut Pair) -> Vec<u8> {
    let mut form = Vec::new();
    loop {
        let from = form.len() as u32;
        pair.sides[RIGHT].link.describe(pair.now, name("swaps"), from).unwrap();
        assert_eq!(pair.settled(LEFT), [Received::Describe("swaps".to_owned(), from)]);
        pair.sides[LEFT].link.answer(pair.now, Some(Swap::DESCRIPTOR), from).unwrap();
        let news = pair.settled(RIGHT);
        let [Received::Described { offset, total, bytes }] = &*news else { panic!("{news:?}") };
        assert_eq!(*offset, from);
        if bytes.is_empty() {
            assert_eq!(*total, from);
            return form;
        }
        form.extend_from_slice(bytes);
    }
}

#[test]
fn a_layout_arrives_in_pieces_and_its_hash_is_the_digest() {
    let mut pair = Pair::new();
    pair.settle();
    pair.sides.iter_mut().for_each(|side| drop(side.take_events()));
    assert_eq!(fnv(&fetch(&mut pair)), Swap::DIGEST);
}

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
fn a_hidden_layout_is_empty() {
    let mut pair = Pair::new();
    pair.settled(RIGHT);
    pair.sides[LEFT].link.answer(pair.now, None, 7).unwrap();
    pair.settle();
    let none = Received::Described { offset: 7, total: 0, bytes: Vec::new() };
    assert_eq!(pair.sides[RIGHT].take_events(), [none]);
}

type Alone = Link<'static, 1, 1>;

/// A link that received these bytes on a new connection, and its error.
fn receives(bytes: &[u8]) -> (Alone, Option<LinkError>) {
    let now = Duration::ZERO;
    let config = Config::new(Name::truncated("here"), 1);
    let mut link = Alone::new(config, lasting(4096)).unwrap();
    link.open(now);
    let mut rest = bytes;
    loop {
        match link.input(now, rest, |_, _| Ok(())) {
            Ok(input) if input.used == 0 => return (link, None),
            Ok(input) => rest = &rest[input.used..],
            Err(error) => return (link, Some(error)),
        }
    }
}

/// The hello of another side.
fn hello() -> Vec<u8> {
    let config = Config::new(Name::truncated("there"), 2);
    let mut link = Alone::new(config, lasting(4096)).unwrap();
    link.open(Duration::ZERO);
    link.poll_transmit(Duration::ZERO).unwrap().to_vec()
}

#[test]
fn a_peer_without_the_feature_gets_no_request() {
    let (mut link, error) = receives(&hello());
    assert_eq!(error, None);
    assert!(link.is_up() && !link.peer_describes());
    let refused = link.describe(Duration::ZERO, Name::truncated("swaps"), 0);
    assert_eq!(refused, Err(SendError::Gone));

    // A later version, with unknown features.
    let mut received = hello();
    received.extend(crate::pair::offered("features"));
    *received.last_chunk_mut::<4>().unwrap() = (!1_u32).to_le_bytes();
    assert!(!receives(&received).0.peer_describes());
    *received.last_chunk_mut::<4>().unwrap() = u32::MAX.to_le_bytes();
    assert!(receives(&received).0.peer_describes());
}

#[test]
fn features_of_a_lost_connection_do_not_count() {
    let mut received = hello();
    received.extend(crate::pair::offered("features"));
    *received.last_chunk_mut::<4>().unwrap() = u32::MAX.to_le_bytes();
    let (mut link, error) = receives(&received);
    assert_eq!(error, None);
    let named = |link: &Alone| {
        [link.peer_describes(), link.peer_accepts_runs(), link.peer_signals_demand()]
    };
    assert_eq!(named(&link), [true; 3]);
    link.lost();
    assert_eq!(named(&link), [false; 3]);
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
        let mut received = hello();
        let mut frame = crate::pair::offered("descriptor");
        frame[26..28].copy_from_slice(&length.to_le_bytes());
        frame[28..32].copy_from_slice(&offset.to_le_bytes());
        frame[32..36].copy_from_slice(&total.to_le_bytes());
        received.extend(frame);
        let expected = (!good).then_some(LinkError::Piece { offset, total, length });
        assert_eq!(receives(&received).1, expected);
    }
}
