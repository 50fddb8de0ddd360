//! Passes packets to the subscriptions of a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::frame::Limits;
use mycelium_core::link::LinkError;
use mycelium_core::link::packet::{Item, Packet, Start};
use thiserror::Error;

use super::push::{push_message, push_run, skip_to};
use crate::local::{FeedError, GapReason, Topic, TopicError};
use crate::seam::Feed;

/// How many streams the senders of a topic may have at once, and how many starts of a sender are
/// distinguished.
const STREAMS: usize = 4096;
/// The most bytes of the rings of these streams. Four are allowed whatever they take.
const BYTES: usize = 64 << 20;
const FEW: usize = 4;
/// How many senders a topic may have at once.
const SENDERS: usize = 1024;
/// The longest name of a sender in bytes.
pub(super) const LONGEST_NAME: usize = 256;
/// How long a sender may be silent. If it comes back within this time, what it has sent meanwhile
/// is an exact gap.
const ABSENT: Duration = Duration::from_secs(10);

/// Returns how many streams of other processes a topic may have at once.
pub(super) fn most_streams(topic: &Topic) -> usize {
    (BYTES / topic.ring_bytes().max(1)).clamp(FEW, STREAMS)
}

/// The packets of a topic from other processes.
pub struct Incoming {
    topic: Arc<Topic>,
    limits: Limits,
    senders: BTreeMap<String, Sender>,
    /// The number of feeds of all senders.
    streams: usize,
    most_streams: usize,
    /// When [`lose_absent`](Incoming::lose_absent) was called last.
    checked_at: Duration,
}

/// A process that publishes the topic.
struct Sender {
    /// When its last packet arrived.
    heard_at: Duration,
    streams: BTreeMap<u64, Stream>,
    /// The starts from this number on have begun after the sender's first packet arrived.
    new_from: u32,
    /// No start from this number on was found so far.
    next: u32,
    /// The starts between these two that were not found so far.
    missing: BTreeSet<u32>,
    /// The starts before `new_from` that were found.
    old: BTreeSet<u32>,
}

struct Stream {
    feed: Box<Feed>,
    ordinal: u32,
}

