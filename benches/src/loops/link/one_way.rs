//! One way: messages by a link, and as many bytes without one.

use std::sync::LazyLock;
use std::task::Context;
use std::time::{Duration, Instant};

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use mycelium_core::link::{
    Batching, CloseReason, Event, IncomingId, Interest, Link, Name, OutgoingId, ReaderMode,
    RunBytes, RunShape, SendError,
};
use mycelium_core::message::decode_ref;
use mycelium_core::{Envelope, FrameView};
use mycelium_transports::stream::Traffic;
use zerocopy::IntoBytes;

use super::{PIECE, Side, WINDOW, Wire};
use crate::harness::{Column, Mismatch};
use crate::sample::{SAMPLES, Sample, Tally, samples};

/// The words of a slot: a stamp and a sample.
const SLOT: usize = 1 + size_of::<Sample>() / 8;
/// The most messages of a run, which are 64 KiB, and the fewest.
const RUN: usize = PIECE / size_of::<[u64; SLOT]>();
const SHORT: u64 = 8;

/// Messages by a link that has room for so many topics and streams.
pub(crate) struct OverLink<const TOPICS: usize, const STREAMS: usize> {
    pub(crate) name: &'static str,
    pub(crate) batching: Batching,
    /// What each message carries beside itself.
    pub(crate) envelope: Envelope,
    pub(crate) wire: Wire,
}

/// Sends so many samples, and ends the link when all have arrived.
pub(super) struct Writer {
    count: u64,
    envelope: Envelope,
    window: u32,
    samples: [Sample; SAMPLES],
    /// The same over and over, as they would lie in a ring: what runs are sent from.
    slots: &'static [[u64; SLOT]],
    /// With when it was there.
    pub(super) stream: Option<(OutgoingId, Instant)>,
}

impl Writer {
    pub(super) fn new(count: usize, envelope: Envelope, window: u32) -> Writer {
        // Shared, so that they count for no connection.
        static SLOTS: LazyLock<Vec<[u64; SLOT]>> = LazyLock::new(|| {
            let slot = |sample: &Sample| {
                let mut slot = [0; SLOT];
                slot[1..].as_mut_bytes().copy_from_slice(sample.as_bytes());
                slot
            };
            samples().iter().map(slot).cycle().take(SAMPLES + RUN).collect()
        });
        let (samples, slots) = (samples(), SLOTS.as_slice());
        Writer { count: count as u64, envelope, window, samples, slots, stream: None }
    }

    /// Sends messages as a run, where they carry nothing beside themselves. Says whether it did.
    fn send_run<const TOPICS: usize, const STREAMS: usize>(
        &self,
        now: Duration,
        link: &mut Link<'_, TOPICS, STREAMS>,
        stream: OutgoingId,
        next: u64,
    ) -> Result<bool, SendError> {
        let left = self.count - next;
        if self.envelope.trace.is_some() || left < SHORT {
            return Ok(false);
        }
        let length = size_of::<Sample>() as u16;
        let shape = RunShape { stride: size_of::<[u64; SLOT]>() as u32, skip: 8, length };
        link.send_run(now, stream, shape, left.min(RUN as u64) as usize).map(|count| count > 0)
    }
}

impl<const TOPICS: usize, const STREAMS: usize> Traffic<TOPICS, STREAMS> for Writer {
    fn run_bytes(&self, lent: &RunBytes) -> Option<[&[u8]; 2]> {
        let from = lent.first as usize % SAMPLES * size_of::<[u64; SLOT]>() + lent.offset;
        let bytes = self.slots.as_bytes();
        Some([bytes.get(from..from + lent.length)?, &[]])
    }

    fn on_event(&mut self, now: Duration, link: &mut Link<'_, TOPICS, STREAMS>, event: Event<'_>) {
        if let Event::Subscribe { export: serve, .. } = event {
            let name = Name::truncated("samples");
            let stream = link.open_stream(now, serve, name, 1, 0, self.window).ok();
            self.stream = stream.zip(Some(Instant::now()));
        }
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, TOPICS, STREAMS>, _: &mut Context<'_>) {
        let Some((stream, _)) = self.stream else { return };
        while let Ok(next) = link.sequence(stream)
            && next < self.count
        {
            match self.send_run(now, link, stream, next) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(_) => return,
            }
            let sample = &self.samples[next as usize % SAMPLES];
            let fixed = size_of::<Sample>() as u16;
            if link.send(now, stream, &self.envelope, fixed, sample.as_bytes()).is_err() {
                return;
            }
        }
        if link.unconfirmed(stream) == 0 {
            link.close(now, CloseReason::Shutdown);
        }
    }
}

