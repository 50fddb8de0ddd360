//! Values that a topic retains for subscriptions that join later.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;

use mycelium_core::message;
use mycelium_transports::counters::{Kind, Region};
use mycelium_transports::local::{
    Delivery, LatestByKey, Policy, Publisher, Refusal, Retain, Schema, Subscription, Topic,
    TryRecv, WhenFull,
};
use proptest::prelude::*;

use super::cases;

#[message(topic = "quotes", max = "1 KiB")]
#[derive(Clone, Debug, PartialEq)]
struct Quote {
    symbol: String,
    price: u64,
    text: String,
}

fn quote(symbol: u8, price: u64) -> Quote {
    let text = "text".repeat(price as usize % 50);
    Quote { symbol: format!("symbol {symbol}"), price, text }
}

const MOST: NonZeroU32 = NonZeroU32::new(3).unwrap();

fn by_key(when_full: WhenFull) -> Retain {
    Retain::ByKey { key: LatestByKey::of::<Quote>("symbol", MOST).unwrap(), when_full }
}

fn topic(retain: Retain) -> (Arc<Topic>, Arc<Region>) {
    let region = Region::new(256);
    let topic = Topic::new("quotes", Schema::of::<Quote>(), 8, region.clone()).unwrap();
    topic.retain(retain).unwrap();
    (topic, region)
}

/// What the publishers of a topic retain: the sequences and messages of each, by epoch.
#[derive(Default)]
struct Oracle(BTreeMap<u64, Vec<(u64, Quote)>>);

impl Oracle {
    /// Returns whether the message may be sent.
    fn put(&mut self, retain: Retain, epoch: u64, sequence: u64, quote: &Quote) -> bool {
        let kept = self.0.entry(epoch).or_default();
        match retain {
            Retain::ByKey { when_full, .. } => {
                let has_key = kept.iter().any(|(_, it)| it.symbol == quote.symbol);
                if !has_key && kept.len() == MOST.get() as usize {
                    if when_full == WhenFull::Refuse {
                        return false;
                    }
                    kept.remove(0);
                }
                kept.retain(|(_, it)| it.symbol != quote.symbol);
            }
            _ if kept.len() == MOST.get() as usize => _ = kept.remove(0),
            _ => {}
        }
        kept.push((sequence, quote.clone()));
        true
    }
}

struct Reader {
    subscription: Subscription<Quote>,
    /// What comes next, of each publisher.
    expected: BTreeMap<u64, Vec<(u64, Quote, bool)>>,
    policy: Policy,
}

impl Reader {
    /// Takes all that is there.
    fn take(&mut self) {
        while let TryRecv::Delivery(delivery) = self.subscription.try_recv() {
            let Delivery::Msg(found) = delivery else { panic!("{delivery:?}") };
            let (sequence, retained) = (found.sequence(), found.retained());
            // The epoch of an observer's message is not known: all publishers have other prices.
            let mut queues = self.expected.values_mut();
            let place = queues.find_map(|queue| {
                let first = queue.first().is_some_and(|(_, it, _)| it.price == found.price);
                first.then(|| queue.remove(0))
            });
            assert_eq!(place, Some((sequence, found.into_inner(), retained)), "{}", self.policy);
        }
        assert!(self.expected.values().all(Vec::is_empty), "{:?}", self.expected);
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A publisher emits a message with a key.
    Emit(usize, u8),
    /// A publisher ends, and starts again.
    Restart(usize),
    Join(usize),
    Leave(usize),
}

const POLICIES: [Policy; 3] = [Policy::Block, Policy::DropNewest, Policy::DropOldest];

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..2_usize, 0..5_u8).prop_map(|(publisher, symbol)| Op::Emit(publisher, symbol)),
        1 => (0..2_usize).prop_map(Op::Restart),
        3 => (0..3_usize).prop_map(Op::Join),
        1 => (0..8_usize).prop_map(Op::Leave),
    ]
}

