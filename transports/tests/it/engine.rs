//! Topics as packets: whatever a carrier does with them, readers get each message or a gap.
#![cfg(feature = "metrics")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_core::link::LinkError;
use mycelium_core::link::packet::STREAM_LEN;
use mycelium_transports::conformance::{NoTasks, Probe};
use mycelium_transports::engine::{HEARTBEAT, Incoming, Outgoing, PacketError};
use mycelium_transports::local::{
    Delivery, GapReason, Policy, Publisher, Subscription, Topic, TryRecv,
};
use mycelium_transports::seam::{Control, Ends};
use proptest::prelude::*;

use crate::deliveries::{assert_each, assert_gap, assert_next, take};
use crate::local::{LocalTopic, cases};

/// Two processes that share a topic.
struct Pair {
    publisher: Option<Publisher<Probe>>,
    outgoing: Outgoing,
    now: Duration,
    incoming: Incoming,
    reader: Subscription<Probe>,
    topics: [LocalTopic; 2],
    _ends: Ends,
}

fn ends(control: &Arc<Control>, sends: Vec<Arc<Topic>>) -> Ends {
    Ends::new("main", sends, Vec::new(), Arc::new(NoTasks), control)
}

impl Pair {
    fn new() -> Pair {
        let [here, there] = [LocalTopic::open(1024), LocalTopic::open(1024)];
        let ends = ends(&Arc::default(), vec![here.topic.clone()]);
        let outgoing = Outgoing::new(&ends, "engine").unwrap();
        let publisher = here.topic.publisher("Clock", 7).ok();
        let incoming = Incoming::new(there.topic.clone());
        let reader = there.topic.subscribe("Reader", Policy::DropOldest).unwrap();
        let now = Duration::ZERO;
        Pair { publisher, outgoing, now, incoming, reader, topics: [here, there], _ends: ends }
    }

    fn emit(&mut self, numbers: std::ops::Range<u64>) {
        let publisher = self.publisher.as_mut().unwrap();
        let epoch = publisher.epoch();
        numbers.for_each(|number| {
            publisher.try_emit(Probe { publisher: epoch, number }).unwrap();
        });
        publisher.flush();
    }

    /// Returns the packets that are due.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        self.outgoing.poll(Waker::noop(), self.now, |_, packet| packets.push(packet));
        packets
    }

    /// Delivers the packets that are due.
    fn pass(&mut self) {
        for packet in self.packets() {
            self.incoming.take("there", &packet).unwrap();
        }
    }

    /// Delivers the packets of the next heartbeat.
    fn beat(&mut self) {
        self.now += HEARTBEAT;
        self.pass();
    }
}

#[test]
fn a_lost_packet_is_a_gap_and_the_next_messages_follow() {
    let mut pair = Pair::new();
    pair.emit(0..3);
    pair.pass();
    assert_each(&mut pair.reader, 0..3);
    pair.emit(3..7);
    assert_eq!(pair.packets().len(), 1);
    pair.emit(7..8);
    pair.pass();
    assert_eq!(assert_gap(&mut pair.reader, 4), GapReason::Disconnected);
    assert_next(&mut pair.reader, 7);
}

#[test]
fn the_loss_of_the_last_messages_is_told_by_the_next_heartbeat() {
    let mut pair = Pair::new();
    pair.emit(0..1);
    pair.pass();
    assert_next(&mut pair.reader, 0);
    pair.emit(1..6);
    pair.packets();
    pair.beat();
    assert_gap(&mut pair.reader, 5);
}

#[test]
fn the_loss_of_the_first_messages_of_a_publisher_that_starts_later_is_told() {
    let mut pair = Pair::new();
    pair.publisher = None;
    pair.pass();
    pair.publisher = pair.topics[0].topic.publisher("Clock", 8).ok();
    pair.emit(0..3);
    pair.packets();
    pair.emit(3..4);
    pair.pass();
    assert_gap(&mut pair.reader, 3);
    assert_next(&mut pair.reader, 3);
}

