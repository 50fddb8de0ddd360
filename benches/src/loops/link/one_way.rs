//! One way over a link alone: its throughput, and the memory of its two ends.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mycelium_core::link::{
    Batching, CloseReason, Event, IncomingId, Interest, LentBytes, Link, Name, OutgoingId,
    ReaderMode, RunShape, StreamStart,
};
use mycelium_core::message::decode_ref;
use mycelium_core::{Envelope, FrameView};
use mycelium_executor::Executor;
use mycelium_transports::stream::{STREAMS, TOPICS, Traffic};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use zerocopy::IntoBytes;

use super::{PIECE, Side, SocketKind, Wire};
use crate::harness::{Column, Mismatch, Round};
use crate::loops::executor::host::{Runtime, task};
use crate::machine::allocations;
use crate::report::Limit;
use crate::sample::{Item, SAMPLES, Sample, Tally, samples};

/// The words of a slot: a stamp and a sample.
const SLOT: usize = 1 + size_of::<Sample>() / 8;
/// The largest number of messages in a run: 64 KiB. `SHORT` is the smallest number.
const RUN: usize = PIECE / size_of::<[u64; SLOT]>();
const SHORT: u64 = 8;

/// The prepared samples in the layout of a ring, from which runs are written.
static SLOTS: LazyLock<Vec<[u64; SLOT]>> = LazyLock::new(|| {
    let slot = |sample: &Sample| {
        let mut slot = [0; SLOT];
        slot[1..].as_mut_bytes().copy_from_slice(sample.as_bytes());
        slot
    };
    samples().iter().map(slot).cycle().take(SAMPLES + RUN).collect()
});

/// Opens when all subscriptions have arrived, so that all links exist at the same time.
#[derive(Default)]
struct Gate {
    missing: usize,
    waiting: Vec<Waker>,
}

impl Gate {
    fn arrive(&mut self) {
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0 {
            self.waiting.drain(..).for_each(Waker::wake);
        }
    }

    fn is_open(&mut self, context: &Context<'_>) -> bool {
        if self.missing > 0 {
            self.waiting.push(context.waker().clone());
        }
        self.missing == 0
    }
}

/// Sends this number of samples, and closes the link when all are confirmed.
struct Writer {
    count: u64,
    window: u32,
    gate: Arc<Mutex<Gate>>,
    /// The stream, and the time at which it was opened.
    stream: Option<(OutgoingId, Instant)>,
}

