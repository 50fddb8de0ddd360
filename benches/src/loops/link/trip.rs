//! Round trips over a socket: a message over a link, and the same bytes without a link.

use std::task::Context;
use std::time::{Duration, Instant};

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use mycelium_core::Fixed;
use mycelium_core::link::{
    Batching, CloseReason, Event, IncomingId, Interest, Link, Name, OutgoingId, ReaderMode,
    StreamStart,
};
use mycelium_core::{Envelope, FrameView, message};
use mycelium_executor::Stream;
use mycelium_transports::stream::Traffic;

use super::{HEADER, PIECE, Side, Wire};
use crate::harness::{Column, Mismatch, Round};
use crate::stats::Times;

/// The message, 64 bytes.
#[message(topic = "pings", id = 2)]
#[derive(PartialEq)]
struct Ping {
    words: [u64; 8],
}

impl Ping {
    fn of(number: u64) -> Ping {
        Ping { words: std::array::from_fn(|index| number.rotate_left(8 * index as u32)) }
    }
}

/// The bytes of a ping on the wire.
const ON_THE_WIRE: usize = HEADER + size_of::<Ping>();
/// More messages than are ever in flight.
const WINDOW: u32 = 64;

/// Times trips, and counts wrong answers.
struct Watch {
    trips: u64,
    done: u64,
    wrong: u64,
    since: Instant,
    times: Times,
}

impl Watch {
    fn new(trips: usize) -> Watch {
        let (trips, since) = (trips as u64, Instant::now());
        Watch { trips, done: 0, wrong: 0, since, times: Times::default() }
    }

    /// Starts the next trip and returns its number, if there is one.
    fn begin(&mut self) -> Option<u64> {
        self.since = Instant::now();
        (self.done < self.trips).then_some(self.done)
    }

    /// Ends a trip; `right` is whether the answer was the same.
    fn end(&mut self, right: bool) {
        self.times.record(self.since.elapsed());
        self.done += 1;
        self.wrong += u64::from(!right);
    }

    fn result(self, name: &'static str) -> Result<Round, Mismatch> {
        let Watch { trips, done, wrong, times, .. } = self;
        if done == trips && wrong == 0 {
            return Ok(Round::Each(times));
        }
        Err(Mismatch::new(name, format!("{done} of {trips} messages returned, {wrong} wrong")))
    }
}

/// One side of the link. The asking side has a watch.
#[derive(Default)]
struct Peer {
    watch: Option<Watch>,
    stream: Option<OutgoingId>,
    /// The number of the ping in flight, on the asking side.
    in_flight: Option<u64>,
    /// The ping to return, on the answering side.
    pending: Option<Ping>,
    /// The stream of the last ping received, which needs a new credit.
    taken: Option<IncomingId>,
}

impl Peer {
    fn send_ping(&self, now: Duration, link: &mut Link<'_, 1, 1>, ping: &Ping) -> bool {
        let Some(stream) = self.stream else { return false };
        let fixed = size_of::<Ping>() as u16;
        link.send(now, stream, &Envelope::default(), fixed, ping.encoded()).is_ok()
    }
}

impl Traffic<1, 1> for Peer {
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, event: Event<'_>) {
        if let Event::Subscribe { export: serve, .. } = event {
            self.stream = link
                .open_stream(now, serve, Name::truncated("pings"), StreamStart::new(1, 0, WINDOW))
                .ok();
        }
    }

    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        let ping = frame.message::<Ping>();
        match &mut self.watch {
            Some(watch) => {
                let Some(number) = self.in_flight.take() else { return Ok(()) };
                watch.end(ping.is_ok_and(|ping| *ping == Ping::of(number)));
            }
            None => self.pending = ping.ok().map(|ping| Ping { words: ping.words }),
        }
        self.taken = Some(stream);
        Ok(())
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, _: &mut Context<'_>) {
        // The stream exists, so this cannot fail.
        let _ = self.taken.take().map(|stream| link.grant(stream, 1));
        if let Some(ping) = self.pending.take()
            && !self.send_ping(now, link, &ping)
        {
            self.pending = Some(ping);
        }
        let (Some(watch), Some(_), None) = (&mut self.watch, self.stream, self.in_flight) else {
            return;
        };
        match watch.begin() {
            Some(number) => {
                self.in_flight = self.send_ping(now, link, &Ping::of(number)).then_some(number);
            }
            None => link.close(now, CloseReason::Shutdown),
        }
    }
}

/// Measures trips over a link.
pub(crate) fn over_link(name: &'static str, batching: Batching, wire: Wire) -> Column {
    Column::new(name, move |operations| {
        let wants = Interest::of::<Ping>(ReaderMode::Gating, WINDOW).ok();
        let side = Side { batching, buffer: PIECE, wants };
        let mut asker = Peer { watch: Some(Watch::new(operations)), ..Peer::default() };
        let (asker, ()) = wire.run(
            async move |stream, executor| {
                side.drive(stream, executor, &mut asker).await;
                asker
            },
            async move |stream, executor| {
                side.drive(stream, executor, &mut Peer::default()).await;
            },
        );
        asker.watch.expect("the asking side has one").result(name)
    })
}

/// The bytes of a read. A read that fills its buffer would be followed by another, which finds
/// nothing.
const BUFFER: usize = 4 << 10;

/// Reads the bytes of one ping. Returns false if the stream ends.
async fn read(stream: &mut Stream, buffer: &mut [u8; BUFFER]) -> bool {
    let mut length = 0;
    while length < ON_THE_WIRE {
        match stream.read(&mut buffer[length..]).await {
            Ok(count) if count > 0 => length += count,
            _ => return false,
        }
    }
    true
}

/// Measures trips of the same bytes without a link.
pub(crate) fn raw(name: &'static str, wire: Wire) -> Column {
    Column::new(name, move |operations| {
        let mut watch = Watch::new(operations);
        let (watch, ()) = wire.run(
            async move |mut stream, _| {
                let mut answer = [0; BUFFER];
                while let Some(number) = watch.begin() {
                    let bytes = [number as u8; ON_THE_WIRE];
                    stream.write_all(&bytes).await.expect("the other side reads");
                    let complete = read(&mut stream, &mut answer).await;
                    watch.end(complete && answer[..ON_THE_WIRE] == bytes);
                }
                watch
            },
            async |mut stream, _| {
                let mut bytes = [0; BUFFER];
                while read(&mut stream, &mut bytes).await {
                    stream.write_all(&bytes[..ON_THE_WIRE]).await.expect("the other side reads");
                }
            },
        );
        watch.result(name)
    })
}
