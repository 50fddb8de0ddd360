//! Links where things cross, run full or are meant badly: nobody who keeps the rules loses its link, and nothing waits for
//! what never comes.
// The link has no `unsafe`: Miri would see nothing that the tests of `link` do not show it.
#![cfg(all(target_endian = "little", not(miri)))]

mod pair;
mod schema;

use std::time::Duration;

use mycelium_core::link::{
    Batching, CloseReason, Config, ConfigError, ExportId, Interest, LinkError, RejectReason,
    SendError, UnsubscribeProgress,
};
use mycelium_core::{Digest, Envelope, FrameError, FrameView, Limits, write_frame};
use pair::conversation::{
    LEFT, MS, RIGHT, control, last_subscribed, name, reading, resubscribe, send, sequences,
    subscribed, swaps,
};
use pair::{Pair, Received, STREAMS, TestLink, config};
use zerocopy::IntoBytes;

/// The payload of one of the link's own frames.
fn payload(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
    let mut payload = kind.to_le_bytes().to_vec();
    parts.iter().for_each(|part| payload.extend(*part));
    payload
}

fn failed(pair: &Pair) -> [Option<LinkError>; 2] {
    pair.sides.each_ref().map(|side| side.failed)
}

fn others(window: u32) -> Interest {
    Interest { topic: name("others"), ..swaps(window) }
}

fn resumes(received: &[Received]) -> Vec<(u64, u64)> {
    let resume = |received: &Received| match received {
        Received::Resume { epoch, next, .. } => Some((*epoch, *next)),
        _ => None,
    };
    received.iter().filter_map(resume).collect()
}

#[test]
fn a_stream_is_not_begun_for_who_has_left_or_was_refused() {
    let mut pair = Pair::new();
    let interest = pair.sides[RIGHT].link.subscribe(swaps(8)).unwrap();
    pair.settle();
    let export = subscribed(&mut pair);
    assert_eq!(pair.sides[RIGHT].link.unsubscribe(interest), Ok(UnsubscribeProgress::Pending));
    pair.write(RIGHT, usize::MAX);
    let now = pair.now;
    pair.sides[LEFT].read(now, usize::MAX);
    let link = &mut pair.sides[LEFT].link;
    assert_eq!(link.open_stream(now, export, name("feed"), 77, 0, 64), Err(SendError::Gone));
    assert_eq!(link.accept(export), Err(SendError::Gone));
    pair.settle();

    pair.sides[RIGHT].link.subscribe(swaps(8)).unwrap();
    pair.sides[LEFT].take_events();
    pair.settle();
    let export = subscribed(&mut pair);
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Forbidden, Digest([0; 16])).unwrap();
    assert_eq!(link.open_stream(now, export, name("feed"), 77, 0, 64), Err(SendError::Gone));
    pair.settle();
    assert_eq!(failed(&pair), [None, None]);
}

#[test]
fn room_that_is_taken_stays_taken_when_the_connection_is_lost() {
    let mut pair = Pair::new();
    let (mut outgoing, incoming) = reading(&mut pair, 8);
    let mut held = 0;
    for round in 0..4 {
        let _ = send(&mut pair, outgoing, 8);
        pair.sides[LEFT].link.flush();
        pair.settle();
        held += sequences(&pair.sides[RIGHT].take_events()).len();
        assert_eq!(held, 8 + round, "room for eight, and one is let go in each round");
        pair.sides[RIGHT].link.grant(incoming, 1).unwrap();
        pair.cut();
        pair.connect();
        pair.settle();
        let news = pair.sides[LEFT].take_events();
        let [(77, next)] = resumes(&news)[..] else { panic!("{news:?}") };
        let export = news.iter().find_map(|received| match received {
            Received::Subscribe { export, .. } => Some(*export),
            _ => None,
        });
        let now = pair.now;
        let link = &mut pair.sides[LEFT].link;
        outgoing = link.open_stream(now, export.unwrap(), name("feed"), 77, next, 64).unwrap();
        pair.settle();
    }
}

