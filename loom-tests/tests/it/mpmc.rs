//! The ring for many writers and readers under loom: single items, batch claims, wrap-around, a
//! full ring, closing from either side, aborted and discarded slots, two writers, two readers, ends
//! that remember an old position.
// A flag outlives the runs of a model, so it cannot be one of loom's.
#![allow(clippy::disallowed_types)]

use std::sync::atomic::{AtomicBool, Ordering};

use loom::sync::Arc;
use loom::thread;
use mycelium_core::ring::mpmc::{Consumer, Inline, Mpmc, Producer};
use mycelium_core::ring::{PopError, PushError};
use mycelium_loom_tests::{beside, bounded, drain, models, pop, push};

type Ring<T, const N: usize> = Arc<Inline<T, N>>;

fn ring<const N: usize>() -> Ring<usize, N> {
    Arc::new(Inline::new())
}

/// Some writers and readers of a ring.
type Ends<R, const WRITERS: usize, const READERS: usize> =
    ([Producer<R>; WRITERS], [Consumer<R>; READERS]);

/// Creates as many writers and readers of a ring as the caller takes.
fn ends<T, const N: usize, const W: usize, const R: usize>(
    ring: &Ring<T, N>,
) -> Ends<Ring<T, N>, W, R> {
    let writers = [(); W].map(|()| Mpmc::producer(ring.clone()));
    (writers, [(); R].map(|()| Mpmc::consumer(ring.clone())))
}

fn sorted(items: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut items: Vec<usize> = items.into_iter().collect();
    items.sort_unstable();
    items
}

/// Items go one by one through a ring that is full after two: each slot is used twice.
fn one_by_one() {
    let ([mut producer], [mut consumer]) = ends(&ring::<2>());
    let writer = thread::spawn(move || (1..=4).for_each(|item| push(&mut producer, item)));
    (1..=4).for_each(|item| assert_eq!(pop(&mut consumer), item));
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    writer.join().unwrap();
}

