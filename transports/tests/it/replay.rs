//! Topics as packets in a log: whatever happens on the way to it, readers get each message, in
//! order, and go on where they were.
#![cfg(feature = "metrics")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use mycelium_core::link::packet::START_LEN;
use mycelium_transports::conformance::{NoTasks, Probe};
use mycelium_transports::engine::{Outgoing, OutgoingPacket, Place, Replay, Stored};
use mycelium_transports::local::{Delivery, Gap, Policy, Publisher, Subscription, TryRecv};
use mycelium_transports::seam::{Control, Ends};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::local::{LocalTopic, cases};

/// The epoch of the first publisher.
const EPOCH: u64 = 1000;

/// A process that publishes, and a log.
struct Sender {
    publishers: Vec<Option<Publisher<Probe>>>,
    /// How many messages each of them has emitted.
    emitted: Vec<u64>,
    outgoing: Outgoing,
    /// The packets on their way to the log.
    flying: Vec<OutgoingPacket>,
    /// When each packet was stored, by what process, and its bytes.
    log: Vec<(Duration, &'static str, Vec<u8>)>,
    topic: LocalTopic,
    _ends: Ends,
}

impl Sender {
    fn new(publishers: u64) -> Sender {
        let topic = LocalTopic::open(64);
        let control = Arc::<Control>::default();
        let topics = vec![topic.topic.clone()];
        let ends = Ends::new("main", topics, Vec::new(), Arc::new(NoTasks), &control);
        let outgoing = Outgoing::confirmed(&ends, "log").unwrap();
        let publishers: Vec<_> = (0..publishers)
            .map(|epoch| topic.topic.publisher("Clock", EPOCH + epoch).ok())
            .collect();
        let emitted = vec![0; publishers.len()];
        let (flying, log) = (Vec::new(), Vec::new());
        Sender { publishers, emitted, outgoing, flying, log, topic, _ends: ends }
    }

    /// Emits as many messages as there is room for. Messages of a publisher have its index.
    fn emit(&mut self, of: usize, most: u64) {
        let Some(publisher) = &mut self.publishers[of] else { return };
        for _ in 0..most {
            let probe = Probe { publisher: of as u64, number: self.emitted[of] };
            if publisher.try_emit(probe).is_err() {
                break;
            }
            self.emitted[of] += 1;
        }
        publisher.flush();
    }

    /// Makes the packets that are due. Returns whether the process is over.
    fn poll(&mut self, drains: bool) -> bool {
        let flying = &mut self.flying;
        let now = Duration::ZERO;
        self.outgoing.poll(Waker::noop(), now, drains, |packet| flying.push(packet)).is_over
    }

    /// Stores a packet that is on its way, and confirms it unless the confirmation is lost.
    fn store(&mut self, index: usize, confirms: bool) {
        let OutgoingPacket { topic, epoch, number, bytes, .. } = self.flying.remove(index);
        self.log.push((Duration::ZERO, "main-1", bytes));
        match confirms {
            true => self.outgoing.confirm(topic, epoch, number, self.log.len() as u64),
            false => self.outgoing.repeat(topic, epoch, number),
        }
    }

    /// Loses a packet that is on its way.
    fn lose(&mut self, index: usize) {
        let OutgoingPacket { topic, epoch, number, .. } = self.flying.remove(index);
        self.outgoing.repeat(topic, epoch, number);
    }

    fn store_all(&mut self) {
        self.poll(false);
        while !self.flying.is_empty() {
            self.store(0, true);
            self.poll(false);
        }
    }
}

/// A process that reads the log.
struct Reading {
    replay: Replay,
    /// The position of the next packet; the first one of the log has 1.
    next: usize,
    redelivered_before: usize,
    /// A packet waits for room.
    waits: bool,
    reader: Subscription<Probe>,
    _topic: LocalTopic,
}

impl Reading {
    fn new(place: Place, last: usize) -> Reading {
        Reading::with(8, place, last)
    }

    fn with(capacity: usize, place: Place, last: usize) -> Reading {
        let topic = LocalTopic::open(capacity);
        let reader = topic.topic.subscribe("Reader", Policy::Block).unwrap();
        let next = place.position as usize + 1;
        let redelivered_before = if place == Place::default() { 0 } else { last + 1 };
        let replay = Replay::new(topic.topic.clone(), place, "log");
        Reading { replay, next, redelivered_before, waits: false, reader, _topic: topic }
    }

