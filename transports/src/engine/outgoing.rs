//! Makes packets from the publishers of this process.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use mycelium_core::frame::{frame_len, write_head};
use mycelium_core::link::packet::{
    END_LEN, RUN_HEADER_LEN, START_LEN, Start, envelope, write_end, write_list, write_run,
    write_start,
};
use mycelium_core::link::{Name, RunShape};
use mycelium_core::{Envelope, WriteError};

use crate::local::{Policy, TopicError};
use crate::seam::{Ends, Tap, TapItem, TapStream};

/// How often all streams of a topic are listed, so that the loss of their last messages is noticed.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// A packet with this number of bytes is sent even if more messages wait.
const PACKET: usize = 32 * 1024;
/// The same for packets that are confirmed, and how many of each stream there are at a time.
const CONFIRMED_PACKET: usize = 128 * 1024;
const UNCONFIRMED: usize = 16;
/// The same for a work queue.
const UNCONFIRMED_OF_QUEUE: usize = 256;
/// The fewest messages that are sent as a run. For fewer it saves little.
const RUN: usize = 4;
/// How many packets of each stream are sent before [`Outgoing::poll`] returns.
const TURN: usize = 8;
/// How long lists name a stream that has ended: longer than readers keep a sender that is away.
const ENDED: Duration = Duration::from_secs(15);
/// The most ended streams that the lists of a topic name.
const MOST_ENDED: usize = 4096;

/// How often the last lists are sent, and how long apart, for readers to whose queues the first one
/// finds no room.
const FAREWELLS: u32 = 3;
const FAREWELL: Duration = Duration::from_millis(50);

/// The publishers of this process, as packets.
pub struct Outgoing {
    topics: Vec<OutgoingTopic>,
    /// When the next lists are due.
    list_at: Duration,
    /// How many of the last lists were sent.
    farewells: u32,
    /// The engine confirms packets.
    confirms: bool,
    /// A packet has at most this number of bytes, or one message. The end of a stream comes in
    /// addition.
    most: usize,
    /// A list has at most this number of bytes.
    most_of_list: usize,
}

