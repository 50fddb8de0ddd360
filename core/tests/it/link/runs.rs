//! Runs: messages whose bytes the link does not copy, and invalid headers of runs.
use mycelium_core::link::{
    CloseReason, IncomingId, LinkError, OutgoingId, RunShape, SendError, UnsubscribeProgress,
};

use super::errors::word;
use crate::pair::conversation::{
    ITEMS, LEFT, RIGHT, open, reading, send, send_run, sequences, subscribe,
};
use crate::pair::{Pair, Received, count};

fn message(sequence: u64) -> Vec<u8> {
    sequence.to_le_bytes().repeat(5)
}

fn pair(window: u32) -> (Pair, OutgoingId, IncomingId) {
    let (mut pair, outgoing, incoming) = reading(Pair::new(), window);
    pair.message = message;
    (pair, outgoing, incoming)
}

/// The received messages, each with its sequence as its bytes.
fn messages_of(pair: &mut Pair) -> Vec<u64> {
    let news = pair.sides[RIGHT].take_events();
    for received in &news {
        if let Received::Message { sequence, payload, .. } = received {
            assert_eq!(*payload, message(*sequence));
        }
    }
    sequences(&news)
}

#[test]
fn a_run_uses_credit_up_to_the_limit() {
    let (mut pair, outgoing, incoming) = pair(10_000);
    // 256 KiB of items of 56 bytes.
    assert_eq!(send_run(&mut pair, outgoing, 10_000), Ok(4681));
    assert!(matches!(send_run(&mut pair, outgoing, 1), Err(SendError::Room { .. })));
    pair.settle();
    assert_eq!(send_run(&mut pair, outgoing, 10_000), Ok(4681));
    pair.settle();
    assert_eq!(send_run(&mut pair, outgoing, 10_000), Ok(10_000 - 2 * 4681));
    pair.settle();
    assert_eq!(send_run(&mut pair, outgoing, 1), Err(SendError::Credit));
    pair.sides[RIGHT].link.grant(incoming, 10_000).unwrap();
    pair.settle();
    assert_eq!(send_run(&mut pair, outgoing, 3), Ok(3));
    pair.settle();
    assert_eq!(messages_of(&mut pair), (100..10_103).collect::<Vec<_>>());
}

#[test]
fn messages_that_do_not_fit_a_run_are_sent_alone() {
    let (mut pair, outgoing, _) = pair(64);
    for shape in [
        RunShape { stride: 0, ..ITEMS },
        RunShape { stride: 52, ..ITEMS },
        RunShape { stride: 40, ..ITEMS },
        RunShape { skip: 4, ..ITEMS },
        RunShape { length: 0, ..ITEMS },
        RunShape { stride: 1 << 20, ..ITEMS },
        RunShape { stride: 60_008, skip: 8, length: 60_000 },
    ] {
        let sent = pair.sides[LEFT].link.send_run(pair.now, outgoing, shape, 4);
        assert_eq!(sent, Ok(0), "{shape:?}");
    }
    send(&mut pair, outgoing, 1).unwrap();
}

#[test]
fn unsent_messages_cannot_be_confirmed() {
    let (mut pair, outgoing, _) = pair(64);
    assert_eq!(send_run(&mut pair, outgoing, 8), Ok(8));
    // The header, two messages, and half of a third.
    pair.write(LEFT, 40 + 2 * 56 + 30);
    assert_eq!(pair.feed(LEFT, &word(12, 1, 102, 64)), None);
    assert_eq!(pair.sides[LEFT].link.unconfirmed(outgoing), 6);
    assert_eq!(pair.feed(LEFT, &word(12, 1, 103, 64)), Some(LinkError::Window { stream: 1 }));
}

#[test]
fn a_run_of_an_unsubscribed_topic_needs_no_bytes() {
    let (mut pair, interest, export) = subscribe(Pair::new(), 64);
    pair.message = message;
    let outgoing = open(&mut pair, export, 77, 100);
    assert_eq!(send_run(&mut pair, outgoing, 30), Ok(30));
    pair.write(LEFT, 40 + 2 * 56 + 30);
    pair.sides[RIGHT].read(pair.now, usize::MAX);
    assert_eq!(messages_of(&mut pair), [100, 101]);
    assert_eq!(pair.sides[RIGHT].link.unsubscribe(interest), Ok(UnsubscribeProgress::Pending));
    pair.write(RIGHT, usize::MAX);
    pair.sides[LEFT].read(pair.now, usize::MAX);
    // The caller has dropped its messages: a request for them would panic.
    pair.message = |_| unreachable!("nobody has it any more");
    let news = pair.settled(RIGHT);
    let ends = |received: &_| matches!(received, Received::Unsubscribed { discarded: 28, .. });
    assert!(news.iter().any(ends), "{news:?}");
    assert_eq!(pair.failed(), [None, None]);
}

#[test]
fn close_follows_an_unfinished_run() {
    let (mut pair, outgoing, _) = pair(64);
    assert_eq!(send_run(&mut pair, outgoing, 5), Ok(5));
    pair.sides[LEFT].link.close(pair.now, CloseReason::Shutdown);
    pair.settle();
    assert_eq!(messages_of(&mut pair), (100..105).collect::<Vec<_>>());
    assert_eq!(pair.sides[RIGHT].failed, Some(LinkError::PeerClosed(CloseReason::Shutdown)));
    assert_eq!(count(&pair.written[LEFT], 2), 1);
}
