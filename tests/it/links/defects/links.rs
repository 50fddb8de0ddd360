//! Messages between two sides that start, end and cancel.

use mycelium_transports::local::{Delivery, Policy, TryRecv};

use crate::links::harness::{
    Carrier, Number, Side, TestDir, emit, end, next, over_each_carrier, take, within,
};

over_each_carrier! {
    #[tokio::test]
    l8_a_restarted_peer_is_read_again_and_an_ended_one_is_the_end;
    l14_a_reader_misses_nothing_after_ready;
    l5_messages_of_a_peer_are_not_sent_back_to_it;
}

/// In the earlier system, a client's messages were sent back to it.
async fn l5_messages_of_a_peer_are_not_sent_back_to_it(carrier: Carrier) {
    const COUNT: u64 = 100;
    let dirs = [TestDir::over(carrier, "l5-left"), TestDir::over(carrier, "l5-right")];
    let sides = [Side::new("left", 1, 256), Side::new("right", 2, 256)];
    let mut tasks = Vec::new();
    let mut readers = Vec::new();
    for (own, peer) in [(0, 1), (1, 0)] {
        let (side, other) = (&sides[own], &sides[peer]);
        let mut exports = side.exports(None);
        exports.announce(&other.name, &side.numbers, Policy::Block).unwrap();
        tasks.push(side.serve(exports, dirs[own].place()));
        readers.push(side.reader());
        tasks.push(side.read(&other.name, dirs[peer].place(), Policy::Block));
    }
    for side in &sides {
        within("they have met", side.control.ready()).await;
    }
    let mut publishers = Vec::new();
    for (side, from) in sides.iter().zip([0, COUNT]) {
        let mut publisher = side.numbers.publisher::<Number>(&side.name, 7 + from).unwrap();
        emit(&mut publisher, from..from + COUNT).await;
        publishers.push(publisher);
    }
    for reader in &mut readers {
        let mut seen = Vec::new();
        for _ in 0..2 * COUNT {
            seen.push(next(reader).await.value);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..2 * COUNT).collect::<Vec<_>>());
    }
    // The arrivals are confirmed, and nothing else was sent.
    for (side, other) in [(&sides[0], "right"), (&sides[1], "left")] {
        assert_eq!((side.link(other, "sent"), side.link(other, "received")), (COUNT, COUNT));
    }
    for reader in &mut readers {
        assert_eq!(reader.try_recv(), TryRecv::Empty);
    }
    end(&[&sides[0], &sides[1]], tasks).await;
}

/// In the earlier system, readers of an ended peer waited for ever, and neither side reconnected.
async fn l8_a_restarted_peer_is_read_again_and_an_ended_one_is_the_end(carrier: Carrier) {
    let dir = TestDir::over(carrier, "l8");
    let here = Side::new("here", 9, 64);
    let mut reader = here.reader();
    let reading = here.read("there", dir.place(), Policy::Block);
    for boot in 0..5 {
        let there = Side::new("there", boot, 64);
        let serving = there.serve(there.exports_for("here", Policy::Block), dir.place());
        let mut publisher = there.numbers.publisher::<Number>("publisher", 100 + boot).unwrap();
        emit(&mut publisher, 0..50).await;
        let mut next = 0;
        while next < 50 {
            match within("it comes back", reader.recv()).await.unwrap() {
                Delivery::Msg(number) => {
                    assert_eq!(number.value, next);
                    next += 1;
                }
                // The reader cannot know whether the previous publisher had sent more.
                Delivery::Gap(gap) => {
                    assert_eq!((gap.epoch, gap.count, gap.exact()), (99 + boot, 0, false));
                }
            }
        }
        if boot == 4 {
            // Here the publisher ends before its link.
            drop(publisher);
            there.control.drain();
            assert!(within("the end is seen", reader.recv()).await.is_none());
        }
        // In the other rounds the link closes first, as if the process had died.
        end(&[&there], [serving]).await;
    }
    within("nothing is left to be read", reading).await.unwrap();
    assert_eq!(here.notices.count("up", ""), 5);
}

/// In the earlier system, messages that were published after a client had connected and before it
/// was served were lost silently.
async fn l14_a_reader_misses_nothing_after_ready(carrier: Carrier) {
    let dir = TestDir::over(carrier, "l14");
    let there = Side::new("there", 1, 64);
    let names: Vec<String> = (0..50).map(|round| format!("here-{round}")).collect();
    let serving = there.serve(there.exports(Some(&names)), dir.place());
    let mut publisher = there.publisher();
    for (round, name) in (0..).zip(names) {
        let here = Side::new(&name, round, 64);
        let mut reader = here.reader();
        let reading = here.read("there", dir.place(), Policy::Block);
        within("it is ready", here.control.ready()).await;
        // No reader was announced, and yet no message is missing.
        publisher.try_emit(Number { value: round }).unwrap();
        take(&mut reader, round..round + 1).await;
        end(&[&here], [reading]).await;
        there.notices.until("down", &format!("`{name}`")).await;
    }
    end(&[&there], [serving]).await;
}
