//! The ring of lanes under loom: readers that share a lane, writers that follow one another in a lane, the end.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use mycelium_core::ring::lanes::{Consumer, Inline, Lanes, Producer};
use mycelium_core::ring::{PopError, PushError};
use mycelium_loom_tests::{bounded, models};

type Ring<const LANES: usize> = Arc<Inline<usize, LANES, 2>>;

fn ring<const LANES: usize>() -> Ring<LANES> {
    Arc::new(Inline::new())
}

fn push<const LANES: usize>(producer: &mut Producer<Ring<LANES>>, item: usize) {
    while producer.try_push(item).is_err() {
        thread::yield_now();
    }
}

fn pop<const LANES: usize>(consumer: &mut Consumer<Ring<LANES>>) -> usize {
    loop {
        match consumer.try_pop() {
            Ok(item) => return item,
            Err(_) => thread::yield_now(),
        }
    }
}

/// Two readers take turns at one lane: each goes on where the other stopped, and the writer fills what both emptied.
fn two_readers_at_one_lane() {
    bounded(3, || {
        let ring = ring::<1>();
        let mut producer = Lanes::producer(ring.clone()).unwrap();
        let mut other = Lanes::consumer(ring.clone());
        let mut consumer = Lanes::consumer(ring);
        push(&mut producer, 1);
        push(&mut producer, 2);
        let reader = thread::spawn(move || other.try_pop().ok());
        let first = consumer.try_pop().ok();
        _ = producer.try_push(3);
        let second = reader.join().unwrap();
        let mut popped: Vec<usize> = first.into_iter().chain(second).collect();
        assert!(!popped.is_empty(), "one of them must get the lane");
        popped.sort_unstable();
        popped.extend(consumer.by_ref());
        assert!(popped == [1, 2] || popped == [1, 2, 3], "{popped:?}");
    });
}

/// As above, by batches, while the writer goes on: the lane's slots are used again.
fn batches() {
    bounded(3, || {
        let ring = ring::<1>();
        let mut producer = Lanes::producer(ring.clone()).unwrap();
        let mut other = Lanes::consumer(ring.clone());
        let mut consumer = Lanes::consumer(ring);
        assert_eq!(producer.push_slice(&[1, 2, 3]), 2);
        let reader = thread::spawn(move || {
            let mut popped = Vec::new();
            _ = other.pop_many(2, |item| popped.push(item));
            popped
        });
        let mut popped = Vec::new();
        _ = consumer.pop_many(1, |item| popped.push(item));
        let rest = producer.push_slice(&[3, 4]);
        _ = consumer.pop_many(2, |item| popped.push(item));
        popped.extend(reader.join().unwrap());
        popped.extend(consumer);
        popped.sort_unstable();
        assert!(popped.iter().copied().eq(1..=2 + rest), "{popped:?}");
    });
}

/// Two writers have a lane each; each one's items come in order.
fn two_writers() {
    bounded(2, || {
        let ring = ring::<2>();
        let mut consumer = Lanes::consumer(ring.clone());
        let writers = [10, 20].map(|own| (own, Lanes::producer(ring.clone()).unwrap()));
        let writers = writers.map(|(own, mut producer)| {
            thread::spawn(move || (own..own + 2).for_each(|item| producer.try_push(item).unwrap()))
        });
        let mut popped = [0; 4].map(|_| pop(&mut consumer));
        let position = |item| popped.iter().position(|other| *other == item);
        assert!(position(10) < position(11), "a writer's items changed places");
        assert!(position(20) < position(21), "a writer's items changed places");
        popped.sort_unstable();
        assert_eq!(popped, [10, 11, 20, 21]);
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

/// A writer leaves, another one takes its lane, and a reader empties it meanwhile.
fn writers_follow_one_another() {
    bounded(3, || {
        let ring = ring::<1>();
        let mut first = Lanes::producer(ring.clone()).unwrap();
        let mut consumer = Lanes::consumer(ring.clone());
        let second = thread::spawn(move || match Lanes::producer(ring) {
            Some(mut second) => second.try_push(2).is_ok(),
            None => false,
        });
        first.try_push(1).unwrap();
        drop(first);
        assert_eq!(pop(&mut consumer), 1);
        let second = second.join().unwrap();
        assert_eq!(consumer.try_pop().ok(), second.then_some(2));
    });
}

/// The end comes when the writer has left, and after all that it pushed.
fn close() {
    bounded(3, || {
        let ring = ring::<1>();
        let mut producer = Lanes::producer(ring.clone()).unwrap();
        let mut consumer = Lanes::consumer(ring.clone());
        let writer = thread::spawn(move || {
            let mut pushed = 0;
            for item in 1..=2 {
                match producer.try_push(item) {
                    Ok(()) => pushed += 1,
                    Err(PushError::Closed(_)) => break,
                    Err(PushError::Full(_)) => panic!("there is room for both"),
                }
            }
            pushed
        });
        ring.close();
        let mut popped = 0;
        loop {
            match consumer.try_pop() {
                Ok(item) => {
                    popped += 1;
                    assert_eq!(item, popped);
                }
                Err(PopError::Empty) => thread::yield_now(),
                Err(PopError::Closed) => break,
            }
        }
        assert!(Lanes::producer(ring).is_none());
        assert_eq!(writer.join().unwrap(), popped, "a push was taken and is never read");
    });
}

/// Nobody registers unseen while the ring is closed.
fn close_while_a_writer_registers() {
    bounded(3, || {
        let ring = ring::<1>();
        let mut consumer = Lanes::consumer(ring.clone());
        let late = ring.clone();
        let writer = thread::spawn(move || {
            let Some(mut producer) = Lanes::producer(late) else { return false };
            producer.try_push(1).is_ok()
        });
        ring.close();
        let mut popped = false;
        loop {
            match consumer.try_pop() {
                Ok(_) => popped = true,
                Err(PopError::Empty) => thread::yield_now(),
                Err(PopError::Closed) => break,
            }
        }
        assert_eq!(writer.join().unwrap(), popped, "a push was taken and is never read");
    });
}

models! {
    two_readers_at_one_lane {
        fails_with_a_relaxed_lock: "lanes.lock",
        fails_with_a_relaxed_unlock: "lanes.unlock",
    }
    batches {
        fails_with_a_relaxed_unlock: "lanes.unlock",
    }
    two_writers {}
    writers_follow_one_another {}
    close {
        fails_when_the_leaving_is_relaxed: "lanes.leave",
        fails_when_the_end_is_relaxed: "lanes.over",
    }
    close_while_a_writer_registers {}
}
