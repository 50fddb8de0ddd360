//! Streams that move to shared memory: the frames that may follow on the link, and what the next
//! connection resumes.
use mycelium_core::Envelope;
use mycelium_core::link::{ExportId, IncomingId, LinkError, OutgoingId, SendError};

use crate::pair::conversation::{
    ITEMS, LEFT, RIGHT, fragment, open, reading, send, send_run, sequences, subscribe,
};
use crate::pair::{Pair, Received};

const TOKEN: [u8; 16] = *b"a token of bytes";

/// A pair of which these sides support shared memory. The right side reads a stream from message 100
/// on, with a window of 8.
pub(super) fn pair(memory: [bool; 2]) -> (Pair, OutgoingId, IncomingId) {
    reading(Pair::with(4096, |left, right| [left.memory, right.memory] = memory), 8)
}

/// As [`pair`], after three messages; the stream has moved to region 7 at message 103.
fn moved() -> (Pair, OutgoingId, IncomingId) {
    let (mut pair, outgoing, incoming) = pair([true; 2]);
    send(&mut pair, outgoing, 3).unwrap();
    assert_eq!(move_stream(&mut pair, outgoing), Ok(103));
    let news = pair.settled(RIGHT);
    assert_eq!(sequences(&news), [100, 101, 102]);
    let region = Received::Region { stream: incoming, number: 7, first: 103 };
    assert_eq!(news.last(), Some(&region), "{news:?}");
    (pair, outgoing, incoming)
}

fn move_stream(pair: &mut Pair, stream: OutgoingId) -> Result<u64, SendError> {
    pair.sides[LEFT].link.move_stream(pair.now, stream, 7)
}

/// A new connection. Returns the subscription and where the reader resumes the stream.
fn reconnect(pair: &mut Pair) -> (ExportId, u64) {
    pair.sides.iter_mut().for_each(|side| drop(side.take_events()));
    pair.reconnect();
    let news = pair.sides[LEFT].take_events();
    let resume = news.iter().find_map(|received| match received {
        Received::Resume { export, epoch: 77, next } => Some((*export, *next)),
        _ => None,
    });
    resume.unwrap_or_else(|| panic!("no resume: {news:?}"))
}

#[test]
fn only_the_end_follows_a_move() {
    let (mut pair, outgoing, incoming) = moved();
    let (message, link) = ([7; 100], &mut pair.sides[LEFT].link);
    let (envelope, part) = (Envelope::default(), fragment(&message, 0));
    let refused = Some(SendError::Moved);
    assert_eq!(link.send(pair.now, outgoing, &envelope, 40, &message).err(), refused);
    assert_eq!(link.send_run(pair.now, outgoing, ITEMS, 2).err(), refused);
    assert_eq!(link.send_fragment(pair.now, outgoing, &envelope, part, &message).err(), refused);
    assert_eq!(link.skip(pair.now, outgoing, 2, 1).err(), refused);
    assert_eq!(link.skip(pair.now, outgoing, u64::MAX, 1).err(), refused);
    assert_eq!(link.end_stream(pair.now, outgoing).err(), refused);
    assert_eq!(link.move_stream(pair.now, outgoing, 8).err(), refused);
    assert_eq!(link.sequence(outgoing), Ok(103));

    let early = SendError::End { first: 103, found: 102 };
    assert_eq!(link.end_moved_stream(pair.now, outgoing, 102), Err(early));
    assert_eq!(link.end_moved_stream(pair.now, outgoing, 5000), Ok(()));
    assert_eq!(link.end_moved_stream(pair.now, outgoing, 5000), Err(SendError::Gone));
    assert_eq!(link.unconfirmed(outgoing), 3);
    pair.settle();
    let end = Received::End { stream: incoming, next: 5000 };
    assert_eq!(pair.sides[RIGHT].take_events(), [end]);
    let confirmed = Received::Window { stream: outgoing, confirmed: 103 };
    assert_eq!(pair.sides[LEFT].take_events().last(), Some(&confirmed));
    assert_eq!(pair.sides[LEFT].link.sequence(outgoing), Err(SendError::Gone), "all is confirmed");
    assert_eq!(pair.failed(), [None; 2]);
}