/// Two writers and one reader: nothing is lost or doubled, and each writer's items are in order.
fn two_writers() {
    let ring = ring::<4>();
    let mut consumer = Mpmc::consumer(ring.clone());
    let writers = [10, 20].map(|own| {
        let mut producer = Mpmc::producer(ring.clone());
        thread::spawn(move || (own..own + 2).for_each(|item| producer.try_push(item).unwrap()))
    });
    let popped = [0; 4].map(|_| pop(&mut consumer));
    assert!(position(&popped, 10) < position(&popped, 11), "a writer's items changed places");
    assert!(position(&popped, 20) < position(&popped, 21), "a writer's items changed places");
    assert_eq!(sorted(popped), [10, 11, 20, 21]);
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

fn position(items: &[usize], item: usize) -> Option<usize> {
    items.iter().position(|other| *other == item)
}

/// Two writers want the last slot: one of them is refused until the reader has made room.
fn two_writers_and_a_full_ring() {
    let ring = ring::<2>();
    let mut consumer = Mpmc::consumer(ring.clone());
    let mut producer = Mpmc::producer(ring.clone());
    push(&mut producer, 1);
    let mut other = Mpmc::producer(ring.clone());
    let writer = thread::spawn(move || other.try_push(2).is_ok());
    let first = producer.try_push(3).is_ok();
    assert_eq!(pop(&mut consumer), 1);
    let third = producer.try_push(4).is_ok();
    let second = writer.join().unwrap();
    let rest: Vec<usize> = consumer.collect();
    let mut expected = vec![2, 3, 4];
    expected.retain(|item| [second, first, third][item - 2]);
    assert_eq!(sorted(rest.clone()), expected);
    assert!(!(first && third) || position(&rest, 3) < position(&rest, 4), "changed places");
    assert!(first || second, "both were refused, and there was a slot");
}

/// Two readers share the items of one writer, one by one and by a batch claim; a slot is used
/// again.
fn two_readers() {
    let ([mut producer], [mut consumer, mut other]) = ends(&ring::<2>());
    push(&mut producer, 1);
    push(&mut producer, 2);
    let reader = thread::spawn(move || {
        let mut sum = 0;
        // Ignores a refusal: the other reader may claim the items first.
        _ = other.pop_many(2, |item| sum = sum * 10 + item);
        sum
    });
    let first = consumer.try_pop();
    push(&mut producer, 3);
    let sum = reader.join().unwrap();
    let rest: Vec<usize> = consumer.collect();
    match (first, sum) {
        (Ok(1), 0) => assert_eq!(rest, [2, 3]),
        (Ok(1), 2) | (Err(_), 12) => assert_eq!(rest, [3]),
        (Ok(1), 23) | (Err(_), 123) => assert_eq!(rest, []),
        // The other reader was first and saw only one item.
        (Ok(2), 1) => assert_eq!(rest, [3]),
        odd => panic!("lost, doubled or out of order: {odd:?}, then {rest:?}"),
    }
}

/// A batch is one claim: the other writer's item comes before or after it, and a reader that sees
/// its first item can take all.
fn batches() {
    let ([mut batches, mut singles], [mut consumer]) = ends(&ring::<4>());
    let batch = thread::spawn(move || assert_eq!(batches.push_slice(&[1, 2, 3]), Ok(3)));
    let single = thread::spawn(move || singles.try_push(9).unwrap());
    let mut popped = Vec::new();
    while popped.len() < 4 {
        let before = popped.len();
        match consumer.pop_many(4, |item| popped.push(item)) {
            Ok(_) if popped[before] == 1 => assert!(popped.len() >= before + 3, "a torn batch"),
            Ok(_) => {}
            Err(_) => thread::yield_now(),
        }
    }
    assert!(popped == [9, 1, 2, 3] || popped == [1, 2, 3, 9], "{popped:?}");
    batch.join().unwrap();
    single.join().unwrap();
}

/// Batches around the end of the ring, against a reader that makes room one by one.
fn batches_wrap_around() {
    let ([mut producer], [mut consumer]) = ends(&ring::<2>());
    push(&mut producer, 1);
    let writer = thread::spawn(move || {
        let mut items = &[2, 3, 4][..];
        while !items.is_empty() {
            items = &items[producer.push_slice(items).unwrap_or(0)..];
            thread::yield_now();
        }
    });
    (1..=4).for_each(|item| assert_eq!(pop(&mut consumer), item));
    writer.join().unwrap();
}

/// One writer aborts slots that it had claimed and filled; another one uses the same slots a lap
/// later.
fn aborted() {
    let ([mut first, mut second], [mut consumer]) = ends(&ring::<2>());
    let mut grant = first.grant(2).unwrap();
    let other = thread::spawn(move || {
        let mut popped = 0;
        while popped == 0 {
            _ = second.try_push(2);
            popped = consumer.try_pop().unwrap_or(0);
            thread::yield_now();
        }
        assert_eq!(popped, 2, "an item of an aborted push was read");
    });
    grant.push(1).unwrap();
    drop(grant);
    other.join().unwrap();
}

/// The last reader drops the items in the ring while two writers push: each item is dropped once.
fn discarded() {
    let kept = std::sync::Arc::new(());
    let ring = Arc::new(Inline::<std::sync::Arc<()>, 2>::new());
    let mut consumer = Mpmc::consumer(ring.clone());
    let writers = [0, 1].map(|_| {
        let (mut producer, item) = (Mpmc::producer(ring.clone()), kept.clone());
        thread::spawn(move || drop(producer.try_push(item)))
    });
    consumer.discard();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    drop((consumer, ring));
    assert_eq!(std::sync::Arc::strong_count(&kept), 1);
}

/// A slot is used again just before a reader drops the items in the ring. That reader may still see
/// the stamp of the previous lap, and must not drop the item of that lap a second time.
fn discarded_beside_another_reader() {
    let kept = std::sync::Arc::new(());
    let ring = Arc::new(Inline::<std::sync::Arc<()>, 2>::new());
    let ([mut producer], [mut one, mut other]) = ends(&ring);
    (0..2).for_each(|_| producer.try_push(kept.clone()).unwrap());
    let thread = beside(&kept, move |item| {
        drop(one.try_pop());
        drop(producer.try_push(item));
    });
    other.discard();
    thread.join().unwrap();
    drop((other, ring));
    assert_eq!(std::sync::Arc::strong_count(&kept), 1);
}

/// A partly filled grant: the items are read, the rest is skipped.
fn partly_filled() {
    let ([mut producer], [mut consumer]) = ends(&ring::<4>());
    let writer = thread::spawn(move || {
        let mut grant = producer.grant(3).unwrap();
        grant.push(1).unwrap();
        grant.push(2).unwrap();
        assert_eq!(grant.commit(), 2);
        producer.try_push(3).unwrap();
    });
    (1..=3).for_each(|item| assert_eq!(pop(&mut consumer), item));
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    writer.join().unwrap();
}

/// A push that races with the close was accepted and is read before the end, or was refused.
fn close_from_the_readers_side() {
    let ([mut producer], [mut consumer]) = ends(&ring::<2>());
    let writer =
        thread::spawn(move || (1..=2).take_while(|item| producer.try_push(*item).is_ok()).count());
    consumer.clone().close();
    let popped = drain(&mut consumer);
    assert!(popped.iter().copied().eq(1..=popped.len()));
    assert_eq!(writer.join().unwrap(), popped.len(), "a push was taken and is never read");
}

/// One writer closes the ring while another one pushes and a reader drains.
fn close_from_the_writers_side() {
    let ([mut first, mut second], [mut consumer]) = ends(&ring::<2>());
    let closer = thread::spawn(move || {
        first.try_push(1).unwrap();
        first.close();
    });
    let writer = thread::spawn(move || match second.try_push(2) {
        Ok(()) => true,
        Err(PushError::Closed(item)) => {
            assert_eq!(item, 2);
            false
        }
        Err(PushError::Full(_)) => panic!("there is room for both"),
    });
    let popped = drain(&mut consumer);
    closer.join().unwrap();
    let both = writer.join().unwrap();
    assert_eq!(sorted(popped), if both { vec![1, 2] } else { vec![1] });
}

/// The reader remembers an old position, while a writer and another reader use the slot again.
fn a_reader_that_is_behind() {
    let ([mut producer], [mut behind, mut other]) = ends(&ring::<2>());
    for item in 1..=3 {
        push(&mut producer, item);
        assert_eq!(pop(&mut other), item);
    }
    push(&mut producer, 4);
    let writer = thread::spawn(move || producer.try_push(5).unwrap());
    let reader = thread::spawn(move || other.try_pop().ok());
    let first = behind.try_pop().ok();
    writer.join().unwrap();
    let second = reader.join().unwrap();
    assert_ne!((first, second), (None, None), "4 was there before");
    let popped = sorted(first.into_iter().chain(second).chain(behind));
    assert_eq!(popped, [4, 5], "lost or doubled");
}

/// The writer remembers a position of the previous lap, while a reader frees a slot and another
/// writer takes one.
fn a_writer_that_is_behind() {
    let ([mut behind, mut other], [mut consumer]) = ends(&ring::<2>());
    push(&mut other, 1);
    push(&mut other, 2);
    assert_eq!(pop(&mut consumer), 1);
    let writer = thread::spawn(move || other.try_push(3).is_ok());
    let reader = thread::spawn(move || {
        assert_eq!(pop(&mut consumer), 2);
        consumer
    });
    let pushed = behind.try_push(4).is_ok();
    let other = writer.join().unwrap();
    let rest = sorted(reader.join().unwrap());
    let mut expected = vec![3, 4];
    expected.retain(|item| [other, pushed][item - 3]);
    assert_eq!(rest, expected, "lost or doubled");
    assert!(pushed || other, "both were refused, and there was a slot");
}

/// The slot at the remembered position is free, and the ring is closed: the push is refused, or its
/// item is read.
fn closed_behind_a_free_slot() {
    let ring = ring::<2>();
    let ([mut producer], [mut consumer]) = ends(&ring);
    push(&mut producer, 1);
    assert_eq!(pop(&mut consumer), 1);
    let mut behind = producer.clone();
    push(&mut producer, 2);
    let closer = thread::spawn(move || ring.close());
    let pushed = behind.try_push(3).is_ok();
    let rest: Vec<usize> = consumer.by_ref().collect();
    assert_eq!(rest, if pushed { vec![2, 3] } else { vec![2] });
    closer.join().unwrap();
    assert_eq!(consumer.try_pop(), Err(PopError::Closed), "an item after the end");
    assert_eq!(behind.try_push(4), Err(PushError::Closed(4)));
}

/// A full ring that is closed refuses with `Closed` once the close is visible, although the tail is
/// not loaded.
fn closed_behind_a_full_slot() {
    let ring = ring::<2>();
    let mut producer = Mpmc::producer(ring.clone());
    push(&mut producer, 1);
    push(&mut producer, 2);
    let closer = thread::spawn(move || ring.close());
    let refused = producer.try_push(3);
    assert!(matches!(refused, Err(PushError::Full(3) | PushError::Closed(3))));
    closer.join().unwrap();
    assert_eq!(producer.try_push(3), Err(PushError::Closed(3)));
}

/// `Empty` concerns only the next slot: a pop gets it behind an unfinished push, although a later
/// push has returned. The model must find such a run, and all other runs must return both items.
#[test]
fn empty_behind_an_unfinished_push() {
    static FOUND: AtomicBool = AtomicBool::new(false);
    bounded(2, || {
        let ring = ring::<2>();
        let ([mut slow], [mut consumer]) = ends(&ring);
        let writer = thread::spawn(move || slow.try_push(1).unwrap());
        // Created here, so that it knows the tail: an end whose compare-and-swap fails lets the
        // other thread run, in this case until its push has finished.
        let mut fast = Mpmc::producer(ring.clone());
        fast.try_push(2).unwrap();
        let popped = consumer.try_pop();
        if popped == Err(PopError::Empty) {
            assert_eq!(ring.len(), 2, "the push of 2 has returned, so 1 was claimed before");
            FOUND.store(true, Ordering::Relaxed);
        }
        writer.join().unwrap();
        assert_eq!(sorted(popped.into_iter().chain(consumer)), [1, 2]);
    });
    assert!(FOUND.load(Ordering::Relaxed), "no run in which the answer is not linearizable");
}

models! {
    one_by_one [3] {
        fails_with_a_relaxed_push: "mpmc.push",
        fails_with_a_relaxed_look: "mpmc.look",
        fails_with_relaxed_room: "mpmc.room",
        fails_with_a_relaxed_free: "mpmc.free",
    }
    two_writers [2] {
        fails_with_a_relaxed_push: "mpmc.push",
    }
    two_writers_and_a_full_ring [2] {
        fails_with_relaxed_room: "mpmc.room",
        fails_with_a_relaxed_free: "mpmc.free",
    }
    two_readers [2] {
        fails_with_a_relaxed_free: "mpmc.free",
    }
    batches [2] {}
    batches_wrap_around [3] {
        fails_with_a_relaxed_look: "mpmc.look",
        fails_with_relaxed_room: "mpmc.room",
    }
    aborted [3] {
        fails_with_a_relaxed_skip: "mpmc.skip",
    }
    discarded [2] {
        fails_with_a_relaxed_push: "mpmc.push",
        fails_with_a_relaxed_look: "mpmc.look",
    }
    discarded_beside_another_reader [2] {}
    partly_filled [3] {}
    close_from_the_readers_side [3] {}
    close_from_the_writers_side [2] {}
    a_reader_that_is_behind [3] {
        fails_with_a_relaxed_push: "mpmc.push",
        fails_with_a_relaxed_look: "mpmc.look",
    }
    a_writer_that_is_behind [2] {
        fails_with_relaxed_room: "mpmc.room",
        fails_with_a_relaxed_free: "mpmc.free",
    }
    closed_behind_a_free_slot [3] {}
    closed_behind_a_full_slot [3] {}
}