impl Writer {
    fn new(count: usize, window: u32, gate: &Arc<Mutex<Gate>>) -> Writer {
        Writer { count: count as u64, window, gate: gate.clone(), stream: None }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const TOPICS: usize, const STREAMS: usize> Traffic<TOPICS, STREAMS> for Writer {
    fn lent_bytes(&self, lent: &LentBytes) -> Option<[&[u8]; 2]> {
        let from = lent.first as usize % SAMPLES * size_of::<[u64; SLOT]>() + lent.offset;
        Some([SLOTS.as_bytes().get(from..from + lent.length)?, &[]])
    }

    fn on_event(&mut self, now: Duration, link: &mut Link<'_, TOPICS, STREAMS>, event: Event<'_>) {
        if let Event::Subscribe { export: serve, .. } = event {
            let name = Name::truncated("samples");
            let stream =
                link.open_stream(now, serve, name, StreamStart::new(1, 0, self.window)).ok();
            self.stream = stream.zip(Some(Instant::now()));
            self.gate().arrive();
        }
    }

    fn send(
        &mut self,
        now: Duration,
        link: &mut Link<'_, TOPICS, STREAMS>,
        context: &mut Context<'_>,
    ) {
        let Some((stream, _)) = self.stream else { return };
        if !self.gate().is_open(context) {
            return;
        }
        let length = size_of::<Sample>() as u16;
        let shape = RunShape { stride: size_of::<[u64; SLOT]>() as u32, skip: 8, length };
        while let Ok(next) = link.sequence(stream)
            && next < self.count
        {
            let left = self.count - next;
            if left >= SHORT {
                match link.send_run(now, stream, shape, left.min(RUN as u64) as usize) {
                    Ok(0) => {}
                    Ok(_) => continue,
                    Err(_) => return,
                }
            }
            let sample = &SLOTS[next as usize % SAMPLES][1..];
            let plain = Envelope::default();
            if link.send(now, stream, &plain, length, sample.as_bytes()).is_err() {
                return;
            }
        }
        if link.unconfirmed(stream) == 0 {
            link.close(now, CloseReason::Shutdown);
        }
    }
}

/// Receives this number of samples, and notes when all have arrived, which is before they are
/// confirmed.
#[derive(Default)]
struct Reader {
    count: u64,
    /// How many messages of the stream were taken since the last grant of credit.
    taken: Option<(IncomingId, u32)>,
    tally: Tally,
    done: Option<Instant>,
}

impl Reader {
    #[inline]
    fn add(&mut self, stream: IncomingId, sample: &Sample) {
        sample.add(&mut self.tally);
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
        // The stream exists, so this cannot fail.
        let _ = self.taken.take().map(|(stream, count)| link.grant(stream, count));
    }
}

/// Measures messages over a link with tables for a single topic.
pub(crate) fn over_link(name: &'static str, wire: Wire) -> Column {
    /// How many messages may be in flight, so many that flow control does not limit the throughput.
    const WINDOW: u32 = 8192;
    Column::new(name, move |operations| {
        let batching = Batching::HIGH_THROUGHPUT;
        let wants = Interest::of::<Sample>(ReaderMode::Gating, WINDOW).ok();
        let here = Side { batching, buffer: 2 * PIECE, wants: None };
        let there = Side { batching, buffer: PIECE, wants };
        let mut writer = Writer::new(operations, WINDOW, &Arc::default());
        let mut reader = Reader { count: operations as u64, ..Reader::default() };
        let (writer, reader) = wire.run(
            async move |stream, executor| {
                here.drive::<1, 1>(stream, executor, &mut writer).await;
                writer
            },
            async move |stream, executor| {
                there.drive::<1, 1>(stream, executor, &mut reader).await;
                reader
            },
        );
        Mismatch::check(name, Sample::expected(operations), reader.tally)?;
        let took = writer.stream.zip(reader.done).map(|((_, start), end)| end - start);
        Ok(Round::Total(took.unwrap_or_default()))
    })
}

/// Measures the peak memory of an end of this number of links over Unix sockets, all in one
/// runtime.
pub(crate) fn memory(name: &'static str, count: usize) -> Column {
    /// The goal: the most bytes that an end may hold at any moment.
    const MOST: f64 = (64 << 10) as f64;
    Column::new(name, move |operations| {
        LazyLock::force(&SLOTS);
        let share = (operations / count).max(1);
        // Sends its share over each of the links, all of which exist at the same time.
        let run = async move |executor: Arc<dyn Executor>| -> Result<(), Mismatch> {
            /// How many messages may be in flight on each link.
            const WINDOW: u32 = 128;
            /// How many bytes of a side may wait to be written: a window of frames and control
            /// frames.
            const BUFFER: usize = 16 << 10;
            // Each link needs two files, and the process some of its own. If the limit cannot be
            // raised, opening the sockets fails.
            let (files, limit) = (2 * count as u64 + 100, getrlimit(Resource::Nofile));
            if limit.current.is_some_and(|current| current < files) {
                let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(files), ..limit });
            }
            let wants = Interest::of::<Sample>(ReaderMode::Gating, WINDOW).ok();
            let here = Side { batching: Batching::BALANCED, buffer: BUFFER, wants: None };
            let there = Side { wants, ..here };
            let gate = Arc::new(Mutex::new(Gate { missing: count, ..Gate::default() }));
            let links = (0..count).map(|_| {
                let (left, right) = SocketKind::Unix.pair();
                let (left, right) = (left.stream(&*executor), right.stream(&*executor));
                let mut writer = Writer::new(share, WINDOW, &gate);
                let mut reader = Reader { count: share as u64, ..Reader::default() };
                let inside = executor.clone();
                let writes =
                    async move { here.drive::<TOPICS, STREAMS>(left, inside, &mut writer).await };
                drop(task(&executor, writes));
                let inside = executor.clone();
                task(&executor, async move {
                    there.drive::<TOPICS, STREAMS>(right, inside, &mut reader).await;
                    reader.tally
                })
            });
            for tally in join_all(links.collect::<Vec<_>>()).await {
                let tally = tally.ok_or_else(|| Mismatch::new(name, "a client panicked"))?;
                Mismatch::check(name, Sample::expected(share), tally)?;
            }
            Ok(())
        };
        let (outcome, bytes) = allocations::peak(|| Runtime::Tokio.run(run));
        outcome?;
        let (what, value) = ("bytes per end", bytes as f64 / (2 * count) as f64);
        Ok(Round::Count(what, value, Some(Limit::AtMost(MOST))))
    })
}
