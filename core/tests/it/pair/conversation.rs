//! Common steps of the tests of links: the right side reads what the left side publishes.

use std::time::Duration;

use mycelium_core::Fixed;
use mycelium_core::frame::{Fragment, write_fragment};
use mycelium_core::link::{
    ExportId, IncomingId, Interest, InterestId, Name, OutgoingId, ReaderMode, RunShape, SendError,
    StreamStart,
};
use mycelium_core::{Envelope, write_frame};

use super::{Pair, Received, first_of_each_kind};
use crate::portable::bodies::codec::Swap;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const LEFT: usize = 0;
pub(crate) const RIGHT: usize = 1;
/// The items of a ring: a stamp of 8 bytes, the message, and one more word.
pub(crate) const ITEMS: RunShape = RunShape { stride: 56, skip: 8, length: 40 };

pub(crate) fn swaps(window: u32) -> Interest {
    Interest::of::<Swap>(ReaderMode::Gating, window).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// Subscribes to `swaps` on the right side: both sides' numbers of the subscription.
pub(crate) fn subscribe(mut pair: Pair, window: u32) -> (Pair, InterestId, ExportId) {
    let (interest, export) = subscribe_to(&mut pair, swaps(window));
    (pair, interest, export)
}

/// Subscribes on the right side: both sides' numbers of the subscription.
pub(crate) fn subscribe_to(pair: &mut Pair, interest: Interest) -> (InterestId, ExportId) {
    let interest = pair.sides[RIGHT].link.subscribe(interest).unwrap();
    pair.settle();
    (interest, subscribed(pair))
}

/// Opens a stream on the left side, and settles.
pub(crate) fn open(pair: &mut Pair, export: ExportId, epoch: u64, first: u64) -> OutgoingId {
    let stream = try_open(pair, export, epoch, first).unwrap();
    pair.settle();
    stream
}

pub(crate) fn try_open(
    pair: &mut Pair,
    export: ExportId,
    epoch: u64,
    first: u64,
) -> Result<OutgoingId, SendError> {
    let link = &mut pair.sides[LEFT].link;
    link.open_stream(pair.now, export, name("feed"), StreamStart::new(epoch, first, 1024))
}

/// Subscribes on the right side and opens a stream on the left: both ends of the stream.
pub(crate) fn reading(pair: Pair, window: u32) -> (Pair, OutgoingId, IncomingId) {
    let (mut pair, _, export) = subscribe(pair, window);
    let outgoing = open(&mut pair, export, 77, 100);
    let incoming = opened(&mut pair, 77, 100);
    (pair, outgoing, incoming)
}

/// The right end of a stream that the left side has opened.
pub(crate) fn opened(pair: &mut Pair, of: u64, from: u64) -> IncomingId {
    let incoming = pair.settled(RIGHT).into_iter().find_map(|received| match received {
        Received::Stream { stream, epoch, first, resumed: None } => {
            ((epoch, first) == (of, from)).then_some(stream)
        }
        _ => None,
    });
    incoming.expect("the stream is open")
}

/// The last topic that the right side has subscribed to.
pub(crate) fn subscribed(pair: &mut Pair) -> ExportId {
    let news = pair.sides[LEFT].take_events();
    let found = news.into_iter().rev().find_map(|received| match received {
        Received::Subscribe { export, .. } => Some(export),
        _ => None,
    });
    found.expect("a topic is subscribed")
}

pub(crate) fn send(pair: &mut Pair, stream: OutgoingId, count: usize) -> Result<(), SendError> {
    let (now, swap) = (pair.now, Swap::golden());
    let payload = swap.encoded();
    (0..count).try_for_each(|_| {
        let link = &mut pair.sides[LEFT].link;
        link.send(now, stream, &Envelope::default(), payload.len() as u16, payload)
    })
}

/// Sends up to `count` messages in a run.
pub(crate) fn send_run(
    pair: &mut Pair,
    stream: OutgoingId,
    count: usize,
) -> Result<usize, SendError> {
    pair.sides[LEFT].link.send_run(pair.now, stream, ITEMS, count)
}

/// Sends the rest of a message, as far as the link accepts it; `sent` is the part that was sent.
pub(crate) fn send_rest(
    pair: &mut Pair,
    stream: OutgoingId,
    message: &[u8],
    sent: &mut usize,
) -> Result<(), SendError> {
    let (now, link, plain) = (pair.now, &mut pair.sides[LEFT].link, Envelope::default());
    while *sent < message.len() {
        let (part, rest) = (fragment(message, *sent), &message[*sent..]);
        *sent += link.send_fragment(now, stream, &plain, part, rest)?;
    }
    Ok(())
}

/// The rest of a message without a tail.
pub(crate) fn fragment(message: &[u8], offset: usize) -> Fragment {
    let total = message.len();
    let fixed_len = total.min(40) as u16;
    Fragment { offset: offset as u32, total: total as u32, fixed_len }
}

/// Bytes that differ from the adjacent ones.
pub(crate) fn blob(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// The received messages of a stream, assembled from their fragments.
pub(crate) fn whole(received: &[Received], of: IncomingId) -> Vec<Vec<u8>> {
    let (mut messages, mut open) = (Vec::new(), Vec::new());
    for received in received {
        match received {
            Received::Fragment { stream, fragment, bytes, .. } if *stream == of => {
                assert_eq!(open.len(), fragment.offset as usize);
                open.extend(bytes);
                if open.len() == fragment.total as usize {
                    messages.push(std::mem::take(&mut open));
                }
            }
            Received::Message { stream, payload, .. } if *stream == of => {
                assert!(open.is_empty());
                messages.push(payload.clone());
            }
            Received::Gap { stream, .. } if *stream == of => open.clear(),
            _ => {}
        }
    }
    messages
}

/// Opens a connection; the left side reads up to the end of `subscribe`.
pub(crate) fn resubscribe(pair: &mut Pair) {
    pair.connect();
    pair.write(LEFT, usize::MAX);
    let now = pair.now;
    pair.sides[RIGHT].read(now, usize::MAX);
    pair.write(RIGHT, usize::MAX);
    pair.write(RIGHT, usize::MAX);
    let end = |kind| first_of_each_kind(&pair.written[RIGHT])[&kind].len();
    let most = end(1) + end(16) + end(3);
    pair.sides[LEFT].read(now, most);
}

pub(crate) fn sequences(received: &[Received]) -> Vec<u64> {
    let sequence = |received: &Received| match received {
        Received::Message { sequence, .. } => Some(*sequence),
        _ => None,
    };
    received.iter().filter_map(sequence).collect()
}

/// A frame as a peer may write it: a message, or a fragment of one.
pub(crate) fn frame(envelope: &Envelope, fragment: Option<Fragment>, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; bytes.len() + 256];
    let written = match fragment {
        None => write_frame(&mut frame, envelope, bytes.len().min(65535) as u16, bytes),
        Some(fragment) => write_fragment(&mut frame, envelope, fragment, bytes),
    };
    frame.truncate(written.unwrap());
    frame
}

/// A control frame.
pub(crate) fn control(stream: u32, sequence: u64, payload: &[u8]) -> Vec<u8> {
    frame(&Envelope { stream, sequence, ..Envelope::default() }, None, payload)
}

/// The payload of a control frame.
pub(crate) fn payload(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
    let mut payload = kind.to_le_bytes().to_vec();
    parts.iter().for_each(|part| payload.extend(*part));
    payload
}
