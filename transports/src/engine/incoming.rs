//! Passes packets to the subscriptions of a topic.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mycelium_core::frame::{FrameView, HEADER_LEN, Limits};
use mycelium_core::link::packet::{Item, Packet};
use mycelium_core::link::{LinkError, RunShape};
use thiserror::Error;

use crate::local::{FeedError, GapReason, Metadata, Topic, TopicError};
use crate::seam::Feed;

/// How many starts of publishers the senders of a topic may have at once.
const STREAMS: usize = 4096;
/// How many senders a topic may have at once.
const SENDERS: usize = 1024;
/// How many ended streams of a sender are remembered, so that their repeated ends are known.
const ENDED: usize = 64;

/// The packets of a topic from other processes.
pub struct Incoming {
    topic: Arc<Topic>,
    limits: Limits,
    senders: BTreeMap<String, Sender>,
    /// The number of feeds of all senders.
    streams: usize,
}

#[derive(Default)]
struct Sender {
    /// Whether the sender has listed its streams: one that is found now has begun since then.
    has_listed: bool,
    feeds: BTreeMap<u64, Feed>,
    ended: VecDeque<u64>,
}

/// Why a packet, or the rest of it, was ignored. Its messages are a gap of their readers as soon as
/// a valid packet of the same stream arrives.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The bytes are not a packet of this topic.
    #[error("invalid packet: {0}")]
    Invalid(#[from] LinkError),
    /// The topic has no room for another publisher.
    #[error(transparent)]
    Topic(#[from] TopicError),
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
        let longest = HEADER_LEN + usize::from(u16::MAX) + topic.schema().longest;
        let max_frame = u32::try_from(longest).unwrap_or(u32::MAX);
        let limits = Limits { max_frame };
        Incoming { topic, limits, senders: BTreeMap::new(), streams: 0 }
    }

    /// Takes a packet. `sender` is a name of the process that has sent it. The bytes may be any.
    ///
    /// # Errors
    /// If the packet is not valid. The items before the error count.
    pub fn take(&mut self, sender: &str, packet: &[u8]) -> Result<(), PacketError> {
        let mut is_list = packet.is_empty();
        // The feed of the items that follow, out of its map.
        let mut current: Option<(u64, Feed)> = None;
        let mut taken = Ok(());
        for item in Packet::new(packet, self.topic.schema().id, self.limits) {
            match item {
                Err(error) => {
                    taken = Err(error.into());
                    break;
                }
                Ok(Item::Stream { publisher, epoch, next, is_listed }) => {
                    is_list |= is_listed;
                    self.put_back(sender, current.take());
                    match self.join(sender, publisher, epoch, next) {
                        Ok(feed) => current = feed.map(|feed| (epoch, feed)),
                        Err(error) => taken = Err(error),
                    }
                }
                Ok(Item::Message(frame)) => {
                    current.iter_mut().for_each(|(_, feed)| push(feed, &frame));
                }
                Ok(Item::Run { first, shape, bytes }) => {
                    current.iter_mut().for_each(|(_, feed)| push_run(feed, first, shape, bytes));
                }
                Ok(Item::End(next)) => {
                    let Some((epoch, mut feed)) = current.take() else { continue };
                    skip_to(&mut feed, next);
                    feed.end();
                    self.streams -= 1;
                    let ended = &mut self.sender(sender)?.ended;
                    ended.truncate(ENDED - 1);
                    ended.push_front(epoch);
                }
            }
        }
        self.put_back(sender, current);
        if is_list && taken.is_ok() {
            self.sender(sender)?.has_listed = true;
        }
        taken
    }

    /// Ends what this process has published, because it has left or cannot be reached. Readers get
    /// an inexact gap, and then the end. If it comes back, its next packet begins the streams anew.
    pub fn lose(&mut self, sender: &str) {
        let Some(Sender { feeds, .. }) = self.senders.remove(sender) else { return };
        self.streams -= feeds.len();
        feeds.into_values().for_each(Feed::lose);
    }

    /// Returns the names of the processes that publish the topic.
    pub fn senders(&self) -> impl Iterator<Item = &str> {
        self.senders.keys().map(String::as_str)
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Takes the feed of a stream, whose next message has this sequence, out of its map, or creates
    /// it; `None` if the stream has ended.
    fn join(
        &mut self,
        sender: &str,
        publisher: &str,
        epoch: u64,
        next: u64,
    ) -> Result<Option<Feed>, PacketError> {
        let from = self.sender(sender)?;
        let mut feed = match from.feeds.remove(&epoch) {
            Some(feed) => feed,
            None if from.ended.contains(&epoch) => return Ok(None),
            None => {
                let first = if from.has_listed { 0 } else { next };
                if self.streams >= STREAMS {
                    return Err(PacketError::TooMany { what: "publishers", limit: STREAMS });
                }
                let feed = self.topic.feed(publisher, epoch, first)?;
                self.streams += 1;
                feed
            }
        };
        skip_to(&mut feed, next);
        Ok(Some(feed))
    }

    /// Wakes the readers of a stream, and puts its feed back.
    fn put_back(&mut self, sender: &str, stream: Option<(u64, Feed)>) {
        let Some((epoch, mut feed)) = stream else { return };
        feed.flush();
        if let Some(from) = self.senders.get_mut(sender) {
            from.feeds.insert(epoch, feed);
        }
    }

    fn sender(&mut self, name: &str) -> Result<&mut Sender, PacketError> {
        let is_new = !self.senders.contains_key(name);
        if is_new && self.senders.len() >= SENDERS {
            return Err(PacketError::TooMany { what: "processes", limit: SENDERS });
        }
        Ok(self.senders.entry(name.to_owned()).or_default())
    }
}

/// Records that the messages before `next` are missing, unless the feed has them.
fn skip_to(feed: &mut Feed, next: u64) {
    if let Some(missed @ 1..) = next.checked_sub(feed.next()) {
        feed.skip(missed, GapReason::Disconnected);
    }
}

fn push(feed: &mut Feed, frame: &FrameView<'_>) {
    let sequence = frame.header().sequence();
    skip_to(feed, sequence);
    if sequence < feed.next() {
        // It was overtaken, and is in a gap.
        return;
    }
    let metadata = Metadata { trace: frame.trace(), sent_at: frame.sent_at() };
    match feed.push_with(frame.payload(), frame.is_redelivered(), metadata) {
        Ok(()) | Err(FeedError::Ended) => {}
        Err(FeedError::Size { .. }) => feed.skip(1, GapReason::Undecodable),
        Err(FeedError::Full) => feed.skip(1, GapReason::Dropped),
    }
}

fn push_run(feed: &mut Feed, first: u64, shape: RunShape, bytes: &[u8]) {
    skip_to(feed, first);
    let stride = shape.stride as usize;
    let end = first + (bytes.len() / stride) as u64;
    // The messages before the next one were overtaken, and are in a gap.
    let late = usize::try_from(feed.next() - first).unwrap_or(usize::MAX);
    let Some(new @ [_, ..]) = bytes.get(late.saturating_mul(stride)..) else { return };
    let reason = match feed.push_run(shape, new) {
        Ok(()) | Err(FeedError::Ended) => return,
        Err(FeedError::Size { .. }) => GapReason::Undecodable,
        Err(FeedError::Full) => GapReason::Dropped,
    };
    feed.skip(end - feed.next(), reason);
}