/// Takes so many samples, and notes when it has all: their confirmation takes its time, for which nobody waits.
#[derive(Default)]
pub(super) struct Reader {
    count: u64,
    /// So many of the stream since it was told what room there is.
    taken: Option<(IncomingId, u32)>,
    pub(super) tally: Tally,
    pub(super) done: Option<Instant>,
}

impl Reader {
    pub(super) fn new(count: usize) -> Reader {
        Reader { count: count as u64, ..Reader::default() }
    }

    #[inline]
    fn add(&mut self, stream: IncomingId, sample: &Sample) {
        self.tally.add(sample);
        self.taken = Some((stream, self.taken.map_or(1, |(_, count)| count + 1)));
        if self.tally.count == self.count {
            self.done = Some(Instant::now());
        }
    }
}

impl<const TOPICS: usize, const STREAMS: usize> Traffic<TOPICS, STREAMS> for Reader {
    fn on_event(&mut self, _: Duration, _: &mut Link<'_, TOPICS, STREAMS>, event: Event<'_>) {
        let Event::Run { stream, shape, bytes, .. } = event else { return };
        for item in bytes.chunks_exact(shape.stride as usize) {
            if let Ok(sample) = decode_ref::<Sample>(shape.message(item)) {
                self.add(stream, sample);
            }
        }
    }

    #[inline]
    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        if let Ok(sample) = frame.message::<Sample>() {
            self.add(stream, sample);
        }
        Ok(())
    }

    fn send(&mut self, _: Duration, link: &mut Link<'_, TOPICS, STREAMS>, _: &mut Context<'_>) {
        // A stream that is there takes it.
        let _ = self.taken.take().map(|(stream, count)| link.grant(stream, count));
    }
}

impl<const TOPICS: usize, const STREAMS: usize> Column for OverLink<TOPICS, STREAMS> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let OverLink { wire, batching, envelope, .. } = self;
        let interest = Interest::of::<Sample>(ReaderMode::Gating, WINDOW);
        let here = Side { batching: *batching, buffer: 2 * PIECE, wants: None };
        let there = Side { buffer: PIECE, wants: interest.ok(), ..here };
        let mut writer = Writer::new(operations, *envelope, WINDOW);
        let ((), reader) = wire.run(
            async |socket, executor| {
                let stream = wire.stream(socket, &executor);
                here.drive::<TOPICS, STREAMS>(stream, executor, &mut writer).await;
            },
            async |socket, executor| {
                let mut reader = Reader::new(operations);
                let stream = wire.stream(socket, &executor);
                there.drive::<TOPICS, STREAMS>(stream, executor, &mut reader).await;
                reader
            },
        );
        Mismatch::check(self.name, Tally::expected(operations, Tally::add), reader.tally)?;
        let took = writer.stream.zip(reader.done).map(|((_, start), end)| end - start);
        Ok(took.unwrap_or_default())
    }
}

/// As many bytes as the frames of a link take, in large writes and reads.
pub(crate) struct Raw {
    pub(crate) name: &'static str,
    /// Those of a frame.
    pub(crate) bytes: usize,
    pub(crate) wire: Wire,
}

impl Column for Raw {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let Raw { wire, .. } = self;
        let bytes = operations * self.bytes;
        let (start, (end, count)) = wire.run(
            async |socket, executor| {
                let mut stream = wire.stream(socket, &executor);
                let piece = vec![7; PIECE];
                let start = Instant::now();
                let mut left = bytes;
                while left > 0 {
                    let count = left.min(PIECE);
                    stream.write_all(&piece[..count]).await.expect("the reader reads");
                    left -= count;
                }
                stream.close().await.expect("the reader reads");
                start
            },
            async |socket, executor| {
                let mut stream = wire.stream(socket, &executor);
                let (mut piece, mut all) = (vec![0; PIECE], 0);
                while let Ok(count) = stream.read(&mut piece).await
                    && count > 0
                {
                    all += count;
                }
                (Instant::now(), all)
            },
        );
        let expected = Tally { count: bytes as u64, sum: 0 };
        Mismatch::check(self.name, expected, Tally { count: count as u64, sum: 0 })?;
        Ok(end.saturating_duration_since(start))
    }
}
