//! The frames of the original system's clients. The bytes are written by hand, from the
//! specification in `docs/legacy.md`.

use mycelium_core::legacy::{
    ContractDigest, Decoder, Event, HEADER, HELLO, LONGEST_PAYLOAD, LegacyError, Step, frame_header,
};

/// Type 11 with a payload of 8 bytes, and type 258 without a payload.
const FRAMES: &str = "0b00 08000000 e803000000000000 0201 00000000";

/// The digest 00 01 .. 1f, with its length before it.
const HELLO_BYTES: &str = "2000 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

const DIGEST: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

const LIMIT: u32 = 64;

/// Returns the bytes of hexadecimal digits, which may have white space between them.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits = text.chars().filter(|it| !it.is_whitespace());
    let digits: Vec<u32> = digits.map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn digest() -> ContractDigest {
    ContractDigest::from_hex(DIGEST).expect("64 digits")
}

/// Prints events, because those of a decoder borrow its buffer.
fn printed<const N: usize>(events: [Event<'_>; N]) -> Vec<String> {
    events.map(|event| format!("{event:?}")).to_vec()
}

/// What a decoder makes of bytes that arrive in these pieces. Types 11 and 258 are known.
fn decode(digests: &[ContractDigest], pieces: &[&[u8]]) -> (Vec<String>, Result<(), LegacyError>) {
    let (mut decoder, mut buffer, mut seen) =
        (Decoder::new(digests, LIMIT), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.step(&buffer, |type_id| [11, 258].contains(&type_id)) {
                Ok(Some(Step { consumed, event })) => {
                    if event != Event::Passed {
                        seen.extend(printed([event]));
                    }
                    assert!(consumed > 0);
                    buffer.drain(..consumed);
                }
                Ok(None) => break,
                Err(error) => return (seen, Err(error)),
            }
        }
        assert!(buffer.len() < HEADER + LIMIT as usize, "this is enough for each event");
    }
    (seen, decoder.end(&buffer))
}

fn frames() -> Vec<String> {
    let price = &1000_u64.to_le_bytes();
    printed([
        Event::Frame { type_id: 11, payload: price },
        Event::Frame { type_id: 258, payload: &[] },
    ])
}

fn unknown(type_id: u16, length: u32) -> Vec<String> {
    printed([Event::Unknown { type_id, length }])
}

#[test]
fn frames_are_those_of_the_specification() {
    let bytes = hex(FRAMES);
    assert_eq!(decode(&[], &[&bytes]), (frames(), Ok(())));
    assert_eq!(frame_header(11, 8), bytes[..HEADER]);
    assert_eq!(frame_header(258, 0), bytes[HEADER + 8..]);
    let with_hello = [hex(HELLO_BYTES), bytes].concat();
    let seen = [printed([Event::Hello]), frames()].concat();
    assert_eq!(decode(&[digest()], &[&with_hello]), (seen, Ok(())));
}

#[test]
fn a_stream_that_ends_within_a_frame_is_truncated() {
    let (hello, bytes) = (hex(HELLO_BYTES), hex(FRAMES));
    // Between frames, and before anything, it may end.
    let whole = [0, HEADER + 8, bytes.len()];
    for length in 0..=bytes.len() {
        let (_, end) = decode(&[], &[&bytes[..length]]);
        let expected = if whole.contains(&length) { Ok(()) } else { Err(LegacyError::Truncated) };
        assert_eq!(end, expected, "{length} bytes");
    }
    for length in 1..HELLO {
        let (seen, end) = decode(&[digest()], &[&hello[..length]]);
        assert_eq!((seen, end), (Vec::new(), Err(LegacyError::Truncated)), "{length} bytes");
    }
    assert_eq!(decode(&[digest()], &[]), (Vec::new(), Ok(())));
}

/// The digest was not answered, and the two sides could misread each other for ever.
#[test]
fn e5_a_wrong_missing_or_unexpected_digest_is_an_error_that_says_so() {
    let bytes = [hex(HELLO_BYTES), hex(FRAMES)].concat();
    let error = |digests: &[ContractDigest], bytes: &[u8]| decode(digests, &[bytes]).1.unwrap_err();

    let mut other = bytes.clone();
    other[HELLO - 1] ^= 1;
    let found = ContractDigest::from_hex(&format!("{}1e", &DIGEST[..62])).expect("64 digits");
    let wrong = error(&[digest()], &other);
    assert_eq!(wrong, LegacyError::Digest { found });
    assert!(wrong.to_string().contains(&found.to_string()));
    // Clients of several contracts can be served.
    assert_eq!(decode(&[digest(), found], &[&other]).1, Ok(()));

    assert_eq!(error(&[digest()], &hex(FRAMES)), LegacyError::NoHello { found: 11 });
    assert_eq!(error(&[], &bytes), LegacyError::Hello);
    // Later frames may have any type.
    let later = [hex(FRAMES), hex("2000 01000000 ff")].concat();
    assert_eq!(decode(&[], &[&later]), ([frames(), unknown(32, 1)].concat(), Ok(())));
}

#[test]
fn an_unknown_type_is_passed_over_as_it_arrives() {
    let payload = vec![0xa5; LONGEST_PAYLOAD as usize];
    let bytes = [&frame_header(9, LONGEST_PAYLOAD)[..], &payload, &hex(FRAMES)].concat();
    let seen = [unknown(9, LONGEST_PAYLOAD), frames()].concat();
    // `decode` checks that the buffer never holds more than a frame of a known type.
    let pieces: Vec<&[u8]> = bytes.chunks(50).collect();
    assert_eq!(decode(&[], &pieces), (seen, Ok(())));
    let empty = [&frame_header(9, 0)[..], &hex(FRAMES)].concat();
    assert_eq!(decode(&[], &[&empty]), ([unknown(9, 0), frames()].concat(), Ok(())));
}

/// A header claimed 16 MiB, which were allocated at once.
#[test]
fn a2_a_length_above_the_limit_is_refused_with_its_header() {
    for (type_id, limit) in [(11, LIMIT), (9, LONGEST_PAYLOAD)] {
        for length in [limit + 1, u32::MAX] {
            let (seen, end) = decode(&[], &[&frame_header(type_id, length)]);
            assert_eq!(seen, [""; 0]);
            assert_eq!(end, Err(LegacyError::TooLong { type_id, length, limit }));
        }
        assert_eq!(decode(&[], &[&frame_header(type_id, limit)]).1, Err(LegacyError::Truncated));
    }
}

#[test]
fn digests_are_64_hexadecimal_digits() {
    assert_eq!(digest().to_string(), DIGEST);
    assert_eq!(ContractDigest::from_hex(&DIGEST.to_uppercase()), Some(digest()));
    for text in ["", "0", &DIGEST[1..], &format!("{DIGEST}0"), &DIGEST.replace('a', "g")] {
        assert_eq!(ContractDigest::from_hex(text), None, "{text}");
    }
    // Two bytes of text are not two digits.
    assert_eq!(ContractDigest::from_hex(&format!("é{}", &DIGEST[2..])), None);
}
