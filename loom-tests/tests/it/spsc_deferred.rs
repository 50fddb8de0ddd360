//! The rings for one writer and one reader, with a reader that publishes room late or skips checks.
//! In the other models the rings are so small that each pop is published at once; here, in a ring
//! of four, every second one is.

use std::future::poll_fn;
use std::task::Poll;

use loom::sync::Arc;
use loom::thread;
use mycelium_core::doorbell::{Doorbell, announce};
use mycelium_core::ring::spsc::{Consumer, Inline, Producer, SlotLayout, Spsc};
use mycelium_core::ring::{PushError, Storage, stamped};
use mycelium_loom_tests::task::{Task, finish};
use mycelium_loom_tests::{bounded, drain, models, pop, push};

const CAPACITY: usize = 4;
const LAG: usize = 2;

type Ends<S> = (Producer<Arc<Spsc<S>>>, Consumer<Arc<Spsc<S>>>);

fn ends<S: Storage<Slot: SlotLayout>>(ring: &Arc<Spsc<S>>) -> Ends<S> {
    let mut reader = Spsc::consumer(ring.clone()).unwrap();
    reader.show_every(LAG);
    (Spsc::producer(ring.clone()).unwrap(), reader)
}

/// The models, for the ring that `$new` makes, and the names of its orderings.
macro_rules! models_of {
    ($new:expr, push: $push:literal, look: $look:literal) => {
        /// A writer of a full ring continues when the reader has published two slots.
        fn room_comes_late() {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            (0..CAPACITY).for_each(|number| writer.try_push(number).unwrap());
            let sender = thread::spawn(move || (4..6).for_each(|number| push(&mut writer, number)));
            (0..6).for_each(|number| assert_eq!(pop(&mut reader), number));
            sender.join().unwrap();
        }

        /// A reader that finds nothing publishes all room: a batch may need it.
        fn an_empty_ring_has_room_for_a_batch() {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            writer.try_push(0).unwrap();
            assert_eq!(reader.try_pop(), Ok(0));
            let sender = thread::spawn(move || {
                loop {
                    let Ok(mut grant) = writer.grant(CAPACITY) else {
                        thread::yield_now();
                        continue;
                    };
                    (1..=CAPACITY).for_each(|number| grant.push(number).unwrap());
                    grant.commit();
                    return;
                }
            });
            (1..=CAPACITY).for_each(|number| assert_eq!(pop(&mut reader), number));
            sender.join().unwrap();
        }

        /// Items that the previous reader took without publishing its position are not taken again.
        fn the_readers_end_changes_hands() {
            let ring = Arc::new($new);
            let (mut writer, mut reader) = ends(&ring);
            (0..3).for_each(|number| writer.try_push(number).unwrap());
            let next = thread::spawn(move || {
                if let Some(mut reader) = Spsc::consumer(ring) {
                    assert_eq!(reader.try_pop(), Ok(1), "an item was taken twice");
                }
            });
            assert_eq!(reader.try_pop(), Ok(0));
            drop(reader);
            next.join().unwrap();
        }

        /// A writer that parks is woken by a reader that publishes its room before it rings.
        fn parked_writer(flush: bool) {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            (0..CAPACITY).for_each(|number| writer.try_push(number).unwrap());
            let bell = Arc::new(Doorbell::new());
            let room = bell.clone();
            let task = Task::new(poll_fn(move |context| {
                if writer.try_push(4).is_ok() {
                    return Poll::Ready(());
                }
                room.park(context.waker());
                match writer.try_push(4) {
                    Ok(()) => Poll::Ready(()),
                    Err(PushError::Full(_)) => Poll::Pending,
                    Err(PushError::Closed(_)) => panic!("nobody has closed the ring"),
                }
            }));
            let sender = thread::spawn(move || task.run(2));
            assert_eq!(reader.try_pop(), Ok(0));
            if flush {
                reader.flush();
            }
            announce();
            bell.ring();
            let task = sender.join().unwrap();
            assert_eq!(finish(vec![task]).len(), 1);
        }

        #[test]
        #[should_panic = "a wake was lost"]
        fn a_parked_writer_sleeps_on_without_a_flush() {
            bounded(3, || parked_writer(false));
        }

        /// A reader that skips checks (`slipping`) parks when it finds nothing. It is woken if its
        /// check after the park is `exact`.
        fn parked_reader(exact: bool) {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            reader.slipping(true);
            let bell = Arc::new(Doorbell::new());
            let items = bell.clone();
            let task = Task::new(poll_fn(move |context| {
                if let Ok(item) = reader.try_pop() {
                    return Poll::Ready(item);
                }
                items.park(context.waker());
                if exact {
                    reader.force_check();
                }
                reader.try_pop().map_or(Poll::Pending, Poll::Ready)
            }));
            let receiver = thread::spawn(move || task.run(2));
            writer.try_push(7).unwrap();
            announce();
            bell.ring();
            let task = receiver.join().unwrap();
            assert_eq!(finish(vec![task]), [7]);
        }

        #[test]
        #[should_panic = "a wake was lost"]
        fn a_parked_check_that_slips_loses_a_wake() {
            bounded(3, || parked_reader(false));
        }

        /// A reader that skips checks gets all items, in order, and then the end, although it has
        /// published room for only some of them.
        fn slipping() {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            reader.slipping(true);
            let sender = thread::spawn(move || {
                (0..2).for_each(|number| push(&mut writer, number));
                writer.close();
            });
            assert_eq!(drain(&mut reader), [0, 1]);
            sender.join().unwrap();
        }

        models! {
            room_comes_late [2] {
                fails_with_a_relaxed_pop: "spsc.pop",
                fails_with_a_relaxed_look_for_room: "spsc.room",
            }
            an_empty_ring_has_room_for_a_batch [2] {}
            the_readers_end_changes_hands [3] {
                fails_with_a_relaxed_release: "pair.release",
                fails_with_a_relaxed_take: "pair.take",
            }
            a_parked_writer_is_woken [3] = parked_writer(true) {}
            a_parked_reader_that_slips_is_woken [3] = parked_reader(true) {}
            slipping [2] {
                fails_with_a_relaxed_push: $push,
                fails_with_a_relaxed_look: $look,
                fails_with_a_relaxed_close: "pair.close",
                fails_with_a_relaxed_closed: "pair.closed",
            }
        }
    };
}

mod index {
    use super::*;

    models_of!(Inline::<usize, CAPACITY>::new(), push: "spsc.push", look: "spsc.look");
}

mod stamps {
    use super::*;

    models_of!(stamped::Inline::<usize, CAPACITY>::new(), push: "stamped.push", look: "stamped.look");
}