#[test]
fn streams_that_wait_to_go_on_keep_their_places() {
    let mut pair = Pair::new();
    pair.sides[RIGHT].link.subscribe(swaps(8)).unwrap();
    pair.settle();
    let export = subscribed(&mut pair);
    let now = pair.now;
    for epoch in 0..STREAMS as u64 {
        pair.sides[LEFT].link.open_stream(now, export, name("feed"), epoch, 0, 64).unwrap();
    }
    pair.settle();
    pair.cut();
    pair.connect();
    pair.settle();
    let export = subscribed(&mut pair);
    let link = &mut pair.sides[LEFT].link;
    let fresh = link.open_stream(now, export, name("feed"), 900, 0, 64);
    assert_eq!(fresh, Err(SendError::Streams { limit: STREAMS }), "the reader has no place for it");
    assert_eq!(link.refuse_resume(now, export, 901), Err(SendError::Gone), "nobody asked for that");
    link.refuse_resume(now, export, 2).unwrap();
    link.open_stream(now, export, name("feed"), 900, 0, 64).unwrap();
    pair.settle();
    assert_eq!(failed(&pair), [None, None]);
}

#[test]
fn what_an_ended_stream_sent_is_confirmed_yet() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 64);
    send(&mut pair, outgoing, 3).unwrap();
    let now = pair.now;
    let link = &mut pair.sides[LEFT].link;
    link.end_stream(now, outgoing).unwrap();
    assert_eq!(
        (link.unconfirmed(outgoing), link.end_stream(now, outgoing)),
        (3, Err(SendError::Gone))
    );
    pair.settle();
    assert_eq!(
        pair.sides[LEFT].take_events(),
        [Received::Window { stream: outgoing, confirmed: 103 }]
    );
    assert_eq!(pair.sides[LEFT].link.sequence(outgoing), Err(SendError::Gone));
}

#[test]
fn who_ends_the_link_confirms_what_came() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 64);
    send(&mut pair, outgoing, 3).unwrap();
    pair.sides[LEFT].link.flush();
    pair.settle();
    let now = pair.now;
    pair.sides[RIGHT].link.close(now, CloseReason::Shutdown);
    pair.settle();
    assert_eq!(
        pair.sides[LEFT].take_events(),
        [Received::Window { stream: outgoing, confirmed: 103 }]
    );
}

#[test]
fn a_sender_that_keeps_few_messages_does_not_wait_for_the_clock() {
    let mut pair = Pair::with(config("left"), config("right"), 1 << 16);
    pair.sides[RIGHT].link.subscribe(swaps(1024)).unwrap();
    pair.settle();
    let export = subscribed(&mut pair);
    let now = pair.now;
    let stream = pair.sides[LEFT].link.open_stream(now, export, name("feed"), 77, 0, 64).unwrap();
    for _ in 0..10 {
        send(&mut pair, stream, 64).unwrap();
        pair.sides[LEFT].link.flush();
        pair.settle();
        assert_eq!(pair.sides[LEFT].link.unconfirmed(stream), 0);
    }
}

#[test]
fn no_timer_is_left_behind_by_an_ended_link() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 64);
    send(&mut pair, outgoing, 1).unwrap();
    pair.sides[LEFT].link.flush();
    pair.settle();
    let now = pair.now;
    // The peer reads no more, so what is left to say stays in the buffer.
    pair.sides[RIGHT].link.close(now, CloseReason::Shutdown);
    assert_eq!(pair.sides[RIGHT].link.poll_timeout(), None);
}

#[test]
fn a_gap_of_nothing_is_none() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 8);
    let now = pair.now;
    pair.sides[LEFT].link.skip(now, outgoing, 0, 1).unwrap();
    assert_eq!(pair.sides[LEFT].link.skip(now, outgoing, u64::MAX, 1), Err(SendError::Exhausted));
    pair.settle();
    assert_eq!(failed(&pair), [None, None]);
}

