//! Passes the packets of a log to the subscriptions of a topic.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Poll, Waker, ready};
use std::time::Duration;

use mycelium_core::frame::Limits;
use mycelium_core::link::packet::{Item, Packet, Start};

use super::incoming::{PacketError, most_streams};
use super::push::{Full, push_message, push_run, skip_to};
use crate::local::{Topic, TopicError};
use crate::seam::Feed;

/// How long a process has stored nothing, while another one of its node has, before its streams are
/// lost.
const REPLACED: Duration = Duration::from_secs(10);
/// The most ended streams that are remembered, to drop packets that are stored twice.
const GONE: usize = 64;
/// The most streams in a place that this process has not found: they may never come again.
const BEGUN: usize = 1024;
/// The most processes of which it is known when they have stored a packet.
const PROCESSES: usize = 1024;

/// The readers of a log: packets that are stored in one order, each at a position.
///
/// A packet waits until the gating readers have room. One that has overtaken an earlier one of its
/// stream is passed over, because its sender repeats it; what was removed from the log before it
/// was read is a gap. The [place](Replay::place) says what readers have finished, for the next
/// process that reads for them.
pub struct Replay {
    topic: Arc<Topic>,
    limits: Limits,
    most_streams: usize,
    streams: BTreeMap<u64, Stream>,
    /// The streams that have ended, until their readers have finished them.
    ended: BTreeMap<u64, Feed>,
    /// The streams that have ended last.
    gone: VecDeque<u64>,
    /// When the last packet of each process was stored.
    processes: BTreeMap<Arc<str>, Duration>,
    /// What readers have not finished.
    open: VecDeque<Open>,
    /// The next message of streams that have begun before, in an earlier process or before the
    /// first packet that is passed on, and were not found since.
    begun: BTreeMap<u64, u64>,
    /// The position of the last packet that was passed as a whole.
    passed: u64,
    /// The position of the last packet, and how many of its items were passed.
    taken: (u64, usize),
    /// How often packets were missing.
    misses: u64,
    /// Readers have not been told of it yet.
    owes_gap: bool,
    /// The name of the log in gaps.
    log: &'static str,
}

/// Where the readers of a log are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// They have finished all packets up to this position.
    pub position: u64,
    /// What they have finished of each stream that is open, also of later packets: its epoch and
    /// the sequence of the next message. It is `u64::MAX` for streams that have ended.
    pub streams: BTreeMap<u64, u64>,
}

struct Stream {
    feed: Feed,
    process: Arc<str>,
    /// When its last packet was stored.
    stored_at: Duration,
    /// Packets of the log, perhaps of this stream, were missing since its last one.
    has_missed: bool,
}

/// Messages of a packet: those of this stream before `next`.
struct Open {
    position: u64,
    epoch: u64,
    next: u64,
}

/// A packet of a log.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its place in the log.
    pub position: u64,
    /// A name of the process that has sent it: that of its node, `-` and a number.
    pub process: &'a str,
    /// When it was stored, since any fixed instant.
    pub stored_at: Duration,
    /// Whether an earlier process of this node may have passed it to the readers.
    pub redelivered: bool,
    /// The packet. The bytes may be any.
    pub packet: &'a [u8],
}

