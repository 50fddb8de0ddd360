//! Passes packets to the subscriptions of a topic.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mycelium_core::frame::{FrameView, HEADER_LEN, Limits};
use mycelium_core::link::LinkError;
use mycelium_core::link::packet::{Item, Packet};
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
        let mut current: Option<u64> = None;
        let mut is_list = packet.is_empty();
        let items = Packet::new(packet, self.topic.schema().id, self.limits);
        let mut taken = Ok(());
        for item in items {
            let item = match item {
                Ok(item) => item,
                Err(error) => {
                    taken = Err(error.into());
                    break;
                }
            };
            if let Item::Stream { publisher, epoch, next, is_listed } = item {
                is_list |= is_listed;
                self.flush(sender, current.replace(epoch));
                if let Err(error) = self.join(sender, publisher, epoch, next) {
                    (taken, current) = (Err(error), None);
                }
                continue;
            }
            let Some(epoch) = current else { continue };
            let Some(from) = self.senders.get_mut(sender) else { continue };
            let Some(feed) = from.feeds.get_mut(&epoch) else { continue };
            match item {
                Item::Message(frame) => push(feed, &frame),
                Item::End(next) => {
                    skip_to(feed, next);
                    feed.end();
                    from.feeds.remove(&epoch);
                    self.streams -= 1;
                    from.ended.truncate(ENDED - 1);
                    from.ended.push_front(epoch);
                }
                Item::Stream { .. } => {}
            }
        }
        self.flush(sender, current);
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

    /// Finds or creates the feed of a stream whose next message has this sequence.
    fn join(
        &mut self,
        sender: &str,
        publisher: &str,
        epoch: u64,
        next: u64,
    ) -> Result<(), PacketError> {
        let streams = self.streams;
        let topic = self.topic.clone();
        let from = self.sender(sender)?;
        if let Some(feed) = from.feeds.get_mut(&epoch) {
            skip_to(feed, next);
        } else if !from.ended.contains(&epoch) {
            if streams >= STREAMS {
                return Err(PacketError::TooMany { what: "publishers", limit: STREAMS });
            }
            let first = if from.has_listed { 0 } else { next };
            let feed = from.feeds.entry(epoch).or_insert(topic.feed(publisher, epoch, first)?);
            skip_to(feed, next);
            self.streams += 1;
        }
        Ok(())
    }

    fn sender(&mut self, name: &str) -> Result<&mut Sender, PacketError> {
        if !self.senders.contains_key(name) {
            if self.senders.len() >= SENDERS {
                return Err(PacketError::TooMany { what: "processes", limit: SENDERS });
            }
            self.senders.insert(name.to_owned(), Sender::default());
        }
        // It is there.
        Ok(self.senders.entry(name.to_owned()).or_default())
    }

    /// Wakes the readers of a stream.
    fn flush(&mut self, sender: &str, epoch: Option<u64>) {
        let from = self.senders.get_mut(sender).zip(epoch);
        let feed = from.and_then(|(from, epoch)| from.feeds.get_mut(&epoch));
        feed.into_iter().for_each(Feed::flush);
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
