//! The rings for one writer and one reader under loom, in both layouts: one by one and in batches,
//! around the end of the slots, closed from either side, with aborted grants, and with ends that
//! are taken over.

use loom::sync::Arc;
use loom::thread;
use mycelium_core::ring::spsc::{Consumer, Inline, Producer, SlotLayout, Spsc};
use mycelium_core::ring::{PushError, Storage, stamped};
use mycelium_loom_tests::{beside, drain, models, pop, push};

const CAPACITY: usize = 2;

/// Values that own memory, so that loom itself detects a lost or doubled one.
type Item = Box<usize>;

type Ends<S> = (Producer<Arc<Spsc<S>>>, Consumer<Arc<Spsc<S>>>);

fn ends<S: Storage<Slot: SlotLayout>>(ring: &Arc<Spsc<S>>) -> Ends<S> {
    (Spsc::producer(ring.clone()).unwrap(), Spsc::consumer(ring.clone()).unwrap())
}

/// The models, for the ring that `$new` makes, and the names of its orderings.
macro_rules! models_of {
    ($new:expr, push: $push:literal, look: $look:literal) => {
        /// Three items through two slots: the writer waits for the reader to move on.
        fn around_the_end() {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            let sender = thread::spawn(move || {
                (0..3).for_each(|number| push(&mut writer, Item::new(number)));
            });
            (0..3).for_each(|number| assert_eq!(*pop(&mut reader), number));
            sender.join().unwrap();
        }

        /// A batch is visible completely or not at all, and released in parts.
        fn batches() {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            let sender = thread::spawn(move || {
                let mut grant = writer.grant(2).unwrap();
                grant.push(Item::new(0)).unwrap();
                grant.push(Item::new(1)).unwrap();
                assert_eq!(grant.commit(), 2);
                push(&mut writer, Item::new(2));
            });
            let mut next = 0;
            while next < 3 {
                let Ok(items) = reader.read(2) else {
                    thread::yield_now();
                    continue;
                };
                assert!(items.iter().map(|item| **item).eq(next..next + items.len()));
                items.release(1);
                next += 1;
            }
            sender.join().unwrap();
        }

        /// Items that were pushed before the writer closed are seen before the end.
        fn closed_by_the_writer() {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            let sender = thread::spawn(move || {
                push(&mut writer, Item::new(0));
                writer.close();
            });
            assert_eq!(drain(&mut reader), [Item::new(0)], "the end came before an item");
            sender.join().unwrap();
        }

        /// Items that the reader leaves in the ring are dropped with it, once.
        fn closed_by_the_reader() {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            let sender = thread::spawn(move || {
                for number in 0..3 {
                    if let Err(PushError::Closed(_)) = writer.try_push(Item::new(number)) {
                        break;
                    }
                }
            });
            let _ = reader.try_pop();
            reader.close();
            sender.join().unwrap();
        }

        /// A dropped grant leaves no items.
        fn aborted() {
            let (mut writer, mut reader) = ends(&Arc::new($new));
            let sender = thread::spawn(move || {
                let mut grant = writer.grant(2).unwrap();
                grant.push(Item::new(7)).unwrap();
                drop(grant);
                (0..2).for_each(|number| push(&mut writer, Item::new(number)));
            });
            (0..2).for_each(|number| assert_eq!(*pop(&mut reader), number));
            sender.join().unwrap();
        }

        /// A closed end cannot be taken again, even if several threads try.
        fn closed_for_good() {
            let ring = Arc::new($new);
            let writer = Spsc::producer(ring.clone()).unwrap();
            let other = beside(&ring, move |ring| assert!(Spsc::producer(ring).is_none()));
            let closer = thread::spawn(move || writer.close());
            assert!(Spsc::producer(ring).is_none());
            other.join().unwrap();
            closer.join().unwrap();
        }

        /// The next owner of an end continues where the previous one stopped, with the slots as the
        /// previous one left them.
        fn hand_over() {
            let ring = Arc::new($new);
            let (mut writer, mut reader) = ends(&ring);
            let other = beside(&ring, move |ring| {
                if let Some(mut writer) = Spsc::producer(ring.clone()) {
                    assert!(writer.try_push(Item::new(1)).is_ok());
                }
                if let Some(mut reader) = Spsc::consumer(ring) {
                    reader.by_ref().for_each(drop);
                }
            });
            push(&mut writer, Item::new(0));
            drop(writer);
            assert_eq!(*pop(&mut reader), 0);
            drop(reader);
            other.join().unwrap();
        }

        models! {
            around_the_end [3] {
                fails_with_a_relaxed_push: $push,
                fails_with_a_relaxed_look: $look,
                fails_with_a_relaxed_pop: "spsc.pop",
                fails_with_a_relaxed_look_for_room: "spsc.room",
            }
            batches [3] {
                fails_with_a_relaxed_push: $push,
                fails_with_a_relaxed_look: $look,
                fails_with_a_relaxed_pop: "spsc.pop",
                fails_with_a_relaxed_look_for_room: "spsc.room",
            }
            closed_by_the_writer [3] {
                fails_with_a_relaxed_close: "pair.close",
                fails_with_a_relaxed_closed: "pair.closed",
            }
            closed_by_the_reader [3] {}
            closed_for_good [3] {}
            aborted [3] {}
            hand_over [3] {
                fails_with_a_relaxed_release: "pair.release",
                fails_with_a_relaxed_take: "pair.take",
            }
        }
    };
}

mod index {
    use super::*;

    models_of!(Inline::<Item, CAPACITY>::new(), push: "spsc.push", look: "spsc.look");
}

mod stamps {
    use super::*;

    models_of!(stamped::Inline::<Item, CAPACITY>::new(), push: "stamped.push", look: "stamped.look");
}
