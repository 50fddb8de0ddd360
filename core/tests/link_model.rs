//! Links under random operations, compared with a model that knows what was sent.
//!
//! The left side publishes; the right side reads. Bytes are delayed and arrive in pieces, the
//! connection is lost and opened again, the reader is slow, the publisher drops messages, ends and
//! restarts, and its streams move to memory. In all cases each message that was sent arrives once
//! and in order, or is reported as missing; confirmed messages have arrived; and in the end no
//! message is in flight.
// The link has no `unsafe`: Miri would see nothing that the tests of `link` do not show it.
#![cfg(all(target_endian = "little", not(miri)))]

mod pair;
mod schema;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mycelium_core::Envelope;
use mycelium_core::link::{
    Batching, Config, Confirms, ExportId, IncomingId, Interest, Name, OutgoingId, ReaderMode,
    RunShape, SendError,
};
use pair::conversation::{blob, fragment};
use pair::{Pair, Received, config};
use proptest::prelude::*;
use schema::Swap;
use zerocopy::IntoBytes;

const LEFT: usize = 0;
const RIGHT: usize = 1;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// The publisher has this many more messages.
    Emit(u8),
    /// It drops this many of them.
    Skip(u8),
    Flush,
    /// The reader grants credit for this many.
    Grant(u8),
    /// It confirms this many more, if it confirms itself.
    Done(u8),
    /// A side writes or reads this many bytes.
    Write(bool, u16),
    Read(bool, u16),
    /// This many milliseconds pass.
    Pass(u8),
    /// From now on bytes take this many milliseconds.
    Delay(u8),
    Cut,
    Connect,
    /// The publisher ends, and another starts.
    Restart,
    Unsubscribe,
    Subscribe,
    /// The writer offers shared memory, or moves its newest stream there.
    OfferMemory,
    Move,
    /// The reader reads this many messages of each stream in memory.
    ReadMemory(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..20u8).prop_map(Op::Emit),
        1 => (1..5u8).prop_map(Op::Skip),
        2 => Just(Op::Flush),
        4 => (0..12u8).prop_map(Op::Grant),
        3 => (0..12u8).prop_map(Op::Done),
        8 => (any::<bool>(), 0..600u16).prop_map(|(side, most)| Op::Write(side, most)),
        8 => (any::<bool>(), 0..600u16).prop_map(|(side, most)| Op::Read(side, most)),
        4 => (0..20u8).prop_map(Op::Pass),
        1 => (0..5u8).prop_map(Op::Delay),
        1 => Just(Op::Cut),
        2 => Just(Op::Connect),
        1 => Just(Op::Restart),
        1 => Just(Op::Unsubscribe),
        2 => Just(Op::Subscribe),
        1 => Just(Op::OfferMemory),
        2 => Just(Op::Move),
        2 => (0..12u8).prop_map(Op::ReadMemory),
    ]
}

/// One start of the publisher, with the state of its ring.
#[derive(Debug)]
struct PublisherState {
    epoch: u64,
    /// The next message, and the first one that is not confirmed.
    emitted: u64,
    kept: u64,
    ended: bool,
    /// Where its stream has moved to memory, and how far it is read there.
    moved: Option<u64>,
    read: u64,
}

impl PublisherState {
    fn new(epoch: u64) -> PublisherState {
        PublisherState { epoch, emitted: 0, kept: 0, ended: false, moved: None, read: 0 }
    }

    /// Whether the reader has confirmed all messages, over the link or in memory.
    fn is_confirmed(&self) -> bool {
        match self.moved {
            Some(first) => self.kept == first && self.read == self.emitted,
            None => self.kept == self.emitted,
        }
    }
}

