//! Which messages a reader gets: samples, the newest message of each key, and retained messages.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::thread;

use mycelium_core::{FixedStr, FixedVec, message};
use mycelium_transports::counters::Kind;
use mycelium_transports::local::{
    Delivery, GapReason, KeyError, LatestByKey, Policy, Publisher, Recorded, TopicError, TryRecv,
};
use proptest::prelude::*;

use super::{LocalTopic, cases};
use crate::deliveries::assert_gap;

#[message(topic = "prices", id = 7)]
#[derive(Debug, PartialEq)]
struct Price {
    number: u64,
    symbol: FixedStr<6>,
}

const SYMBOLS: [&str; 6] = ["", "ETH", "ETHX", "BTC", "SOL", "USDC"];

fn price(number: u64, symbol: usize) -> Price {
    Price { number, symbol: FixedStr::try_from(SYMBOLS[symbol]).unwrap() }
}

fn prices(capacity: usize) -> LocalTopic<Price> {
    LocalTopic::recording(capacity, Recorded::default())
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn by_symbol(keys: u32) -> Policy {
    Policy::LatestByKey(LatestByKey::of::<Price>("symbol", number(keys)).unwrap())
}

fn emit(publisher: &mut Publisher<Price>, symbol: usize) {
    let number = publisher.sent();
    publisher.try_emit(price(number, symbol)).unwrap();
}

#[test]
fn a_sample_is_the_same_while_the_publisher_sends() {
    let (_prices, mut sample, mut publisher) = prices(1024).join(Policy::Sample(number(10)));
    let is_enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_enough.load(Ordering::Relaxed) {
                emit(&mut publisher, 0);
            }
        });
        // Only a reader that is as fast as the publisher finds messages that were just sent.
        let (mut others, mut newest) = (0, 0);
        while newest < if cfg!(miri) { 3 } else { 100 } {
            let TryRecv::Delivery(Delivery::Msg(price)) = sample.try_recv() else { continue };
            others += u64::from(price.number % 10 != 0);
            newest += u64::from(sample.depth() < 10);
        }
        is_enough.store(true, Ordering::Relaxed);
        assert_eq!(others, 0);
    });
}

#[test]
fn a_key_beyond_the_number_of_keys_evicts_the_oldest() {
    let (prices, mut newest, mut publisher) = prices(16).join(by_symbol(2));
    [1, 1, 2, 3, 4].into_iter().for_each(|symbol| emit(&mut publisher, symbol));
    assert_eq!(assert_gap(&mut newest, 3), GapReason::Overwritten);
    let messages = std::iter::from_fn(|| newest.try_recv().delivery()?.message());
    assert_eq!(messages.map(|price| price.number).collect::<Vec<_>>(), [3, 4]);
    let line = prices.counters.read().into_iter().find(|line| line.kind == Kind::Edge).unwrap();
    assert_eq!(["taken", "overwritten"].map(|value| line.value(value)), [2, 3]);
}

/// The publisher overwrites its ring, and replaces each key, while the reader handles a delivery.
#[test]
fn a_slow_reader_by_key_does_not_get_gaps_alone() {
    let (_prices, mut newest, mut publisher) = prices(4).join(by_symbol(2));
    let (mut numbers, mut missed) = (Vec::new(), 0);
    for _ in 0..30 {
        (0..20).for_each(|number| emit(&mut publisher, 1 + number % 2));
        match newest.try_recv().delivery().expect("there are messages") {
            Delivery::Msg(price) => numbers.push(price.number),
            Delivery::Gap(gap) => missed += gap.count,
        }
    }
    assert!(numbers.len() >= 10, "{numbers:?}, {missed} missed");
    drop(publisher);
    while let Some(delivery) = newest.try_recv().delivery() {
        match delivery {
            Delivery::Msg(price) => numbers.push(price.number),
            Delivery::Gap(gap) => missed += gap.count,
        }
    }
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(numbers.len() as u64 + missed, 30 * 20);
    assert_eq!(numbers[numbers.len() - 2..], [598, 599], "the last of each key");
}

/// The first publisher overwrites its ring between two receives.
#[test]
fn a_fast_publisher_leaves_no_other_unread() {
    let (prices, mut newest, mut fast) = prices(4).join(by_symbol(2));
    let mut slow = prices.topic.publisher("slow", 9).unwrap();
    emit(&mut slow, 3);
    let is_slow = |delivery: Option<Delivery<Price>>| {
        delivery.and_then(Delivery::message).is_some_and(|price| price.symbol == SYMBOLS[3])
    };
    let received = (0..10).any(|_| {
        (0..20).for_each(|_| emit(&mut fast, 1));
        is_slow(newest.try_recv().delivery())
    });
    assert!(received);
}

