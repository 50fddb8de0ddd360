//! Topics as packets: whatever a carrier does with them, readers get each message or a gap.
#![cfg(feature = "metrics")]

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_core::link::LinkError;
use mycelium_core::link::Name;
use mycelium_core::link::packet::{END_LEN, START_LEN, Start, write_end, write_list, write_start};
use mycelium_transports::conformance::{NoTasks, Probe};
use mycelium_transports::engine::{HEARTBEAT, Incoming, Outgoing, PacketError};
use mycelium_transports::local::{
    Delivery, GapReason, Policy, Publisher, Subscription, Topic, TryRecv,
};
use mycelium_transports::seam::{Control, Ends};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

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

    /// Starts another publisher.
    fn publisher(&self, epoch: u64) -> Publisher<Probe> {
        self.topics[0].topic.publisher("Clock", epoch).unwrap()
    }

    fn emit(&mut self, numbers: Range<u64>) {
        emit(self.publisher.as_mut().unwrap(), numbers);
    }

    /// Returns the packets that are due.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        self.outgoing.poll(Waker::noop(), self.now, false, |packet| packets.push(packet.bytes));
        packets
    }

    /// Delivers the packets that are due.
    fn pass(&mut self) {
        for packet in self.packets() {
            self.incoming.take("there", &packet, self.now).unwrap();
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
    pair.publisher = Some(pair.publisher(8));
    pair.emit(0..3);
    pair.packets();
    pair.emit(3..4);
    pair.pass();
    assert_gap(&mut pair.reader, 3);
    assert_next(&mut pair.reader, 3);
}

#[test]
fn the_last_lists_are_repeated_before_the_transport_ends() {
    let mut pair = Pair::new();
    pair.emit(0..2);
    pair.pass();
    pair.publisher = None;
    let (mut lists, mut is_over) = (0, false);
    while !is_over {
        let progress = pair.outgoing.poll(Waker::noop(), pair.now, true, |_| lists += 1);
        (is_over, pair.now) = (progress.is_over, progress.again_at);
    }
    // The end is in a packet of its own, too.
    assert_eq!(lists, 4);
}

#[test]
fn a_process_that_is_silent_for_ten_seconds_is_lost_unless_this_one_was_stopped() {
    let mut pair = Pair::new();
    pair.emit(0..1);
    pair.pass();
    assert_next(&mut pair.reader, 0);
    pair.now += Duration::from_secs(100);
    pair.incoming.lose_absent(pair.now);
    for _ in 0..10 {
        pair.now += HEARTBEAT;
        pair.incoming.lose_absent(pair.now);
    }
    assert_eq!(found(&mut pair), (0, 0, 0));
    pair.now += HEARTBEAT;
    pair.incoming.lose_absent(pair.now);
    assert_eq!(found(&mut pair), (0, 0, 1));
}

#[test]
fn the_end_is_told_even_if_its_packet_is_lost() {
    let mut pair = Pair::new();
    pair.emit(0..2);
    pair.pass();
    pair.emit(2..4);
    pair.publisher = None;
    assert!(!pair.packets().is_empty());
    pair.beat();
    assert_each(&mut pair.reader, 0..2);
    assert_gap(&mut pair.reader, 2);
    // The end comes again, and is known then.
    pair.beat();
    assert_eq!(found(&mut pair), (0, 0, 0));
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
    let text = gap.to_string();
    assert!(text.starts_with("an unknown number of messages of `"), "{text}");
    pair.emit(2..5);
    pair.pass();
    assert_each(&mut pair.reader, 2..5);
}

#[test]
fn bytes_that_are_no_packet_of_the_topic_are_an_error() {
    let mut pair = Pair::new();
    let mut refuses = |packet: &[u8], text: &str| {
        let error = pair.incoming.take("liar", packet, Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), text);
    };
    refuses(
        b"{\"price\":1}",
        "invalid packet: invalid first byte 0x7b: expected 0xa in its upper four bits",
    );
    pair.emit(0..1);
    let packet = pair.packets().swap_remove(0);
    // A message before the name of its stream.
    let message = &packet[START_LEN..];
    let error = pair.incoming.take("liar", message, Duration::ZERO).unwrap_err();
    assert!(matches!(error, PacketError::Invalid(LinkError::Stream { number: 1 })), "{error}");
    for cut in (1..packet.len()).filter(|cut| *cut != START_LEN) {
        pair.incoming.take("liar", &packet[..cut], Duration::ZERO).unwrap_err();
    }
    assert_eq!(take(&mut pair.reader), None);
}

