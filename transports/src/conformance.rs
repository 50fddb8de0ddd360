//! What every transport promises, as tests that are generic over it.
//!
//! Implement [`Transport`] and write `conformance!(MyTransport);` in a test file: one test for each law. A law takes
//! nothing but the transport, so the same suite runs over any of them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use mycelium_core::message;

use crate::local::{Delivery, Policy, Publisher, Refusal, Subscription, TryRecv};

/// The message that the laws send.
#[message(topic = "conformance", id = 0xFFFE)]
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which publisher it is from.
    pub publisher: u64,
    /// Which of the publisher's messages it is.
    pub number: u64,
}

/// A transport with one topic, as the laws see it.
pub trait Transport: Sized {
    /// A topic whose publishers can be `capacity` messages ahead of a reader.
    fn open(capacity: usize) -> Self;
    /// A publisher of its own.
    fn publisher(&self, name: &str) -> Publisher<Probe>;
    /// A subscription to all publishers, present and to come.
    fn subscribe(&self, name: &str, policy: Policy) -> Subscription<Probe>;
}

/// Makes one test for each law.
#[macro_export]
macro_rules! conformance {
    ($transport:ty) => {
        $crate::conformance!(
            $transport:
            order_is_kept_per_publisher_and_nothing_is_lost_or_doubled,
            a_full_block_subscription_holds_the_publisher,
            a_full_reject_subscription_gives_the_message_back,
            an_observer_never_holds_the_publisher_and_is_told_the_exact_gap,
            a_latest_reader_gets_the_newest_and_the_number_that_it_skipped,
            an_observer_that_is_always_slower_still_gets_messages,
            the_end_of_all_publishers_is_seen_after_their_last_message,
            a_late_reader_starts_with_the_next_message,
            a_publisher_that_comes_later_is_heard_from_its_first_message,
            an_emit_that_is_dropped_before_it_completes_was_not_sent,
            a_receive_that_is_dropped_takes_nothing,
            a_reader_that_leaves_frees_the_publisher,
            a_sleeping_reader_is_woken,
        );
    };
    ($transport:ty: $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                $crate::conformance::$law::<$transport>();
            }
        )*
    };
}

fn probe(publisher: u64, number: u64) -> Probe {
    Probe { publisher, number }
}

fn numbers(subscription: &mut Subscription<Probe>) -> Vec<u64> {
    std::iter::from_fn(|| subscription.try_recv().delivery())
        .map(|delivery| delivery.message().expect("no gap").number)
        .collect()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Three publishers and two gating readers on threads, through rings far smaller than what they send.
pub fn order_is_kept_per_publisher_and_nothing_is_lost_or_doubled<T: Transport>() {
    const PUBLISHERS: u64 = 3;
    let count: u64 = if cfg!(miri) { 15 } else { 20_000 };
    let transport = T::open(8);
    let readers: Vec<_> = (0..2)
        .map(|reader| transport.subscribe(&format!("reader {reader}"), Policy::Block))
        .map(|mut subscription| {
            thread::spawn(move || {
                let mut next = [0; PUBLISHERS as usize];
                while let Some(delivery) = pollster::block_on(subscription.recv()) {
                    let Delivery::Msg(probe) = delivery else { panic!("gap at a gating reader") };
                    let next = &mut next[probe.publisher as usize];
                    assert_eq!((probe.number, probe.sequence()), (*next, *next));
                    *next += 1;
                }
                next
            })
        })
        .collect();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| (publisher, transport.publisher(&format!("publisher {publisher}"))))
        .collect();
    for (publisher, mut handle) in publishers {
        thread::spawn(move || {
            for number in 0..count {
                pollster::block_on(handle.emit(probe(publisher, number))).expect("accepted");
            }
        });
    }
    for reader in readers {
        assert_eq!(reader.join().expect("reader"), [count; PUBLISHERS as usize]);
    }
}

/// `try_emit` says who holds it, `emit` completes as soon as there is room.
pub fn a_full_block_subscription_holds_the_publisher<T: Transport>() {
    let transport = T::open(4);
    let mut slow = transport.subscribe("slow", Policy::Block);
    let mut publisher = transport.publisher("publisher");
    for number in 0..4 {
        publisher.try_emit(probe(0, number)).expect("room");
    }
    let refused = publisher.try_emit(probe(0, 4)).expect_err("full");
    assert_eq!(refused.message, probe(0, 4));
    assert_eq!(refused.refusal, Refusal::Full { by: "slow".into() });
    assert_eq!(slow.depth(), 4);

    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut emit = pin!(publisher.emit(probe(0, 4)));
    assert!(emit.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(matches!(slow.try_recv(), TryRecv::Delivery(_)));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "a message in hand keeps its slot");
    assert!(matches!(slow.try_recv(), TryRecv::Delivery(_)));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "room wakes the publisher");
    assert!(emit.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    assert_eq!(numbers(&mut slow), [2, 3, 4]);
}