#[test]
fn a_message_that_no_buffer_or_peer_takes_is_refused_for_good() {
    let mut pair = Pair::with(config("left"), config("right"), 1024);
    let (outgoing, _) = reading(&mut pair, 8);
    let (now, envelope) = (pair.now, Envelope::default());
    let refused = pair.sides[LEFT].link.send(now, outgoing, &envelope, 0, &[0; 900]);
    assert!(matches!(refused, Err(SendError::TooLong { length: 924, .. })), "{refused:?}");

    let limits = Limits { max_frame: 1001 };
    let mut pair = Pair::with(config("left"), Config { limits, ..config("right") }, 4096);
    let (outgoing, _) = reading(&mut pair, 8);
    let link = &mut pair.sides[LEFT].link;
    assert_eq!(link.send(now, outgoing, &envelope, 0, &[0; 1001 - 24]), Ok(()));
    let refused = link.send(now, outgoing, &envelope, 0, &[0; 1002 - 24]);
    assert_eq!(refused, Err(SendError::TooLong { length: 1002, limit: 1001 }));
    let refused = link.send(now, outgoing, &envelope, 3, &[0; 2]);
    assert_eq!(refused, Err(SendError::Fixed { fixed: 3, payload: 2 }));
}

#[test]
fn a_peer_in_the_middle_of_a_long_frame_is_not_silent() {
    let mut pair = Pair::new();
    reading(&mut pair, 8);
    let mut frame = vec![0; 4000];
    let envelope = Envelope { type_id: 1, stream: 1, sequence: 100, ..Envelope::default() };
    let length = write_frame(&mut frame, &envelope, 0, &[0; 2000]).unwrap();
    for piece in frame[..length].chunks(64) {
        pair.now += Duration::from_secs(1);
        let now = pair.now;
        pair.sides[RIGHT].feed(now, piece);
        assert_eq!(pair.sides[RIGHT].link.handle_timeout(now), Ok(()));
    }
}

#[test]
fn a_batch_that_waits_goes_before_the_peer_gives_up() {
    let batching = Batching { bytes: 1000, messages: 100, delay: Duration::MAX };
    let mut pair = Pair::with(Config { batching, ..config("left") }, config("right"), 4096);
    let (outgoing, _) = reading(&mut pair, 8);
    send(&mut pair, outgoing, 1).unwrap();
    pair.pass(Duration::from_secs(60));
    assert_eq!(failed(&pair), [None, None]);
}

#[test]
fn the_last_word_has_its_place_in_a_full_buffer() {
    let mut pair = Pair::with(config("left"), config("right"), 2048);
    let (outgoing, _) = reading(&mut pair, 1000);
    send(&mut pair, outgoing, 1000).unwrap_err();
    let now = pair.now;
    while pair.sides[LEFT].link.skip(now, outgoing, 1, 1).is_ok() {}
    pair.sides[LEFT].link.close(now, CloseReason::Shutdown);
    pair.settle();
    assert_eq!(pair.sides[RIGHT].failed, Some(LinkError::PeerClosed(CloseReason::Shutdown)));
}

#[test]
fn a_refused_topic_can_be_left_though_the_writers_buffer_is_full() {
    let mut pair = Pair::with(config("left"), config("right"), 2048);
    let (outgoing, _) = reading(&mut pair, 1000);
    let interest = pair.sides[RIGHT].link.subscribe(others(8)).unwrap();
    pair.settle();
    let export = last_subscribed(&mut pair, LEFT);
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Unknown, Digest([0; 16])).unwrap();
    pair.settle();
    send(&mut pair, outgoing, 1000).unwrap_err();
    let now = pair.now;
    while pair.sides[LEFT].link.skip(now, outgoing, 1, 1).is_ok() {}
    pair.sides[RIGHT].take_events();
    pair.sides[RIGHT].link.unsubscribe(interest).unwrap();
    pair.settle();
    assert_eq!(failed(&pair), [None, None]);
    assert!(
        pair.sides[RIGHT]
            .take_events()
            .contains(&Received::Unsubscribed { interest, discarded: 0 })
    );
}