/// Emits numbers of a publisher with this epoch, which may end then.
fn emit(publisher: &mut Publisher<Probe>, numbers: Range<u64>) {
    let epoch = publisher.epoch();
    numbers.for_each(|number| publisher.try_emit(Probe { publisher: epoch, number }).unwrap());
    publisher.flush();
}

/// Takes all deliveries: the numbers of messages, of messages in exact gaps, and of inexact gaps.
fn found(pair: &mut Pair) -> (u64, u64, u64) {
    let mut found = (0, 0, 0);
    while let TryRecv::Delivery(delivery) = pair.reader.try_recv() {
        match delivery {
            Delivery::Msg(_) => found.0 += 1,
            Delivery::Gap(gap) if gap.exact() => found.1 += gap.count,
            Delivery::Gap(_) => found.2 += 1,
        }
    }
    found
}

#[test]
fn publishers_that_end_in_an_outage_are_told_after_it() {
    let mut pair = Pair::new();
    pair.emit(0..2);
    pair.beat();
    pair.emit(2..10);
    pair.publisher = None;
    // This one begins and ends meanwhile.
    emit(&mut pair.publisher(8), 0..5);
    for _ in 0..9 {
        pair.packets();
        pair.now += HEARTBEAT;
    }
    (0..5).for_each(|_| pair.beat());
    assert_eq!(found(&mut pair), (2, 8 + 5, 0));
}

#[test]
fn an_end_that_no_packet_told_is_an_inexact_gap() {
    let mut pair = Pair::new();
    pair.emit(0..2);
    pair.beat();
    pair.emit(2..10);
    pair.publisher = None;
    for _ in 0..17 {
        pair.packets();
        pair.now += HEARTBEAT;
    }
    (0..2).for_each(|_| pair.beat());
    assert_eq!(found(&mut pair), (2, 0, 1));
}

#[test]
fn publishers_of_which_nothing_was_found_are_an_inexact_gap() {
    let mut pair = Pair::new();
    pair.beat();
    emit(&mut pair.publisher(8), 0..5);
    for _ in 0..17 {
        pair.packets();
        pair.now += HEARTBEAT;
    }
    (0..3).for_each(|_| pair.beat());
    assert_eq!(found(&mut pair), (0, 0, 1));
}

#[test]
fn an_old_publisher_that_has_ended_does_not_come_back() {
    let mut pair = Pair::new();
    pair.emit(0..4);
    // Before the reader.
    pair.packets();
    pair.beat();
    pair.emit(4..9);
    let late = pair.packets();
    pair.publisher = None;
    pair.pass();
    assert_eq!(found(&mut pair), (0, 5, 0));
    late.iter().for_each(|packet| pair.incoming.take("there", packet, Duration::ZERO).unwrap());
    pair.beat();
    assert_eq!(found(&mut pair), (0, 0, 0));
}

#[test]
fn a_hundred_publishers_may_end_at_once() {
    let mut pair = Pair::new();
    pair.beat();
    let mut publishers: Vec<_> = (100..200).map(|epoch| pair.publisher(epoch)).collect();
    publishers.iter_mut().for_each(|publisher| emit(publisher, 0..5));
    pair.pass();
    assert_eq!(found(&mut pair), (500, 0, 0));
    drop(publishers);
    (0..20).for_each(|_| pair.beat());
    assert_eq!(found(&mut pair), (0, 0, 0));
}

