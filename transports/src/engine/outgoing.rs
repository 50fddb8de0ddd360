//! Makes packets from the publishers of this process.

use std::task::Waker;
use std::time::Duration;

use mycelium_core::frame::{frame_len, write_frame};
use mycelium_core::link::packet::{
    END_LEN, RUN_HEADER_LEN, STREAM_LEN, envelope, write_end, write_run, write_stream,
};
use mycelium_core::link::{Name, RunShape};
use mycelium_core::{Envelope, WriteError};

use crate::local::{Policy, TopicError};
use crate::seam::{Ends, Tap, TapItem, TapStream};

/// How often all streams of a topic are listed, so that the loss of their last messages is noticed.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// A packet with this number of bytes is sent even if more messages wait.
const PACKET: usize = 32 * 1024;
/// The fewest messages that are sent as a run: below, a header for each takes less than one for all.
const RUN: usize = 4;
/// How many packets of a stream are sent before [`Outgoing::poll`] returns.
const TURN: usize = 64;
/// How often the end of a stream is sent again, each time with the heartbeat.
const ENDS: u32 = 2;

/// The publishers of this process, as packets.
pub struct Outgoing {
    topics: Vec<OutgoingTopic>,
    heartbeat_at: Duration,
}

struct OutgoingTopic {
    tap: Tap,
    ended: Vec<Ended>,
}

/// A stream whose end was sent.
struct Ended {
    publisher: Name,
    epoch: u64,
    next: u64,
    /// How often it is sent again.
    left: u32,
}

/// What the caller of [`Outgoing::poll`] has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When it must call again even if its waker is not woken.
    pub again_at: Duration,
    /// Whether no publisher is left, and everything was sent.
    pub is_over: bool,
}

impl Outgoing {
    /// Creates the packets of the topics that the transport sends. `reader` stands for all readers
    /// in counters. A publisher whose ring is full waits until [`poll`](Outgoing::poll) has made
    /// packets of its messages, whoever receives them.
    ///
    /// # Errors
    /// The same as for [`Ends::tap`].
    pub fn new(ends: &Ends, reader: &str) -> Result<Outgoing, TopicError> {
        let tap = |topic| {
            let tap = ends.tap(topic, reader, Policy::Block)?;
            Ok(OutgoingTopic { tap, ended: Vec::new() })
        };
        let topics = ends.sends().iter().map(tap).collect::<Result<_, _>>()?;
        Ok(Outgoing { topics, heartbeat_at: Duration::ZERO })
    }

    /// Passes the next packets to `send`, each with the index of its topic in [`Ends::sends`]. The
    /// waker is woken when there are more. `now` is the time since any fixed instant.
    pub fn poll(
        &mut self,
        waker: &Waker,
        now: Duration,
        mut send: impl FnMut(usize, Vec<u8>),
    ) -> Progress {
        let beats = now >= self.heartbeat_at;
        if beats {
            self.heartbeat_at = now.saturating_add(HEARTBEAT);
        }
        let mut progress = Progress { again_at: self.heartbeat_at, is_over: true };
        for (index, topic) in self.topics.iter_mut().enumerate() {
            topic.tap.park(waker);
            if topic.send(beats, |packet| send(index, packet)) {
                progress.again_at = now;
            }
            progress.is_over &= topic.tap.streams().is_empty();
        }
        progress
    }

    /// Lists all streams at the next call of [`poll`](Outgoing::poll), because a reader has come.
    pub fn announce(&mut self) {
        self.heartbeat_at = Duration::ZERO;
    }
}