fn runs(retain: Retain, ops: &[Op]) {
    let (topic, region) = topic(retain);
    let (mut epochs, mut price) = (0_u64, 0_u64);
    let mut join = |name: usize| {
        epochs += 1;
        let publisher = topic.publisher::<Quote>(["one", "two"][name], epochs).unwrap();
        publisher.retain_after_end();
        (epochs, publisher)
    };
    let mut publishers: [(u64, Publisher<Quote>); 2] = [join(0), join(1)];
    let (mut oracle, mut readers) = (Oracle::default(), Vec::<Reader>::new());
    for (step, op) in ops.iter().enumerate() {
        match *op {
            Op::Emit(publisher, symbol) => {
                let (epoch, publisher) = &mut publishers[publisher];
                price += 1;
                let (quote, sequence) = (quote(symbol, price), publisher.sent());
                let emitted = publisher.try_emit(quote.clone());
                let is_sent = oracle.put(retain, *epoch, sequence, &quote);
                match emitted {
                    Ok(()) => assert!(is_sent),
                    Err(error) => {
                        assert!(!is_sent && matches!(error.refusal, Refusal::Keys { most: 3 }));
                        assert_eq!(error.message, quote);
                        continue;
                    }
                }
                for reader in &mut readers {
                    let live = (sequence, quote.clone(), false);
                    reader.expected.entry(*epoch).or_default().push(live);
                    reader.take();
                }
            }
            Op::Restart(publisher) => {
                // The values of the new start replace those of the one before.
                oracle.0.remove(&publishers[publisher].0);
                publishers[publisher] = join(publisher);
            }
            Op::Join(policy) => {
                let policy = POLICIES[policy];
                let subscription = topic.subscribe(&format!("reader {step}"), policy).unwrap();
                let retained = |(epoch, kept): (&u64, &Vec<(u64, Quote)>)| {
                    let kept = kept.iter().map(|(sequence, it)| (*sequence, it.clone(), true));
                    (*epoch, kept.collect())
                };
                let expected = oracle.0.iter().map(retained).collect();
                let mut reader = Reader { subscription, expected, policy };
                reader.take();
                readers.push(reader);
            }
            Op::Leave(reader) if reader < readers.len() => drop(readers.swap_remove(reader)),
            Op::Leave(_) => {}
        }
    }
    drop(publishers);
    // Publishers that have ended are remembered.
    let subscription = topic.subscribe("last", Policy::Block).unwrap();
    let retained: usize = oracle.0.values().map(Vec::len).sum();
    let mut found = Reader { subscription, expected: BTreeMap::new(), policy: Policy::Block };
    for (epoch, kept) in &oracle.0 {
        let kept = kept.iter().map(|(sequence, it)| (*sequence, it.clone(), true));
        found.expected.insert(*epoch, kept.collect());
    }
    found.take();
    if cfg!(feature = "metrics") {
        let read = region.read();
        let edges = read.iter().filter(|it| it.kind == Kind::Edge && it.label.contains("last"));
        let values: Vec<_> = edges.map(|it| (it.value("retained"), it.value("taken"))).collect();
        assert_eq!(values.iter().map(|it| it.0).sum::<u64>(), retained as u64);
        assert_eq!(values.iter().map(|it| it.1).sum::<u64>(), 0, "they are counted apart");
    }
}

proptest! {
    #![proptest_config(cases(2))]

    #[test]
    fn a_late_reader_gets_what_is_retained_and_then_the_rest(
        ops in prop::collection::vec(op(), 1..80),
    ) {
        runs(Retain::Last(MOST), &ops);
        runs(by_key(WhenFull::Refuse), &ops);
        runs(by_key(WhenFull::ForgetOldest), &ops);
    }
}

/// The ring of the late reader is as large as the values.
#[test]
fn values_of_the_longest_messages_are_all_there() {
    let text = |byte: &str| byte.repeat(1024 - 24 - 8);
    let long = |price| Quote { symbol: "s".repeat(8), price, text: text("t") };
    for most in [1, 3, 4, 8] {
        let (topic, _) = topic(Retain::Last(NonZeroU32::new(most).unwrap()));
        let mut publisher = topic.publisher::<Quote>("writer", 1).unwrap();
        (0..20).for_each(|price| publisher.try_emit(long(price)).unwrap());
        let mut reader = topic.subscribe::<Quote>("reader", Policy::Block).unwrap();
        for price in 20 - u64::from(most)..20 {
            let TryRecv::Delivery(Delivery::Msg(found)) = reader.try_recv() else { panic!() };
            assert_eq!((found.retained(), found.into_inner()), (true, long(price)));
        }
        assert!(matches!(reader.try_recv(), TryRecv::Empty));
    }
}

/// More values than are read of one publisher in a row.
#[test]
fn retained_messages_come_before_later_ones() {
    let (topic, _) = topic(Retain::Last(NonZeroU32::new(64).unwrap()));
    let mut publisher = topic.publisher::<Quote>("writer", 1).unwrap();
    (0..50).for_each(|price| publisher.try_emit(quote(0, price)).unwrap());
    let mut reader = topic.subscribe::<Quote>("reader", Policy::Block).unwrap();
    (50..55).for_each(|price| publisher.try_emit(quote(0, price)).unwrap());
    for price in 0..55 {
        let TryRecv::Delivery(Delivery::Msg(found)) = reader.try_recv() else { panic!() };
        assert_eq!((found.price, found.retained()), (price, price < 50));
    }
}

