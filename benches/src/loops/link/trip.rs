//! There and back over a socket: a message by a link, as many bytes by themselves, and in frames of `tokio-util`.

use std::task::Context;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use mycelium_core::link::{
    Batching, CloseReason, Event, IncomingId, Interest, Link, Name, OutgoingId, ReaderMode,
};
use mycelium_core::{Envelope, FrameView, message};
use mycelium_executor::Stream;
use mycelium_transports::stream::Traffic;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use zerocopy::IntoBytes;

use super::{HEADER, PIECE, Side, Wire};
use crate::harness::Mismatch;
use crate::loops::latency::Timed;
use crate::report::histogram;

/// The message, 64 bytes.
#[message(topic = "balls", id = 2)]
#[derive(PartialEq)]
struct Ball {
    words: [u64; 8],
}

impl Ball {
    fn of(number: u64) -> Ball {
        Ball { words: std::array::from_fn(|place| number.rotate_left(8 * place as u32)) }
    }
}

/// What a ball takes on the wire.
const ON_THE_WIRE: usize = HEADER + size_of::<Ball>();
/// What `tokio-util` puts before a frame.
const LENGTH: usize = 4;
/// Nobody waits for room.
const WINDOW: u32 = 64;

/// When the trip began that goes on, and how long those before took.
struct Watch {
    trips: u64,
    done: u64,
    wrong: u64,
    since: Instant,
    times: Histogram<u64>,
}

impl Watch {
    fn new(trips: usize) -> Watch {
        let (trips, since) = (trips as u64, Instant::now());
        Watch { trips, done: 0, wrong: 0, since, times: histogram() }
    }

    /// The next trip begins, if one does.
    fn begin(&mut self) -> Option<u64> {
        self.since = Instant::now();
        (self.done < self.trips).then_some(self.done)
    }

    /// Something came back, as it was thrown or not.
    fn end(&mut self, right: bool) {
        // Fails only where the histogram does not grow, and this one does.
        let _ = self.times.record(self.since.elapsed().as_nanos() as u64);
        self.done += 1;
        self.wrong += u64::from(!right);
    }

    fn result(self, name: &'static str) -> Result<Histogram<u64>, Mismatch> {
        let Watch { trips, done, wrong, times, .. } = self;
        if done == trips && wrong == 0 {
            return Ok(times);
        }
        Err(Mismatch::new(name, format!("{done} of {trips} balls came back, {wrong} were wrong")))
    }
}

/// By a link.
pub(crate) struct OverLink {
    pub(crate) name: &'static str,
    pub(crate) batching: Batching,
    pub(crate) wire: Wire,
}

/// Serves the one that the peer wants.
fn serve(now: Duration, link: &mut Link<'_, 1, 1>, event: &Event<'_>) -> Option<OutgoingId> {
    let Event::Subscribe { export: serve, .. } = *event else { return None };
    link.open_stream(now, serve, Name::truncated("balls"), 1, 0, WINDOW).ok()
}

fn throw(now: Duration, link: &mut Link<'_, 1, 1>, stream: OutgoingId, ball: &Ball) -> bool {
    let fixed = size_of::<Ball>() as u16;
    link.send(now, stream, &Envelope::default(), fixed, ball.as_bytes()).is_ok()
}

/// Throws each ball when the one before has come back.
struct Asker {
    watch: Watch,
    stream: Option<OutgoingId>,
    /// The ball that is on its way.
    away: Option<u64>,
    /// Where one came back, for which there is room again.
    taken: Option<IncomingId>,
}

impl Traffic<1, 1> for Asker {
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, event: Event<'_>) {
        self.stream = self.stream.or_else(|| serve(now, link, &event));
    }

    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        if let Some(number) = self.away.take() {
            self.watch.end(frame.message::<Ball>().is_ok_and(|ball| *ball == Ball::of(number)));
            self.taken = Some(stream);
        }
        Ok(())
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, _: &mut Context<'_>) {
        // A stream that is there takes it.
        let _ = self.taken.take().map(|stream| link.grant(stream, 1));
        let (Some(stream), None) = (self.stream, self.away) else { return };
        match self.watch.begin() {
            Some(number) => {
                self.away = throw(now, link, stream, &Ball::of(number)).then_some(number);
            }
            None => link.close(now, CloseReason::Shutdown),
        }
    }
}

