//! Links under random operations, compared with a model that knows what was sent.
//!
//! Each side publishes a topic that the other one reads, at once. Bytes are delayed and arrive in
//! pieces, the connection is lost and opened again, the readers are slow, the publishers drop
//! messages, end and restart, reject the topic, and their streams move to memory. In all cases each
//! message that was sent arrives once, in order and with credit, or is reported as missing;
//! confirmed messages have arrived; no side ends the link; and in the end no message is in flight,
//! and all credit has returned.
//!
//! To read: this file, `operations.rs`, `writer.rs`, `reader.rs`.

mod operations;
mod reader;
mod writer;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mycelium_core::Fixed;
use mycelium_core::link::{
    Batching, Config, Confirms, ExportId, InterestId, OutgoingId, SendError,
};
use operations::{Op, op};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::WithSource;
use reader::ReaderState;
use writer::PublisherState;

use crate::pair::conversation::{MS, blob, swaps};
use crate::pair::{Pair, Received, TestLink, config};
use crate::portable::bodies::codec::Swap;

struct LinkModel {
    pair: Pair,
    connected: bool,
    /// What the left side publishes, and what the right side does.
    directions: [Direction; 2],
}

/// A topic that one side publishes and the other one reads.
#[derive(Default)]
struct Direction {
    /// The side that publishes.
    writer: usize,
    confirms: Confirms,
    window: u32,
    publishers: Vec<PublisherState>,
    export: Option<ExportId>,
    /// Resumes that the writer received.
    resumes: Vec<(u64, u64)>,
    awaited: u16,
    outgoing: Vec<(u64, OutgoingId)>,
    /// Streams that were ended and are confirmed later.
    ended: Vec<(u64, OutgoingId)>,
    /// The sent part of the next message.
    sent: HashMap<OutgoingId, usize>,
    /// Streams that have moved on this connection.
    moved: HashSet<OutgoingId>,
    /// Memory was offered on this connection, and the offer has arrived.
    offered: bool,
    offer_received: bool,
    interest: Option<InterestId>,
    /// The writer has rejected the topic on this connection.
    rejected: bool,
    reading: Vec<ReaderState>,
}

prop_compose! {
    /// The buffers, the window, and the settings of both sides.
    fn setup()(
        buffer in prop_oneof![Just(TestLink::MIN_BUFFER), Just(2048)],
        batching in prop_oneof![
            Just(Batching::LOW_LATENCY),
            Just(Batching::BALANCED),
            Just(Batching { bytes: 300, messages: 8, delay: 3 * MS }),
        ],
        window in 1..=10u32,
        fragment in prop_oneof![Just(64), Just(100), Just(16 << 10)],
        max_open in 1..=3u16,
    ) -> (usize, u32, Config) {
        (buffer, window, Config { batching, fragment, max_open, memory: true, ..config("") })
    }
}

impl LinkModel {
    fn new(buffer: usize, window: u32, config: Config, confirms: Confirms) -> LinkModel {
        let mut pair = Pair::with(buffer, |left, right| {
            for side in [left, right] {
                *side = Config { node: side.node, confirms, ..config };
            }
        });
        pair.message = message;
        let mut directions = [0, 1].map(|writer| Direction {
            writer,
            confirms,
            window,
            publishers: vec![PublisherState { epoch: 1, ..Default::default() }],
            ..Direction::default()
        });
        directions.iter_mut().for_each(|direction| direction.subscribe(&mut pair));
        LinkModel { pair, connected: true, directions }
    }

    fn apply(&mut self, index: usize, op: Op) {
        let LinkModel { pair, directions, .. } = self;
        let (now, direction) = (pair.now, &mut directions[index]);
        match op {
            Op::Emit(count) => {
                direction.publishers.last_mut().unwrap().emitted += u64::from(count);
            }
            Op::Skip(count) => direction.skip(pair, count.into()),
            Op::Flush => pair.sides[direction.writer].link.flush(),
            Op::Grant(count) => direction.grant(pair, count.into()),
            Op::Done(count) => direction.done(pair, count.into()),
            Op::Write(most) if self.connected => _ = pair.write(direction.writer, most.into()),
            Op::Read(most) if self.connected => {
                pair.sides[direction.writer].read(now, most.into());
            }
            Op::Write(..) | Op::Read(..) => {}
            Op::Pass(time) => {
                let until = now + Duration::from_millis(time.into());
                while self.connected && self.pair.now < until {
                    self.pair.step(until);
                    if self.pair.now >= until || !self.progress() {
                        break;
                    }
                }
                self.pair.now = self.pair.now.max(until);
            }
            Op::Delay(time) => pair.delay = Duration::from_millis(time.into()),
            Op::Cut if self.connected => {
                self.handle_events();
                self.pair.cut();
                self.connected = false;
                self.directions.iter_mut().for_each(Direction::cut);
            }
            Op::Connect if !self.connected => {
                pair.connect();
                self.connected = true;
            }
            Op::Cut | Op::Connect => {}
            Op::Restart => {
                let last = direction.publishers.last_mut().unwrap();
                last.ended = true;
                let epoch = last.epoch + 1;
                direction.publishers.push(PublisherState { epoch, ..Default::default() });
            }
            Op::Unsubscribe => {
                if let Some(interest) = direction.interest
                    && self.connected
                    && pair.sides[1 - direction.writer].link.unsubscribe(interest).is_ok()
                {
                    // The reader forgets its streams.
                    self.handle_events();
                    let direction = &mut self.directions[index];
                    direction.interest = None;
                    direction.reading.clear();
                }
            }
            Op::Subscribe => direction.subscribe(pair),
            Op::Reject => direction.reject(pair),
            Op::OfferMemory => match pair.sides[direction.writer].link.offer_memory(now, [9; 16]) {
                Ok(()) => {
                    assert!(!std::mem::replace(&mut direction.offered, true), "offered twice");
                }
                Err(SendError::SecondMemory) => assert!(direction.offered),
                Err(_) => {}
            },
            Op::Move => direction.move_stream(pair),
            Op::ReadMemory(count) => direction.read_memory(count.into()),
        }
        self.handle_events();
    }