/// A packet that is to be sent.
#[derive(Debug)]
pub struct OutgoingPacket {
    /// The index of its topic in [`Ends::sends`].
    pub topic: usize,
    /// The epoch of its publisher.
    pub epoch: u64,
    /// Its number among those of this publisher, from 0 on.
    pub number: u64,
    /// The sequence of its first message.
    pub first: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

struct OutgoingTopic {
    tap: Tap<State>,
    /// It is a work queue: each message has a packet of its own, and they are stored in any order.
    is_queue: bool,
    /// How many starts of publishers there were.
    starts: u32,
    /// The streams that have ended, and how long they stay here.
    ended: VecDeque<(Start<Name>, Duration)>,
}

/// What is known of a stream.
#[derive(Default)]
struct State {
    /// The number of its start, once it has one.
    ordinal: Option<u32>,
    /// The packets that were sent and are not confirmed, in order.
    unconfirmed: VecDeque<Unconfirmed>,
    /// The number of the next packet.
    number: u64,
    /// The position of the last packet before those.
    position: u64,
}

struct Unconfirmed {
    number: u64,
    /// The sequence after its last message.
    next: u64,
    /// It has the end of the stream.
    is_last: bool,
    /// Its position in the log, if it is confirmed and an earlier one is not.
    position: Option<u64>,
}

/// What the caller of [`Outgoing::poll`] has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When it must call again even if its waker is not woken.
    pub again_at: Duration,
    /// Whether everything was sent, and no publisher comes any more.
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
        Outgoing::with(ends, reader, false)
    }

    /// Creates packets that the engine [confirms](Outgoing::confirm). Until then their messages
    /// stay in the ring of their publisher, which waits if it is full. There are no lists: no
    /// packet is lost. Each message of a [work queue](crate::local::WorkQueue) has a packet of its
    /// own.
    ///
    /// # Errors
    /// The same as for [`Ends::tap`].
    pub fn confirmed(ends: &Ends, reader: &str) -> Result<Outgoing, TopicError> {
        Outgoing::with(ends, reader, true)
    }

    fn with(ends: &Ends, reader: &str, confirms: bool) -> Result<Outgoing, TopicError> {
        let tap = |topic| {
            let tap = ends.tap(topic, reader, Policy::Block)?;
            let is_queue = topic.work_queue().is_some();
            Ok(OutgoingTopic { tap, is_queue, starts: 0, ended: VecDeque::new() })
        };
        let topics = ends.sends().iter().map(tap).collect::<Result<_, _>>()?;
        let most = if confirms { CONFIRMED_PACKET } else { PACKET };
        let (list_at, most_of_list) = (Duration::ZERO, usize::MAX);
        Ok(Outgoing { topics, list_at, farewells: 0, confirms, most, most_of_list })
    }

    /// Sets how many bytes a packet has at most, unless one message needs more. The last packet of
    /// a stream may have 256 bytes more.
    pub fn limit(&mut self, bytes: usize) {
        self.most = self.most.min(bytes);
        self.most_of_list = bytes;
    }

    /// Passes the next packets to `send`. The waker is woken when there are more. `now` is the time
    /// since any fixed instant; `drains` says that no publisher [comes any more](Ends::draining).
    pub fn poll(
        &mut self,
        waker: &Waker,
        now: Duration,
        drains: bool,
        mut send: impl FnMut(OutgoingPacket),
    ) -> Progress {
        let (confirms, most) = (self.confirms, self.most);
        self.topics.iter().for_each(|topic| topic.tap.park(waker));
        let mut has_more = true;
        for _ in 0..TURN {
            has_more = false;
            for (index, topic) in self.topics.iter_mut().enumerate() {
                has_more |= topic.send(now, confirms, most, |packet| {
                    send(OutgoingPacket { topic: index, ..packet });
                });
            }
            if !has_more {
                break;
            }
        }
        let ends = drains && self.topics.iter_mut().all(|topic| topic.tap.streams().is_empty());
        if confirms {
            let again_at = if has_more { now } else { Duration::MAX };
            return Progress { again_at, is_over: ends };
        }
        if now >= self.list_at || ends && self.farewells == 0 {
            self.farewells += u32::from(ends);
            self.list_at = now.saturating_add(if ends { FAREWELL } else { HEARTBEAT });
            for (index, topic) in self.topics.iter_mut().enumerate() {
                topic.ended.retain(|(_, until)| *until > now);
                let bytes = topic.list(self.most_of_list);
                send(OutgoingPacket { topic: index, epoch: 0, number: 0, first: 0, bytes });
            }
        }
        let again_at = if has_more { now } else { self.list_at };
        Progress {
            again_at,
            is_over: self.farewells >= FAREWELLS || ends && self.topics.is_empty(),
        }
    }

    /// Notes that the engine has stored a packet at a position of its log. Its publisher has room
    /// again, once the earlier ones are confirmed, too. A packet that has overtaken an earlier one
    /// is [repeated](Outgoing::repeat), unless the topic is a work queue.
    pub fn confirm(&mut self, topic: usize, epoch: u64, number: u64, position: u64) {
        let Some(OutgoingTopic { tap, is_queue, .. }) = self.topics.get_mut(topic) else { return };
        let (streams, is_queue) = (tap.streams(), *is_queue);
        let Some(at) = streams.iter().position(|stream| stream.epoch() == epoch) else { return };
        let stream = &mut streams[at];
        let State { unconfirmed, position: last, .. } = &mut stream.state;
        if let Some(packet) = unconfirmed.iter_mut().find(|packet| packet.number == number) {
            packet.position = Some(position);
        }
        let (mut done, mut is_over) = (None, false);
        let is_stored = |it: &mut Unconfirmed, last: u64| {
            it.position.is_some_and(|position| is_queue || position > last)
        };
        while let Some(packet) = unconfirmed.pop_front_if(|it| is_stored(it, *last)) {
            *last = packet.position.unwrap_or_default();
            (done, is_over) = (Some(packet.next), packet.is_last);
        }
        let has_overtaken = unconfirmed.front().filter(|packet| packet.position.is_some());
        let early = has_overtaken.map(|packet| packet.number);
        if let Some(next) = done {
            stream.release(next);
        }
        if is_over {
            streams.remove(at);
        } else if let Some(early) = early {
            self.repeat(topic, epoch, early);
        }
    }

    /// Notes that a packet was perhaps not stored. The next calls of [`poll`](Outgoing::poll) send
    /// its messages again, and all later ones of the stream.
    pub fn repeat(&mut self, topic: usize, epoch: u64, number: u64) {
        let Some(topic) = self.topics.get_mut(topic) else { return };
        let mut streams = topic.tap.streams().iter_mut();
        let Some(stream) = streams.find(|stream| stream.epoch() == epoch) else { return };
        if stream.state.unconfirmed.iter().any(|packet| packet.number == number) {
            stream.state.unconfirmed.clear();
            // What is sent from now on is stored after what was confirmed, perhaps in a new log.
            stream.state.position = 0;
            stream.rewind(stream.kept());
        }
    }

    /// Lists all streams at the next call of [`poll`](Outgoing::poll), for readers that have come.
    pub fn announce(&mut self) {
        self.list_at = Duration::ZERO;
    }
}

