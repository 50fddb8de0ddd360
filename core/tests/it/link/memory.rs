//! Streams that move to shared memory: the frames that may follow on the link, and what the next
//! connection resumes.

use mycelium_core::frame::{Fragment, write_fragment};
use mycelium_core::link::{
    Config, Confirms, ExportId, FragmentError, IncomingId, LinkError, OutgoingId, RejectReason,
    RunShape, SendError, UnsubscribeProgress,
};
use mycelium_core::{Digest, Envelope, Message, write_frame};
use zerocopy::IntoBytes;

use crate::pair::conversation::{
    LEFT, MS, RIGHT, blob, control, fragment, name, reading, send, send_rest, sequences, subscribe,
    whole,
};
use crate::pair::{Pair, Received, config};
use crate::schema::Swap;

const TOKEN: [u8; 16] = *b"a token of bytes";
const SHAPE: RunShape = RunShape { stride: 56, skip: 8, length: 40 };

/// A pair of which these sides support shared memory, with a stream of the left side from message
/// 100 on.
fn pair(memory: [bool; 2], window: u32) -> (Pair, OutgoingId, IncomingId) {
    let [left, right] = memory;
    let left = Config { memory: left, ..config("left") };
    with(left, Config { memory: right, ..config("right") }, window)
}

fn with(left: Config, right: Config, window: u32) -> (Pair, OutgoingId, IncomingId) {
    let mut pair = Pair::with(left, right, 4096);
    pair.message = |_| Swap::golden().as_bytes().to_vec();
    let (outgoing, incoming) = reading(&mut pair, window);
    (pair, outgoing, incoming)
}

