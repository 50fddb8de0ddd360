//! Writing a message for the wire, and looking at one that came: our frames beside codecs without frames.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mycelium_core::{Envelope, FrameView, Limits, write_message};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::affinity::Cores;
use crate::goals::{Pair, Rival, rows};
use crate::harness::{Column, Contest, Mismatch};
use crate::options::Options;
use crate::sample::{SAMPLES, Sample, Tally, samples};
use crate::tables::Job;

const ENCODE: &str = "frame and message";
const VIEW: &str = "frame and checked view";
const ZEROCOPY: &str = "zerocopy alone";
const POSTCARD: &str = "postcard";
const PROST: &str = "prost";
const RIVALS: [&str; 3] = [ZEROCOPY, POSTCARD, PROST];

pub(super) fn jobs(options: &Options, _cores: &Cores) -> Vec<Job> {
    let mut jobs = Vec::new();
    if options.wants("encode") {
        jobs.push(Job::Contest(Contest {
            key: "encode",
            point: None,
            row: rows::CODEC,
            title: "56 bytes into a buffer, ours with the frame's header".into(),
            timed: "all of the loop",
            operations: options.operations(16_384, 1_024),
            columns: vec![
                Box::new(Encode::<Ours>::new(ENCODE)),
                Box::new(Encode::<Zerocopy>::new(ZEROCOPY)),
                Box::new(Encode::<Postcard>::new(POSTCARD)),
                Box::new(Encode::<Prost>::new(PROST)),
            ],
            pairs: RIVALS.map(|rival| budget(Pair::new(ENCODE, rival), 3.0, 2.5)).into(),
        }));
    }
    if options.wants("view") {
        jobs.push(Job::Contest(Contest {
            key: "view",
            point: None,
            row: rows::CODEC,
            title: "56 bytes checked and one field read, in place where the format allows it"
                .into(),
            timed: "all of the loop",
            operations: options.operations(16_384, 1_024),
            columns: vec![
                Box::new(View::<Ours>::new(VIEW)),
                Box::new(View::<Zerocopy>::new(ZEROCOPY)),
                Box::new(View::<Postcard>::new(POSTCARD)),
                Box::new(View::<Prost>::new(PROST)),
            ],
            pairs: RIVALS.map(|rival| budget(Pair::new(VIEW, rival), 2.0, 2.0)).into(),
        }));
    }
    jobs
}

fn budget(pair: Pair, budget: f64, guide: f64) -> Pair {
    match pair.rival {
        Rival::Column(ZEROCOPY) => pair.within(budget).guided(guide),
        _ => pair,
    }
}

/// Room for a message in any of the formats, aligned as the buffer of a connection is.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Buffer([u64; 16]);

/// A format.
trait Codec: 'static {
    /// A message as the format wants it.
    type Message;

    fn prepare(sample: &Sample) -> Self::Message;

    /// Writes the message and says how long it is.
    fn encode(message: &Self::Message, buffer: &mut [u8]) -> Option<usize>;

    /// Checks the bytes and shows the message's number.
    fn view(bytes: &[u8]) -> Option<u64>;

    /// The whole message, for the check that nothing was lost.
    fn decode(bytes: &[u8]) -> Option<Sample>;
}

/// A frame with its header, the message copied; a checked frame, the message in place.
struct Ours;

impl Codec for Ours {
    type Message = Sample;

    fn prepare(sample: &Sample) -> Sample {
        *sample
    }

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

/// The message's bytes as they lie in memory, and nothing else.
struct Zerocopy;

impl Codec for Zerocopy {
    type Message = Sample;

    fn prepare(sample: &Sample) -> Sample {
        *sample
    }

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

struct Postcard;

impl Codec for Postcard {
    type Message = Sample;

    fn prepare(sample: &Sample) -> Sample {
        *sample
    }

    #[inline]
    fn encode(message: &Sample, buffer: &mut [u8]) -> Option<usize> {
        postcard::to_slice(message, buffer).ok().map(|bytes| bytes.len())
    }

    #[inline]
    fn view(bytes: &[u8]) -> Option<u64> {
        postcard::from_bytes::<Sample>(bytes).ok().map(|sample| black_box(&sample).number)
    }

