//! Links under random operations, compared with a model that knows what was sent.
//!
//! The left side publishes; the right side reads. Bytes are delayed and arrive in pieces, the
//! connection is lost and opened again, the reader is slow, the publisher drops messages, ends and
//! restarts, and its streams move to memory. In all cases each message that was sent arrives once
//! and in order, or is reported as missing; confirmed messages have arrived; and in the end no
//! message is in flight.
//!
//! To read: this file, `operations.rs`, `writer.rs`, `reader.rs`.

mod operations;
mod reader;
mod writer;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mycelium_core::link::{
    Batching, Config, Confirms, ExportId, Interest, InterestId, OutgoingId, ReaderMode, SendError,
};
use operations::{Op, op};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::WithSource;
use reader::ReaderState;
use writer::PublisherState;
use zerocopy::IntoBytes;

use crate::pair::conversation::blob;
use crate::pair::{Pair, config};
use crate::schema::Swap;

const LEFT: usize = 0;
const RIGHT: usize = 1;

struct LinkModel {
    pair: Pair,
    confirms: Confirms,
    connected: bool,
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
    reading: Vec<ReaderState>,
}

impl LinkModel {
    fn new(confirms: Confirms) -> LinkModel {
        let batching = Batching { bytes: 300, messages: 8, delay: Duration::from_millis(3) };
        let left = Config { batching, fragment: 100, memory: true, ..config("left") };
        let right = Config { confirms, memory: true, ..config("right") };
        let mut world = LinkModel {
            pair: Pair::with(left, right, 2048),
            confirms,
            connected: true,
            publishers: vec![PublisherState::new(1)],
            export: None,
            resumes: Vec::new(),
            awaited: 0,
            outgoing: Vec::new(),
            ended: Vec::new(),
            sent: HashMap::new(),
            moved: HashSet::new(),
            offered: false,
            offer_received: false,
            interest: None,
            reading: Vec::new(),
        };
        world.pair.message = message;
        world.subscribe();
        world
    }

    fn subscribe(&mut self) {
        if self.interest.is_none() {
            let interest = Interest::of::<Swap>(ReaderMode::Gating, 10).unwrap();
            self.interest = self.pair.sides[RIGHT].link.subscribe(interest).ok();
        }
    }

