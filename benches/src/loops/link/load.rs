//! Messages that are due at fixed times, by a link.

use std::task::Context;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mycelium_core::link::{
    Batching, CloseReason, Event, IncomingId, Interest, Link, Name, OutgoingId, ReaderMode,
};
use mycelium_core::{Envelope, FrameView};
use mycelium_transports::stream::Traffic;
use zerocopy::IntoBytes;

use super::{PIECE, Side, WINDOW, Wire};
use crate::harness::Mismatch;
use crate::loops::latency::Timed;
use crate::report::histogram;
use crate::sample::{SAMPLES, Sample, Tally, samples};

/// A link that is given so many messages a second, whether it takes them or not.
pub(crate) struct Offered {
    pub(crate) name: &'static str,
    pub(crate) batching: Batching,
    pub(crate) rate: u64,
    pub(crate) wire: Wire,
}

/// Sends each message when it is due, or as soon after that as the link takes it. It never sleeps before the last: a
/// timer is off by a thousand times the distance of two messages.
struct Pacer {
    epoch: Instant,
    /// Nanoseconds from one message to the next.
    every: f64,
    count: u64,
    samples: [Sample; SAMPLES],
    stream: Option<(OutgoingId, u64)>,
}

impl Traffic<1, 1> for Pacer {
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, event: Event<'_>) {
        if let Event::Subscribe { export: serve, .. } = event {
            let stream = link.open_stream(now, serve, Name::truncated("samples"), 1, 0, WINDOW);
            self.stream = stream.ok().map(|stream| (stream, since(self.epoch)));
        }
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, context: &mut Context<'_>) {
        let Some((stream, start)) = self.stream else { return };
        let time = since(self.epoch);
        while let Ok(next) = link.sequence(stream)
            && next < self.count
        {
            let due = start + (next as f64 * self.every) as u64;
            let sample = Sample { number: due, ..self.samples[next as usize % SAMPLES] };
            let fixed = size_of::<Sample>() as u16;
            if due > time
                || link.send(now, stream, &Envelope::default(), fixed, sample.as_bytes()).is_err()
            {
                context.waker().wake_by_ref();
                return;
            }
        }
        if link.unconfirmed(stream) == 0 {
            link.close(now, CloseReason::Shutdown);
        }
    }
}

fn since(epoch: Instant) -> u64 {
    epoch.elapsed().as_nanos() as u64
}

struct Reader {
    epoch: Instant,
    tally: Tally,
    times: Histogram<u64>,
    /// So many of the stream since it was told what room there is.
    taken: Option<(IncomingId, u32)>,
}

impl Traffic<1, 1> for Reader {
    fn on_event(&mut self, _: Duration, _: &mut Link<'_, 1, 1>, _: Event<'_>) {}

    #[inline]
    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        if let Ok(sample) = frame.message::<Sample>() {
            self.tally.add_stamped(sample);
            // Fails only where the histogram does not grow, and this one does.
            let _ = self.times.record(since(self.epoch).saturating_sub(sample.number));
            self.taken = Some((stream, self.taken.map_or(1, |(_, count)| count + 1)));
        }
        Ok(())
    }

    fn send(&mut self, _: Duration, link: &mut Link<'_, 1, 1>, _: &mut Context<'_>) {
        // A stream that is there takes it.
        let _ = self.taken.take().map(|(stream, count)| link.grant(stream, count));
    }
}

impl Timed for Offered {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let Offered { wire, batching, rate, .. } = self;
        let wants = Interest::of::<Sample>(ReaderMode::Gating, WINDOW).ok();
        let here = Side { batching: *batching, buffer: 2 * PIECE, wants: None };
        let there = Side { buffer: PIECE, wants, ..here };
        let epoch = Instant::now();
        let mut pacer = Pacer {
            epoch,
            every: 1e9 / *rate as f64,
            count: operations as u64,
            samples: samples(),
            stream: None,
        };
        let ((), reader) = wire.run(
            async |socket, executor| {
                here.drive(wire.stream(socket, &executor), executor, &mut pacer).await;
            },
            async |socket, executor| {
                let (tally, times) = (Tally::default(), histogram());
                let mut reader = Reader { epoch, tally, times, taken: None };
                there.drive(wire.stream(socket, &executor), executor, &mut reader).await;
                reader
            },
        );
        Mismatch::check(self.name, Tally::expected(operations, Tally::add_stamped), reader.tally)?;
        Ok(reader.times)
    }
}