/// Why a packet, or the rest of it, was ignored. Its messages are a gap of their readers as soon as
/// a valid packet of the same stream arrives.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The bytes are not a packet of this topic.
    #[error("invalid packet: {0}")]
    Invalid(#[from] LinkError),
    /// A packet of a work queue does not have one message.
    #[error("invalid packet of a work queue: expected one message")]
    Messages,
    /// The message does not fit the topic.
    #[error("invalid message: {0}")]
    Message(FeedError),
    /// The topic has no room for another publisher.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The name of the sender is too long.
    #[error("the name of its sender has {found} bytes: expected at most {LONGEST_NAME}")]
    Name {
        /// The length of the name in bytes.
        found: usize,
    },
    /// The topic has too many senders or publishers in other processes.
    #[error("more than {limit} {what} of other processes publish the topic")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl Incoming {
    /// Creates the feeds of a topic. They begin at the first packet of a process, and at the first
    /// message of publishers that start later.
    #[must_use]
    pub fn new(topic: Arc<Topic>) -> Incoming {
        let limits = super::limits(&topic);
        let most_streams = most_streams(&topic);
        let (senders, checked_at) = (BTreeMap::new(), Duration::ZERO);
        Incoming { topic, limits, senders, streams: 0, most_streams, checked_at }
    }

    /// Takes a packet. `sender` is a name of the process that has sent it. The bytes may be any.
    /// `now` is the time since any fixed instant.
    ///
    /// # Errors
    /// If the packet is not valid. The items before the error count.
    pub fn take(&mut self, sender: &str, packet: &[u8], now: Duration) -> Result<(), PacketError> {
        let mut list: Option<List> = None;
        let mut current = Current::Nothing;
        let mut taken = Ok(());
        for item in Packet::new(packet, self.topic.schema().id, self.limits) {
            let item = match item {
                Ok(item) => item,
                Err(error) => {
                    taken = Err(error.into());
                    list = None;
                    break;
                }
            };
            let done = match item {
                Item::List(starts) => {
                    list = Some(List { starts, named: BTreeSet::new() });
                    self.sender(sender, starts).map(drop)
                }
                Item::Start(start) => {
                    list.iter_mut().for_each(|list| _ = list.named.insert(start.ordinal));
                    let before = self.put_back(sender, std::mem::take(&mut current));
                    before.and(self.find(sender, start).map(|found| current = found))
                }
                Item::Message(frame) => self.with(sender, &mut current, |feed| {
                    if push_message(feed, &frame, false).is_err() {
                        feed.skip(1, GapReason::Dropped);
                    }
                }),
                Item::Run { first, shape, bytes } => self.with(sender, &mut current, |feed| {
                    if push_run(feed, first, shape, bytes, false).is_err() {
                        let end = first + (bytes.len() / shape.stride as usize) as u64;
                        feed.skip(end - feed.next(), GapReason::Dropped);
                    }
                }),
                Item::End(next) => self.end(sender, std::mem::take(&mut current), next),
            };
            taken = taken.and(done);
        }
        taken = taken.and(self.put_back(sender, current));
        if let Some(sender) = self.senders.get_mut(sender) {
            sender.heard_at = now;
        }
        match list {
            Some(list) => taken.and(self.lose_unlisted(sender, &list)),
            None => taken,
        }
    }

    /// Ends what this process has published, because it has left or cannot be reached. Readers get
    /// an inexact gap, and then the end. If it comes back, its next packet begins the streams anew.
    pub fn lose(&mut self, sender: &str) {
        let Some(Sender { streams, .. }) = self.senders.remove(sender) else { return };
        self.streams -= streams.len();
        streams.into_values().for_each(|stream| stream.feed.lose());
    }

    /// [Loses](Incoming::lose) the processes that have sent nothing for 10 seconds, in which they
    /// list their streams ten times. It is called each [`HEARTBEAT`](super::HEARTBEAT): after a
    /// longer pause this process was stopped, and the others get their time anew.
    pub fn lose_absent(&mut self, now: Duration) {
        let was_stopped = now > self.checked_at.saturating_add(ABSENT / 2);
        self.checked_at = now;
        if was_stopped {
            self.senders.values_mut().for_each(|sender| sender.heard_at = now);
        }
        let is_absent = |sender: &Sender| now > sender.heard_at.saturating_add(ABSENT);
        let absent = self.senders.iter().filter(|(_, sender)| is_absent(sender));
        let absent: Vec<String> = absent.map(|(name, _)| name.clone()).collect();
        absent.iter().for_each(|sender| self.lose(sender));
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Returns the sender, which has had this many starts if this is its first packet.
    fn sender(&mut self, name: &str, starts: u32) -> Result<&mut Sender, PacketError> {
        if !self.senders.contains_key(name) {
            if name.len() > LONGEST_NAME {
                return Err(PacketError::Name { found: name.len() });
            }
            if self.senders.len() >= SENDERS {
                return Err(PacketError::TooMany { what: "processes", limit: SENDERS });
            }
            self.senders.insert(name.to_owned(), Sender::new(starts));
        }
        let Some(sender) = self.senders.get_mut(name) else { unreachable!("it was inserted") };
        Ok(sender)
    }

    /// Finds the stream of the next items, and takes it out of its map.
    fn find<'a>(
        &mut self,
        sender: &str,
        start: Start<&'a str>,
    ) -> Result<Current<'a>, PacketError> {
        let from = self.sender(sender, start.starts)?;
        if let Some(mut stream) = from.streams.remove(&start.epoch) {
            skip_to(&mut stream.feed, start.next);
            return Ok(Current::Stream(start.epoch, stream));
        }
        Ok(if from.has_ended(start.ordinal) { Current::Nothing } else { Current::New(start) })
    }

    /// Calls a function with the feed of the current stream, and creates it before if it is new.
    fn with(
        &mut self,
        sender: &str,
        current: &mut Current<'_>,
        act: impl FnOnce(&mut Feed),
    ) -> Result<(), PacketError> {
        if let Current::New(start) = *current {
            // If there is no room for it, it may be found again in another packet.
            *current = Current::Nothing;
            *current = Current::Stream(start.epoch, self.join(sender, start)?);
        }
        if let Current::Stream(_, stream) = current {
            act(&mut stream.feed);
        }
        Ok(())
    }

    /// Creates the feed of a stream that is new here.
    fn join(&mut self, sender: &str, start: Start<&str>) -> Result<Stream, PacketError> {
        let Start { publisher, epoch, next, ordinal, starts, .. } = start;
        let (streams, limit, topic) = (self.streams, self.most_streams, self.topic.clone());
        let from = self.sender(sender, starts)?;
        if streams >= limit {
            return Err(PacketError::TooMany { what: "publishers", limit });
        }
        let first = if from.is_new(ordinal) { 0 } else { next };
        let mut feed = Box::new(topic.feed(publisher, epoch, first)?);
        from.note(ordinal);
        self.streams += 1;
        skip_to(&mut feed, next);
        Ok(Stream { feed, ordinal })
    }

    fn end(
        &mut self,
        sender: &str,
        mut current: Current<'_>,
        next: u64,
    ) -> Result<(), PacketError> {
        if let Current::New(Start { ordinal, starts, .. }) = current {
            let from = self.sender(sender, starts)?;
            if !from.is_new(ordinal) || next == 0 {
                // It ended before it was known here, or has sent nothing.
                from.note(ordinal);
                return Ok(());
            }
        }
        self.with(sender, &mut current, |feed| {
            skip_to(feed, next);
            feed.end();
        })?;
        self.streams -= usize::from(matches!(current, Current::Stream(..)));
        Ok(())
    }

    /// Wakes the readers of a stream, and puts it into its map.
    fn put_back(&mut self, sender: &str, mut current: Current<'_>) -> Result<(), PacketError> {
        self.with(sender, &mut current, Feed::flush)?;
        if let Current::Stream(epoch, stream) = current
            && let Some(from) = self.senders.get_mut(sender)
        {
            from.streams.insert(epoch, stream);
        }
        Ok(())
    }

    /// Loses the streams that a list of their sender does not name, although they are among the
    /// starts that there were: they have ended, and all packets that told so were lost. For starts
    /// of which nothing was found, readers get one inexact gap, with the name of the sender.
    fn lose_unlisted(&mut self, sender: &str, list: &List) -> Result<(), PacketError> {
        let from = self.sender(sender, list.starts)?;
        let are_lost = from.pass(list);
        let lost = from.streams.extract_if(.., |_, stream| list.lacks(stream.ordinal));
        let lost: Vec<Stream> = lost.map(|(_, stream)| stream).collect();
        self.streams -= lost.len();
        lost.into_iter().for_each(|stream| stream.feed.lose());
        if are_lost {
            // No publisher of this process has this epoch: they are random.
            self.topic.feed(sender, list.starts.into(), 0)?.lose();
        }
        Ok(())
    }
}

