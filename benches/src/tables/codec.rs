//! Encoding a message, and reading one in place: our frames beside the bytes alone.

use std::hint::black_box;
use std::time::Instant;

use mycelium_core::{Envelope, FrameView, Limits, write_message};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::goals::Pair;
use crate::harness::{Column, Contest, Mismatch, Round};
use crate::options::Options;
use crate::sample::{SAMPLES, Sample, Tally, samples};

const ZEROCOPY: &str = "zerocopy alone";

fn contest(
    options: &Options,
    key: &'static str,
    title: &str,
    columns: Vec<Column>,
    most: f64,
) -> Contest {
    Contest {
        timed: "the whole loop",
        operations: options.operations(16_384, 1_024),
        pairs: vec![Pair::new(columns[0].name, ZEROCOPY).within(most)],
        columns,
        ..Contest::new(key, "encode and view", title)
    }
}

pub(super) fn encode(options: &Options) -> Contest {
    let columns = vec![encodes::<Ours>("frame and message"), encodes::<Zerocopy>(ZEROCOPY)];
    let title = "56 bytes into a buffer, ours with the header of a frame";
    contest(options, "encode", title, columns, 3.0)
}

pub(super) fn view(options: &Options) -> Contest {
    let columns = vec![views::<Ours>("frame and checked view"), views::<Zerocopy>(ZEROCOPY)];
    let title = "56 bytes checked and one field read, in place if the format allows it";
    contest(options, "view", title, columns, 2.0)
}

/// Space for a message in any format, aligned like the buffer of a connection.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Buffer([u64; 16]);

/// A format.
trait Codec: 'static {
    /// Writes the message and returns its length.
    fn encode(message: &Sample, buffer: &mut [u8]) -> Option<usize>;

    /// Checks the bytes and returns the message's number.
    fn view(bytes: &[u8]) -> Option<u64>;

    /// The whole message, to check that nothing was lost.
    fn decode(bytes: &[u8]) -> Option<Sample>;
}

/// Encodes a frame with its header and copies the message; checks a frame and reads the message in
/// place.
struct Ours;

impl Codec for Ours {
    #[inline]
    fn encode(message: &Sample, buffer: &mut [u8]) -> Option<usize> {
        write_message(buffer, &Envelope::of::<Sample>(3, message.number), message).ok()
    }

    #[inline]
    fn view(bytes: &[u8]) -> Option<u64> {
        let (frame, _) = FrameView::parse(bytes, &Limits::default()).ok()?;
        frame.message::<Sample>().ok().map(|sample| black_box(sample).number)
    }

    fn decode(bytes: &[u8]) -> Option<Sample> {
        let (frame, rest) = FrameView::parse(bytes, &Limits::default()).ok()?;
        let sample = frame.message::<Sample>().ok()?;
        (rest.is_empty() && frame.header().sequence() == sample.number).then_some(*sample)
    }
}

/// The bytes of the message in memory, without a header.
struct Zerocopy;

impl Codec for Zerocopy {
    #[inline]
    fn encode(message: &Sample, buffer: &mut [u8]) -> Option<usize> {
        message.write_to_prefix(buffer).ok()?;
        Some(size_of::<Sample>())
    }

    #[inline]
    fn view(bytes: &[u8]) -> Option<u64> {
        Sample::try_ref_from_bytes(bytes).ok().map(|sample| black_box(sample).number)
    }

    fn decode(bytes: &[u8]) -> Option<Sample> {
        Sample::try_read_from_bytes(bytes).ok()
    }
}

/// Encodes every sample, and returns each with its length.
fn encoded<C: Codec>() -> [(Buffer, usize); SAMPLES] {
    samples().map(|sample| {
        let mut buffer = Buffer([0; 16]);
        let length = C::encode(&sample, buffer.as_mut_bytes());
        (buffer, length.expect("the buffer has space"))
    })
}

/// Checks that these bytes are the samples.
fn decoded<C: Codec>(
    name: &'static str,
    encoded: impl Iterator<Item = (Buffer, usize)>,
) -> Result<(), Mismatch> {
    for ((buffer, length), sample) in encoded.zip(samples()) {
        let found = C::decode(&buffer.as_bytes()[..length]);
        if found != Some(sample) {
            return Err(Mismatch::new(name, format!("expected {sample:?}, found {found:?}")));
        }
    }
    Ok(())
}

#[inline(never)]
fn encode_all<C: Codec>(
    messages: &[Sample; SAMPLES],
    buffers: &mut [Buffer; SAMPLES],
    count: usize,
) -> usize {
    let mut bytes = 0;
    for number in 0..count {
        let buffer = &mut buffers[number % SAMPLES];
        bytes += C::encode(black_box(&messages[number % SAMPLES]), buffer.as_mut_bytes())
            .unwrap_or_default();
        black_box(buffer);
    }
    bytes
}

fn encodes<C: Codec>(name: &'static str) -> Column {
    let messages = Box::new(samples());
    // One buffer for each message, so that all can be checked at the end.
    let mut buffers = Box::new([Buffer([0; 16]); SAMPLES]);
    let lengths = encoded::<C>().map(|(_, length)| length);
    Column::new(name, move |operations| {
        buffers.fill(Buffer([u64::MAX; 16]));
        let start = Instant::now();
        let bytes = encode_all::<C>(&messages, &mut buffers, operations);
        let took = start.elapsed();
        let expected: usize = lengths.iter().cycle().take(operations).sum();
        if bytes != expected {
            return Err(Mismatch::new(name, format!("expected {expected} bytes, found {bytes}")));
        }
        let written = buffers.iter().copied().zip(lengths).take(operations);
        decoded::<C>(name, written)?;
        Ok(Round::Total(took))
    })
}

#[inline(never)]
fn view_all<C: Codec>(encoded: &[(Buffer, usize); SAMPLES], count: usize) -> Tally {
    let mut tally = Tally::default();
    for number in 0..count {
        let (buffer, length) = black_box(&encoded[number % SAMPLES]);
        if let Some(bytes) = buffer.as_bytes().get(..*length)
            && let Some(number) = C::view(bytes)
        {
            tally.add_word(number);
        }
    }
    tally
}

fn views<C: Codec>(name: &'static str) -> Column {
    let encoded = Box::new(encoded::<C>());
    Column::new(name, move |operations| {
        let start = Instant::now();
        let tally = view_all::<C>(&encoded, operations);
        let took = start.elapsed();
        let mut expected = Tally::default();
        (0..operations).for_each(|number| expected.add_word((number % SAMPLES) as u64));
        Mismatch::check(name, expected, tally)?;
        decoded::<C>(name, encoded.iter().copied())?;
        Ok(Round::Total(took))
    })
}
