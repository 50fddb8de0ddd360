//! Runs: messages whose bytes the link does not copy, and invalid headers of runs.

use mycelium_core::Limits;
use mycelium_core::link::{
    CloseReason, Config, IncomingId, LinkError, OutgoingId, RunError, RunShape, SendError,
    UnsubscribeProgress,
};

use crate::pair::conversation::{
    LEFT, MS, RIGHT, control, name, reading, resubscribe, send, sequences, subscribe, subscribed,
};
use crate::pair::{Pair, Received, config, count};

/// The items of a ring: a stamp of 8 bytes, the message, and one more word.
const ITEMS: RunShape = RunShape { stride: 56, skip: 8, length: 40 };
const RUN: u16 = 19;

fn message(sequence: u64) -> Vec<u8> {
    sequence.to_le_bytes().repeat(5)
}

fn pair(window: u32) -> (Pair, OutgoingId, IncomingId) {
    let mut pair = Pair::new();
    pair.message = message;
    let (outgoing, incoming) = reading(&mut pair, window);
    (pair, outgoing, incoming)
}

fn send_run(pair: &mut Pair, stream: OutgoingId, count: usize) -> Result<usize, SendError> {
    pair.sides[LEFT].link.send_run(pair.now, stream, ITEMS, count)
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
fn a_run_is_one_header_and_the_items() {
    let (mut pair, outgoing, incoming) = pair(64);
    let before = pair.written[LEFT].len();
    assert_eq!(send_run(&mut pair, outgoing, 20), Ok(20));
    pair.settle();
    assert_eq!(pair.written[LEFT].len() - before, 40 + 20 * 56);
    assert_eq!(messages_of(&mut pair), (100..120).collect::<Vec<_>>());
    assert_eq!(pair.sides[RIGHT].runs, 1);
    pair.sides[RIGHT].link.grant(incoming, 20).unwrap();
    pair.pass(20 * MS);
    assert_eq!(pair.sides[LEFT].link.unconfirmed(outgoing), 0);
}

#[test]
fn a_run_arrives_in_pieces_of_any_length() {
    for piece in [1, 7, 8, 39, 40, 41, 56, 57, 100, 1000] {
        let (mut pair, outgoing, _) = pair(64);
        assert_eq!(send_run(&mut pair, outgoing, 9), Ok(9));
        // After the run, while it is being written.
        pair.sides[LEFT].link.skip(pair.now, outgoing, 3, 1).unwrap();
        let mut received_in_all = Vec::new();
        while pair.write(LEFT, piece) {
            pair.sides[RIGHT].read(pair.now, piece);
            received_in_all.extend(messages_of(&mut pair));
        }
        assert_eq!(received_in_all, (100..109).collect::<Vec<_>>(), "in pieces of {piece}");
    }
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
        assert_eq!(
            pair.sides[LEFT].link.send_run(pair.now, outgoing, shape, 4),
            Ok(0),
            "{shape:?}"
        );
    }
    send(&mut pair, outgoing, 1).unwrap();
}

#[test]
fn a_peer_without_the_feature_gets_no_runs() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 64);
    // As if the peer had named its features without runs.
    let mut features = crate::pair::offered("features");
    *features.last_chunk_mut::<4>().unwrap() = 1_u32.to_le_bytes();
    pair.feed(LEFT, &features);
    assert!(!pair.sides[LEFT].link.peer_accepts_runs());
    assert_eq!(send_run(&mut pair, outgoing, 20), Ok(0));
}

#[test]
fn unsent_messages_cannot_be_confirmed() {
    let (mut pair, outgoing, _) = pair(64);
    assert_eq!(send_run(&mut pair, outgoing, 8), Ok(8));
    // The header, two messages, and half of a third.
    pair.write(LEFT, 40 + 2 * 56 + 30);
    let window = |confirmed: u64| {
        let mut payload = 12_u16.to_le_bytes().to_vec();
        payload.extend([0; 6]);
        payload.extend(64_u64.to_le_bytes());
        control(1, confirmed, &payload)
    };
    assert_eq!(pair.feed(LEFT, &window(102)), None);
    assert_eq!(pair.sides[LEFT].link.unconfirmed(outgoing), 6);
    assert_eq!(pair.feed(LEFT, &window(103)), Some(LinkError::Window { stream: 1 }));
}

#[test]
fn a_cut_run_resumes_after_its_last_whole_message() {
    let (mut pair, outgoing, _) = pair(64);
    assert_eq!(send_run(&mut pair, outgoing, 8), Ok(8));
    pair.write(LEFT, 40 + 2 * 56 + 30);
    pair.sides[RIGHT].read(pair.now, usize::MAX);
    assert_eq!(messages_of(&mut pair), [100, 101]);
    pair.cut();
    resubscribe(&mut pair);
    let export = subscribed(&mut pair);
    let resumes = pair.settled(LEFT);
    assert!(matches!(resumes[..], [Received::Resume { epoch: 77, next: 102, .. }]), "{resumes:?}");
    let link = &mut pair.sides[LEFT].link;
    let outgoing = link.open_stream(pair.now, export, name("feed"), 77, 102, 1024).unwrap();
    pair.settle();
    assert_eq!(send_run(&mut pair, outgoing, 6), Ok(6));
    pair.settle();
    assert_eq!(messages_of(&mut pair), (102..108).collect::<Vec<_>>());
}