/// `emit` does not wait for a `reject` reader.
pub fn a_full_reject_subscription_gives_the_message_back<T: Transport>() {
    let transport = T::open(2);
    let mut slow = transport.subscribe("slow", Policy::Reject);
    let mut publisher = transport.publisher("publisher");
    for number in 0..2 {
        publisher.try_emit(probe(0, number)).expect("room");
    }
    let refused = pollster::block_on(publisher.emit(probe(0, 2))).expect_err("full");
    assert_eq!(refused.message, probe(0, 2));
    assert_eq!(refused.refusal, Refusal::Rejected { by: "slow".into() });
    assert_eq!(numbers(&mut slow), [0, 1]);
}

/// What was sent is what was taken and what was missed, together.
pub fn an_observer_never_holds_the_publisher_and_is_told_the_exact_gap<T: Transport>() {
    let transport = T::open(8);
    let mut observer = transport.subscribe("observer", Policy::DropOldest);
    let mut publisher = transport.publisher("publisher");
    let (mut sent, mut taken, mut missed) = (0, 0, 0);
    for burst in [3, 8, 9, 40, 1, 200] {
        for _ in 0..burst {
            publisher.try_emit(probe(0, sent)).expect("an observer holds nobody");
            sent += 1;
        }
        while let Some(delivery) = observer.try_recv().delivery() {
            match delivery {
                Delivery::Msg(probe) => {
                    assert_eq!(probe.number, taken + missed);
                    taken += 1;
                }
                Delivery::Gap(gap) => {
                    assert!(gap.exact && &*gap.publisher == "publisher");
                    missed += gap.count;
                }
            }
        }
        assert_eq!(sent, taken + missed);
    }
    assert_eq!(missed, 1 + 32 + 192);
}

/// A `latest` reader is told what it skipped, then gets the newest message.
pub fn a_latest_reader_gets_the_newest_and_the_number_that_it_skipped<T: Transport>() {
    let transport = T::open(8);
    let mut latest = transport.subscribe("latest", Policy::Latest);
    let mut publisher = transport.publisher("publisher");
    for number in 0..5 {
        publisher.try_emit(probe(0, number)).expect("room");
    }
    let Some(Delivery::Gap(gap)) = latest.try_recv().delivery() else { panic!("a gap first") };
    assert_eq!(gap.count, 4);
    assert_eq!(numbers(&mut latest), [4]);
    publisher.try_emit(probe(0, 5)).expect("room");
    assert_eq!(numbers(&mut latest), [5]);
}

/// One message comes for each delivery that is taken, so the reader never catches up: half of what it gets is messages.
pub fn an_observer_that_is_always_slower_still_gets_messages<T: Transport>() {
    let rounds = if cfg!(miri) { 20 } else { 1_000 };
    for policy in [Policy::DropOldest, Policy::Latest] {
        let transport = T::open(4);
        let mut slow = transport.subscribe("slow", policy);
        let mut publisher = transport.publisher("publisher");
        let (mut messages, mut missed) = (0, 0);
        for sent in 0..rounds {
            for number in [2 * sent, 2 * sent + 1] {
                publisher.try_emit(probe(0, number)).expect("an observer holds nobody");
            }
            match slow.try_recv().delivery().expect("there is always something") {
                Delivery::Msg(probe) => {
                    assert_eq!(probe.number, messages + missed, "in order, after the gap");
                    messages += 1;
                }
                Delivery::Gap(gap) => missed += gap.count,
            }
        }
        assert!(messages >= rounds / 2 - 1, "{messages} messages with {policy:?}");
        assert_eq!(2 * rounds, messages + missed + slow.depth() as u64);
    }
}

/// `recv` ends when all publishers have ended, and not before their last message.
pub fn the_end_of_all_publishers_is_seen_after_their_last_message<T: Transport>() {
    let transport = T::open(8);
    let mut reader = transport.subscribe("reader", Policy::Block);
    assert_eq!(reader.try_recv(), TryRecv::Empty, "no publisher yet is no end");
    let (mut first, mut second) = (transport.publisher("first"), transport.publisher("second"));
    first.try_emit(probe(0, 0)).expect("room");
    drop(first);
    assert_eq!(numbers(&mut reader), [0]);
    assert_eq!(reader.try_recv(), TryRecv::Empty, "one is left");
    second.try_emit(probe(1, 7)).expect("room");
    drop(second);
    assert_eq!(numbers(&mut reader), [7]);
    assert_eq!(reader.try_recv(), TryRecv::Closed);
    assert_eq!(pollster::block_on(reader.recv()), None);
}