/// Those that have ended longest ago are left out of a list that would be too long, and an open one
/// is not.
#[test]
fn a_list_has_the_length_that_the_engine_takes() {
    const MOST: usize = 30 * START_LEN;
    let mut pair = Pair::new();
    pair.outgoing.limit(MOST);
    pair.emit(0..1);
    pair.pass();
    for epoch in 100..200 {
        emit(&mut pair.publisher(epoch), 0..1);
        pair.pass();
    }
    for _ in 0..12 {
        pair.now += HEARTBEAT;
        let packets = pair.packets();
        let longest = packets.iter().map(Vec::len).max().unwrap();
        assert!((MOST / 2..=MOST).contains(&longest), "{longest} of {MOST}");
        for packet in packets {
            pair.incoming.take("there", &packet, pair.now).unwrap();
        }
        pair.incoming.lose_absent(pair.now);
    }
    assert_eq!(found(&mut pair), (101, 0, 0));
}

#[test]
fn a_new_reader_hears_nothing_of_publishers_that_have_ended() {
    let mut pair = Pair::new();
    pair.emit(0..900);
    pair.publisher = None;
    // Before the reader.
    pair.packets();
    (0..4).for_each(|_| pair.beat());
    assert_eq!(found(&mut pair), (0, 0, 0));
}

#[test]
fn the_first_messages_of_a_publisher_may_be_lost_before_any_list_arrives() {
    let mut pair = Pair::new();
    pair.packets();
    pair.emit(0..2);
    pair.pass();
    let mut second = pair.publisher(8);
    emit(&mut second, 0..5);
    pair.packets();
    emit(&mut second, 5..7);
    pair.pass();
    assert_eq!(found(&mut pair), (4, 5, 0));
}

#[test]
fn publishers_that_found_no_room_are_told_when_there_is_some() {
    let mut pair = Pair::new();
    pair.beat();
    let mut refused = 0;
    for epoch in 100..800 {
        emit(&mut pair.publisher(epoch), 0..1);
        for packet in pair.packets() {
            refused += u64::from(pair.incoming.take("there", &packet, Duration::ZERO).is_err());
        }
    }
    assert!(refused > 0);
    let mut all = found(&mut pair);
    for _ in 0..10 {
        pair.now += HEARTBEAT;
        for packet in pair.packets() {
            // There is room for some of them.
            let _ = pair.incoming.take("there", &packet, Duration::ZERO);
        }
        let more = found(&mut pair);
        all = (all.0 + more.0, all.1 + more.1, all.2 + more.2);
    }
    assert_eq!((all.0 + all.1, all.2), (700, 0));
}

/// Returns the frame that names a start, which is the only one of its packet.
fn name(start: Start<Name>) -> [u8; START_LEN] {
    let mut name = [0; START_LEN];
    write_start(&mut name, &start).unwrap();
    name
}

#[test]
fn streams_that_have_ended_or_are_lost_make_room_for_others() {
    let there = LocalTopic::<Probe>::open(16 * 1024);
    let mut incoming = Incoming::new(there.topic.clone());
    let mut end = [0; END_LEN];
    write_end(&mut end, 2).unwrap();
    // There is room for some 150 at once.
    for ordinal in 0..500 {
        let (publisher, epoch) = (Name::truncated("Clock"), ordinal.into());
        let packet = name(Start { publisher, epoch, next: 1, ordinal, starts: 0, unstored: 0 });
        incoming.take("ends", &packet, Duration::ZERO).unwrap();
        incoming.take("ends", &[&packet[..], &end].concat(), Duration::ZERO).unwrap();
        incoming.take("leaves", &packet, Duration::ZERO).unwrap();
        incoming.lose("leaves");
        incoming.take("forgets", &packet, Duration::ZERO).unwrap();
        let mut list = [0; START_LEN];
        write_list(&mut list, ordinal + 1).unwrap();
        incoming.take("forgets", &list, Duration::ZERO).unwrap();
    }
}

