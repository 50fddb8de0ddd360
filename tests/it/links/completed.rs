//! Peers that will not run again: no link waits for them, and their messages are read to the end.

use std::sync::Arc;

use mycelium_transports::local::{Delivery, Policy};

use crate::links::harness::{Number, emit, join, sides, take, until, within};

#[tokio::test]
async fn a_lost_publisher_that_ended_for_good_leaves_a_gap() {
    for gone in [true, false] {
        let (dir, there, here) = sides(&format!("completed-lost-{gone}"), 64);
        let (_, mut reader, [_, reading]) = join(&dir, &there, &here).await;
        let mut publisher = there.publisher();
        (0..3).for_each(|value| publisher.try_emit(Number { value }).unwrap());
        take(&mut reader, 0..3).await;
        there.control.stop();
        until("its socket is gone", || !dir.socket().exists()).await;
        match gone {
            true => here.control.gone("there"),
            false => here.control.completed("there"),
        }
        let Some(Delivery::Gap(gap)) = within("a gap", reader.recv()).await else { panic!() };
        assert!(!gap.exact(), "{gap}");
        assert_eq!(within("the end", reader.recv()).await, None);
        within("the task ends", reading).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_kept_for_a_reader_that_has_completed() {
    for (was_there, told_before) in [(false, false), (true, false), (true, true)] {
        let (dir, there, here) = sides(&format!("completed-reader-{was_there}-{told_before}"), 4);
        let exports = Arc::new(there.exports_for("here", Policy::Block));
        there.serve(exports.clone(), dir.place());
        let mut publisher = there.publisher();
        if was_there {
            let reader = here.reader();
            let reading = here.read("there", dir.place(), Policy::Block);
            within("both have met", there.control.ready()).await;
            // Exactly as many as the reader's ring holds.
            emit(&mut publisher, 0..4).await;
            until("they have arrived", || reader.depth() == 4).await;
            if told_before {
                there.control.completed("here");
            }
            // The reader's process does not close its link.
            reading.abort();
            there.notices.until("down", "here").await;
        }
        there.control.completed("here");
        assert!(within("both count as met", there.control.ready()).await);
        // Nobody holds them up.
        emit(&mut publisher, 8..100).await;
        assert!(exports.unfinished().is_empty());
        drop(publisher);
        there.control.drain();
        within("nothing is left to do", there.control.ended()).await;
        assert!(exports.undelivered().is_empty());
    }
}