#[test]
fn both_sides_must_support_it() {
    for memory in [[false, false], [false, true], [true, false], [true, true]] {
        let both = memory == [true; 2];
        let (mut pair, outgoing, _) = pair(memory);
        let expected = if both { Ok(()) } else { Err(SendError::NoMemory) };
        for side in [LEFT, RIGHT] {
            let link = &mut pair.sides[side].link;
            assert_eq!(link.peer_accepts_memory(), both);
            assert_eq!(link.offer_memory(pair.now, TOKEN), expected);
            if both {
                assert_eq!(link.offer_memory(pair.now, TOKEN), Err(SendError::SecondMemory));
            }
        }
        assert_eq!(move_stream(&mut pair, outgoing).map(|_| ()), expected);
        pair.settle();
        for side in &mut pair.sides {
            let mut news = side.take_events();
            news.retain(|received| matches!(received, Received::Memory(_)));
            assert_eq!(news, vec![Received::Memory(TOKEN); usize::from(both)]);
        }
        assert_eq!(pair.failed(), [None; 2]);
    }
}

#[test]
fn a_stream_without_another_message_does_not_move() {
    let (mut pair, outgoing, _) = pair([true; 2]);
    pair.sides[LEFT].link.skip(pair.now, outgoing, u64::MAX - 101, 1).unwrap();
    send(&mut pair, outgoing, 1).unwrap();
    assert_eq!(move_stream(&mut pair, outgoing), Err(SendError::Exhausted));
    pair.settle();
    pair.feed(RIGHT, &super::errors::region(1, u64::MAX));
    let (expected, found) = (u64::MAX - 1, u64::MAX);
    let error = LinkError::Sequence { stream: 1, expected, found };
    assert_eq!(pair.sides[RIGHT].failed, Some(error));
}

/// No stream resumes behind the last sequence: a writer would refuse that, on each connection.
#[test]
fn a_stream_that_has_had_the_last_sequence_is_forgotten_with_its_connection() {
    let (mut pair, outgoing, incoming) = pair([true; 2]);
    pair.sides[LEFT].link.skip(pair.now, outgoing, u64::MAX - 101, 1).unwrap();
    send(&mut pair, outgoing, 1).unwrap();
    let news = pair.settled(RIGHT);
    assert_eq!(sequences(&news), [u64::MAX - 1]);
    pair.sides[LEFT].take_events();
    pair.reconnect();
    let news = pair.sides[LEFT].take_events();
    let resumes = |received: &&Received| matches!(received, Received::Resume { .. });
    assert_eq!(news.iter().find(resumes), None);
    let granted = pair.sides[RIGHT].link.grant(incoming, 1);
    assert_eq!(granted, Err(SendError::Gone), "the link has forgotten it");
    assert_eq!(pair.failed(), [None; 2]);
}

/// The caller has lost the memory before it had read all of a stream that has ended. The peer takes
/// the stream for confirmed.
#[test]
fn a_stream_that_has_left_its_memory_keeps_its_place() {
    let both = Pair::with(4096, |left, right| [left.memory, right.memory] = [true; 2]);
    let (mut pair, _, export) = subscribe(both, 8);
    let streams = [77, 1, 2, 3].map(|epoch| open(&mut pair, export, epoch, 100));
    pair.settle();
    let begun = pair.sides[RIGHT].take_events().into_iter().find_map(|event| match event {
        Received::Stream { stream, epoch: 77, .. } => Some(stream),
        _ => None,
    });
    move_stream(&mut pair, streams[0]).unwrap();
    pair.sides[LEFT].link.end_moved_stream(pair.now, streams[0], 130).unwrap();
    pair.settle();
    pair.sides[RIGHT].link.leave_memory(begun.unwrap(), 104, false).unwrap();
    pair.sides[LEFT].link.end_stream(pair.now, streams[1]).unwrap();
    open(&mut pair, export, 900, 0);
    pair.settle();
    assert_eq!(reconnect(&mut pair).1, 104);
}

#[test]
fn a_moved_stream_needs_its_region_again() {
    let moved_error = LinkError::Moved { stream: 2 };
    let actions: [fn(&mut Pair, OutgoingId); 4] = [
        |pair, stream| send(pair, stream, 1).unwrap(),
        |pair, stream| _ = send_run(pair, stream, 1).unwrap(),
        |pair, stream| pair.sides[LEFT].link.skip(pair.now, stream, 5, 1).unwrap(),
        |pair, stream| pair.sides[LEFT].link.end_stream(pair.now, stream).unwrap(),
    ];
    for action in actions {
        let (mut pair, ..) = moved();
        let (export, _) = reconnect(&mut pair);
        let outgoing = open(&mut pair, export, 77, 103);
        action(&mut pair, outgoing);
        pair.deliver();
        assert_eq!(pair.sides[RIGHT].failed, Some(moved_error));
    }
    // It begins at its region, even if all messages up to a later one are done in memory.
    let (mut pair, ..) = moved();
    let (export, _) = reconnect(&mut pair);
    open(&mut pair, export, 77, 110);
    let error = LinkError::Sequence { stream: 2, expected: 103, found: 110 };
    assert_eq!(pair.sides[RIGHT].failed, Some(error));
}