#[test]
fn messages_wait_for_what_is_to_be_said_of_topics() {
    let mut pair = Pair::with(config("left"), config("right"), TestLink::MIN_BUFFER);
    let (outgoing, _) = reading(&mut pair, 1 << 30);
    // As many resumes as there can be: all of that has to find room at once.
    pair.sides[LEFT].link.subscribe(swaps(8)).unwrap();
    pair.settle();
    let export = last_subscribed(&mut pair, RIGHT);
    let now = pair.now;
    for epoch in 0..STREAMS as u64 {
        let link = &mut pair.sides[RIGHT].link;
        link.open_stream(now, export, name("feed"), epoch, 0, 64).unwrap();
        pair.settle();
    }
    pair.cut();
    pair.connect();
    pair.sides[LEFT].take_events();
    pair.sides[RIGHT].take_events();
    let mut stream = Err(SendError::Gone);
    assert!(send(&mut pair, outgoing, 1).is_err());
    for _ in 0..100 {
        pair.write(LEFT, usize::MAX);
        pair.write(RIGHT, usize::MAX);
        pair.sides[LEFT].read(now, usize::MAX);
        pair.sides[RIGHT].read(now, usize::MAX);
        for received in pair.sides[LEFT].take_events() {
            if let Received::Resume { export, epoch, next } = received {
                stream =
                    pair.sides[LEFT].link.open_stream(now, export, name("feed"), epoch, next, 64);
            }
        }
        // As much as the buffer takes, before it is written.
        if let Ok(stream) = stream {
            while send(&mut pair, stream, 1).is_ok() {}
        }
    }
    let asked = pair.sides[RIGHT].take_events();
    assert_eq!(resumes(&asked).len(), STREAMS, "it was asked for, with all that it knows");
}

#[test]
fn topics_that_the_peer_does_not_serve_yet_wait() {
    let mut pair = Pair::new();
    pair.sides[LEFT].link.subscribe(swaps(8)).unwrap();
    let second = pair.sides[LEFT].link.subscribe(others(8)).unwrap();
    let now = pair.now;
    // A peer that serves one topic.
    let (frame, boot) = ((1u32 << 20).to_le_bytes(), 7u64.to_le_bytes());
    let (alive, topics, streams) = (5000u32.to_le_bytes(), 1u16.to_le_bytes(), 4u16.to_le_bytes());
    let mut hello = payload(1, &[&[1, 1], &frame, &boot, &alive, &topics, &streams]);
    hello.resize(96, 0);
    pair.sides[LEFT].feed(now, &control(0, 0, &hello));
    pair.write(LEFT, usize::MAX);
    assert_eq!(pair.sides[LEFT].failed, None);
    let subscribed = |pair: &Pair| pair::count(&pair.written[LEFT], 3);
    assert_eq!(subscribed(&pair), 1);
    // Nobody was told of the second, so it is gone at once.
    assert_eq!(pair.sides[LEFT].link.unsubscribe(second), Ok(UnsubscribeProgress::Done));
}

#[test]
fn resumes_of_a_topic_that_was_left_in_the_same_breath_are_nobodys() {
    let mut pair = Pair::new();
    pair.settle();
    pair.sides[LEFT].take_events();
    let now = pair.now;
    let number = 5u32.to_le_bytes();
    let (one, window) = (1u16.to_le_bytes(), 8u32.to_le_bytes());
    let mut subscribe = payload(3, &[&one, &number, &[0; 16], &[0, 0], &one, &window]);
    subscribe.resize(96, 0);
    let mut bytes = control(0, 0, &subscribe);
    bytes.extend(control(0, 0, &payload(5, &[&[0, 0], &number])));
    bytes.extend(control(0, 0, &payload(4, &[&[0, 0], &number, &[7; 8], &[9; 8]])));
    pair.sides[LEFT].feed(now, &bytes);
    let news = pair.sides[LEFT].take_events();
    assert!(matches!(news[..], [Received::Subscribe { .. }, Received::Unsubscribe(_)]), "{news:?}");
}