    /// Writes and reads all bytes; false if there were none.
    fn progress(&mut self) -> bool {
        let now = self.pair.now;
        let written = self.pair.write(0, usize::MAX) | self.pair.write(1, usize::MAX);
        let read = self.pair.sides.each_mut().map(|side| side.read(now, usize::MAX));
        self.handle_events();
        written || read.contains(&true)
    }

    /// Handles the events of both sides, and publishes what is to be published.
    fn handle_events(&mut self) {
        for side in 0..2 {
            let [mine, other] = self.directions.each_mut();
            let (publishes, reads) = if side == 0 { (mine, other) } else { (other, mine) };
            for received in self.pair.sides[side].take_events() {
                match received {
                    Received::Up(_) => {}
                    Received::Subscribe { .. }
                    | Received::Resume { .. }
                    | Received::Unsubscribe(_)
                    | Received::Window { .. } => publishes.writer_receives(received),
                    _ => reads.reader_receives(received),
                }
            }
            assert_eq!(self.pair.sides[side].failed, None);
        }
        for direction in &mut self.directions {
            direction.publish(&mut self.pair);
        }
    }

    /// No new operation: all bytes on their way arrive.
    fn quiet(&mut self) {
        if self.directions.iter().any(|direction| direction.rejected) {
            self.apply(0, Op::Cut);
        }
        self.apply(0, Op::Connect);
        self.pair.delay = Duration::ZERO;
        // Until no bytes move, and then as long as the longest timer.
        let (mut still, mut before) = (0, 0);
        while still < 200 {
            let mut moved = 0;
            for direction in &mut self.directions {
                direction.grant(&mut self.pair, u64::MAX);
                direction.done(&mut self.pair, u64::MAX);
                direction.read_memory(u64::MAX);
                self.pair.sides[direction.writer].link.flush();
                moved += direction.reading.iter().map(|reading| reading.next).sum::<u64>();
                moved += direction.publishers.iter().map(|publisher| publisher.kept).sum::<u64>();
            }
            let until = self.pair.now + Duration::from_millis(20);
            self.progress();
            self.pair.step(until);
            still = if moved == before { still + 1 } else { 0 };
            before = moved;
        }
        for direction in &self.directions {
            direction.check_quiet(&mut self.pair);
        }
    }
}

impl Direction {
    fn subscribe(&mut self, pair: &mut Pair) {
        if self.interest.is_none() {
            let interest = pair.sides[1 - self.writer].link.subscribe(swaps(self.window));
            self.interest = interest.ok();
        }
    }

    /// The connection is lost.
    fn cut(&mut self) {
        self.forget_export();
        (self.offered, self.offer_received, self.rejected) = (false, false, false);
        self.reading.iter_mut().for_each(|reading| reading.open.clear());
    }

    fn check_quiet(&self, pair: &mut Pair) {
        for reading in &self.reading {
            let publisher = &self.publishers[reading.epoch as usize - 1];
            assert!(publisher.is_confirmed(), "{reading:?} of {publisher:?}");
            if reading.stream.is_some() {
                assert!(!publisher.ended, "{reading:?} of {publisher:?}");
                assert_eq!(reading.next, publisher.emitted, "{reading:?} of {publisher:?}");
                assert_eq!(reading.received + reading.missed, reading.next - reading.first);
            }
        }
        let last = self.publishers.last().map(|publisher| publisher.epoch);
        let reads_last = self.reading.iter().any(|reading| Some(reading.epoch) == last);
        assert!(self.interest.is_none() || reads_last, "it reads nothing");
        for (_, stream) in &self.outgoing {
            let credit = pair.sides[self.writer].link.credit(*stream);
            assert!(credit > u64::from(self.window / 2), "{credit} of {}", self.window);
        }
    }
}

/// Every eighth message is long, and sent in fragments.
fn message(sequence: u64) -> Vec<u8> {
    match sequence % 8 {
        0 => blob(101 + sequence as usize * 37 % 400),
        _ => Swap::golden().encoded().to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_or_doubled_whatever_happens(
        (buffer, window, config) in setup(),
        ops in prop::collection::vec((0..2usize, op()), 1..160),
    ) {
        for confirms in [Confirms::OnArrival, Confirms::ByCaller] {
            let mut world = LinkModel::new(buffer, window, config, confirms);
            for (direction, op) in &ops {
                world.apply(*direction, *op);
            }
            world.quiet();
        }
    }
}
