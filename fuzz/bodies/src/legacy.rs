//! Bytes of clients of the original system: however they are split, they are the same frames.

use mycelium_core::legacy::{
    ContractDigest, Decoder, Event, HEADER, HELLO, LegacyError, Step, frame_header,
};

/// The most bytes of a payload of a known type.
const LIMIT: u32 = 256;

/// The digest that is expected, if the first byte says so.
const DIGEST: ContractDigest = ContractDigest([7; 32]);

/// Decodes the bytes of a client. The first byte says whether a digest is expected, and the size of
/// the pieces in which the rest arrives.
pub fn legacy(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let digests: &[ContractDigest] = if first & 0x80 == 0 { &[] } else { &[DIGEST] };
    let whole = decode(digests, bytes, bytes.len().max(1));
    let pieces = decode(digests, bytes, usize::from(first & 0x7f).max(1));
    assert_eq!(whole, pieces);
    // The decoder takes bytes in order: what it has written is the beginning of what was sent.
    let (written, end) = whole;
    assert_eq!(written, bytes[..written.len()]);
    match end {
        Ok(()) => assert_eq!(written.len(), bytes.len()),
        Err(LegacyError::TooLong { length, limit, .. }) => assert!(length > limit),
        Err(_) => {}
    }
}

/// Decodes pieces, and writes the decoded frames again.
fn decode(
    digests: &[ContractDigest],
    bytes: &[u8],
    piece: usize,
) -> (Vec<u8>, Result<(), LegacyError>) {
    let (mut decoder, mut buffer, mut written) =
        (Decoder::new(digests, LIMIT), Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            // Types with even ids are known.
            let step = match decoder.step(&buffer, |type_id| type_id % 2 == 0) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => return (written, Err(error)),
            };
            let Step { consumed, event } = step;
            assert!(consumed > 0 && consumed <= buffer.len());
            match event {
                Event::Hello => {
                    assert_eq!(consumed, HELLO);
                    written.extend(32_u16.to_le_bytes());
                    written.extend(DIGEST.0);
                }
                Event::Frame { type_id, payload } => {
                    let length = u32::try_from(payload.len()).expect("at most the limit");
                    assert!(type_id % 2 == 0 && length <= LIMIT);
                    written.extend(frame_header(type_id, length));
                    written.extend(payload);
                }
                Event::Unknown { type_id, length } => {
                    assert!(type_id % 2 == 1);
                    written.extend(frame_header(type_id, length));
                }
                Event::Passed => written.extend(&buffer[..consumed]),
            }
            buffer.drain(..consumed);
        }
        assert!(buffer.len() < HEADER + LIMIT as usize);
    }
    (written, decoder.end(&buffer))
}