#[test]
fn the_last_sequence_of_all_is_nobodys() {
    let last = u64::MAX.to_le_bytes();
    let mut pair = Pair::new();
    reading(&mut pair, 8);
    let now = pair.now;
    let missed = (u64::MAX - 100).to_le_bytes();
    pair.sides[RIGHT].feed(now, &control(1, u64::MAX, &payload(10, &[&[0; 6], &missed])));
    let error = LinkError::Sequence { stream: 1, expected: 100, found: u64::MAX };
    assert_eq!(pair.sides[RIGHT].failed, Some(error));

    let mut pair = Pair::new();
    pair.sides[RIGHT].link.subscribe(swaps(8)).unwrap();
    pair.settle();
    let export = subscribed(&mut pair);
    let stream = pair.sides[LEFT].link.open_stream(now, export, name("feed"), 1, u64::MAX, 64);
    assert_eq!(stream, Err(SendError::Exhausted));
    let stream = pair.sides[LEFT].link.open_stream(now, export, name("feed"), 1, u64::MAX - 1, 64);
    send(&mut pair, stream.unwrap(), 1).unwrap();
    assert_eq!(send(&mut pair, stream.unwrap(), 1), Err(SendError::Exhausted));

    let mut pair = Pair::new();
    reading(&mut pair, 8);
    pair.cut();
    // Then a resume of the peer's own making.
    resubscribe(&mut pair);
    let now = pair.now;
    let number = 1u32.to_le_bytes();
    pair.sides[LEFT].feed(now, &control(0, 0, &payload(4, &[&[0, 0], &number, &[7; 8], &last])));
    let failed = pair.sides[LEFT].failed;
    assert!(matches!(failed, Some(LinkError::Sequence { found: u64::MAX, .. })), "{failed:?}");
}

#[test]
fn the_numbers_of_an_earlier_connection_are_nobodys() {
    let asks = payload(20, &[&[0; 6]]);
    let window = payload(12, &[&[0; 6], &8_u64.to_le_bytes()]);
    for (of_a_stream, again) in [(&asks, false), (&window, false), (&asks, true), (&window, true)] {
        let mut pair = Pair::new();
        let (outgoing, _) = reading(&mut pair, 8);
        if again {
            pair.cut();
            pair.connect();
        } else {
            // It has ended here, and who reads it may not have heard of that.
            let now = pair.now;
            pair.sides[LEFT].link.end_stream(now, outgoing).unwrap();
        }
        pair.settle();
        let now = pair.now;
        pair.sides[LEFT].feed(now, &control(1, 100, of_a_stream));
        let expected = again.then_some(LinkError::Stream { number: 1 });
        assert_eq!(pair.sides[LEFT].failed, expected, "{of_a_stream:?}");
    }
}

#[test]
fn features_come_before_all_that_depends_on_them() {
    let mut pair = Pair::new();
    reading(&mut pair, 8);
    pair.cut();
    let received = pair.written[LEFT].len();
    resubscribe(&mut pair);
    let now = pair.now;
    pair.sides[LEFT].read(now, usize::MAX);
    let export = subscribed(&mut pair);
    pair.sides[LEFT].link.refuse_resume(now, export, 77).unwrap();
    pair.write(LEFT, usize::MAX);
    let mut rest = &pair.written[LEFT][received..];
    let mut kinds = Vec::new();
    while let Ok((frame, behind)) = FrameView::parse(rest, &Limits::default()) {
        kinds.push(frame.payload()[0]);
        rest = behind;
    }
    assert_eq!(kinds, [1, 16, 9], "hello, features, gone");
}

#[test]
fn nothing_comes_of_a_subscription_that_was_rejected() {
    let mut pair = Pair::new();
    pair.sides[RIGHT].link.subscribe(swaps(8)).unwrap();
    pair.settle();
    let export = subscribed(&mut pair);
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Forbidden, Digest([0; 16])).unwrap();
    pair.settle();
    let now = pair.now;
    let (number, epoch) = (1_u32.to_le_bytes(), 77_u64.to_le_bytes());
    let mut publisher = [0; 64];
    publisher[..6].copy_from_slice(b"\x04\x00feed");
    let keeps = [64, 0, 0, 0, 0, 0, 0, 0];
    let stream = payload(8, &[&[0, 0], &number, &epoch, &keeps, &publisher]);
    pair.sides[RIGHT].feed(now, &control(9, 100, &stream));
    assert_eq!(pair.sides[RIGHT].failed, Some(LinkError::Subscription { number: 1 }));

    // On the next connection it is asked for again.
    pair.cut();
    pair.connect();
    pair.settle();
    subscribed(&mut pair);
}