impl Replay {
    /// Creates the readers of a topic. Their next packet is the one after the place. Gaps of
    /// removed packets have `log` as the name of their publisher.
    #[must_use]
    pub fn new(topic: Arc<Topic>, begun: Place, log: &'static str) -> Replay {
        let gone = begun.streams.iter().filter(|(_, next)| **next == u64::MAX);
        let live = begun.streams.iter().filter(|(_, next)| **next < u64::MAX);
        Replay {
            limits: super::limits(&topic),
            most_streams: most_streams(&topic),
            topic,
            streams: BTreeMap::new(),
            ended: BTreeMap::new(),
            gone: gone.map(|(epoch, _)| *epoch).take(GONE).collect(),
            processes: BTreeMap::new(),
            open: VecDeque::new(),
            passed: begun.position,
            taken: (begun.position, 0),
            begun: live.map(|(epoch, next)| (*epoch, *next)).take(BEGUN).collect(),
            misses: 0,
            owes_gap: false,
            log,
        }
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Passes a packet to the readers. If they have no room, it passes what there is room for: call
    /// it again with the same packet when the waker was woken, and at least once a second, because
    /// nothing wakes it when a reader passes the end of a publisher.
    ///
    /// # Errors
    /// If the packet is not valid. The items before the error count.
    pub fn take(&mut self, stored: &Stored<'_>, waker: &Waker) -> Poll<Result<(), PacketError>> {
        if self.taken.0 != stored.position {
            self.taken = (stored.position, 0);
            self.lose_replaced(stored);
            self.tell_gap();
        }
        let passed = ready!(self.pass_items(stored, waker));
        self.passed = stored.position;
        Poll::Ready(passed)
    }

    fn pass_items(&mut self, stored: &Stored<'_>, waker: &Waker) -> Poll<Result<(), PacketError>> {
        let mut current = None;
        let packet = Packet::new(stored.packet, self.topic.schema().id, self.limits);
        for (index, item) in packet.enumerate() {
            let item = match item {
                Ok(item) => item,
                Err(error) => {
                    self.flush(current.as_ref());
                    return Poll::Ready(Err(error.into()));
                }
            };
            if let Item::Start(start) = item {
                self.flush(current.as_ref());
                // A packet may be stored twice, also the last one of a stream.
                current = Some(start).filter(|start| !self.gone.contains(&start.epoch));
            }
            if index < self.taken.1 {
                continue;
            }
            if let Some(start) = &current
                && let Err(error) = ready!(self.pass(stored, start, item, waker))
            {
                // Its messages are lost, and the publisher may be found later.
                (self.misses, self.owes_gap) = (self.misses + 1, true);
                return Poll::Ready(Err(error));
            }
            self.taken.1 = index + 1;
        }
        self.flush(current.as_ref());
        Poll::Ready(Ok(()))
    }

    /// Wakes the readers of a stream.
    fn flush(&mut self, start: Option<&Start<&str>>) {
        if let Some(stream) = start.and_then(|start| self.streams.get_mut(&start.epoch)) {
            stream.feed.flush();
        }
    }

    /// Notes a packet from before the first one that is passed on: where its streams are.
    pub fn note(&mut self, packet: &[u8]) {
        let mut epoch = None;
        for item in Packet::new(packet, self.topic.schema().id, self.limits).map_while(Result::ok) {
            let next = match item {
                Item::Start(start) => {
                    epoch = Some(start.epoch);
                    start.next
                }
                Item::Message(frame) => frame.header().sequence() + 1,
                Item::Run { first, shape, bytes } => {
                    first + (bytes.len() / shape.stride as usize) as u64
                }
                Item::End(next) => next,
                Item::List(_) => continue,
            };
            let Some(epoch) = epoch else { continue };
            self.remember(epoch, next);
        }
    }

    fn remember(&mut self, epoch: u64, next: u64) {
        if self.begun.len() >= BEGUN {
            self.begun.pop_first();
        }
        self.begun.insert(epoch, next);
    }

    /// Returns the position of the last packet, which readers have perhaps had in part.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.taken.0
    }

    /// Notes that the packet at a position is not for these readers.
    pub fn pass_over(&mut self, position: u64) {
        (self.passed, self.taken) = (position, (position, 0));
    }