/// The table refers to messages by the index of their publisher in the reader's list.
#[test]
fn publishers_that_come_and_go_do_not_mix_up_the_newest_messages() {
    let prices = prices(16);
    let mut newest = prices.subscribe("newest", by_symbol(4));
    let _open = prices.topic.keep_open();
    for round in 0..20 {
        let [mut first, mut second] =
            [1, 2].map(|epoch| prices.topic.publisher("publisher", 2 * round + epoch).unwrap());
        emit(&mut first, 1);
        // Each publisher has its own keys.
        (0..3).for_each(|_| emit(&mut second, 1));
        drop(first);
        let mut received = vec![newest.try_recv().delivery().expect("the table has messages")];
        drop(second);
        // Another publisher joins while a message of the table waits.
        let mut third = prices.topic.publisher("publisher", 1000 + round).unwrap();
        emit(&mut third, 3);
        received.extend(std::iter::from_fn(|| newest.try_recv().delivery()));
        let (mut messages, mut gaps) = (Vec::new(), Vec::new());
        for delivery in received {
            match delivery {
                Delivery::Msg(price) => messages.push((price.symbol, price.number)),
                Delivery::Gap(gap) => gaps.push((gap.epoch, gap.count)),
            }
        }
        messages.sort_by_key(|(symbol, number)| (symbol.to_string(), *number));
        let expected = [(3, 0), (1, 0), (1, 2)].map(|(it, number)| (price(0, it).symbol, number));
        assert_eq!((messages, gaps), (expected.to_vec(), vec![(2 * round + 2, 2)]));
    }
}

#[test]
fn a_key_must_be_a_field_of_the_message_of_at_most_64_bytes() {
    #[message(topic = "orders", id = 8, pad)]
    struct Order {
        id: u64,
        of: Owner,
        lines: FixedVec<u32, 7>,
        note: FixedStr<78>,
    }
    #[message]
    struct Owner {
        account: u64,
    }
    let key = |field| LatestByKey::of::<Order>(field, number(8));
    assert!(key("id").is_ok() && key("of.account").is_ok() && key("of").is_ok());
    assert!(matches!(key("of.accounts"), Err(KeyError::Unknown { message: "Owner", .. })));
    assert!(matches!(key("id.low"), Err(KeyError::NoFields { .. })));
    assert!(matches!(key("lines"), Err(KeyError::List { .. })));
    assert!(matches!(key("note"), Err(KeyError::TooLong { bytes: 80, .. })));
    let of_another = Policy::LatestByKey(key("id").unwrap());
    let error = prices(4).topic.subscribe::<Price>("reader", of_another).unwrap_err();
    assert!(matches!(error, TopicError::Key { .. }), "{error}");
}

proptest! {
    #![proptest_config(cases(4))]

    /// Receiving one by one or in batches makes no difference: the same messages arrive, with gaps
    /// in the same places.
    #[test]
    fn batches_have_the_messages_and_gaps_of_single_receives(
        steps in prop::collection::vec((0..30u64, 1..20usize), 1..if cfg!(miri) { 5 } else { 30 })
    ) {
        let every = [1, 3].map(|every| Policy::Sample(number(every)));
        for policy in Policy::all().chain(every).chain([by_symbol(3)]) {
            let (prices, mut one, mut publisher) = prices(8).join(policy);
            let mut many = prices.subscribe("many", policy);
            let context = Context::from_waker(Waker::noop());
            for &(count, limit) in &steps {
                for symbol in 0..count {
                    let number = publisher.sent();
                    _ = publisher.try_emit(price(number, symbol as usize % SYMBOLS.len()));
                }
                let mut batch = Vec::new();
                // The task also yields from time to time.
                for _ in 0..2 {
                    while many.poll_recv_many(&context, &mut batch, limit).is_ready() {}
                }
                let singles: Vec<_> = std::iter::from_fn(|| one.try_recv().delivery()).collect();
                // Both readers have taken everything, so neither blocks the publisher.
                one.done();
                many.done();
                prop_assert_eq!(&batch, &singles, "{}", policy);
            }
        }
    }
}
