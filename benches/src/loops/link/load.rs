//! Messages over a link at fixed due times.

use std::task::Context;
use std::time::{Duration, Instant};

use mycelium_core::Envelope;
use mycelium_core::link::{
    Batching, CloseReason, Event, Interest, Link, Name, OutgoingId, ReaderMode,
};
use mycelium_transports::stream::Traffic;
use zerocopy::IntoBytes;

use super::one_way::Reader;
use super::{PIECE, Side, WINDOW, Wire};
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{SAMPLES, Sample, Tally, samples};

/// Sends each message when it is due, or as soon after that as the link accepts it. It never sleeps
/// before the last message: timers are a thousand times coarser than the time between two messages.
struct Pacer {
    epoch: Instant,
    /// Nanoseconds between two messages.
    every: f64,
    count: u64,
    samples: [Sample; SAMPLES],
    /// The stream, and when it was opened.
    stream: Option<(OutgoingId, u64)>,
}

impl Pacer {
    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

impl Traffic<1, 1> for Pacer {
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, event: Event<'_>) {
        if let Event::Subscribe { export: serve, .. } = event {
            let stream = link.open_stream(now, serve, Name::truncated("samples"), 1, 0, WINDOW);
            self.stream = stream.ok().map(|stream| (stream, self.now()));
        }
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, context: &mut Context<'_>) {
        let Some((stream, start)) = self.stream else { return };
        let time = self.now();
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

/// A link that is offered this load, in messages per second, whether it can carry it or not. The
/// number of messages follows from the load, not from the number of operations.
pub(crate) fn offered(
    name: &'static str,
    batching: Batching,
    rate: u64,
    messages: usize,
    wire: Wire,
) -> Column {
    Column::new(name, move |_| {
        let wants = Interest::of::<Sample>(ReaderMode::Gating, WINDOW).ok();
        let here = Side { batching, buffer: 2 * PIECE, wants: None };
        let there = Side { buffer: PIECE, wants, ..here };
        let epoch = Instant::now();
        let (every, count) = (1e9 / rate as f64, messages as u64);
        let mut pacer = Pacer { epoch, every, count, samples: samples(), stream: None };
        let mut reader = Reader::<true>::new(epoch, messages);
        let ((), reader) = wire.run(
            async move |stream, executor| {
                here.drive::<1, 1>(stream, executor, &mut pacer).await;
            },
            async move |stream, executor| {
                there.drive::<1, 1>(stream, executor, &mut reader).await;
                reader
            },
        );
        Mismatch::check(name, Tally::expected(messages, Tally::add_stamped), reader.tally)?;
        Ok(Round::Each(reader.times))
    })
}