/// Throws back what it gets.
#[derive(Default)]
struct Answerer {
    stream: Option<OutgoingId>,
    hand: Option<Ball>,
    taken: Option<IncomingId>,
}

impl Traffic<1, 1> for Answerer {
    fn on_event(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, event: Event<'_>) {
        self.stream = self.stream.or_else(|| serve(now, link, &event));
    }

    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        if let Ok(ball) = frame.message::<Ball>() {
            self.hand = Some(Ball { words: ball.words });
            self.taken = Some(stream);
        }
        Ok(())
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, 1, 1>, _: &mut Context<'_>) {
        let _ = self.taken.take().map(|stream| link.grant(stream, 1));
        if let Some(stream) = self.stream {
            self.hand.take_if(|ball| throw(now, link, stream, ball));
        }
    }
}

impl Timed for OverLink {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let OverLink { wire, batching, .. } = self;
        let wants = Interest::of::<Ball>(ReaderMode::Gating, WINDOW).ok();
        let side = Side { batching: *batching, buffer: PIECE, wants };
        let mut asker =
            Asker { watch: Watch::new(operations), stream: None, away: None, taken: None };
        wire.run(
            async |socket, executor| {
                side.drive(wire.stream(socket, &executor), executor, &mut asker).await;
            },
            async |socket, executor| {
                let stream = wire.stream(socket, &executor);
                side.drive(stream, executor, &mut Answerer::default()).await;
            },
        );
        asker.watch.result(self.name)
    }
}

/// As many bytes, by themselves.
pub(crate) struct Raw {
    pub(crate) name: &'static str,
    pub(crate) wire: Wire,
}

/// Bytes of a buffer that a read does not fill: one that does is followed by another, in vain.
const ROOM: usize = 4 << 10;

/// Reads as many bytes as a ball takes; false if they do not come.
async fn read(stream: &mut Stream, buffer: &mut [u8; ROOM]) -> bool {
    let mut there = 0;
    while there < ON_THE_WIRE {
        match stream.read(&mut buffer[there..]).await {
            Ok(count) if count > 0 => there += count,
            _ => return false,
        }
    }
    true
}

impl Timed for Raw {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let Raw { wire, .. } = self;
        let mut watch = Watch::new(operations);
        wire.run(
            async |socket, executor| {
                let mut stream = wire.stream(socket, &executor);
                let mut answer = [0; ROOM];
                while let Some(number) = watch.begin() {
                    let bytes = [number as u8; ON_THE_WIRE];
                    stream.write_all(&bytes).await.expect("the other side reads");
                    let there = read(&mut stream, &mut answer).await;
                    watch.end(there && answer[..ON_THE_WIRE] == bytes);
                }
            },
            async |socket, executor| {
                let mut stream = wire.stream(socket, &executor);
                let mut bytes = [0; ROOM];
                while read(&mut stream, &mut bytes).await {
                    stream.write_all(&bytes[..ON_THE_WIRE]).await.expect("the other side reads");
                }
            },
        );
        watch.result(self.name)
    }
}

/// As many bytes in frames of `tokio-util`, without a type, a check or a window.
pub(crate) struct LengthDelimited {
    pub(crate) name: &'static str,
    pub(crate) wire: Wire,
}

impl Timed for LengthDelimited {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let framed = |socket: std::os::unix::net::UnixStream| {
            socket.set_nonblocking(true).expect("a fresh socket");
            let stream = tokio::net::UnixStream::from_std(socket).expect("inside a runtime");
            Framed::new(stream, LengthDelimitedCodec::new())
        };
        let mut watch = Watch::new(operations);
        self.wire.run(
            async |socket, _| {
                let mut frames = framed(socket);
                while let Some(number) = watch.begin() {
                    let bytes = [number as u8; ON_THE_WIRE - LENGTH];
                    let frame = Bytes::copy_from_slice(&bytes);
                    frames.send(frame).await.expect("the other side reads");
                    let answer = frames.next().await.and_then(Result::ok);
                    watch.end(answer.is_some_and(|answer| answer == bytes[..]));
                }
            },
            async |socket, _| {
                let mut frames = framed(socket);
                while let Some(Ok(frame)) = frames.next().await {
                    frames.send(frame.freeze()).await.expect("the other side reads");
                }
            },
        );
        watch.result(self.name)
    }
}
