//! One way: messages over a link, and the same number of bytes over the bare socket.

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
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{SAMPLES, Sample, Tally, samples};
use crate::stats::Times;

/// Words of a slot: a stamp and a sample.
const SLOT: usize = 1 + size_of::<Sample>() / 8;
/// The most messages of a run, which are 64 KiB, and the least.
const RUN: usize = PIECE / size_of::<[u64; SLOT]>();
const SHORT: u64 = 8;

/// Sends this number of samples, and closes the link when all are confirmed.
pub(super) struct Writer {
    count: u64,
    envelope: Envelope,
    window: u32,
    samples: [Sample; SAMPLES],
    /// The samples repeated, with the layout of a ring: the source of runs.
    slots: &'static [[u64; SLOT]],
    /// The stream, and when it was opened.
    pub(super) stream: Option<(OutgoingId, Instant)>,
}

impl Writer {
    pub(super) fn new(count: usize, envelope: Envelope, window: u32) -> Writer {
        // Shared, so that it counts for no connection.
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

    /// Sends messages as a run, unless they have a trace. Returns whether it did.
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

/// Receives this number of samples and notes when all have arrived, which is before they are
/// confirmed. If `TIMED`, the number of each sample is when it was due, and its latency is
/// recorded.
pub(super) struct Reader<const TIMED: bool> {
    epoch: Instant,
    count: u64,
    /// Messages of the stream since the last grant of credit.
    taken: Option<(IncomingId, u32)>,
    pub(super) tally: Tally,
    pub(super) times: Times,
    pub(super) done: Option<Instant>,
}

impl<const TIMED: bool> Reader<TIMED> {
    pub(super) fn new(epoch: Instant, count: usize) -> Reader<TIMED> {
        let (tally, times) = (Tally::default(), Times::default());
        Reader { epoch, count: count as u64, taken: None, tally, times, done: None }
    }

    #[inline]
    fn add(&mut self, stream: IncomingId, sample: &Sample) {
        if TIMED {
            self.tally.add_stamped(sample);
            let due = Duration::from_nanos(sample.number);
            self.times.record(self.epoch.elapsed().saturating_sub(due));
        } else {
            self.tally.add(sample);
        }
        self.taken = Some((stream, self.taken.map_or(1, |(_, count)| count + 1)));
        if self.tally.count == self.count {
            self.done = Some(Instant::now());
        }
    }
}

impl<const TIMED: bool, const TOPICS: usize, const STREAMS: usize> Traffic<TOPICS, STREAMS>
    for Reader<TIMED>
{
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
        // The stream exists, so this cannot fail.
        let _ = self.taken.take().map(|(stream, count)| link.grant(stream, count));
    }
}

/// Messages over a link with tables of these sizes, each with this envelope.
pub(crate) fn over_link<const TOPICS: usize, const STREAMS: usize>(
    name: &'static str,
    batching: Batching,
    envelope: Envelope,
    wire: Wire,
) -> Column {
    Column::new(name, move |operations| {
        let interest = Interest::of::<Sample>(ReaderMode::Gating, WINDOW);
        let here = Side { batching, buffer: 2 * PIECE, wants: None };
        let there = Side { buffer: PIECE, wants: interest.ok(), ..here };
        let mut writer = Writer::new(operations, envelope, WINDOW);
        let mut reader = Reader::<false>::new(Instant::now(), operations);
        let (writer, reader) = wire.run(
            async move |stream, executor| {
                here.drive::<TOPICS, STREAMS>(stream, executor, &mut writer).await;
                writer
            },
            async move |stream, executor| {
                there.drive::<TOPICS, STREAMS>(stream, executor, &mut reader).await;
                reader
            },
        );
        Mismatch::check(name, Tally::expected(operations, Tally::add), reader.tally)?;
        let took = writer.stream.zip(reader.done).map(|((_, start), end)| end - start);
        Ok(Round::Total(took.unwrap_or_default()))
    })
}

/// The same number of bytes in large writes and reads; `size` is that of a message on the wire.
pub(crate) fn raw(name: &'static str, size: usize, wire: Wire) -> Column {
    Column::new(name, move |operations| {
        let bytes = operations * size;
        let (start, (end, count)) = wire.run(
            async move |mut stream, _| {
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
            async |mut stream, _| {
                let (mut piece, mut all) = (vec![0; PIECE], 0);
                while let Ok(count) = stream.read(&mut piece).await
                    && count > 0
                {
                    all += count;
                }
                (Instant::now(), all)
            },
        );
        let tally = |count| Tally { count: count as u64, sum: 0 };
        Mismatch::check(name, tally(bytes), tally(count))?;
        Ok(Round::Total(end.saturating_duration_since(start)))
    })
}
