//! The side that reads: its messages, which arrive over the link and in memory.

use mycelium_core::link::{Confirms, IncomingId};

use super::{Direction, message};
use crate::pair::{Pair, Received};

/// The reader's state of one start of the publisher.
#[derive(Debug, Default)]
pub(super) struct ReaderState {
    pub(super) epoch: u64,
    pub(super) stream: Option<IncomingId>,
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) missed: u64,
    pub(super) received: u64,
    /// Messages of the link for which it has not granted credit again.
    pub(super) held: u64,
    /// It has confirmed the messages before this one.
    pub(super) done: u64,
    /// The stream to confirm, also after its end.
    pub(super) confirms: Option<IncomingId>,
    /// The received part of the next message.
    pub(super) open: Vec<u8>,
    /// Where the stream has moved to memory. Messages after that are read there.
    pub(super) moved: Option<u64>,
}

impl Direction {
    pub(super) fn reader_receives(&mut self, received: Received) {
        match received {
            Received::Stream { stream, epoch, first, resumed } => {
                if let Some(missed) = resumed {
                    let reading = self.of(stream);
                    if let Some(moved) = reading.moved {
                        assert_eq!((reading.epoch, missed, moved), (epoch, 0, first));
                        return;
                    }
                    assert_eq!((reading.epoch, reading.next + missed), (epoch, first));
                    reading.missed += missed;
                    reading.next = first;
                } else {
                    assert!(self.reading.iter().all(|reading| reading.epoch != epoch), "twice");
                    let stream = Some(stream);
                    self.reading.push(ReaderState {
                        epoch,
                        stream,
                        confirms: stream,
                        first,
                        next: first,
                        done: first,
                        ..ReaderState::default()
                    });
                }
            }
            Received::Message { stream, sequence, payload, .. } => {
                let reading = self.over_the_link(stream);
                assert_eq!(sequence, reading.next, "once and in order");
                assert_eq!(payload, message(sequence));
                assert!(reading.open.is_empty(), "another message is open");
                self.took(stream);
            }
            Received::Fragment { stream, sequence, fragment, bytes, .. } => {
                let reading = self.over_the_link(stream);
                assert_eq!(sequence, reading.next, "once and in order");
                assert_eq!(fragment.offset as usize, reading.open.len());
                reading.open.extend(bytes);
                if reading.open.len() == fragment.total as usize {
                    assert_eq!(std::mem::take(&mut reading.open), message(sequence));
                    self.took(stream);
                }
            }
            Received::Gap { stream, missed, .. } => {
                let reading = self.over_the_link(stream);
                reading.open.clear();
                reading.next += missed;
                reading.missed += missed;
            }
            Received::Memory(_) => {
                assert!(!std::mem::replace(&mut self.offer_received, true), "offered twice");
            }
            Received::Region { stream, number, first } => {
                let reading = self.of(stream);
                assert_eq!(u64::from(number), reading.epoch);
                assert_eq!(first, reading.moved.unwrap_or(reading.next), "where it moved before");
                assert!(reading.open.is_empty(), "a message is open");
                reading.moved = Some(first);
            }
            Received::End { stream, next } => {
                let reading = self.of(stream);
                let last = next == reading.next || reading.moved.is_some() && next > reading.next;
                let epoch = reading.epoch as usize;
                assert!(last && next == self.publishers[epoch - 1].emitted);
                self.over(stream);
            }
            Received::Gone(stream) => self.over(stream),
            Received::Rejected(interest, ..) if Some(interest) == self.interest => {
                // Its streams end without an event.
                self.reading.clear();
            }
            Received::Accepted(_) | Received::Rejected(..) | Received::Unsubscribed { .. } => {}
            other => panic!("{other:?} on the reader's side"),
        }
    }

    /// A message is complete.
    fn took(&mut self, stream: IncomingId) {
        let window = u64::from(self.window);
        let reading = self.of(stream);
        reading.next += 1;
        reading.received += 1;
        reading.held += 1;
        assert!(reading.held <= window, "a message without credit");
    }

    /// The reader grants credit for up to `count` messages of each stream.
    pub(super) fn grant(&mut self, pair: &mut Pair, count: u64) {
        for reading in &mut self.reading {
            if let Some(stream) = reading.stream {
                let count = count.min(reading.held);
                reading.held -= count;
                pair.sides[1 - self.writer].link.grant(stream, count as u32).unwrap();
            }
        }
    }

    /// A stream whose messages arrive over the link.
    fn over_the_link(&mut self, stream: IncomingId) -> &mut ReaderState {
        let reading = self.of(stream);
        assert_eq!(reading.moved, None, "its messages are in memory");
        reading
    }

    fn of(&mut self, stream: IncomingId) -> &mut ReaderState {
        let found = self.reading.iter_mut().find(|reading| reading.stream == Some(stream));
        found.expect("an open stream")
    }

    fn over(&mut self, stream: IncomingId) {
        let reading = self.of(stream);
        reading.stream = None;
        assert_eq!(reading.received + reading.missed, reading.next - reading.first);
    }

    /// The reader reads `count` more messages of each stream in memory, whose writer sees that.
    pub(super) fn read_memory(&mut self, count: u64) {
        for reading in self.reading.iter_mut().filter(|reading| reading.moved.is_some()) {
            let publisher = &mut self.publishers[reading.epoch as usize - 1];
            let count = count.min(publisher.emitted - reading.next);
            reading.next += count;
            reading.received += count;
            publisher.read = reading.next;
        }
    }

    /// The reader confirms `count` more messages of each stream.
    pub(super) fn done(&mut self, pair: &mut Pair, count: u64) {
        let (now, link) = (pair.now, &mut pair.sides[1 - self.writer].link);
        for reading in &mut self.reading {
            reading.done += count.min(reading.next - reading.done);
            if self.confirms == Confirms::ByCaller
                && let Some(stream) = reading.confirms
            {
                // A stream may be gone once all its messages are confirmed.
                _ = link.confirm(now, stream, reading.done);
            }
        }
    }
}