#[test]
fn names_of_streams_take_only_so_much_memory() {
    let there = LocalTopic::open(16 * 1024);
    let mut incoming = Incoming::new(there.topic.clone());
    let mut packet = vec![0; START_LEN];
    write_list(&mut packet, 0).unwrap();
    for epoch in 0..5000 {
        let publisher = Name::truncated("x");
        let ordinal = epoch as u32;
        packet.extend(name(Start { publisher, epoch, next: 1, ordinal, starts: 0, unstored: 0 }));
    }
    let error = incoming.take("liar", &packet, Duration::ZERO).unwrap_err();
    // Each has a ring of some 400 KiB.
    let PacketError::TooMany { limit, .. } = error else { panic!("{error}") };
    assert!((100..200).contains(&limit), "{limit}");
}

#[derive(Clone, Debug)]
enum Op {
    Emit(usize, u64),
    /// Ends a publisher and starts another one.
    Restart(usize),
    /// Makes the packets that are due.
    Poll,
    Beat,
    /// Delivers one of the next packets, perhaps twice.
    Deliver(Index, bool),
    Lose(Index),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3usize, 1..200u64).prop_map(|(of, count)| Op::Emit(of, count)),
        1 => (0..3usize).prop_map(Op::Restart),
        3 => Just(Op::Poll),
        1 => Just(Op::Beat),
        6 => (any::<Index>(), weighted(0.1)).prop_map(|(index, twice)| Op::Deliver(index, twice)),
        2 => any::<Index>().prop_map(Op::Lose),
    ]
}

proptest! {
    #![proptest_config(cases(300))]

    /// Packets are lost, overtake each other, and arrive twice.
    #[test]
    fn sent_is_received_and_missed(ops in vec(op(), 1..60)) {
        let mut pair = Pair::new();
        pair.publisher = None;
        // The reader counts from the first packet.
        pair.beat();
        let mut epoch = 13;
        let mut publishers: Vec<_> = (10..13).map(|epoch| (0, pair.publisher(epoch))).collect();
        let (mut sent, mut flying, mut all) = (0, Vec::new(), (0, 0, 0));
        let mut receive = |pair: &mut Pair| {
            let more = found(pair);
            all = (all.0 + more.0, all.1 + more.1, all.2 + more.2);
            all
        };
        for op in ops {
            match op {
                Op::Emit(of, count) => {
                    flying.extend(pair.packets());
                    let (next, publisher) = &mut publishers[of];
                    emit(publisher, *next..*next + count);
                    (*next, sent) = (*next + count, sent + count);
                }
                Op::Restart(of) => {
                    publishers[of] = (0, pair.publisher(epoch));
                    epoch += 1;
                }
                Op::Poll => flying.extend(pair.packets()),
                Op::Beat => {
                    pair.now += HEARTBEAT;
                    flying.extend(pair.packets());
                }
                Op::Deliver(..) | Op::Lose(_) if flying.is_empty() => {}
                Op::Deliver(index, twice) => {
                    let packet = flying.remove(index.index(flying.len().min(4)));
                    for _ in 0..=u8::from(twice) {
                        // The bytes of a packet may be anywhere.
                        let moved = [&[0; 8][..sent as usize % 8], &packet].concat();
                        let moved = &moved[sent as usize % 8..];
                        pair.incoming.take("there", moved, Duration::ZERO).unwrap();
                    }
                    receive(&mut pair);
                }
                Op::Lose(index) => drop(flying.remove(index.index(flying.len()))),
            }
        }
        drop(publishers);
        pair.pass();
        pair.beat();
        let (received, missed, inexact) = receive(&mut pair);
        prop_assert_eq!((received + missed, inexact), (sent, 0));
    }
}
