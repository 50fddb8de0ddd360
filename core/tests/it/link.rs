//! Links: handshake, credit, batches, and lost connections. `errors` has limits and protocol
//! errors.
// A link has no `unsafe`: Miri would find nothing in the other files that these do not show it.

#[cfg(not(miri))]
mod damage;
mod describe;
mod document;
mod errors;
#[cfg(not(miri))]
mod faults;
#[cfg(not(miri))]
mod fragments;
mod memory;
#[cfg(not(miri))]
mod model;
mod retained;
#[cfg(not(miri))]
mod runs;

use std::time::Duration;

use mycelium_core::frame::HEADER_LEN;
use mycelium_core::link::{
    Batching, CloseReason, Interest, LinkError, ReaderMode, ReaderStart, SendError,
};

use crate::pair::conversation::{LEFT, MS, RIGHT, reading, send, sequences, swaps};
use crate::pair::{Pair, Received, first_of_each_kind};

#[test]
fn credit_limits_what_a_reader_gets() {
    let (mut pair, outgoing, incoming) = reading(Pair::new(), 8);
    assert_eq!(send(&mut pair, outgoing, 9), Err(SendError::Credit));
    assert_eq!(pair.sides[LEFT].link.credit(outgoing), 0);
    pair.pass(100 * MS);
    assert_eq!(sequences(&pair.sides[RIGHT].take_events()), Vec::from_iter(100..108));

    pair.sides[RIGHT].link.grant(incoming, 3).unwrap();
    pair.settle();
    assert_eq!(pair.sides[LEFT].link.credit(outgoing), 3);
    assert_eq!(send(&mut pair, outgoing, 4), Err(SendError::Credit));
    pair.pass(100 * MS);

    // Credit is limited to the window.
    pair.sides[RIGHT].link.grant(incoming, u32::MAX).unwrap();
    pair.pass(100 * MS);
    assert_eq!(pair.sides[LEFT].link.credit(outgoing), 8);
}

#[test]
fn a_batch_is_sent_when_full_old_or_flushed() {
    let batching = Batching { bytes: 4 * 64, messages: 100, delay: 5 * MS };
    let (mut pair, outgoing, _) = reading(Pair::with(8192, |left, _| left.batching = batching), 64);

    send(&mut pair, outgoing, 3).unwrap();
    assert!(sequences(&pair.settled(RIGHT)).is_empty(), "it waits for more");
    send(&mut pair, outgoing, 1).unwrap();
    assert_eq!(sequences(&pair.settled(RIGHT)), [100, 101, 102, 103], "it is full");

    send(&mut pair, outgoing, 1).unwrap();
    let due = pair.sides[LEFT].link.poll_timeout();
    assert_eq!(due, Some(pair.now + 5 * MS));
    pair.pass(5 * MS);
    assert_eq!(sequences(&pair.sides[RIGHT].take_events()), [104], "it is old");

    send(&mut pair, outgoing, 1).unwrap();
    pair.deliver();
    assert_eq!(sequences(&pair.sides[RIGHT].take_events()), [105], "the sender is idle");
}

#[test]
fn a_subscription_has_a_mode_and_a_start() {
    let found = |pair: &mut Pair| {
        let news = pair.sides[LEFT].take_events();
        let found = news.into_iter().find_map(|received| match received {
            Received::Subscribe { mode, start, .. } => Some((mode, start)),
            _ => None,
        });
        found.expect("a topic is subscribed")
    };
    let (next, oldest) = (ReaderStart::Next, ReaderStart::Oldest);
    for (mode, start, codes) in [
        (ReaderMode::Gating, next, [0, 0]),
        (ReaderMode::Observing, oldest, [1, 1]),
        (ReaderMode::Rejecting, oldest, [2, 1]),
    ] {
        let mut pair = Pair::new();
        let link = &mut pair.sides[RIGHT].link;
        let interest = link.subscribe(Interest { mode, start, ..swaps(8) }).unwrap();
        pair.settle();
        assert!(pair.sides[RIGHT].link.peer_reads_starts());
        let mut subscribe = first_of_each_kind(&pair.written[RIGHT]).remove(&3).unwrap();
        assert_eq!(subscribe[HEADER_LEN + 24..HEADER_LEN + 26], codes);
        assert_eq!(found(&mut pair), (mode, start));
        // The start is the same on each connection, until this side has lost a stream.
        pair.reconnect();
        assert_eq!(found(&mut pair), (mode, start));
        pair.sides[RIGHT].link.start_at_next(interest).unwrap();
        pair.reconnect();
        assert_eq!(found(&mut pair), (mode, next));
        // A mode of a later version counts as observing, and a start as the next message.
        subscribe[HEADER_LEN + 4] = 9;
        subscribe[HEADER_LEN + 24..HEADER_LEN + 26].copy_from_slice(&[3, 2]);
        pair.feed(LEFT, &subscribe);
        assert_eq!(found(&mut pair), (ReaderMode::Observing, next));
    }
}

#[test]
fn keep_alive_holds_an_idle_link_and_silence_ends_it() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_secs(120));
    assert!(pair.sides.iter().all(|side| side.link.is_up()), "{:?}", pair.sides[LEFT].failed);

    // Now the right side does not answer.
    let until = pair.now + Duration::from_secs(120);
    while pair.sides[LEFT].failed.is_none() && pair.now < until {
        pair.write(LEFT, usize::MAX);
        let next = pair.sides[LEFT].link.poll_timeout().unwrap();
        pair.now = pair.now.max(next);
        pair.sides[LEFT].failed = pair.sides[LEFT].link.handle_timeout(pair.now).err();
    }
    assert_eq!(pair.sides[LEFT].failed, Some(LinkError::Silent { limit: Duration::from_secs(15) }));
}

#[test]
fn the_handshake_has_a_deadline() {
    let mut pair = Pair::new();
    pair.now += Duration::from_secs(5);
    let error = LinkError::Handshake { deadline: Duration::from_secs(5) };
    assert_eq!(pair.sides[LEFT].link.handle_timeout(pair.now), Err(error));
    assert_eq!(pair.sides[LEFT].link.ended(), Some(error));
    // Its close frame has the reason.
    pair.settle();
    assert_eq!(pair.sides[RIGHT].failed, Some(LinkError::PeerClosed(CloseReason::Timeout)));
}