    /// Tells readers that packets were removed from the log before they were read: an inexact gap,
    /// from a publisher with the name of the log. Streams that go on have exact gaps, too.
    pub fn miss(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.has_missed = true);
        self.misses += 1;
        self.owes_gap = true;
        self.tell_gap();
    }

    /// Goes on with another log, or an earlier position of this one: the next packet is the one
    /// after this position.
    pub fn restart(&mut self, position: u64) {
        self.open.clear();
        self.pass_over(position);
        self.miss();
    }

    fn tell_gap(&mut self) {
        // No publisher has this epoch: they are random. If there is no room for it, it comes later.
        if self.owes_gap
            && let Ok(feed) = self.topic.feed(self.log, self.misses, 0)
        {
            feed.lose();
            self.owes_gap = false;
        }
    }

    /// Returns what the gating readers have finished, and without any, what the others have
    /// received. `leaves` says that they [leave](crate::seam::Ends::is_leaving) because the node
    /// ends: what they have not finished then stays unfinished.
    pub fn place(&mut self, leaves: bool) -> Place {
        let Replay { streams, ended, gone, open, begun, .. } = self;
        let done = |feed: &Feed| feed.done(|| leaves).unwrap_or(feed.next());
        ended.retain(|_, feed| done(feed) < feed.next());
        let finished = |epoch| {
            let feed = streams.get(&epoch).map(|stream| &stream.feed).or_else(|| ended.get(&epoch));
            feed.map_or(u64::MAX, done)
        };
        while open.pop_front_if(|it| finished(it.epoch) >= it.next).is_some() {}
        let live = streams.iter().map(|(epoch, stream)| (*epoch, &stream.feed));
        let live = live.chain(ended.iter().map(|(epoch, feed)| (*epoch, feed)));
        let live = live.map(|(epoch, feed)| (epoch, done(feed)));
        Place {
            position: open.front().map_or(self.passed, |first| first.position - 1),
            streams: gone
                .iter()
                .map(|epoch| (*epoch, u64::MAX))
                .chain(begun.iter().map(|(epoch, next)| (*epoch, *next)))
                .chain(live)
                .collect(),
        }
    }

    /// Passes an item of a stream.
    fn pass(
        &mut self,
        stored: &Stored<'_>,
        start: &Start<&str>,
        item: Item<'_>,
        waker: &Waker,
    ) -> Poll<Result<(), PacketError>> {
        let Stream { feed, has_missed, stored_at, .. } = ready!(self.find(stored, start, waker))?;
        *stored_at = stored.stored_at;
        if *has_missed || feed.next() < stored_before(start) {
            // Packets before this one were in the log, and are not any more.
            skip_to(feed, start.next);
            *has_missed = false;
        }
        if feed.next() < start.next {
            // Packets before this one are stored later, and then this one again.
            return Poll::Ready(Ok(()));
        }
        let mut passed = push(feed, &item, stored.redelivered);
        if passed.is_err() {
            feed.flush();
            feed.park(waker);
            // There may have been room before it was parked.
            passed = push(feed, &item, stored.redelivered);
            feed.flush();
        }
        let (position, epoch, next) = (stored.position, start.epoch, feed.next());
        match self.open.back_mut() {
            Some(last) if (last.position, last.epoch) == (position, epoch) => last.next = next,
            _ => self.open.push_back(Open { position, epoch, next }),
        }
        if passed.is_err() {
            return Poll::Pending;
        }
        if let Item::End(_) = item
            && let Some(Stream { mut feed, .. }) = self.streams.remove(&epoch)
        {
            feed.end();
            self.ended.insert(epoch, feed);
            self.gone.truncate(GONE - 1);
            self.gone.push_front(epoch);
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until there is room for another stream. The one that was silent for longest ends for
    /// its readers; if it comes back, it goes on where it was.
    fn make_room(&mut self, epoch: u64, waker: &Waker) -> Poll<()> {
        if self.streams.len() >= self.most_streams
            && let Some((&silent, _)) = self.streams.iter().min_by_key(|(_, it)| it.stored_at)
            && let Some(Stream { mut feed, .. }) = self.streams.remove(&silent)
        {
            feed.end();
            self.remember(silent, feed.next());
            self.ended.insert(silent, feed);
        }
        let waits = |it: &Replay| {
            let is_full = it.streams.len() + it.ended.len() >= it.most_streams;
            is_full || it.ended.contains_key(&epoch)
        };
        if waits(self) {
            self.ended.values().for_each(|feed| feed.park(waker));
            self.place(false);
        }
        if waits(self) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Finds the stream of a start, or creates it.
    fn find(
        &mut self,
        stored: &Stored<'_>,
        start: &Start<&str>,
        waker: &Waker,
    ) -> Poll<Result<&mut Stream, PacketError>> {
        let Start { publisher, epoch, .. } = *start;
        if !self.streams.contains_key(&epoch) {
            ready!(self.make_room(epoch, waker));
            // A stream that is not known began before the first packet that is read here, or begins
            // now: then it has no packet that is known to be stored.
            let first = match self.begun.get(&epoch) {
                Some(finished) => *finished,
                None if stored_before(start) == 0 => 0,
                None => start.next,
            };
            let feed = match self.topic.feed(publisher, epoch, first) {
                Err(TopicError::Unread { .. }) => {
                    // Too many publishers have ended that are not read to the end.
                    self.ended.values().for_each(|feed| feed.park(waker));
                    return Poll::Pending;
                }
                made => made?,
            };
            self.begun.remove(&epoch);
            let (process, stored_at) = (stored.process.into(), stored.stored_at);
            self.streams.insert(epoch, Stream { feed, process, stored_at, has_missed: false });
        }
        let Some(stream) = self.streams.get_mut(&epoch) else { unreachable!("it was inserted") };
        Poll::Ready(Ok(stream))
    }

    /// Loses the streams of earlier processes of the node that has stored a packet. They did not
    /// end: they were killed.
    fn lose_replaced(&mut self, stored: &Stored<'_>) {
        let Stored { process, stored_at, .. } = *stored;
        if let Some(last) = self.processes.get_mut(process) {
            *last = stored_at;
        } else {
            if self.processes.len() >= PROCESSES
                && let Some((oldest, _)) = self.processes.iter().min_by_key(|(_, last)| **last)
            {
                let oldest = oldest.clone();
                self.processes.remove(&oldest);
            }
            self.processes.insert(process.into(), stored_at);
        }
        let replaced = |other: &str, last: Duration| {
            other != process
                && last.saturating_add(REPLACED) < stored_at
                && node_of(other) == node_of(process)
        };
        let lost = self.processes.extract_if(.., |other, last| replaced(other, *last));
        let lost: BTreeSet<Arc<str>> = lost.map(|(process, _)| process).collect();
        if !lost.is_empty() {
            let streams = self.streams.extract_if(.., |_, stream| lost.contains(&stream.process));
            for (epoch, Stream { mut feed, .. }) in streams {
                feed.end_as_lost();
                self.ended.insert(epoch, feed);
            }
        }
    }
}

/// Passes an item to the readers of its stream.
fn push(feed: &mut Feed, item: &Item<'_>, redelivered: bool) -> Result<(), Full> {
    match *item {
        Item::Message(frame) => push_message(feed, &frame, redelivered),
        Item::Run { first, shape, bytes } => push_run(feed, first, shape, bytes, redelivered),
        Item::End(next) => {
            skip_to(feed, next);
            Ok(())
        }
        Item::Start(_) | Item::List(_) => Ok(()),
    }
}

/// Returns the node of a process.
#[must_use]
pub fn node_of(process: &str) -> &str {
    process.rsplit_once('-').map_or(process, |(node, _)| node)
}

/// Returns the sequence before which all messages were stored when this packet was sent.
fn stored_before(start: &Start<&str>) -> u64 {
    start.next.saturating_sub(start.unstored.into())
}
