//! Limits: full buffers, long frames, last numbers and settings.

use std::time::Duration;

use mycelium_core::link::{
    CloseReason, Config, ConfigError, Interest, LinkError, RejectReason, SendError,
};
use mycelium_core::{Digest, Envelope, FrameError, Limits, write_frame};

use super::{others, payload, resumes};
use crate::pair::conversation::{
    LEFT, MS, RIGHT, control, last_subscribed, name, reading, resubscribe, send, subscribe, swaps,
};
use crate::pair::{Pair, Received, STREAMS, TestLink, config};

#[test]
fn an_empty_gap_is_not_sent() {
    let mut pair = Pair::new();
    let (outgoing, _) = reading(&mut pair, 8);
    pair.sides[LEFT].link.skip(pair.now, outgoing, 0, 1).unwrap();
    assert_eq!(
        pair.sides[LEFT].link.skip(pair.now, outgoing, u64::MAX, 1),
        Err(SendError::Exhausted)
    );
    pair.settle();
    assert_eq!(pair.failed(), [None, None]);
}

#[test]
fn a_message_above_a_limit_is_refused() {
    let mut pair = Pair::with(config("left"), config("right"), 1024);
    let (outgoing, _) = reading(&mut pair, 8);
    let envelope = Envelope::default();
    let refused = pair.sides[LEFT].link.send(pair.now, outgoing, &envelope, 0, &[0; 900]);
    assert!(matches!(refused, Err(SendError::TooLong { length: 924, .. })), "{refused:?}");

    let limits = Limits { max_frame: 1001 };
    let mut pair = Pair::with(config("left"), Config { limits, ..config("right") }, 4096);
    let (outgoing, _) = reading(&mut pair, 8);
    let link = &mut pair.sides[LEFT].link;
    assert_eq!(link.send(pair.now, outgoing, &envelope, 0, &[0; 1001 - 24]), Ok(()));
    let refused = link.send(pair.now, outgoing, &envelope, 0, &[0; 1002 - 24]);
    assert_eq!(refused, Err(SendError::TooLong { length: 1002, limit: 1001 }));
    let refused = link.send(pair.now, outgoing, &envelope, 3, &[0; 2]);
    assert_eq!(refused, Err(SendError::Fixed { fixed: 3, payload: 2 }));
}

#[test]
fn a_close_frame_fits_a_full_buffer() {
    let mut pair = Pair::with(config("left"), config("right"), 2048);
    let (outgoing, _) = reading(&mut pair, 1000);
    send(&mut pair, outgoing, 1000).unwrap_err();
    while pair.sides[LEFT].link.skip(pair.now, outgoing, 1, 1).is_ok() {}
    pair.sides[LEFT].link.close(pair.now, CloseReason::Shutdown);
    pair.settle();
    assert_eq!(pair.sides[RIGHT].failed, Some(LinkError::PeerClosed(CloseReason::Shutdown)));
}

#[test]
fn a_rejected_topic_can_be_left_while_the_buffer_is_full() {
    let mut pair = Pair::with(config("left"), config("right"), 2048);
    let (outgoing, _) = reading(&mut pair, 1000);
    let interest = pair.sides[RIGHT].link.subscribe(others(8)).unwrap();
    pair.settle();
    let export = last_subscribed(&mut pair, LEFT);
    let link = &mut pair.sides[LEFT].link;
    link.reject(export, RejectReason::Unknown, Digest([0; 16])).unwrap();
    pair.settle();
    send(&mut pair, outgoing, 1000).unwrap_err();
    while pair.sides[LEFT].link.skip(pair.now, outgoing, 1, 1).is_ok() {}
    pair.sides[RIGHT].take_events();
    pair.sides[RIGHT].link.unsubscribe(interest).unwrap();
    pair.settle();
    assert_eq!(pair.failed(), [None, None]);
    assert!(
        pair.sides[RIGHT]
            .take_events()
            .contains(&Received::Unsubscribed { interest, discarded: 0 })
    );
}