/// The reader's state of one start of the publisher.
#[derive(Debug, Default)]
struct ReaderState {
    epoch: u64,
    stream: Option<IncomingId>,
    first: u64,
    next: u64,
    missed: u64,
    received: u64,
    /// It has confirmed the messages before this one.
    done: u64,
    /// The stream to confirm, also after its end.
    confirms: Option<IncomingId>,
    /// The received part of the next message.
    open: Vec<u8>,
    /// Where the stream has moved to memory. Messages after that are read there.
    moved: Option<u64>,
}

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
    interest: Option<mycelium_core::link::InterestId>,
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

    fn writer_receives(&mut self, received: Received) {
        match received {
            Received::Subscribe { export, resumes, .. } => {
                (self.export, self.awaited) = (Some(export), resumes);
                self.resumes.clear();
                self.outgoing.clear();
                self.ended.clear();
            }
            Received::Resume { export, epoch, next } => {
                assert_eq!(Some(export), self.export);
                self.awaited -= 1;
                assert!(next <= self.publishers[epoch as usize - 1].emitted);
                self.resumes.push((epoch, next));
            }
            Received::Unsubscribe(export) => {
                if Some(export) == self.export {
                    self.export = None;
                    self.outgoing.clear();
                    self.ended.clear();
                }
            }
            Received::Window { stream, confirmed } => {
                let mut streams = self.outgoing.iter().chain(&self.ended);
                let Some((epoch, _)) = streams.find(|(_, id)| *id == stream) else { return };
                let publisher = &mut self.publishers[*epoch as usize - 1];
                assert!(confirmed >= publisher.kept && confirmed <= publisher.emitted);
                assert!(publisher.moved.is_none_or(|first| confirmed <= first), "not in memory");
                publisher.kept = confirmed;
                let reading = self.reading.iter().find(|reading| reading.epoch == *epoch);
                if let Some(reading) = reading.filter(|_| self.confirms == Confirms::ByCaller) {
                    assert!(
                        confirmed <= reading.done,
                        "a message is confirmed before the reader does so"
                    );
                }
            }
            Received::Up(_) => {}
            other => panic!("{other:?} on the writer's side"),
        }
    }

    fn reader_receives_event(&mut self, received: Received) {
        match received {
            Received::Stream { stream, epoch, first, resumed } => {
                if let Some(missed) = resumed {
                    let reading = self.of(stream);
                    if let Some(moved) = reading.moved {
                        assert_eq!((reading.epoch, missed, moved), (epoch, 0, first));
                        return;
                    }
                    assert_eq!((reading.epoch, reading.next + missed), (epoch, first));
                    reading.missed += missed;
                    reading.next = first;
                } else {
                    assert!(self.reading.iter().all(|reading| reading.epoch != epoch), "twice");
                    let stream = Some(stream);
                    self.reading.push(ReaderState {
                        epoch,
                        stream,
                        confirms: stream,
                        first,
                        next: first,
                        done: first,
                        ..ReaderState::default()
                    });
                }
            }
            Received::Message { stream, sequence, payload, .. } => {
                let reading = self.over_the_link(stream);
                assert_eq!(sequence, reading.next, "once and in order");
                assert_eq!(payload, message(sequence));
                assert!(reading.open.is_empty(), "another message is open");
                reading.next += 1;
                reading.received += 1;
            }
            Received::Fragment { stream, sequence, fragment, bytes, .. } => {
                let reading = self.over_the_link(stream);
                assert_eq!(sequence, reading.next, "once and in order");
                assert_eq!(fragment.offset as usize, reading.open.len());
                reading.open.extend(bytes);
                if reading.open.len() == fragment.total as usize {
                    assert_eq!(std::mem::take(&mut reading.open), message(sequence));
                    reading.next += 1;
                    reading.received += 1;
                }
            }
            Received::Gap { stream, missed, .. } => {
                let reading = self.over_the_link(stream);
                reading.open.clear();
                reading.next += missed;
                reading.missed += missed;
            }
            Received::Memory(_) => {
                assert!(!std::mem::replace(&mut self.offer_received, true), "offered twice");
            }
            Received::Region { stream, number, first } => {
                let reading = self.of(stream);
                assert_eq!(u64::from(number), reading.epoch);
                assert_eq!(first, reading.moved.unwrap_or(reading.next), "where it moved before");
                assert!(reading.open.is_empty(), "a message is open");
                reading.moved = Some(first);
            }
            Received::End { stream, next } => {
                let reading = self.of(stream);
                let is_last = if reading.moved.is_some() {
                    next >= reading.next
                } else {
                    next == reading.next
                };
                let epoch = reading.epoch as usize;
                assert!(is_last && next == self.publishers[epoch - 1].emitted);
                self.over(stream);
            }
            Received::Gone(stream) => self.over(stream),
            Received::Unsubscribed { .. } | Received::Accepted(_) | Received::Up(_) => {}
            other => panic!("{other:?} on the reader's side"),
        }
    }

    /// A stream whose messages arrive over the link.
    fn over_the_link(&mut self, stream: IncomingId) -> &mut ReaderState {
        let reading = self.of(stream);
        assert_eq!(reading.moved, None, "its messages are in memory");
        reading
    }

    fn of(&mut self, stream: IncomingId) -> &mut ReaderState {
        let found = self.reading.iter_mut().find(|reading| reading.stream == Some(stream));
        found.expect("an open stream")
    }

    fn over(&mut self, stream: IncomingId) {
        let reading = self.of(stream);
        reading.stream = None;
        assert_eq!(reading.received + reading.missed, reading.next - reading.first);
    }

    /// Sends messages of the writer's ring, as many as the link accepts.
    fn publish(&mut self) {
        let Some(export) = self.export.filter(|_| self.awaited == 0) else { return };
        let now = self.pair.now;
        let link = &mut self.pair.sides[LEFT].link;
        while let Some((epoch, next)) = self.resumes.pop() {
            let publisher = &mut self.publishers[epoch as usize - 1];
            // The region has not arrived.
            publisher.moved = publisher.moved.filter(|first| *first == next);
            let done = if publisher.ended && publisher.is_confirmed() {
                link.refuse_resume(now, export, epoch)
            } else {
                // The reader may have more than it confirmed, and less than was dropped since.
                let first = next.max(publisher.kept);
                let name = Name::try_from("feed").unwrap();
                link.open_stream(now, export, name, epoch, first, 1024).map(|id| {
                    link.unconfirmed_from(id, publisher.kept).unwrap();
                    self.outgoing.push((epoch, id));
                })
            };
            if done.is_err() {
                self.resumes.push((epoch, next));
                return;
            }
        }
        for publisher in &mut self.publishers {
            let epoch = publisher.epoch;
            if !self.outgoing.iter().any(|(known, _)| *known == epoch) && !publisher.ended {
                let name = Name::try_from("feed").unwrap();
                let Ok(id) = link.open_stream(now, export, name, epoch, publisher.emitted, 1024)
                else {
                    continue;
                };
                (publisher.kept, publisher.moved) = (publisher.emitted, None);
                self.outgoing.push((epoch, id));
            }
        }
        for (epoch, id) in std::mem::take(&mut self.outgoing) {
            let publisher = &self.publishers[epoch as usize - 1];
            let mut result = Ok(());
            if let Some(first) = publisher.moved
                && !self.moved.contains(&id)
            {
                // On an earlier connection.
                result = link.move_stream(now, id, epoch as u32).map(|again| {
                    assert_eq!(again, first);
                    self.moved.insert(id);
                });
            }
            while publisher.moved.is_none()
                && let Ok(next) = link.sequence(id)
                && next < publisher.emitted
                && result.is_ok()
            {
                let sent = self.sent.entry(id).or_default();
                // Consecutive messages of one length.
                let alike = (publisher.emitted - next).min(8 - next % 8) as usize;
                if *sent == 0 && next % 8 != 0 && alike > 1 {
                    let shape = RunShape { stride: 56, skip: 8, length: 40 };
                    match link.send_run(now, id, shape, alike) {
                        Ok(0) => {}
                        Ok(_) => continue,
                        Err(error) => {
                            result = Err(error);
                            continue;
                        }
                    }
                }
                let message = message(next);
                let (fragment, rest) = (fragment(&message, *sent), &message[*sent..]);
                let part = link.send_fragment(now, id, &Envelope::default(), fragment, rest);
                result = part.map(|count| *sent = (*sent + count) % message.len());
            }
            if result.is_ok() && publisher.ended {
                result = match publisher.moved {
                    Some(_) => link.end_moved_stream(now, id, publisher.emitted),
                    None => link.end_stream(now, id),
                };
                if result.is_ok() {
                    self.ended.push((epoch, id));
                    continue;
                }
            }
            match result {
                Ok(()) | Err(SendError::Credit | SendError::Room { .. }) => {
                    self.outgoing.push((epoch, id))
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn skip(&mut self, count: u64) {
        let Some(&(epoch, id)) = self.outgoing.last() else { return };
        let publisher = &mut self.publishers[epoch as usize - 1];
        let (now, link) = (self.pair.now, &mut self.pair.sides[LEFT].link);
        // As if a publisher had overwritten messages.
        let Ok(next) = link.sequence(id) else { return };
        if link.skip(now, id, count, 1).is_ok() {
            self.sent.remove(&id);
            publisher.emitted = publisher.emitted.max(next + count);
        }
    }

    fn move_stream(&mut self, epoch: u64, id: OutgoingId) {
        let publisher = &mut self.publishers[epoch as usize - 1];
        let (now, link) = (self.pair.now, &mut self.pair.sides[LEFT].link);
        let next = link.sequence(id);
        match link.move_stream(now, id, epoch as u32) {
            Ok(first) => {
                assert_eq!(Ok(first), next);
                assert!(publisher.moved.is_none_or(|before| before == first));
                (publisher.moved, publisher.read) = (Some(first), publisher.read.max(first));
                self.moved.insert(id);
            }
            Err(SendError::Moved) => assert!(self.moved.contains(&id)),
            Err(SendError::Open | SendError::Run | SendError::Room { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// The reader reads `count` more messages of each stream in memory, whose writer sees that.
    fn read_memory(&mut self, count: u64) {
        for reading in self.reading.iter_mut().filter(|reading| reading.moved.is_some()) {
            let publisher = &mut self.publishers[reading.epoch as usize - 1];
            let count = count.min(publisher.emitted - reading.next);
            reading.next += count;
            reading.received += count;
            publisher.read = reading.next;
        }
    }

    /// The reader confirms `count` more messages of each stream.
    fn done(&mut self, count: u64) {
        let (now, link) = (self.pair.now, &mut self.pair.sides[RIGHT].link);
        for reading in &mut self.reading {
            reading.done = (reading.done + count).min(reading.next);
            if self.confirms == Confirms::ByCaller
                && let Some(stream) = reading.confirms
            {
                // A stream may be gone once all its messages are confirmed.
                _ = link.confirm(now, stream, reading.done);
            }
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
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

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