/// The starts that a sender has named, of all that it has had.
struct List {
    starts: u32,
    named: BTreeSet<u32>,
}

impl List {
    /// Returns whether a start has ended long ago.
    fn lacks(&self, ordinal: u32) -> bool {
        ordinal < self.starts && !self.named.contains(&ordinal)
    }
}

/// The stream to which the items of a packet belong, out of its map.
#[derive(Default)]
enum Current<'a> {
    /// The stream has ended, or there is no room for it.
    #[default]
    Nothing,
    /// The stream has no feed yet.
    New(Start<&'a str>),
    Stream(u64, Stream),
}

impl Sender {
    fn new(starts: u32) -> Sender {
        Sender {
            heard_at: Duration::ZERO,
            streams: BTreeMap::new(),
            new_from: starts,
            next: starts,
            missing: BTreeSet::new(),
            old: BTreeSet::new(),
        }
    }

    /// Returns whether a start has begun after the sender's first packet: its first message has the
    /// sequence 0.
    fn is_new(&self, ordinal: u32) -> bool {
        ordinal >= self.new_from
    }

    /// Returns whether a start that has no feed had one.
    fn has_ended(&self, ordinal: u32) -> bool {
        match self.is_new(ordinal) {
            true => ordinal < self.next && !self.missing.contains(&ordinal),
            false => self.old.contains(&ordinal),
        }
    }

    /// Notes that a start was found.
    fn note(&mut self, ordinal: u32) {
        if !self.is_new(ordinal) {
            self.old.insert(ordinal);
            if self.old.len() > STREAMS {
                self.old.pop_first();
            }
            return;
        }
        self.expect(ordinal);
        self.missing.remove(&ordinal);
        self.next = self.next.max(ordinal.saturating_add(1));
    }

    /// Notes that there were this many starts. Returns whether there are too many new ones, which
    /// then count as begun before.
    fn expect(&mut self, starts: u32) -> bool {
        let new = self.next..starts;
        let are_too_many = self.missing.len() + new.len() > STREAMS;
        if are_too_many {
            (self.new_from, self.missing) = (starts, BTreeSet::new());
        } else {
            self.missing.extend(new);
        }
        self.next = self.next.max(starts);
        are_too_many
    }

    /// Notes which starts a list lacks. Returns whether there are any of which nothing was found.
    fn pass(&mut self, list: &List) -> bool {
        let are_too_many = self.expect(list.starts);
        let before = self.missing.len();
        self.missing.retain(|ordinal| !list.lacks(*ordinal));
        are_too_many || self.missing.len() < before
    }
}