#[test]
fn messages_wait_for_due_control_frames() {
    let mut pair = Pair::with(config("left"), config("right"), TestLink::MIN_BUFFER);
    let (outgoing, _) = reading(&mut pair, 1 << 30);
    // The largest number of resumes: all of them need room at once.
    pair.sides[LEFT].link.subscribe(swaps(8)).unwrap();
    pair.settle();
    let export = last_subscribed(&mut pair, RIGHT);
    for epoch in 0..STREAMS as u64 {
        let link = &mut pair.sides[RIGHT].link;
        link.open_stream(pair.now, export, name("feed"), epoch, 0, 64).unwrap();
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
        pair.sides[LEFT].read(pair.now, usize::MAX);
        pair.sides[RIGHT].read(pair.now, usize::MAX);
        for received in pair.sides[LEFT].take_events() {
            if let Received::Resume { export, epoch, next } = received {
                stream = pair.sides[LEFT].link.open_stream(
                    pair.now,
                    export,
                    name("feed"),
                    epoch,
                    next,
                    64,
                );
            }
        }
        // Fill the buffer before it is written.
        if let Ok(stream) = stream {
            while send(&mut pair, stream, 1).is_ok() {}
        }
    }
    let events = pair.sides[RIGHT].take_events();
    assert_eq!(resumes(&events).len(), STREAMS, "subscribe arrived with all resumes");
}

#[test]
fn no_message_has_the_last_sequence() {
    let last = u64::MAX.to_le_bytes();
    let mut pair = Pair::new();
    reading(&mut pair, 8);
    let missed = (u64::MAX - 100).to_le_bytes();
    pair.feed(RIGHT, &control(1, u64::MAX, &payload(10, &[&[0; 6], &missed])));
    let error = LinkError::Sequence { stream: 1, expected: 100, found: u64::MAX };
    assert_eq!(pair.sides[RIGHT].failed, Some(error));

    let mut pair = Pair::new();
    let (_, export) = subscribe(&mut pair, 8);
    let stream = pair.sides[LEFT].link.open_stream(pair.now, export, name("feed"), 1, u64::MAX, 64);
    assert_eq!(stream, Err(SendError::Exhausted));
    let stream =
        pair.sides[LEFT].link.open_stream(pair.now, export, name("feed"), 1, u64::MAX - 1, 64);
    send(&mut pair, stream.unwrap(), 1).unwrap();
    assert_eq!(send(&mut pair, stream.unwrap(), 1), Err(SendError::Exhausted));

    let mut pair = Pair::new();
    reading(&mut pair, 8);
    pair.cut();
    // Then a forged resume.
    resubscribe(&mut pair);
    let number = 1u32.to_le_bytes();
    let resume = control(0, 0, &payload(4, &[&[0, 0], &number, &[7; 8], &last]));
    let failed = pair.feed(LEFT, &resume);
    assert!(matches!(failed, Some(LinkError::Sequence { found: u64::MAX, .. })), "{failed:?}");
}

#[test]
fn settings_outside_of_their_limits_are_refused() {
    let refused = |config: Config| TestLink::new(config, crate::pair::lasting(4096)).unwrap_err();
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
        TestLink::new(config("left"), crate::pair::lasting(4096))
            .unwrap()
            .subscribe(Interest { type_id: 0, ..swaps(8) }),
        Err(SendError::Type)
    );
}

#[test]
fn a_long_frame_before_hello_is_refused() {
    let mut pair = Pair::new();
    let mut frame = vec![0; 1 << 20];
    let envelope = Envelope { type_id: 9, ..Envelope::default() };
    write_frame(&mut frame, &envelope, 0, &[0; 100_000]).unwrap();
    pair.feed(LEFT, &frame[..24]);
    let error = FrameError::TooLong { limit: 1024, found: 100_024 };
    assert_eq!(pair.sides[LEFT].failed, Some(LinkError::Frame(error)));
}

#[test]
fn a_peer_with_a_small_frame_limit_is_refused() {
    let mut pair = Pair::new();
    let mut hello = payload(1, &[&[1, 1], &64u32.to_le_bytes()]);
    hello.resize(96, 0);
    assert_eq!(pair.feed(LEFT, &control(0, 0, &hello)), Some(LinkError::Limit { limit: 64 }));
}