/// As [`pair`], after three messages; the stream has moved to region 7 at message 103.
fn moved() -> (Pair, OutgoingId, IncomingId) {
    let (mut pair, outgoing, incoming) = pair([true; 2], 8);
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

fn reopen(pair: &mut Pair, export: ExportId, first: u64) -> OutgoingId {
    let link = &mut pair.sides[LEFT].link;
    let stream = link.open_stream(pair.now, export, name("feed"), 77, first, 64).unwrap();
    pair.settle();
    stream
}

fn memory_frame() -> Vec<u8> {
    control(0, 0, &[&[21, 0, 0, 0, 0, 0, 0, 0], &TOKEN[..]].concat())
}

fn region_frame(stream: u32, sequence: u64) -> Vec<u8> {
    control(stream, sequence, &[0x16, 0x80, 0, 0, 7, 0, 0, 0])
}

fn end_frame(sequence: u64) -> Vec<u8> {
    control(1, sequence, &[11, 0, 0, 0, 0, 0, 0, 0])
}

/// A message of stream 1, or a fragment of one.
fn message_frame(sequence: u64, fragment: Option<Fragment>) -> Vec<u8> {
    let envelope = Envelope { type_id: Swap::ID, stream: 1, sequence, ..Envelope::default() };
    let (mut frame, swap) = (vec![0; 256], Swap::golden());
    let written = match fragment {
        None => write_frame(&mut frame, &envelope, 40, swap.as_bytes()),
        Some(fragment) => write_fragment(&mut frame, &envelope, fragment, &swap.as_bytes()[..24]),
    };
    frame.truncate(written.unwrap());
    frame
}

#[test]
fn only_the_end_follows_a_move() {
    let (mut pair, outgoing, incoming) = moved();
    let (message, link) = (blob(100), &mut pair.sides[LEFT].link);
    let (envelope, part) = (Envelope::default(), fragment(&message, 0));
    let refused = Some(SendError::Moved);
    assert_eq!(link.send(pair.now, outgoing, &envelope, 40, &message).err(), refused);
    assert_eq!(link.send_run(pair.now, outgoing, SHAPE, 2).err(), refused);
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
fn a_stream_moves_without_credit_and_behind_its_messages() {
    let (mut pair, outgoing, incoming) = pair([true; 2], 4);
    assert_eq!(pair.sides[LEFT].link.send_run(pair.now, outgoing, SHAPE, 4), Ok(4));
    assert_eq!(send(&mut pair, outgoing, 1), Err(SendError::Credit));
    assert_eq!(move_stream(&mut pair, outgoing), Err(SendError::Run), "its bytes are not written");
    pair.settle();
    assert_eq!(move_stream(&mut pair, outgoing), Ok(104));
    assert_eq!(send(&mut pair, outgoing, 1), Err(SendError::Moved), "no credit helps");
    pair.sides[LEFT].link.end_moved_stream(pair.now, outgoing, 104).unwrap();
    let news = pair.settled(RIGHT);
    assert_eq!(sequences(&news), [100, 101, 102, 103]);
    let region = Received::Region { stream: incoming, number: 7, first: 104 };
    assert_eq!(news[4..], [region, Received::End { stream: incoming, next: 104 }]);
    assert_eq!(pair.failed(), [None; 2]);
}

#[test]
fn an_open_message_is_completed_first() {
    let left = Config { memory: true, fragment: 64, ..config("left") };
    let right = Config { memory: true, ..config("right") };
    let (mut pair, outgoing, incoming) = with(left, right, 8);
    let (message, mut sent) = (blob(150), 0);
    assert!(send_rest(&mut pair, outgoing, &message, &mut sent).is_err() && sent == 64);
    assert_eq!(move_stream(&mut pair, outgoing), Err(SendError::Open));
    while send_rest(&mut pair, outgoing, &message, &mut sent).is_err() {
        pair.settle();
    }
    assert_eq!(move_stream(&mut pair, outgoing), Ok(101));
    let news = pair.settled(RIGHT);
    assert_eq!(whole(&news, incoming), [message]);
    assert_eq!(pair.failed(), [None; 2]);
}

#[test]
fn both_sides_must_support_it() {
    for memory in [[false, false], [false, true], [true, false], [true, true]] {
        let both = memory == [true; 2];
        let (mut pair, outgoing, _) = pair(memory, 8);
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
        let offers = |received: &Received| *received == Received::Memory(TOKEN);
        for side in &mut pair.sides {
            assert_eq!(
                side.take_events().iter().filter(|news| offers(news)).count(),
                usize::from(both)
            );
        }
        assert_eq!(pair.failed(), [None; 2]);

        pair.cut();
        let link = &mut pair.sides[LEFT].link;
        assert!(!link.peer_accepts_memory(), "without a connection");
        assert_eq!(link.offer_memory(pair.now, TOKEN), Err(SendError::Down));
        assert_eq!(link.move_stream(pair.now, outgoing, 7), Err(SendError::Down));
        pair.connect();
        pair.settle();
        assert_eq!(
            pair.sides[LEFT].link.offer_memory(pair.now, TOKEN),
            expected,
            "once a connection"
        );
        assert_eq!(pair.settled(RIGHT).iter().any(offers), both);
    }
}

#[test]
fn a_stream_that_has_not_moved_ends_as_before() {
    let (mut pair, outgoing, _) = pair([true; 2], 8);
    let link = &mut pair.sides[LEFT].link;
    assert_eq!(link.end_moved_stream(pair.now, outgoing, 200), Err(SendError::NotMoved));
    assert_eq!(link.end_stream(pair.now, outgoing), Ok(()));
}

#[test]
fn a_stream_without_another_message_does_not_move() {
    let (mut pair, outgoing, _) = pair([true; 2], 8);
    pair.sides[LEFT].link.skip(pair.now, outgoing, u64::MAX - 101, 1).unwrap();
    send(&mut pair, outgoing, 1).unwrap();
    assert_eq!(move_stream(&mut pair, outgoing), Err(SendError::Exhausted));
    pair.settle();
    pair.feed(RIGHT, &region_frame(1, u64::MAX));
    let (expected, found) = (u64::MAX - 1, u64::MAX);
    let error = LinkError::Sequence { stream: 1, expected, found };
    assert_eq!(pair.sides[RIGHT].failed, Some(error));
}

/// No stream resumes behind the last sequence: a writer would refuse that, on each connection.
#[test]
fn a_stream_that_has_had_the_last_sequence_is_forgotten_with_its_connection() {
    let (mut pair, outgoing, incoming) = pair([true; 2], 8);
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

#[test]
fn invalid_frames_about_memory_end_the_link() {
    let sequence = |expected, found| LinkError::Sequence { stream: 1, expected, found };
    let open = LinkError::Fragment { stream: 1, error: FragmentError::Open };
    let first = Fragment { offset: 0, total: 40, fixed_len: 40 };
    let gap = control(1, 105, &[&[10, 0, 1, 0, 0, 0, 0, 0], &5_u64.to_le_bytes()[..]].concat());
    let words = [2_u32, 56, 40].map(u32::to_le_bytes).concat();
    let run = control(1, 100, &[&[19, 0, 8, 0], &words[..]].concat());
    let moved = LinkError::Moved { stream: 1 };
    let region = || region_frame(1, 100);
    for (frames, expected) in [
        (vec![memory_frame(), region(), end_frame(100)], None),
        (vec![region(), memory_frame(), end_frame(5000)], None),
        (vec![region(), end_frame(u64::MAX)], None),
        (vec![memory_frame(), memory_frame()], Some(LinkError::SecondMemory)),
        (vec![region(), message_frame(100, None)], Some(moved)),
        (vec![region(), message_frame(101, None)], Some(moved)),
        (vec![region(), message_frame(100, Some(first))], Some(moved)),
        (vec![region(), run], Some(moved)),
        (vec![region(), gap], Some(moved)),
        (vec![region(), region()], Some(moved)),
        (vec![region(), region_frame(1, 101)], Some(moved)),
        (vec![region(), end_frame(99)], Some(sequence(100, 99))),
        (vec![region(), end_frame(0)], Some(sequence(100, 0))),
        (vec![end_frame(101)], Some(sequence(100, 101))),
        (vec![region_frame(1, 99)], Some(sequence(100, 99))),
        (vec![region_frame(1, 101)], Some(sequence(100, 101))),
        (vec![region_frame(2, 100)], Some(LinkError::Stream { number: 2 })),
        (vec![end_frame(100), region()], Some(LinkError::Stream { number: 1 })),
        (vec![region(), end_frame(200), region()], Some(LinkError::Stream { number: 1 })),
        (vec![region(), end_frame(200), end_frame(200)], Some(LinkError::Stream { number: 1 })),
        (vec![message_frame(100, Some(first)), region()], Some(open)),
    ] {
        let (mut pair, ..) = pair([true; 2], 8);
        assert_eq!(pair.feed(RIGHT, &frames.concat()), expected, "{frames:02x?}");
    }
}

#[test]
fn frames_about_memory_need_the_feature() {
    for memory in [[false, false], [false, true], [true, false]] {
        for frame in [memory_frame(), region_frame(1, 100)] {
            let (mut pair, ..) = pair(memory, 8);
            assert_eq!(pair.feed(RIGHT, &frame), Some(LinkError::NoMemory), "{memory:?}");
        }
    }
}

#[test]
fn confirmations_end_where_the_stream_moved() {
    let left = Config { memory: true, ..config("left") };
    let right = Config { memory: true, confirms: Confirms::ByCaller, ..config("right") };
    let (mut pair, outgoing, incoming) = with(left, right, 8);
    send(&mut pair, outgoing, 3).unwrap();
    move_stream(&mut pair, outgoing).unwrap();
    pair.settle();
    let confirm = |pair: &mut Pair, before| {
        pair.sides[RIGHT].link.confirm(pair.now, incoming, before).unwrap();
        pair.pass(10 * MS);
        pair.sides[LEFT].link.unconfirmed(outgoing)
    };
    assert_eq!(confirm(&mut pair, 101), 2);
    pair.sides[LEFT].link.end_moved_stream(pair.now, outgoing, 5000).unwrap();
    assert_eq!(confirm(&mut pair, 102), 1);
    assert_eq!(confirm(&mut pair, 4000), 0, "those in memory do not count");
    let confirmed = Received::Window { stream: outgoing, confirmed: 103 };
    assert_eq!(pair.sides[LEFT].take_events().last(), Some(&confirmed));
    assert_eq!(pair.failed(), [None; 2]);

    let (mut pair, ..) = moved();
    let window = [&[12, 0, 0, 0, 0, 0, 0, 0], &8_u64.to_le_bytes()[..]].concat();
    assert_eq!(pair.feed(LEFT, &control(1, 104, &window)), Some(LinkError::Window { stream: 1 }));
}

#[test]
fn a_moved_stream_resumes_where_it_moved_and_moves_again() {
    let (mut pair, _, incoming) = moved();
    for _ in 0..3 {
        let (export, next) = reconnect(&mut pair);
        assert_eq!(next, 103);
        let outgoing = reopen(&mut pair, export, 103);
        _ = pair.sides[RIGHT].link.confirm(pair.now, incoming, 2000);
        assert_eq!(move_stream(&mut pair, outgoing), Ok(103));
        let news = pair.settled(RIGHT);
        let [.., stream, region] = &news[..] else { panic!("{news:?}") };
        let again = Received::Stream { stream: incoming, epoch: 77, first: 103, resumed: Some(0) };
        assert_eq!(*stream, again);
        assert_eq!(*region, Received::Region { stream: incoming, number: 7, first: 103 });
        assert_eq!(pair.sides[LEFT].link.unconfirmed(outgoing), 0);
    }
    // A connection that is lost before the region does not change that.
    let (export, _) = reconnect(&mut pair);
    reopen(&mut pair, export, 103);
    let (export, next) = reconnect(&mut pair);
    assert_eq!(next, 103);
    let outgoing = reopen(&mut pair, export, 103);
    move_stream(&mut pair, outgoing).unwrap();
    pair.sides[LEFT].link.end_moved_stream(pair.now, outgoing, 300).unwrap();
    pair.settle();
    let end = Received::End { stream: incoming, next: 300 };
    assert_eq!(pair.sides[RIGHT].take_events().last(), Some(&end));
    assert_eq!(pair.failed(), [None; 2]);
}

#[test]
fn a_moved_stream_needs_its_region_again() {
    let moved_error = LinkError::Moved { stream: 2 };
    let actions: [fn(&mut Pair, OutgoingId); 4] = [
        |pair, stream| send(pair, stream, 1).unwrap(),
        |pair, stream| {
            pair.sides[LEFT].link.send_run(pair.now, stream, SHAPE, 1).unwrap();
        },
        |pair, stream| pair.sides[LEFT].link.skip(pair.now, stream, 5, 1).unwrap(),
        |pair, stream| pair.sides[LEFT].link.end_stream(pair.now, stream).unwrap(),
    ];
    for action in actions {
        let (mut pair, ..) = moved();
        let (export, _) = reconnect(&mut pair);
        let outgoing = reopen(&mut pair, export, 103);
        action(&mut pair, outgoing);
        pair.deliver();
        assert_eq!(pair.sides[RIGHT].failed, Some(moved_error));
    }
    // It begins at its region, even if all messages up to a later one are done in memory.
    let (mut pair, ..) = moved();
    let (export, _) = reconnect(&mut pair);
    reopen(&mut pair, export, 110);
    let error = LinkError::Sequence { stream: 2, expected: 103, found: 110 };
    assert_eq!(pair.sides[RIGHT].failed, Some(error));
}

#[test]
fn a_stream_whose_region_was_lost_resumes_with_messages() {
    let (mut pair, outgoing, incoming) = pair([true; 2], 8);
    send(&mut pair, outgoing, 3).unwrap();
    pair.deliver();
    assert_eq!(move_stream(&mut pair, outgoing), Ok(103));
    let (export, next) = reconnect(&mut pair);
    assert_eq!(next, 103);
    let outgoing = reopen(&mut pair, export, 103);
    send(&mut pair, outgoing, 2).unwrap();
    assert_eq!(move_stream(&mut pair, outgoing), Ok(105));
    let news = pair.settled(RIGHT);
    assert_eq!(sequences(&news), [103, 104]);
    let region = Received::Region { stream: incoming, number: 7, first: 105 };
    assert_eq!(news.last(), Some(&region));
    assert_eq!(pair.failed(), [None; 2]);
}

#[test]
fn a_stream_whose_memory_was_left_resumes_after_what_was_read_there() {
    for ended in [false, true] {
        let (mut pair, outgoing, incoming) = moved();
        let now = pair.now;
        pair.sides[LEFT].link.end_moved_stream(now, outgoing, 110).unwrap();
        pair.settle();
        pair.sides[RIGHT].link.leave_memory(incoming, 110, ended).unwrap();
        let (export, next) = reconnect(&mut pair);
        assert_eq!(next, 110);
        let outgoing = reopen(&mut pair, export, 110);
        if !ended {
            send(&mut pair, outgoing, 2).unwrap();
        }
        let now = pair.now;
        pair.sides[LEFT].link.end_stream(now, outgoing).unwrap();
        pair.settle();
        let news = pair.sides[RIGHT].take_events();
        let expected: &[u64] = if ended { &[] } else { &[110, 111] };
        assert_eq!(sequences(&news), expected);
        let is_end = |it: &Received| matches!(it, Received::End { .. });
        assert_eq!(news.iter().any(is_end), !ended, "the caller had it: {news:?}");
        assert_eq!(pair.sides[LEFT].link.unconfirmed(outgoing), 0);
        assert_eq!(pair.failed(), [None; 2]);
    }
}

#[test]
fn an_end_in_memory_that_is_not_confirmed_is_repeated() {
    let (mut pair, outgoing, _) = moved();
    pair.sides[LEFT].link.end_moved_stream(pair.now, outgoing, 300).unwrap();
    pair.write(LEFT, usize::MAX);
    pair.sides[RIGHT].read(pair.now, usize::MAX);
    let (export, next) = reconnect(&mut pair);
    assert_eq!(next, 103);
    let outgoing = reopen(&mut pair, export, 103);
    assert_eq!(move_stream(&mut pair, outgoing), Ok(103));
    pair.settle();
    pair.sides[LEFT].link.end_moved_stream(pair.now, outgoing, 300).unwrap();
    let news = pair.settled(RIGHT);
    assert!(!news.iter().any(is_about_stream), "the caller had the end: {news:?}");
    assert_eq!(pair.sides[LEFT].link.sequence(outgoing), Err(SendError::Gone), "it is confirmed");
    assert_eq!(pair.failed(), [None; 2]);

    // Without its region, it is a stream without another message.
    let (export, next) = reconnect(&mut pair);
    assert_eq!(next, 103);
    reopen(&mut pair, export, 103);
    pair.settle();
    pair.feed(RIGHT, &control(3, 300, &[11, 0, 0, 0, 0, 0, 0, 0]));
    let error = LinkError::Sequence { stream: 3, expected: 103, found: 300 };
    assert_eq!(pair.sides[RIGHT].failed, Some(error));
}

fn is_about_stream(received: &Received) -> bool {
    matches!(
        received,
        Received::Stream { .. }
            | Received::Region { .. }
            | Received::End { .. }
            | Received::Gone(_)
    )
}

#[test]
fn a_moved_stream_that_is_gone_is_reported_once() {
    let (mut pair, _, incoming) = moved();
    let (export, _) = reconnect(&mut pair);
    pair.sides[LEFT].link.refuse_resume(pair.now, export, 77).unwrap();
    assert_eq!(pair.settled(RIGHT).last(), Some(&Received::Gone(incoming)));
    // The same start of the publisher may follow, as one that the reader does not know.
    reopen(&mut pair, export, 150);
    let news = pair.sides[RIGHT].take_events();
    let fresh = |received: &Received| {
        matches!(received, Received::Stream { epoch: 77, first: 150, resumed: None, .. })
    };
    assert!(news.iter().any(fresh), "{news:?}");
    assert_eq!(pair.failed(), [None; 2]);
}

#[test]
fn moves_of_an_unsubscribed_topic_are_silent() {
    for moved_before in [false, true] {
        let with_memory = |name| Config { memory: true, ..config(name) };
        let mut pair = Pair::with(with_memory("left"), with_memory("right"), 4096);
        let (interest, export) = subscribe(&mut pair, 8);
        let outgoing = reopen(&mut pair, export, 100);
        if moved_before {
            move_stream(&mut pair, outgoing).unwrap();
            pair.settle();
        }
        pair.sides[RIGHT].take_events();
        let pending = Ok(UnsubscribeProgress::Pending);
        assert_eq!(pair.sides[RIGHT].link.unsubscribe(interest), pending);
        if !moved_before {
            move_stream(&mut pair, outgoing).unwrap();
        }
        pair.sides[LEFT].link.end_moved_stream(pair.now, outgoing, 400).unwrap();
        pair.settle();
        let unsubscribed = Received::Unsubscribed { interest, discarded: 0 };
        assert_eq!(pair.sides[RIGHT].take_events(), [unsubscribed]);
        assert_eq!(move_stream(&mut pair, outgoing), Err(SendError::Gone));
        assert_eq!(pair.failed(), [None; 2]);
    }
}

#[test]
fn a_reject_ends_a_moved_stream() {
    let (mut pair, ..) = moved();
    let (export, _) = reconnect(&mut pair);
    let outgoing = reopen(&mut pair, export, 103);
    move_stream(&mut pair, outgoing).unwrap();
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Forbidden, Digest([0; 16])).unwrap();
    assert_eq!(link.sequence(outgoing), Err(SendError::Gone));
    let news = pair.settled(RIGHT);
    assert!(matches!(news.last(), Some(Received::Rejected(..))), "{news:?}");
    pair.reconnect();
    let news = pair.sides[LEFT].take_events();
    assert!(!news.iter().any(|received| matches!(received, Received::Resume { .. })), "{news:?}");
    // A new stream of the topic does not know of the move.
    let found = news.iter().find_map(|received| match received {
        Received::Subscribe { export, .. } => Some(*export),
        _ => None,
    });
    let outgoing = reopen(&mut pair, found.expect("the topic is subscribed again"), 103);
    send(&mut pair, outgoing, 1).unwrap();
    pair.deliver();
    assert_eq!(sequences(&pair.sides[RIGHT].take_events()), [103]);
    assert_eq!(pair.failed(), [None; 2]);
}