#[test]
fn a_stream_goes_on_once_in_a_subscription() {
    let mut pair = Pair::new();
    reading(&mut pair, 8);
    pair.cut();
    pair.connect();
    pair.settle();
    let now = pair.now;
    let (number, epoch, next) = (1_u32.to_le_bytes(), 77_u64.to_le_bytes(), 100_u64.to_le_bytes());
    // More than it said.
    let resume = control(0, 0, &payload(4, &[&[0, 0], &number, &epoch, &next]));
    pair.sides[LEFT].feed(now, &resume);
    assert_eq!(pair.sides[LEFT].failed, Some(LinkError::Subscription { number: 1 }));

    let mut pair = Pair::new();
    let topic = name("swaps");
    let mut wish = payload(3, &[&1_u16.to_le_bytes(), &number, &[7; 16], &[0, 0, 2, 0]]);
    wish.extend(8_u32.to_le_bytes());
    wish.extend(topic.as_bytes());
    pair.settle();
    let now = pair.now;
    pair.sides[LEFT].feed(now, &control(0, 0, &wish));
    pair.sides[LEFT].feed(now, &resume);
    assert_eq!(pair.sides[LEFT].failed, None);
    pair.sides[LEFT].feed(now, &resume);
    assert_eq!(pair.sides[LEFT].failed, Some(LinkError::SecondStream { number: 0 }));
}

#[test]
fn a_write_of_the_connection_before_takes_nothing_from_the_next() {
    let mut pair = Pair::new();
    let now = pair.now;
    let late = pair.sides[LEFT].link.poll_transmit(now).unwrap().len();
    pair.cut();
    pair.connect();
    pair.sides[LEFT].link.transmitted(now, late);
    pair.settle();
    assert_eq!(failed(&pair), [None, None]);
    assert!(pair.sides.iter().all(|side| side.link.is_up()));
}

#[test]
fn no_more_is_written_than_was_shown() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 8);
    send(&mut pair, outgoing, 1).unwrap();
    let now = pair.now;
    pair.sides[LEFT].link.flush();
    let offered = pair.sides[LEFT].link.poll_transmit(now).unwrap().len();
    send(&mut pair, outgoing, 1).unwrap();
    pair.sides[LEFT].link.transmitted(now, offered + 64);
    assert_eq!(pair.sides[LEFT].link.poll_transmit(now).map(<[u8]>::len), Some(64));
}

#[test]
fn settings_that_make_a_link_useless_are_refused() {
    let refused = |config: Config| TestLink::new(config, pair::lasting(4096)).unwrap_err();
    let limits = Limits { max_frame: 100 };
    let error = refused(Config { limits, ..config("left") });
    assert_eq!(error, ConfigError::MaxFrame { least: 120 });
    let error = refused(Config { keep_alive: Duration::ZERO, ..config("left") });
    assert_eq!(error, ConfigError::KeepAlive);
    let error = refused(Config { keep_alive: Duration::from_secs(21), ..config("left") });
    assert_eq!(error, ConfigError::Silence);
    let error = refused(Config { silence: 99 * MS, keep_alive: 33 * MS, ..config("left") });
    assert_eq!(error, ConfigError::Silence);
    assert_eq!(
        pair::TestLink::new(config("left"), pair::lasting(4096))
            .unwrap()
            .subscribe(Interest { type_id: 0, ..swaps(8) }),
        Err(SendError::Type)
    );
}