#[test]
fn the_end_is_told_even_if_its_packet_is_lost() {
    let mut pair = Pair::new();
    pair.emit(0..2);
    pair.pass();
    pair.emit(2..4);
    pair.publisher = None;
    assert!(!pair.packets().is_empty());
    assert!(pair.outgoing.poll(Waker::noop(), pair.now, |_, _| {}).is_over);
    pair.beat();
    assert_each(&mut pair.reader, 0..2);
    assert_gap(&mut pair.reader, 2);
    // The end is sent once more, and is known then.
    pair.beat();
    assert_eq!(pair.incoming.senders().count(), 1);
}

#[test]
fn a_sender_that_is_gone_ends_with_an_inexact_gap_and_may_come_back() {
    let mut pair = Pair::new();
    pair.emit(0..2);
    pair.pass();
    pair.incoming.lose("there");
    assert_each(&mut pair.reader, 0..2);
    let context = &Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Delivery::Gap(gap))) = pair.reader.poll_recv(context) else {
        panic!("expected a gap")
    };
    assert!(!gap.exact());
    pair.emit(2..5);
    pair.pass();
    assert_each(&mut pair.reader, 2..5);
}

#[test]
fn bytes_that_are_no_packet_of_the_topic_are_an_error() {
    let mut pair = Pair::new();
    let mut refuses = |packet: &[u8], text: &str| {
        let error = pair.incoming.take("liar", packet).unwrap_err();
        assert_eq!(error.to_string(), text);
    };
    refuses(
        b"{\"price\":1}",
        "invalid packet: invalid first byte 0x7b: expected 0xa in its upper four bits",
    );
    pair.emit(0..1);
    let packet = pair.packets().swap_remove(0);
    // A message before the name of its stream.
    let message = &packet[STREAM_LEN..];
    let error = pair.incoming.take("liar", message).unwrap_err();
    assert!(matches!(error, PacketError::Invalid(LinkError::Stream { number: 1 })), "{error}");
    for cut in (1..packet.len()).filter(|cut| *cut != STREAM_LEN) {
        pair.incoming.take("liar", &packet[..cut]).unwrap_err();
    }
    assert_eq!(take(&mut pair.reader), None);
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Emit(u64),
    /// Delivers the packets that are due, except those whose bit is set; twice if so.
    Pass {
        lost: u8,
        twice: bool,
    },
    Beat {
        lost: u8,
    },
    /// Ends the publisher and starts another one.
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..500u64).prop_map(Op::Emit),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(lost, twice)| Op::Pass { lost, twice }),
        1 => any::<u8>().prop_map(|lost| Op::Beat { lost }),
        1 => Just(Op::Restart),
    ]
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn sent_is_received_and_missed(ops in prop::collection::vec(op(), 1..40)) {
        let mut pair = Pair::new();
        let (mut sent, mut epoch) = (0, 7);
        // The reader counts from the first packet that it gets.
        pair.emit(0..1);
        pair.pass();
        for op in ops {
            let lost = match op {
                Op::Emit(count) => {
                    // The publisher waits for its packets: these are lost.
                    pair.packets();
                    pair.emit(sent + 1..sent + 1 + count);
                    sent += count;
                    continue;
                }
                Op::Restart => {
                    pair.publisher = None;
                    pair.pass();
                    epoch += 1;
                    pair.publisher = pair.topics[0].topic.publisher("Clock", epoch).ok();
                    pair.emit(sent + 1..sent + 2);
                    sent += 1;
                    (0, false)
                }
                Op::Pass { lost, twice } => (lost, twice),
                Op::Beat { lost } => {
                    pair.now += HEARTBEAT;
                    (lost, false)
                }
            };
            for (index, packet) in pair.packets().into_iter().enumerate() {
                if lost.0 >> (index % 8) & 1 == 1 {
                    continue;
                }
                for _ in 0..=u8::from(lost.1) {
                    pair.incoming.take("there", &packet).unwrap();
                }
            }
        }
        pair.publisher = None;
        pair.pass();
        pair.beat();
        let (mut received, mut missed, mut last) = (0, 0, BTreeMap::new());
        while let TryRecv::Delivery(delivery) = pair.reader.try_recv() {
            match delivery {
                Delivery::Msg(probe) => {
                    let before = last.insert(probe.publisher, probe.number);
                    prop_assert!(before < Some(probe.number));
                    received += 1;
                }
                Delivery::Gap(gap) => missed += gap.count,
            }
        }
        prop_assert_eq!(received + missed, sent + 1);
    }
}