    /// Passes the next packet on. Returns whether it has all found room.
    fn pass(&mut self, log: &[(Duration, &'static str, Vec<u8>)]) -> bool {
        let Some((stored_at, process, packet)) = log.get(self.next - 1) else { return false };
        let redelivered = self.next < self.redelivered_before;
        let (position, stored_at) = (self.next as u64, *stored_at);
        let stored = Stored { position, process, stored_at, redelivered, packet };
        match self.replay.take(&stored, Waker::noop()) {
            Poll::Ready(taken) => taken.unwrap(),
            Poll::Pending => {
                self.waits = true;
                return false;
            }
        }
        self.waits = false;
        self.next += 1;
        true
    }

    /// Takes a delivery: the message, or the gap.
    fn take(&mut self) -> Option<Result<Probe, Gap>> {
        match self.reader.try_recv() {
            TryRecv::Delivery(Delivery::Msg(probe)) => Some(Ok(*probe)),
            TryRecv::Delivery(Delivery::Gap(gap)) => Some(Err(gap)),
            TryRecv::Empty | TryRecv::Closed => None,
        }
    }

    /// Takes all deliveries of the log: messages, those in exact gaps, and inexact gaps.
    fn take_all(&mut self, log: &[(Duration, &'static str, Vec<u8>)]) -> (u64, u64, u64) {
        let mut found = (0, 0, 0);
        loop {
            while self.pass(log) {}
            let Some(taken) = self.take() else { return found };
            match taken {
                Ok(_) => found.0 += 1,
                Err(gap) if gap.exact() => found.1 += gap.count,
                Err(_) => found.2 += 1,
            }
            self.reader.done();
        }
    }
}

#[test]
fn a_reader_that_comes_back_goes_on_in_the_middle_of_a_packet() {
    let mut sender = Sender::new(1);
    sender.emit(0, 20);
    sender.store_all();
    assert_eq!(sender.log.len(), 1);
    let mut first = Reading::new(Place::default(), 0);
    assert!(!first.pass(&sender.log));
    for number in 0..5 {
        assert_eq!(first.take().unwrap().unwrap().number, number);
    }
    first.reader.done();
    let place = first.replay.place(true);
    assert_eq!((place.position, place.streams[&EPOCH]), (0, 5));
    let mut second = Reading::new(place, 1);
    assert!(!second.pass(&sender.log));
    assert_eq!(second.take().unwrap().unwrap().number, 5);
}

#[test]
fn what_was_removed_from_the_log_is_an_inexact_gap_and_an_exact_one_of_what_goes_on() {
    let mut sender = Sender::new(1);
    let mut reading = Reading::new(Place::default(), 0);
    for _ in 0..3 {
        sender.emit(0, 4);
        sender.store_all();
    }
    assert!(reading.pass(&sender.log));
    reading.next += 1;
    reading.replay.miss();
    assert_eq!(reading.take_all(&sender.log), (8, 4, 1));
}

#[test]
fn a_killed_process_ends_when_its_node_has_stored_packets_for_ten_seconds() {
    let mut killed = Sender::new(1);
    killed.emit(0, 4);
    killed.store_all();
    let mut next = Sender::new(0);
    next.publishers.push(next.topic.topic.publisher("Clock", 99).ok());
    next.emitted.push(0);
    for _ in 0..3 {
        next.emit(0, 1);
        next.store_all();
    }
    let mut log = killed.log;
    let stored = next.log.into_iter().zip([1, 9, 11]);
    log.extend(stored.map(|((_, _, bytes), at)| (Duration::from_secs(at), "main-2", bytes)));
    let mut reading = Reading::new(Place::default(), 0);
    assert_eq!(reading.take_all(&log[..3]), (6, 0, 0));
    assert_eq!(reading.take_all(&log), (1, 0, 1));
}

/// Puts four messages in each of some packets, of which none is confirmed, into the log.
fn unconfirmed(sender: &mut Sender, count: usize) {
    for _ in 0..count {
        sender.emit(0, 4);
        sender.poll(false);
    }
    let stored = sender.flying.iter().map(|it| (Duration::ZERO, "main-1", it.bytes.clone()));
    sender.log.extend(stored);
}

#[test]
fn after_a_removed_packet_a_busy_stream_goes_on_with_the_next_one() {
    let mut sender = Sender::new(1);
    unconfirmed(&mut sender, 4);
    let mut reading = Reading::new(Place::default(), 0);
    assert!(reading.pass(&sender.log));
    reading.next += 1;
    reading.replay.miss();
    assert_eq!(reading.take_all(&sender.log), (12, 4, 1));
}

#[test]
fn after_a_damaged_packet_a_stream_goes_on_when_its_sender_knows_that_it_was_stored() {
    let mut sender = Sender::new(1);
    unconfirmed(&mut sender, 3);
    sender.log[1].2.truncate(START_LEN + 1);
    let (mut position, mut reading) = (0, Reading::new(Place::default(), 0));
    let flying = std::mem::take(&mut sender.flying);
    for OutgoingPacket { topic, epoch, number, .. } in flying {
        position += 1;
        sender.outgoing.confirm(topic, epoch, number, position);
    }
    sender.emit(0, 4);
    sender.store_all();
    assert!(reading.pass(&sender.log));
    let (_, process, packet) = &sender.log[1];
    let stored =
        Stored { position: 2, process, stored_at: Duration::ZERO, redelivered: false, packet };
    assert!(matches!(reading.replay.take(&stored, Waker::noop()), Poll::Ready(Err(_))));
    reading.next += 1;
    assert_eq!(reading.take_all(&sender.log), (8, 8, 0));
}

#[test]
fn packets_have_the_length_that_the_engine_takes_and_only_so_many_are_on_their_way() {
    let mut sender = Sender::new(1);
    sender.outgoing.limit(200);
    sender.emit(0, 64);
    for _ in 0..10 {
        sender.poll(false);
    }
    assert_eq!(sender.flying.len(), 16);
    let longest = sender.flying.iter().map(|packet| packet.bytes.len()).max();
    assert!(longest <= Some(200), "{longest:?}");
    sender.store_all();
    let mut reading = Reading::new(Place::default(), 0);
    assert_eq!(reading.take_all(&sender.log), (64, 0, 0));
}

#[test]
fn more_publishers_than_there_is_room_for_take_turns() {
    let mut sender = Sender::new(6);
    for _ in 0..3 {
        for of in 0..6 {
            sender.emit(of, 5);
            sender.store_all();
        }
    }
    // Its rings are so large that four are allowed.
    let mut reading = Reading::with(1 << 20, Place::default(), 0);
    assert_eq!(reading.take_all(&sender.log), (90, 0, 0));
}

/// A topic refuses publishers while too many have ended that nobody has read to the end.
#[test]
fn publishers_that_have_ended_unread_wait_for_their_readers() {
    const TOOLS: usize = 3000;
    let mut sender = Sender::new(0);
    for epoch in 0..TOOLS {
        sender.publishers.push(sender.topic.topic.publisher("Tool", epoch as u64).ok());
        sender.emitted.push(0);
        sender.emit(epoch, 1);
        sender.publishers[epoch] = None;
        sender.store_all();
    }
    let mut reading = Reading::with(1024, Place::default(), 0);
    assert_eq!(reading.take_all(&sender.log), (TOOLS as u64, 0, 0));
}

#[test]
fn a_log_that_is_created_anew_is_stored_and_read_from_its_beginning() {
    let mut sender = Sender::new(1);
    let mut reading = Reading::new(Place::default(), 0);
    for _ in 0..3 {
        sender.emit(0, 4);
        sender.store_all();
    }
    assert_eq!(reading.take_all(&sender.log), (12, 0, 0));
    sender.log.clear();
    reading.next = 1;
    reading.replay.restart(0);
    sender.emit(0, 4);
    sender.store_all();
    assert_eq!(sender.log.len(), 2);
    assert_eq!(reading.take_all(&sender.log), (4, 0, 1));
    assert_eq!(reading.replay.place(false).position, 2);
}

#[test]
fn bytes_that_are_no_packet_are_an_error_and_the_next_ones_are_read() {
    let mut sender = Sender::new(1);
    sender.emit(0, 4);
    sender.store_all();
    let packet = sender.log[0].2.clone();
    let mut reading = Reading::new(Place::default(), 0);
    for cut in 1..packet.len() {
        let packet = &packet[..cut];
        let (position, process, stored_at) = (cut as u64, "liar-1", Duration::ZERO);
        let stored = Stored { position, process, stored_at, redelivered: false, packet };
        let Poll::Ready(taken) = reading.replay.take(&stored, Waker::noop()) else { panic!() };
        assert_eq!(taken.is_ok(), cut == START_LEN);
    }
    assert_eq!(reading.take_all(&sender.log).1, 0);
}

#[derive(Clone, Debug)]
enum Op {
    /// Emits this number of messages.
    Emit(usize, u64),
    End(usize),
    Poll,
    /// Stores a packet, or one that is repeated because its confirmation is lost.
    Store(Index, bool),
    Lose(Index),
    /// Passes a packet to the reader.
    Pass,
    /// Takes this number of messages, and finishes them.
    Take(usize),
    /// Starts another process of the reader, where the last one was.
    Restart,
    /// Removes the next packet from the log before it is read.
    Remove,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3_usize, 1..30_u64).prop_map(|(of, count)| Op::Emit(of, count)),
        1 => (0..3_usize).prop_map(Op::End),
        4 => Just(Op::Poll),
        6 => (any::<Index>(), weighted(0.8)).prop_map(|(index, sure)| Op::Store(index, sure)),
        1 => any::<Index>().prop_map(Op::Lose),
        6 => Just(Op::Pass),
        6 => (1..20_usize).prop_map(Op::Take),
        1 => Just(Op::Restart),
    ]
}

/// What a reader has found of each publisher: the next message, and the one after its last message.
#[derive(Clone, Debug, Default)]
struct Found(BTreeMap<u64, u64>, BTreeMap<u64, u64>);

impl Found {
    /// Notes a delivery. Returns whether it follows the last one.
    fn note(&mut self, taken: Result<Probe, Gap>, may_miss: bool) -> bool {
        match taken {
            Ok(Probe { publisher, number }) => {
                let next = self.0.entry(publisher).or_default();
                let follows = number == *next || may_miss && number > *next;
                *next = number + 1;
                self.1.insert(publisher, number + 1);
                follows
            }
            Err(gap) if gap.exact() => {
                *self.0.entry(gap.epoch - EPOCH).or_default() += gap.count;
                may_miss
            }
            Err(_) => may_miss,
        }
    }
}

proptest! {
    #![proptest_config(cases(500))]

    /// Packets overtake each other on their way, are lost or stored twice, and the reader starts
    /// again and again: it gets each message of each publisher, in order, from the first that it
    /// has not finished. If packets were removed from the log, it is told, and gets what follows.
    #[test]
    fn each_message_arrives_in_order(
        ops in prop_oneof![
            vec(op(), 1..120),
            vec(prop_oneof![20 => op(), 1 => Just(Op::Remove)], 1..120),
        ],
    ) {
        let mut sender = Sender::new(3);
        let mut reading = Reading::new(Place::default(), 0);
        let (mut received, mut finished) = (Found::default(), Found::default());
        let has_removed = ops.iter().any(|op| matches!(op, Op::Remove));
        for op in ops {
            match op {
                Op::Emit(of, count) => sender.emit(of, count),
                Op::End(of) => sender.publishers[of] = None,
                Op::Poll => _ = sender.poll(false),
                Op::Store(..) | Op::Lose(_) if sender.flying.is_empty() => {}
                Op::Store(index, confirms) => {
                    sender.store(index.index(sender.flying.len()), confirms);
                }
                Op::Lose(index) => sender.lose(index.index(sender.flying.len())),
                Op::Pass => _ = reading.pass(&sender.log),
                Op::Take(count) => {
                    for _ in 0..count {
                        let Some(taken) = reading.take() else { break };
                        prop_assert!(received.note(taken.clone(), has_removed), "{:?} after {:?}", taken, received);
                    }
                    reading.reader.done();
                    finished.clone_from(&received);
                    // What was a gap may still be found by the next process.
                    finished.0.clone_from(&received.1);
                }
                Op::Restart => {
                    let place = reading.replay.place(true);
                    received.clone_from(&finished);
                    reading = Reading::new(place, sender.log.len());
                }
                Op::Remove if reading.waits || reading.next > sender.log.len() => {}
                Op::Remove => {
                    reading.next += 1;
                    reading.replay.miss();
                }
            }
        }
        // What follows is found even if the last packets were removed.
        for of in 0..3 {
            sender.emit(of, 1);
        }
        while sender.publishers.iter().any(Option::is_some) || !sender.poll(true) {
            if sender.flying.is_empty() {
                sender.publishers.clear();
                sender.publishers.extend([None, None, None]);
            } else {
                sender.store(0, true);
            }
            sender.poll(false);
        }
        loop {
            while reading.pass(&sender.log) {}
            let Some(taken) = reading.take() else { break };
            prop_assert!(received.note(taken.clone(), has_removed), "{:?} after {:?}", taken, received);
            reading.reader.done();
        }
        for (of, emitted) in sender.emitted.iter().enumerate() {
            let found = received.0.get(&(of as u64)).copied().unwrap_or(0);
            prop_assert!(found == *emitted || has_removed, "{} of {}", found, emitted);
        }
        let position = reading.replay.place(false).position as usize;
        prop_assert!(position == sender.log.len() || has_removed, "{}", position);
    }
}