impl OutgoingTopic {
    /// Sends what the streams have, and with `beats` the list of all streams. Returns whether there
    /// is more.
    fn send(&mut self, beats: bool, mut send: impl FnMut(Vec<u8>)) -> bool {
        let type_id = self.tap.topic().schema().id;
        if beats {
            self.ended.retain_mut(|ended| {
                send(ended.packet());
                ended.left -= 1;
                ended.left > 0
            });
        }
        let (mut has_more, ended) = (false, &mut self.ended);
        self.tap.streams().retain_mut(|stream| {
            for _ in 0..TURN {
                let mut packet = Vec::new();
                let filled = fill(stream, type_id, &mut packet);
                if !packet.is_empty() {
                    send(packet);
                }
                match filled {
                    Fill::More => {}
                    Fill::Empty => return true,
                    Fill::Ended(end) => {
                        send(end.packet());
                        ended.push(end);
                        return false;
                    }
                }
            }
            has_more = true;
            true
        });
        if beats {
            send(self.list());
        }
        has_more
    }

    fn list(&mut self) -> Vec<u8> {
        let mut list = Vec::new();
        for stream in self.tap.streams() {
            let (publisher, epoch) = (Name::truncated(stream.publisher()), stream.epoch());
            append(&mut list, STREAM_LEN, |buf| {
                write_stream(buf, publisher, epoch, stream.next(), true)
            });
        }
        list
    }
}

impl Ended {
    fn packet(&self) -> Vec<u8> {
        let Ended { publisher, epoch, next, .. } = *self;
        let mut packet = Vec::new();
        append(&mut packet, STREAM_LEN, |buf| write_stream(buf, publisher, epoch, next, false));
        append(&mut packet, END_LEN, |buf| write_end(buf, next));
        packet
    }
}

enum Fill {
    /// The packet is full.
    More,
    Empty,
    Ended(Ended),
}

/// Moves the next messages of a stream into an empty packet.
fn fill(stream: &mut TapStream, type_id: u16, packet: &mut Vec<u8>) -> Fill {
    let (fixed, epoch) = (stream.fixed_len(), stream.epoch());
    let publisher = Name::truncated(stream.publisher());
    let begin = |packet: &mut Vec<u8>, next| {
        if packet.is_empty() {
            append(packet, STREAM_LEN, |buf| write_stream(buf, publisher, epoch, next, false));
        }
    };
    let filled = loop {
        if packet.len() >= PACKET {
            break Fill::More;
        }
        let next = stream.next();
        if let Some((shape, count)) = run(stream)
            && let Some(pieces) = stream.borrow(next, count)
        {
            begin(packet, next);
            let length = RUN_HEADER_LEN + pieces[0].len() + pieces[1].len();
            append(packet, length, |buf| write_run(buf, next, shape, pieces));
            stream.pass_ready(count);
            continue;
        }
        match stream.next_item() {
            TapItem::Message(bytes, metadata) => {
                begin(packet, next);
                let (trace, sent_at) = (metadata.trace, metadata.sent_at);
                let envelope = Envelope { trace, sent_at, ..envelope(type_id, next) };
                // It fits: a message is shorter than its ring.
                let length = frame_len(&envelope, bytes.len()).unwrap_or(0);
                append(packet, length, |buf| write_frame(buf, &envelope, fixed, bytes));
                stream.advance();
            }
            // The sequence of the next frame tells.
            TapItem::Gap(_) => {}
            TapItem::Empty => break Fill::Empty,
            TapItem::Closed => break Fill::Ended(Ended { publisher, epoch, next, left: ENDS }),
        }
    };
    // Once for the packet: it may wake the publisher.
    stream.release(stream.next());
    filled
}

/// Returns the layout and the number of the next messages if they can be sent as a run.
fn run(stream: &TapStream) -> Option<(RunShape, usize)> {
    let shape = stream.shape()?;
    let ready = stream.ready(PACKET / shape.stride as usize);
    (ready >= RUN).then_some((shape, ready))
}

fn append(
    packet: &mut Vec<u8>,
    length: usize,
    write: impl FnOnce(&mut [u8]) -> Result<usize, WriteError>,
) {
    let at = packet.len();
    packet.resize(at + length, 0);
    let written = write(&mut packet[at..]).unwrap_or(0);
    debug_assert_eq!(written, length);
    packet.truncate(at + written);
}