    fn apply(&mut self, op: Op) {
        let now = self.pair.now;
        match op {
            Op::Emit(count) => {
                self.publishers.last_mut().unwrap().emitted += u64::from(count);
            }
            Op::Skip(count) => self.skip(count.into()),
            Op::Flush => self.pair.sides[LEFT].link.flush(),
            Op::Grant(count) => {
                for reading in &self.reading {
                    if let Some(stream) = reading.stream {
                        let _ = self.pair.sides[RIGHT].link.grant(stream, count.into());
                    }
                }
            }
            Op::Done(count) => self.done(count.into()),
            Op::Write(side, most) if self.connected => {
                self.pair.write(side.into(), most.into());
            }
            Op::Read(side, most) if self.connected => {
                self.pair.sides[usize::from(side)].read(now, most.into());
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
            Op::Delay(time) => self.pair.delay = Duration::from_millis(time.into()),
            Op::Cut if self.connected => {
                self.handle_events();
                self.pair.cut();
                self.connected = false;
                self.outgoing.clear();
                self.ended.clear();
                (self.export, self.awaited) = (None, 0);
                (self.offered, self.offer_received) = (false, false);
                self.resumes.clear();
                self.reading.iter_mut().for_each(|reading| reading.open.clear());
            }
            Op::Connect if !self.connected => {
                self.pair.connect();
                self.connected = true;
            }
            Op::Cut | Op::Connect => {}
            Op::Restart => {
                let last = self.publishers.last_mut().unwrap();
                last.ended = true;
                let epoch = last.epoch + 1;
                self.publishers.push(PublisherState::new(epoch));
            }
            Op::Unsubscribe => {
                if let Some(interest) = self.interest
                    && self.connected
                    && self.pair.sides[RIGHT].link.unsubscribe(interest).is_ok()
                {
                    // The reader forgets its streams.
                    self.handle_events();
                    self.interest = None;
                    self.reading.clear();
                }
            }
            Op::Subscribe => self.subscribe(),
            Op::OfferMemory => match self.pair.sides[LEFT].link.offer_memory(now, [9; 16]) {
                Ok(()) => assert!(!std::mem::replace(&mut self.offered, true), "offered twice"),
                Err(SendError::SecondMemory) => assert!(self.offered),
                Err(_) => {}
            },
            Op::Move => {
                if let Some((epoch, id)) = self.outgoing.last().copied() {
                    self.move_stream(epoch, id);
                }
            }
            Op::ReadMemory(count) => self.read_memory(count.into()),
        }
        self.handle_events();
        self.publish();
    }

    /// Writes and reads all bytes; false if there were none.
    fn progress(&mut self) -> bool {
        let now = self.pair.now;
        let written = self.pair.write(LEFT, usize::MAX) | self.pair.write(RIGHT, usize::MAX);
        let read = self.pair.sides[LEFT].read(now, usize::MAX)
            | self.pair.sides[RIGHT].read(now, usize::MAX);
        self.handle_events();
        self.publish();
        written || read
    }

    /// Handles the events of both sides.
    fn handle_events(&mut self) {
        for received in self.pair.sides[LEFT].take_events() {
            self.writer_receives(received);
        }
        for received in self.pair.sides[RIGHT].take_events() {
            self.reader_receives_event(received);
        }
        for side in &self.pair.sides {
            assert_eq!(side.failed, None);
        }
    }

    /// No new operation: all bytes on their way arrive.
    fn quiet(&mut self) {
        self.apply(Op::Connect);
        self.pair.delay = Duration::ZERO;
        // Until no bytes move, and then as long as the longest timer.
        let (mut still, mut before) = (0, 0);
        while still < 200 {
            self.apply(Op::Grant(u8::MAX));
            self.apply(Op::Done(u8::MAX));
            self.read_memory(u64::MAX);
            self.pair.sides[LEFT].link.flush();
            let until = self.pair.now + Duration::from_millis(20);
            self.progress();
            self.pair.step(until);
            let read: u64 = self.reading.iter().map(|reading| reading.next).sum();
            let moved = read + self.publishers.iter().map(|publisher| publisher.kept).sum::<u64>();
            still = if moved == before { still + 1 } else { 0 };
            before = moved;
        }
        for reading in self.reading.iter().filter(|reading| reading.stream.is_some()) {
            let publisher = &self.publishers[reading.epoch as usize - 1];
            assert!(!publisher.ended, "{reading:?} of {publisher:?}");
            assert_eq!(reading.next, publisher.emitted, "{reading:?} of {publisher:?}");
            assert_eq!(reading.received + reading.missed, reading.next - reading.first);
            assert!(publisher.is_confirmed(), "all messages are confirmed: {publisher:?}");
        }
        for reading in self.reading.iter().filter(|reading| reading.stream.is_none()) {
            let publisher = &self.publishers[reading.epoch as usize - 1];
            assert!(publisher.is_confirmed(), "{reading:?} of {publisher:?}");
        }
        let reads = |publisher: &PublisherState| {
            self.reading.iter().any(|reading| reading.epoch == publisher.epoch)
        };
        assert!(
            self.interest.is_none() || self.publishers.last().is_some_and(reads),
            "it reads nothing"
        );
    }
}

/// Every eighth message is long, and sent in fragments.
fn message(sequence: u64) -> Vec<u8> {
    match sequence % 8 {
        0 => blob(101 + sequence as usize * 37 % 400),
        _ => Swap::golden().as_bytes().to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_or_doubled_whatever_happens(ops in prop::collection::vec(op(), 1..80)) {
        for confirms in [Confirms::OnArrival, Confirms::ByCaller] {
            let mut world = LinkModel::new(confirms);
            for op in &ops {
                world.apply(*op);
            }
            world.quiet();
        }
    }
}
