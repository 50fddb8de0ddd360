//! The shared form of the broadcast ring under loom: claims that meet, wrap-around, claims that are given up, observers
//! that are passed, joining a running ring, handing the ring over, closing it.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use mycelium_core::ring::broadcast::{
    Broadcast, Consumer, Inline, Look, SharedProducer, slot_words,
};
use mycelium_loom_tests::{bounded, models};

const CAPACITY: usize = 2;
const WORDS: usize = CAPACITY * slot_words(16);
type Ring = Arc<Broadcast<Inline<WORDS, 1>>>;

fn ring() -> Ring {
    Arc::new(Broadcast::new(Inline::new(), CAPACITY, 16).unwrap())
}

/// Two words that belong together: a mixture of two messages shows.
fn content(name: usize) -> [usize; 2] {
    [name, name + 100]
}

fn push(producer: &mut SharedProducer<Ring>, name: usize) {
    while producer.try_push(&content(name), 16).is_err() {
        thread::yield_now();
    }
}

fn give_up(producer: &mut SharedProducer<Ring>) {
    while producer.grant().is_err() {
        thread::yield_now();
    }
}

/// What a reader has been told.
#[derive(Default)]
struct Told {
    names: Vec<usize>,
    missed: usize,
}

fn look(reader: &mut Consumer<Ring>, told: &mut Told) -> Look {
    let mut words = [0; 2];
    let look = reader.look(&mut words);
    match look {
        Look::Message { length, .. } => {
            assert_eq!(length, 16);
            assert_eq!(words, content(words[0]), "a mixture was read");
            assert!(reader.advance());
            told.names.push(words[0]);
        }
        Look::Gap { missed } => {
            assert!(missed > 0 && missed < 100, "a gap of {missed}");
            told.missed += missed;
        }
        Look::Empty => thread::yield_now(),
        Look::Closed => {}
    }
    look
}

fn read_all(mut reader: Consumer<Ring>) -> Told {
    let mut told = Told::default();
    while look(&mut reader, &mut told) != Look::Closed {}
    told
}

/// Two writers and a gating reader; the last writer that leaves closes the ring.
fn two_writers_and_a_gating_reader() {
    bounded(1, || {
        let ring = ring();
        let mut first = Broadcast::shared_producer(ring.clone()).unwrap();
        let mut second = first.clone();
        let reader = Broadcast::gating(ring).unwrap();
        let other = thread::spawn(move || {
            push(&mut second, 1);
            second.close();
        });
        let writer = thread::spawn(move || {
            push(&mut first, 2);
            first.close();
        });
        let told = read_all(reader);
        assert_eq!(told.missed, 0, "a gating reader was passed");
        assert!(
            told.names == [1, 2] || told.names == [2, 1],
            "a message was lost: {:?}",
            told.names
        );
        other.join().unwrap();
        writer.join().unwrap();
    });
}

/// More messages than slots: the reader's room is shown by one writer to the other.
fn wrap_around() {
    bounded(1, || {
        let ring = ring();
        let mut first = Broadcast::shared_producer(ring.clone()).unwrap();
        let mut second = first.clone();
        let reader = Broadcast::gating(ring).unwrap();
        let other = thread::spawn(move || {
            push(&mut second, 1);
            second.close();
        });
        push(&mut first, 2);
        let writer = thread::spawn(move || {
            push(&mut first, 3);
            first.close();
        });
        let told = read_all(reader);
        assert_eq!((told.missed, told.names.len()), (0, 3), "a gating reader was passed");
        other.join().unwrap();
        writer.join().unwrap();
    });
}

/// The writer of a lap ago may still be at work in the slot.
fn two_writers_of_one_slot() {
    bounded(2, || {
        let ring = ring();
        let mut first = Broadcast::shared_producer(ring.clone()).unwrap();
        let mut second = first.clone();
        let observer = Broadcast::observing(ring);
        let other = thread::spawn(move || {
            push(&mut second, 1);
            second.close();
        });
        for name in 2..4 {
            push(&mut first, name);
        }
        first.close();
        other.join().unwrap();
        let told = read_all(observer);
        assert_eq!(told.names.len() + told.missed, 3, "sent = taken + missed");
    });
}