/// A late reader gets what is emitted from then on, wherever the ring stands.
pub fn a_late_reader_starts_with_the_next_message<T: Transport>() {
    let transport = T::open(4);
    let mut publisher = transport.publisher("publisher");
    for sent in 0..13 {
        let mut readers: Vec<_> = [Policy::Block, Policy::DropOldest]
            .map(|policy| transport.subscribe("late", policy))
            .into();
        publisher.try_emit(probe(0, sent)).expect("room");
        for reader in &mut readers {
            assert_eq!(numbers(reader), [sent]);
        }
    }
}

/// Start-up order loses nothing: who subscribed before a publisher came gets all its messages.
pub fn a_publisher_that_comes_later_is_heard_from_its_first_message<T: Transport>() {
    let transport = T::open(8);
    let mut reader = transport.subscribe("reader", Policy::Block);
    for publisher in 0..5 {
        let mut handle = transport.publisher("late");
        for number in 0..3 {
            handle.try_emit(probe(publisher, number)).expect("room");
        }
    }
    let mut received = numbers(&mut reader);
    received.sort_unstable();
    assert_eq!(received, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    assert_eq!(reader.try_recv(), TryRecv::Closed);
}

/// Dropped at its first or second poll, a waiting `emit` leaves nothing behind.
pub fn an_emit_that_is_dropped_before_it_completes_was_not_sent<T: Transport>() {
    for polls in 0..3 {
        let transport = T::open(2);
        let mut reader = transport.subscribe("reader", Policy::Block);
        let mut publisher = transport.publisher("publisher");
        for number in 0..2 {
            publisher.try_emit(probe(0, number)).expect("room");
        }
        {
            let mut emit = pin!(publisher.emit(probe(0, 99)));
            for _ in 0..polls {
                assert!(emit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
        }
        assert_eq!(numbers(&mut reader), [0, 1]);
        publisher.try_emit(probe(0, 2)).expect("room");
        assert_eq!(numbers(&mut reader), [2], "the stream goes on as if nothing had been tried");
    }
}

/// A receive that was polled and dropped took no message.
pub fn a_receive_that_is_dropped_takes_nothing<T: Transport>() {
    let transport = T::open(4);
    let mut reader = transport.subscribe("reader", Policy::Block);
    let mut publisher = transport.publisher("publisher");
    for number in 0..20 {
        for _ in 0..2 {
            let mut receive = pin!(reader.recv());
            assert!(receive.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        publisher.try_emit(probe(0, number)).expect("room");
        drop(reader.recv());
        assert_eq!(numbers(&mut reader), [number]);
    }
}

/// Unsubscribing makes room at once, and wakes who waits for it.
pub fn a_reader_that_leaves_frees_the_publisher<T: Transport>() {
    let transport = T::open(2);
    let mut reader = transport.subscribe("reader", Policy::Block);
    let gone = transport.subscribe("gone", Policy::Block);
    let mut publisher = transport.publisher("publisher");
    for number in 0..2 {
        publisher.try_emit(probe(0, number)).expect("room");
    }
    assert_eq!(numbers(&mut reader), [0, 1]);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut emit = pin!(publisher.emit(probe(0, 2)));
    assert!(emit.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(gone);
    assert!(wakes.0.load(Ordering::SeqCst) > 0);
    assert!(emit.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    assert_eq!(numbers(&mut reader), [2]);
}

/// A reader that sleeps is woken by the next message, and by the end.
pub fn a_sleeping_reader_is_woken<T: Transport>() {
    let transport = T::open(4);
    let mut reader = transport.subscribe("reader", Policy::Block);
    let mut publisher = transport.publisher("publisher");
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let poll = |reader: &mut Subscription<Probe>| {
        pin!(reader.recv()).poll(&mut Context::from_waker(&waker))
    };
    assert!(poll(&mut reader).is_pending());
    publisher.try_emit(probe(0, 0)).expect("room");
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(matches!(poll(&mut reader), Poll::Ready(Some(Delivery::Msg(_)))));
    assert!(poll(&mut reader).is_pending());
    drop(publisher);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
    assert_eq!(poll(&mut reader), Poll::Ready(None));
}