impl OutgoingTopic {
    /// Sends the next packet of each stream. Returns whether there is more.
    fn send(
        &mut self,
        now: Duration,
        confirms: bool,
        most: usize,
        mut send: impl FnMut(OutgoingPacket),
    ) -> bool {
        let type_id = self.tap.topic().schema().id;
        let (starts, ended) = (&mut self.starts, &mut self.ended);
        let new = self.tap.streams().iter_mut().filter(|stream| stream.state.ordinal.is_none());
        for stream in new {
            stream.state.ordinal = Some(*starts);
            *starts = starts.wrapping_add(1);
        }
        let (starts, mut has_more) = (*starts, false);
        let (most, most_unconfirmed) =
            if self.is_queue { (0, UNCONFIRMED_OF_QUEUE) } else { (most, UNCONFIRMED) };
        self.tap.streams().retain_mut(|stream| {
            let unconfirmed = &stream.state.unconfirmed;
            if unconfirmed.len() >= most_unconfirmed
                || unconfirmed.back().is_some_and(|it| it.is_last)
            {
                return true;
            }
            let (mut packet, start) = (Vec::new(), start_of(stream, starts));
            let filled = fill(stream, &start, type_id, most, &mut packet);
            if !confirms {
                // Once for the packet: it may wake the publisher.
                stream.release(stream.next());
            }
            let is_last = matches!(filled, Fill::Ended);
            if is_last && self.is_queue {
                // Readers of a queue are not told of the end of a publisher.
                let last = stream.state.unconfirmed.back_mut();
                return last.map(|last| last.is_last = true).is_some();
            }
            if is_last {
                add_ended(&mut packet, &start_of(stream, starts));
            }
            let next = stream.next();
            let State { number, unconfirmed, .. } = &mut stream.state;
            has_more |= matches!(filled, Fill::More);
            if !packet.is_empty() {
                let this = *number;
                *number += 1;
                if confirms {
                    unconfirmed.push_back(Unconfirmed {
                        number: this,
                        next,
                        is_last,
                        position: None,
                    });
                }
                let (epoch, first) = (stream.epoch(), start.next);
                send(OutgoingPacket { topic: 0, epoch, number: this, first, bytes: packet });
            }
            if is_last && !confirms {
                ended.truncate(MOST_ENDED - 1);
                ended.push_front((start_of(stream, starts), now.saturating_add(ENDED)));
            }
            // A stream whose packets are confirmed stays until its last one is.
            confirms || !is_last
        });
        has_more
    }