/// A retained message whose handling fails is redelivered, and then becomes a dead letter.
#[test]
fn a_retained_message_is_redelivered() {
    let (topic, _) = topic(Retain::Last(MOST));
    let mut publisher = topic.publisher::<Quote>("writer", 7).unwrap();
    (0..3).for_each(|price| publisher.try_emit(quote(0, price)).unwrap());
    let mut reader = topic.subscribe::<Quote>("reader", Policy::Block).unwrap();
    for (price, redelivered) in [(0, false), (0, true), (1, false), (2, false)] {
        let TryRecv::Delivery(Delivery::Msg(found)) = reader.try_recv() else { panic!() };
        let marks = (found.retained(), found.redelivered());
        assert_eq!((found.price, found.sequence(), marks), (price, price, (true, redelivered)));
        if price == 0 {
            let dead = reader.fail();
            assert_eq!(dead.map(|it| (it.epoch, it.sequence)), redelivered.then_some((7, 0)));
        }
    }
}

#[test]
fn a_key_that_is_too_long_is_refused() {
    let (topic, _) = topic(by_key(WhenFull::ForgetOldest));
    let mut publisher = topic.publisher::<Quote>("writer", 1).unwrap();
    let long = Quote { symbol: "s".repeat(65), ..quote(0, 1) };
    let refused = publisher.try_emit(long).unwrap_err().refusal;
    assert!(matches!(refused, Refusal::KeyTooLong { found: 65, .. }), "{refused:?}");
    publisher.try_emit(quote(0, 1)).unwrap();
    assert!(publisher.forget("symbol 0") && !publisher.forget("symbol 0"));
    let mut reader = topic.subscribe::<Quote>("reader", Policy::Block).unwrap();
    assert!(matches!(reader.try_recv(), TryRecv::Empty), "it is forgotten");
    assert!(!publisher.forget(0_u64) && !publisher.forget(b"symbol 0"));
}

/// A publisher that ends is remembered, until one of its name joins that is newer.
#[test]
fn the_newest_publisher_of_a_name_counts() {
    let (topic, _) = topic(Retain::Last(MOST));
    let join = |epoch| {
        let mut publisher = topic.publisher::<Quote>("writer", epoch).unwrap();
        publisher.try_emit(quote(0, epoch)).unwrap();
        publisher
    };
    let retained = || {
        let mut reader = topic.subscribe::<Quote>("reader", Policy::Block).unwrap();
        let mut prices = Vec::new();
        while let TryRecv::Delivery(Delivery::Msg(found)) = reader.try_recv() {
            prices.push(found.price);
        }
        prices
    };
    let (older, newer) = (join(1), join(2));
    older.retain_after_end();
    newer.retain_after_end();
    drop(newer);
    assert_eq!(retained(), [1, 2], "the older one still runs");
    drop(older);
    assert_eq!(retained(), [2]);
    // One of another process, with the same name.
    drop(topic.feed("writer", 4, 0).unwrap());
    assert_eq!(retained(), [2]);
    drop(join(3));
    assert_eq!(retained(), [], "it is not kept after its end");
}

/// Readers join while a publisher sends as fast as it can: no value is missing, and none comes
/// twice.
#[test]
fn readers_join_while_values_are_replaced() {
    for retain in [by_key(WhenFull::Refuse), Retain::Last(MOST), Retain::Last(NonZeroU32::MIN)] {
        joins_while_values_are_replaced(retain);
    }
}

fn joins_while_values_are_replaced(retain: Retain) {
    let count = if cfg!(miri) { 20 } else { 20_000 };
    let (topic, _) = topic(retain);
    let mut publisher = topic.publisher::<Quote>("writer", 1).unwrap();
    let writing = thread::spawn(move || {
        for price in 0..count {
            let mut message = Some(quote((price % 3) as u8, price));
            while let Some(quote) = message.take() {
                if let Err(error) = publisher.try_emit(quote) {
                    assert!(matches!(error.refusal, Refusal::Full { .. }), "{error}");
                    message = Some(error.message);
                    thread::yield_now();
                }
            }
        }
        publisher
    });
    while !writing.is_finished() {
        let mut reader = topic.subscribe::<Quote>("reader", Policy::Block).unwrap();
        let (mut retained, mut next) = (Vec::new(), None::<u64>);
        while next.is_none_or(|next| next % 7 != 0) {
            let found = match reader.try_recv() {
                TryRecv::Delivery(Delivery::Msg(found)) => found,
                TryRecv::Empty if !writing.is_finished() => continue,
                _ => break,
            };
            let price = found.price;
            assert_eq!(found.sequence(), price);
            if found.retained() {
                assert!(next.is_none() && retained.last().is_none_or(|last| *last < price));
                retained.push(price);
            } else if next.is_some() {
                assert_eq!(next, Some(price), "a message is missing, or comes twice");
                next = Some(price + 1);
            } else {
                // Each retained message is the last one of its key before this one, and the last
                // messages are those just before this one.
                let is_last = |place: usize, it: &u64| match retain {
                    Retain::Last(_) => *it == price - (retained.len() - place) as u64,
                    _ => (it + 1..price).all(|later| later % 3 != it % 3),
                };
                let all_last = retained.iter().enumerate().all(|(place, it)| is_last(place, it));
                assert!(all_last, "{retained:?} {price}");
                next = Some(price + 1);
            }
        }
    }
    drop(writing.join().unwrap());
}
