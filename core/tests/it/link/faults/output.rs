//! Batches, confirmations and timers.

use std::time::Duration;

use mycelium_core::link::{Batching, CloseReason, Config};
use mycelium_core::{Envelope, write_frame};

use crate::pair::conversation::{LEFT, RIGHT, name, reading, send, subscribe};
use crate::pair::{Pair, Received, config};

#[test]
fn close_confirms_what_arrived() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 64);
    send(&mut pair, outgoing, 3).unwrap();
    pair.deliver();
    pair.sides[RIGHT].link.close(pair.now, CloseReason::Shutdown);
    assert_eq!(pair.settled(LEFT), [Received::Window { stream: outgoing, confirmed: 103 }]);
}

#[test]
fn a_sender_with_little_room_gets_early_confirmations() {
    let mut pair = Pair::with(config("left"), config("right"), 1 << 16);
    let (_, export) = subscribe(&mut pair, 1024);
    let link = &mut pair.sides[LEFT].link;
    let stream = link.open_stream(pair.now, export, name("feed"), 77, 0, 64).unwrap();
    for _ in 0..10 {
        send(&mut pair, stream, 64).unwrap();
        pair.deliver();
        assert_eq!(pair.sides[LEFT].link.unconfirmed(stream), 0);
    }
}

#[test]
fn an_ended_link_has_no_timer() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 64);
    send(&mut pair, outgoing, 1).unwrap();
    pair.deliver();
    // The peer has stopped reading, so the close frame stays in the buffer.
    pair.sides[RIGHT].link.close(pair.now, CloseReason::Shutdown);
    assert_eq!(pair.sides[RIGHT].link.poll_timeout(), None);
}

#[test]
fn a_long_frame_in_pieces_keeps_the_link_alive() {
    let mut pair = Pair::new();
    reading(&mut pair, 8);
    let mut frame = vec![0; 4000];
    let envelope = Envelope { type_id: 1, stream: 1, sequence: 100, ..Envelope::default() };
    let length = write_frame(&mut frame, &envelope, 0, &[0; 2000]).unwrap();
    for piece in frame[..length].chunks(64) {
        pair.now += Duration::from_secs(1);
        pair.feed(RIGHT, piece);
        assert_eq!(pair.sides[RIGHT].link.handle_timeout(pair.now), Ok(()));
    }
}

#[test]
fn a_waiting_batch_is_sent_as_keep_alive() {
    let batching = Batching { bytes: 1000, messages: 100, delay: Duration::MAX };
    let mut pair = Pair::with(Config { batching, ..config("left") }, config("right"), 4096);
    let (outgoing, _) = reading(&mut pair, 8);
    send(&mut pair, outgoing, 1).unwrap();
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.failed(), [None, None]);
}

#[test]
fn a_late_write_report_does_not_count() {
    let mut pair = Pair::new();
    let late = pair.sides[LEFT].link.poll_transmit(pair.now).unwrap().len();
    pair.cut();
    pair.connect();
    pair.sides[LEFT].link.transmitted(pair.now, late);
    pair.settle();
    assert_eq!(pair.failed(), [None, None]);
    assert!(pair.sides.iter().all(|side| side.link.is_up()));
}

#[test]
fn only_offered_bytes_count_as_written() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 8);
    send(&mut pair, outgoing, 1).unwrap();
    pair.sides[LEFT].link.flush();
    let offered = pair.sides[LEFT].link.poll_transmit(pair.now).unwrap().len();
    send(&mut pair, outgoing, 1).unwrap();
    pair.sides[LEFT].link.transmitted(pair.now, offered + 64);
    assert_eq!(pair.sides[LEFT].link.poll_transmit(pair.now).map(<[u8]>::len), Some(64));
}