#[test]
fn a_stranger_gets_no_room_for_what_it_claims() {
    let mut pair = Pair::new();
    let now = pair.now;
    let mut frame = vec![0; 1 << 20];
    let envelope = Envelope { type_id: 9, ..Envelope::default() };
    write_frame(&mut frame, &envelope, 0, &[0; 100_000]).unwrap();
    pair.sides[LEFT].feed(now, &frame[..24]);
    let error = FrameError::TooLong { limit: 1024, found: 100_024 };
    assert_eq!(pair.sides[LEFT].failed, Some(LinkError::Frame(error)));
}

#[test]
fn a_peer_that_takes_only_short_frames_is_refused() {
    let mut pair = Pair::new();
    let now = pair.now;
    let mut hello = payload(1, &[&[1, 1], &64u32.to_le_bytes()]);
    hello.resize(96, 0);
    pair.sides[LEFT].feed(now, &control(0, 0, &hello));
    assert_eq!(pair.sides[LEFT].failed, Some(LinkError::Limit { limit: 64 }));
}

#[test]
fn an_end_that_was_not_confirmed_is_confirmed_on_the_next_connection() {
    for last_received in [false, true] {
        let mut pair = Pair::new();
        let (outgoing, _) = reading(&mut pair, 8);
        send(&mut pair, outgoing, 3).unwrap();
        let now = pair.now;
        pair.sides[LEFT].link.end_stream(now, outgoing).unwrap();
        pair.write(LEFT, usize::MAX);
        pair.sides[RIGHT].read(now, usize::MAX);
        if last_received {
            // That all has come is on its way when the connection is lost.
            pair.write(RIGHT, usize::MAX);
        }
        let news = pair.sides[RIGHT].take_events();
        assert_eq!(sequences(&news), [100, 101, 102]);
        assert!(matches!(news.last(), Some(Received::End(_))), "{news:?}");
        pair.cut();

        // The left side does not know, and keeps all three.
        pair.connect();
        pair.settle();
        let news = pair.sides[LEFT].take_events();
        assert_eq!(resumes(&news), [(77, 103)], "nothing is to be sent again");
        let export = asked_in(&news);
        let now = pair.now;
        let again =
            pair.sides[LEFT].link.open_stream(now, export, name("feed"), 77, 103, 64).unwrap();
        pair.sides[LEFT].link.end_stream(now, again).unwrap();
        pair.settle();
        assert!(!speaks_of_streams(&mut pair), "it had ended");
        assert_eq!(failed(&pair), [None, None]);

        // Now it does, and on the connection after nobody knows the stream.
        pair.cut();
        pair.connect();
        pair.settle();
        let export = asked_in(&pair.sides[LEFT].take_events());
        let now = pair.now;
        pair.sides[LEFT].link.refuse_resume(now, export, 77).unwrap();
        pair.settle();
        assert!(!speaks_of_streams(&mut pair), "it had ended");
        assert_eq!(failed(&pair), [None, None]);
    }
}

#[test]
fn streams_that_have_ended_leave_room_for_others() {
    let mut pair = Pair::new();
    pair.sides[RIGHT].link.subscribe(swaps(8)).unwrap();
    pair.settle();
    let export = subscribed(&mut pair);
    for epoch in 0..3 * STREAMS as u64 {
        let now = pair.now;
        let stream =
            pair.sides[LEFT].link.open_stream(now, export, name("feed"), epoch, 0, 64).unwrap();
        send(&mut pair, stream, 1).unwrap();
        pair.sides[LEFT].link.end_stream(now, stream).unwrap();
        pair.settle();
        assert_eq!(failed(&pair), [None, None], "{epoch}");
    }
}

/// Whether the right side was told of a stream since the last look.
fn speaks_of_streams(pair: &mut Pair) -> bool {
    let of_stream = |received: &Received| {
        matches!(received, Received::Stream { .. } | Received::End(_) | Received::Gone(_))
    };
    pair.sides[RIGHT].take_events().iter().any(of_stream)
}

fn asked_in(news: &[Received]) -> ExportId {
    let wanted = news.iter().find_map(|received| match received {
        Received::Subscribe { export, .. } => Some(*export),
        _ => None,
    });
    wanted.expect("the topic is wanted again")
}