fn observer_is_passed() {
    bounded(2, || {
        let ring = ring();
        let mut first = Broadcast::shared_producer(ring.clone()).unwrap();
        let observer = Broadcast::observing(ring);
        push(&mut first, 1);
        let writer = thread::spawn(move || {
            for name in 2..4 {
                push(&mut first, name);
            }
            first.close();
        });
        let told = read_all(observer);
        assert_eq!(told.names.len() + told.missed, 3, "sent = taken + missed");
        writer.join().unwrap();
    });
}

/// A claim that is given up while another writer goes on.
fn given_up() {
    bounded(1, || {
        let ring = ring();
        let mut first = Broadcast::shared_producer(ring.clone()).unwrap();
        let mut second = first.clone();
        let observer = Broadcast::observing(ring);
        let other = thread::spawn(move || {
            give_up(&mut second);
            second.close();
        });
        for name in 2..4 {
            push(&mut first, name);
        }
        first.close();
        let told = read_all(observer);
        assert_eq!(told.names.len() + told.missed, 2, "sent = taken + missed");
        other.join().unwrap();
    });
}

/// Claims that are given up, an observer that is passed, and slots that are being written while it counts them.
fn given_up_over_laps() {
    bounded(1, || {
        let ring = ring();
        let mut first = Broadcast::shared_producer(ring.clone()).unwrap();
        let observer = Broadcast::observing(ring);
        give_up(&mut first);
        let writer = thread::spawn(move || {
            push(&mut first, 1);
            push(&mut first, 2);
            give_up(&mut first);
            first.close();
        });
        let told = read_all(observer);
        assert_eq!(told.names.len() + told.missed, 2, "sent = taken + missed");
        writer.join().unwrap();
    });
}

/// A gating reader that joins while a writer has room for a lap gets every message from there on.
fn join_into_a_running_ring() {
    bounded(2, || {
        let ring = ring();
        let mut first = Broadcast::shared_producer(ring.clone()).unwrap();
        push(&mut first, 0);
        let writer = thread::spawn(move || {
            for name in 1..4 {
                if first.try_push(&content(name), 16).is_err() {
                    break;
                }
            }
            first.close();
        });
        let reader = Broadcast::gating(ring).unwrap();
        assert!(reader.cursor() >= 1, "what was published before the join is known");
        let told = read_all(reader);
        assert_eq!(told.missed, 0, "a gating reader was passed");
        assert!(told.names.is_sorted(), "order: {:?}", told.names);
        writer.join().unwrap();
    });
}

/// From the single form to the shared one, and back.
fn hand_over() {
    bounded(3, || {
        let ring = ring();
        let mut single = Broadcast::producer(ring.clone()).unwrap();
        let shared = thread::spawn(move || {
            let Some(mut writer) = Broadcast::shared_producer(ring.clone()) else { return };
            assert_eq!(writer.try_push(&content(1), 16), Ok(1), "a message would be overwritten");
            drop(writer);
            let single = Broadcast::producer(ring).unwrap();
            assert_eq!(single.sequence(), 2, "a message would be overwritten");
        });
        single.try_push(&content(0), 16).unwrap();
        drop(single);
        shared.join().unwrap();
    });
}

/// The single writer takes over from a shared one on another thread.
fn hand_back() {
    bounded(3, || {
        let ring = ring();
        let mut writer = Broadcast::shared_producer(ring.clone()).unwrap();
        let single = thread::spawn(move || {
            if let Some(single) = Broadcast::producer(ring) {
                assert_eq!(single.sequence(), 1, "a message would be overwritten");
                // The claim is seen in any case, as a fence stands after it: not so its message.
                assert_eq!(
                    single.ring().published(0),
                    1,
                    "who writes on does not see what is there"
                );
            }
        });
        writer.try_push(&content(0), 16).unwrap();
        drop(writer);
        single.join().unwrap();
    });
}