    /// Returns a list of the streams: as many as fit, first the open ones, then those that have
    /// ended last.
    fn list(&mut self, most: usize) -> Vec<u8> {
        let (starts, mut list, mut open) = (self.starts, Vec::new(), Vec::new());
        append(&mut list, START_LEN, |buf| write_list(buf, starts));
        for stream in self.tap.streams() {
            // The others begin with the next packet.
            if stream.state.ordinal.is_some() && list.len() + open.len() + START_LEN <= most {
                append(&mut open, START_LEN, |buf| write_start(buf, &start_of(stream, starts)));
            }
        }
        for (ended, _) in &self.ended {
            if list.len() + open.len() + START_LEN + END_LEN <= most {
                add_ended(&mut list, &Start { starts, ..*ended });
            }
        }
        list.append(&mut open);
        list
    }
}

fn start_of(stream: &TapStream<State>, starts: u32) -> Start<Name> {
    // What a stream without confirmations has sent is released.
    let unstored = stream.next().saturating_sub(stream.kept());
    Start {
        unstored: u32::try_from(unstored).unwrap_or(u32::MAX),
        publisher: Name::truncated(stream.publisher()),
        epoch: stream.epoch(),
        next: stream.next(),
        ordinal: stream.state.ordinal.unwrap_or_default(),
        starts,
    }
}

fn add_ended(packet: &mut Vec<u8>, start: &Start<Name>) {
    append(packet, START_LEN, |buf| write_start(buf, start));
    append(packet, END_LEN, |buf| write_end(buf, start.next));
}

enum Fill {
    /// The packet is full.
    More,
    Empty,
    Ended,
}

/// Moves the next messages of a stream into an empty packet.
fn fill(
    stream: &mut TapStream<State>,
    start: &Start<Name>,
    type_id: u16,
    most: usize,
    packet: &mut Vec<u8>,
) -> Fill {
    let fixed = stream.fixed_len();
    let begin = |packet: &mut Vec<u8>| {
        if packet.is_empty() {
            append(packet, START_LEN, |buf| write_start(buf, start));
        }
    };
    loop {
        if packet.len() >= most && !packet.is_empty() {
            return Fill::More;
        }
        let next = stream.next();
        let around = packet.len().max(START_LEN) + RUN_HEADER_LEN;
        if let Some((shape, count)) = run(stream, most.saturating_sub(around))
            && let Some(pieces) = stream.borrow(next, count)
        {
            begin(packet);
            let bytes = pieces[0].len() + pieces[1].len();
            packet.reserve(RUN_HEADER_LEN + bytes);
            append(packet, RUN_HEADER_LEN, |buf| write_run(buf, next, shape, bytes));
            pieces.iter().for_each(|piece| packet.extend_from_slice(piece));
            stream.pass_ready(count);
            continue;
        }
        match stream.next_item() {
            TapItem::Message(bytes, metadata) => {
                begin(packet);
                let (trace, sent_at) = (metadata.trace, metadata.sent_at);
                let envelope = Envelope { trace, sent_at, ..envelope(type_id, next) };
                // It fits: a message is shorter than its ring.
                let length = frame_len(&envelope, bytes.len()).unwrap_or(0);
                if packet.len() > START_LEN && packet.len() + length > most {
                    return Fill::More;
                }
                packet.reserve(length);
                let head = frame_len(&envelope, 0).unwrap_or(0);
                append(packet, head, |buf| write_head(buf, &envelope, fixed, bytes.len()));
                packet.extend_from_slice(bytes);
                packet.resize(packet.len().next_multiple_of(8), 0);
                stream.advance();
            }
            // The sequence of the next frame tells.
            TapItem::Gap(_) => {}
            TapItem::Empty => return Fill::Empty,
            TapItem::Closed => return Fill::Ended,
        }
    }
}

/// Returns the layout and the number of the next messages, in at most this number of bytes, if they
/// can be sent as a run.
fn run(stream: &TapStream<State>, most: usize) -> Option<(RunShape, usize)> {
    let shape = stream.shape()?;
    let ready = stream.ready(most / shape.stride as usize);
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