#[test]
fn a_run_of_an_unsubscribed_topic_needs_no_bytes() {
    let mut pair = Pair::new();
    pair.message = message;
    let (interest, export) = subscribe(&mut pair, 64);
    let link = &mut pair.sides[LEFT].link;
    let outgoing = link.open_stream(pair.now, export, name("feed"), 77, 100, 1024).unwrap();
    pair.settle();
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
    assert!(
        news.iter()
            .any(|received| matches!(received, Received::Unsubscribed { discarded: 28, .. })),
        "{news:?}"
    );
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

/// The header of a run of stream 1.
fn header(sequence: u64, skip: u16, count: u32, stride: u32, length: u32) -> Vec<u8> {
    let mut payload = RUN.to_le_bytes().to_vec();
    payload.extend(skip.to_le_bytes());
    [count, stride, length].iter().for_each(|word| payload.extend(word.to_le_bytes()));
    control(1, sequence, &payload)
}

#[test]
fn invalid_runs_end_the_link() {
    let run = |error| Some(LinkError::Run { stream: 1, error });
    let items = |stride, length| run(RunError::Shape { stride, length });
    let length = |found| run(RunError::Length { found, limit: 256 << 10 });
    for (header, expected) in [
        (header(100, 8, 8, 48, 40), None),
        (header(100, 8, 0, 48, 40), length(0)),
        (header(100, 8, 4, 0, 40), items(0, 40)),
        (header(100, 8, 4, 52, 40), items(52, 40)),
        (header(100, 4, 4, 56, 40), items(56, 40)),
        (header(100, 16, 4, 48, 40), items(48, 40)),
        (header(100, 8, 4, 48, 0), items(48, 0)),
        (header(100, 8, 4, 48, u32::MAX), items(48, u32::MAX)),
        (header(100, 8, 4, 1 << 17, 1 << 16), items(1 << 17, 1 << 16)),
        (header(100, 65_528, 4, 65_536, 9), items(65_536, 9)),
        (header(100, 8, u32::MAX, 48, 40), length(u64::from(u32::MAX) * 48)),
        (
            header(100, 8, u32::MAX, u32::MAX - 7, 40),
            length(u64::from(u32::MAX) * (u64::from(u32::MAX) - 7)),
        ),
        (header(100, 8, 5462, 48, 40), length(5462 * 48)),
        (header(100, 8, 9, 48, 40), Some(LinkError::Credit { stream: 1 })),
        (
            header(101, 8, 4, 48, 40),
            Some(LinkError::Sequence { stream: 1, expected: 100, found: 101 }),
        ),
    ] {
        let (mut pair, _, _) = pair(8);
        assert_eq!(pair.feed(RIGHT, &header), expected);
        assert!(messages_of(&mut pair).is_empty());
    }
}

#[test]
fn a_run_of_no_stream_or_of_frames_that_are_too_long_ends_the_link() {
    let mut pair = Pair::new();
    pair.settle();
    assert_eq!(pair.feed(RIGHT, &header(100, 8, 4, 48, 40)), Some(LinkError::Stream { number: 1 }));

    let limits = Limits { max_frame: 1024 };
    let right = Config { limits, ..config("right") };
    let mut pair = Pair::with(config("left"), right, 4096);
    reading(&mut pair, 8);
    pair.feed(RIGHT, &header(100, 8, 1, 1016, 1008));
    let error = RunError::Length { found: 1016, limit: 256 << 10 };
    assert_eq!(pair.sides[RIGHT].failed, Some(LinkError::Run { stream: 1, error }));
}

#[test]
fn bytes_of_a_run_are_not_parsed_as_frames() {
    let (mut pair, _, _) = pair(8);
    // The second message looks like a close frame.
    let mut close = 2_u16.to_le_bytes().to_vec();
    close.resize(72, 0);
    let close = control(0, 0, &close);
    let mut received = header(100, 8, 2, 104, 96);
    received.extend([0; 104]);
    received.extend([0; 8]);
    received.extend(&close);
    assert_eq!(close.len(), 96);
    pair.feed(RIGHT, &received);
    assert_eq!(sequences(&pair.sides[RIGHT].take_events()), [100, 101]);
    assert_eq!(pair.sides[RIGHT].failed, None);
    // Frames follow the run.
    pair.feed(RIGHT, &control(0, 0, &[7; 1]));
    assert!(pair.sides[RIGHT].failed.is_some());
}

#[test]
fn a_run_in_pieces_keeps_the_link_alive() {
    let (mut pair, outgoing, _) = pair(64);
    assert_eq!(send_run(&mut pair, outgoing, 2), Ok(2));
    for _ in 0..40 {
        pair.write(LEFT, 1);
        pair.now += 2000 * MS;
        pair.sides[RIGHT].read(pair.now, usize::MAX);
        assert_eq!(pair.sides[RIGHT].link.handle_timeout(pair.now), Ok(()));
    }
}

#[test]
fn a_second_run_beyond_the_credit_ends_the_link() {
    let (mut pair, _, _) = pair(8);
    pair.feed(RIGHT, &header(100, 8, 5, 48, 40));
    pair.feed(RIGHT, &[0; 5 * 48]);
    assert_eq!(sequences(&pair.sides[RIGHT].take_events()), (100..105).collect::<Vec<_>>());
    assert_eq!(pair.feed(RIGHT, &header(105, 8, 4, 48, 40)), Some(LinkError::Credit { stream: 1 }));
}