/// A ring and a writer that are never dropped, so that a grant may go to another thread.
fn lasting() -> (&'static Broadcast<Inline<WORDS, 1>>, &'static mut Lasting) {
    let ring = Box::leak(Box::new(Broadcast::new(Inline::new(), CAPACITY, 16).unwrap()));
    let ring = &*ring;
    (ring, Box::leak(Box::new(Broadcast::shared_producer(ring).unwrap())))
}

type Lasting = SharedProducer<&'static Broadcast<Inline<WORDS, 1>>>;

fn missed_at_once(observer: &mut Consumer<&'static Broadcast<Inline<WORDS, 1>>>) -> (usize, usize) {
    let before = observer.cursor();
    match observer.look(&mut [0; 2]) {
        Look::Gap { missed } => (observer.cursor() - before, missed),
        other => panic!("no gap, but {other:?}"),
    }
}

/// Another thread gives up the claim between two of this one's, and goes on with so many more: whoever is passed counts one
/// message less.
fn given_up_before(preemptions: usize, more: usize) {
    bounded(preemptions, move || {
        let (ring, first) = lasting();
        let mut second = first.clone();
        let mut observer = Broadcast::observing(ring);
        second.try_push(&content(0), 16).unwrap();
        let mut third = first.clone();
        let claim = first.grant().unwrap();
        second.try_push(&content(2), 16).unwrap();
        let writer = thread::spawn(move || {
            drop(claim);
            for name in 3..3 + more {
                third.try_push(&content(name), 16).unwrap();
            }
        });
        let (passed, missed) = missed_at_once(&mut observer);
        // Whatever is passed, one of it was no message.
        assert!(passed < 2 || missed == passed - 1, "{missed} of {passed}");
        writer.join().unwrap();
    });
}

/// A lap, and it is seen by the claims.
fn given_up_before_what_was_claimed() {
    given_up_before(1, 3);
}

/// The same, and it is seen by what was published.
fn given_up_before_what_was_published() {
    bounded(1, || {
        let (ring, first) = lasting();
        let mut observer = Broadcast::observing(ring);
        let mut second = first.clone();
        for name in 0..3 {
            first.try_push(&content(name), 16).unwrap();
        }
        let writer = thread::spawn(move || {
            drop(second.grant().unwrap());
            for name in 4..6 {
                second.try_push(&content(name), 16).unwrap();
            }
        });
        let (passed, missed) = missed_at_once(&mut observer);
        assert_eq!(missed, passed - usize::from(passed > 3), "of {passed}");
        writer.join().unwrap();
    });
}

/// The slot of the claim that was given up is being written again, when it is counted.
fn given_up_before_what_is_written() {
    given_up_before(2, 1);
}

models! {
    two_writers_and_a_gating_reader {
        fails_with_a_relaxed_leave: "shared.leave",
    }
    wrap_around {
    }
    two_writers_of_one_slot {
        fails_with_a_relaxed_free: "shared.free",
    }
    observer_is_passed {
        fails_with_a_relaxed_publish: "shared.publish",
        fails_without_the_overwrite_fence: "shared.overwrite-fence",
    }
    given_up {
    }
    given_up_over_laps {
        fails_with_a_relaxed_look: "skips.look",
    }
    join_into_a_running_ring {
        fails_without_the_room_fence: "shared.room-fence",
        fails_without_the_join_fence: "broadcast.join-fence",
    }
    hand_over {
        fails_with_a_relaxed_join: "shared.join",
        fails_with_a_relaxed_hand_over: "broadcast.hand-over",
    }
    hand_back {
        fails_with_a_relaxed_leave: "shared.leave",
    }
    given_up_before_what_was_claimed {
        fails_without_the_fence: "skips.known-fence",
    }
    given_up_before_what_was_published {}
    given_up_before_what_is_written {
        fails_with_a_relaxed_begin: "shared.begin",
        fails_with_a_relaxed_look: "skips.look",
    }
}
