//! States that a test through the public interface cannot reach in time.

use core::time::Duration;

use super::*;
use crate::descriptor::Digest;

type TestLink<'b> = Link<'b, 2, 2>;

/// Moves all bytes from one side to the other, until they are used or the other side fails.
fn carry(from: &mut TestLink<'_>, to: &mut TestLink<'_>, mut on_event: impl FnMut(Event<'_>)) {
    let now = Duration::ZERO;
    let mut buffer = [0; 1024];
    while let Some(bytes) = from.poll_transmit(now) {
        let count = bytes.len();
        buffer[..count].copy_from_slice(bytes);
        from.transmitted(now, count);
        let mut start = 0;
        while let Ok(Input { used, event, .. }) =
            to.input(now, &buffer[start..count], |_, _| Ok(()))
            && used > 0
        {
            start += used;
            if let Some(event) = event {
                on_event(event);
            }
        }
    }
}

#[test]
fn numbers_are_used_once() {
    let now = Duration::ZERO;
    let (mut left, mut right) = ([0; 1024], [0; 1024]);
    let config = || Config::new(Name::truncated("node"), 1);
    let mut writer = TestLink::new(config(), &mut left).unwrap();
    let mut reader = TestLink::new(config(), &mut right).unwrap();
    let topic = Name::truncated("topic");
    let (type_id, digest, mode, window) = (1, Digest([0; 16]), ReaderMode::Gating, 4);
    let start = ReaderStart::Next;
    let interest = Interest { topic, type_id, digest, mode, start, window };
    reader.last_number = u32::MAX - 1;
    reader.subscribe(interest).unwrap();
    assert_eq!(reader.subscribe(interest), Err(SendError::Numbers));

    writer.open(now);
    reader.open(now);
    carry(&mut writer, &mut reader, |_| {});
    let mut subscribed = None;
    carry(&mut reader, &mut writer, |event| {
        if let Event::Subscribe { export, .. } = event {
            subscribed = Some(export);
        }
    });
    writer.last_number = u32::MAX - 1;
    let export = subscribed.unwrap();
    writer.open_stream(now, export, topic, 5, 0, 64).unwrap();
    assert_eq!(writer.open_stream(now, export, topic, 6, 0, 64), Err(SendError::Numbers));
    carry(&mut writer, &mut reader, |event| assert!(!matches!(event, Event::Stream { .. })));
    assert_eq!(reader.ended(), Some(LinkError::Numbers));
}