    fn decode(bytes: &[u8]) -> Option<Sample> {
        postcard::from_bytes(bytes).ok()
    }
}

struct Prost;

/// The sample as prost has it.
#[derive(Clone, PartialEq, prost::Message)]
struct ProstSample {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    time: u64,
    #[prost(double, tag = "3")]
    price: f64,
    #[prost(double, tag = "4")]
    volume: f64,
    #[prost(sint64, tag = "5")]
    level: i64,
    #[prost(uint64, tag = "6")]
    block: u64,
    #[prost(uint32, tag = "7")]
    venue: u32,
    #[prost(uint32, tag = "8")]
    flags: u32,
}

impl Codec for Prost {
    type Message = ProstSample;

    fn prepare(sample: &Sample) -> ProstSample {
        let Sample { number, time, price, volume, level, block, venue, flags } = *sample;
        ProstSample { number, time, price, volume, level, block, venue, flags }
    }

    #[inline]
    fn encode(message: &ProstSample, mut buffer: &mut [u8]) -> Option<usize> {
        let room = buffer.len();
        prost::Message::encode(message, &mut buffer).ok()?;
        Some(room - buffer.len())
    }

    #[inline]
    fn view(bytes: &[u8]) -> Option<u64> {
        let sample = <ProstSample as prost::Message>::decode(bytes).ok()?;
        Some(black_box(&sample).number)
    }

    fn decode(bytes: &[u8]) -> Option<Sample> {
        let sample = <ProstSample as prost::Message>::decode(bytes).ok()?;
        let ProstSample { number, time, price, volume, level, block, venue, flags } = sample;
        Some(Sample { number, time, price, volume, level, block, venue, flags })
    }
}

/// Every sample encoded, with its length.
fn encoded<C: Codec>() -> Option<[(Buffer, usize); SAMPLES]> {
    let mut encoded = [(Buffer([0; 16]), 0); SAMPLES];
    for ((buffer, length), sample) in encoded.iter_mut().zip(&samples()) {
        *length = C::encode(&C::prepare(sample), buffer.as_mut_bytes())?;
    }
    Some(encoded)
}

struct Encode<C: Codec> {
    name: &'static str,
    messages: Box<[C::Message; SAMPLES]>,
    /// One for each message, so that in the end all can be checked.
    buffers: Box<[Buffer; SAMPLES]>,
}

impl<C: Codec> Encode<C> {
    fn new(name: &'static str) -> Encode<C> {
        let messages = Box::new(samples().each_ref().map(C::prepare));
        Encode { name, messages, buffers: Box::new([Buffer([0; 16]); SAMPLES]) }
    }
}

#[inline(never)]
fn encode_all<C: Codec>(
    messages: &[C::Message; SAMPLES],
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

impl<C: Codec> Column for Encode<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        self.buffers.fill(Buffer([u64::MAX; 16]));
        let start = Instant::now();
        let bytes = encode_all::<C>(&self.messages, &mut self.buffers, operations);
        let took = start.elapsed();

        let lengths: Vec<usize> =
            encoded::<C>().iter().flatten().map(|(_, length)| *length).collect();
        let sum: usize = lengths.iter().cycle().take(operations).sum();
        if bytes != sum {
            let what = format!("it should have written {sum} bytes and wrote {bytes}");
            return Err(Mismatch::new(self.name, what));
        }
        let samples = samples();
        for number in 0..operations.min(SAMPLES) {
            let found = C::decode(&self.buffers[number].as_bytes()[..lengths[number]]);
            if found != Some(samples[number]) {
                let what = format!("it wrote {found:?} for {:?}", samples[number]);
                return Err(Mismatch::new(self.name, what));
            }
        }
        Ok(took)
    }
}

struct View<C: Codec> {
    name: &'static str,
    encoded: Box<[(Buffer, usize); SAMPLES]>,
    codec: std::marker::PhantomData<C>,
}

impl<C: Codec> View<C> {
    fn new(name: &'static str) -> View<C> {
        let encoded = Box::new(encoded::<C>().expect("the buffer has room"));
        View { name, encoded, codec: std::marker::PhantomData }
    }
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

impl<C: Codec> Column for View<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let start = Instant::now();
        let tally = view_all::<C>(&self.encoded, operations);
        let took = start.elapsed();
        let expected = Tally::expected(operations, |tally, sample| tally.add_word(sample.number));
        Mismatch::check(self.name, expected, tally)?;
        for ((buffer, length), sample) in self.encoded.iter().zip(&samples()) {
            if C::decode(&buffer.as_bytes()[..*length]) != Some(*sample) {
                return Err(Mismatch::new(self.name, format!("it does not give back {sample:?}")));
            }
        }
        Ok(took)
    }
}
