//! Passes the messages of a work queue to the readers of this process, and says which of them are
//! finished.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use mycelium_core::frame::{FrameView, Limits};
use mycelium_core::link::packet::{Item, Packet, Start};

use super::PacketError;
use crate::local::{FeedError, Metadata, Topic, TopicError, Undelivered};
use crate::seam::Feed;
use crate::sync::lock;

/// The most messages that a process has and has not finished.
const AHEAD: usize = 32;
/// The most of them in the ring of its readers. These cannot go to another process any more.
const IN_RING: usize = 2;
/// Readers that finish a message within this time get twice as many.
const QUICK: Duration = Duration::from_millis(5);
/// Readers that need longer get one at a time.
const SLOW: Duration = Duration::from_millis(50);

/// The readers of a work queue in this process. They see one publisher, with the name of the
/// engine; its messages are those that the engine has given to this process, in the order of their
/// arrival. `J` is what the engine needs to confirm a message.
pub struct Worker<J> {
    topic: Arc<Topic>,
    limits: Limits,
    feed: Feed,
    /// The messages that are not finished, in order.
    jobs: VecDeque<Job<J>>,
    /// The sequences of messages at which a reader has failed twice.
    dead: Arc<Mutex<BTreeSet<u64>>>,
    /// How many messages the process has at most.
    ahead: usize,
}

struct Job<J> {
    of: J,
    arrived_at: Duration,
}

/// A message that is finished.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished<J> {
    /// What was passed with it.
    pub of: J,
    /// A reader has failed at it twice.
    pub is_dead: bool,
}

impl<J> Worker<J> {
    /// Creates the readers of a topic. Their messages come from a publisher with this name and
    /// epoch.
    ///
    /// # Errors
    /// The same as for [`Topic::feed`].
    pub fn new(topic: Arc<Topic>, name: &str, epoch: u64) -> Result<Worker<J>, TopicError> {
        let (feed, dead) = (topic.feed(name, epoch, 0)?, Arc::<Mutex<BTreeSet<u64>>>::default());
        let noted = dead.clone();
        topic.on_dead_letter(move |undelivered| {
            if undelivered.epoch == epoch {
                lock(&noted).insert(undelivered.sequence);
            }
        });
        let limits = super::limits(&topic);
        Ok(Worker { topic, limits, feed, jobs: VecDeque::new(), dead, ahead: 1 })
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Returns how many messages to request, given the number of those that are not yet in the
    /// ring: one if readers take long, and more if they are quick. 0 without readers, or with more
    /// than half of these in hand.
    #[must_use]
    pub fn wants(&self, waiting: usize) -> usize {
        // Asks again when half of them are finished.
        let has = self.jobs.len() + waiting;
        let is_enough = has > self.ahead / 2;
        if is_enough || !self.topic.is_read() { 0 } else { self.ahead - has }
    }

    /// Whether to [take](Worker::take) the next message now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.jobs.len() < self.ahead.min(IN_RING)
    }

    /// Whether the readers take long: give messages that wait for them to another process. From now
    /// on they get one at a time.
    pub fn is_slow(&mut self, now: Duration) -> bool {
        let first = self.jobs.front();
        let is_slow = first.is_some_and(|job| now.saturating_sub(job.arrived_at) > SLOW);
        if is_slow {
            self.ahead = 1;
        }
        is_slow
    }

    /// Passes a packet with one message to the readers, and with it `job`, which is returned when
    /// they have finished it. If they have no room, call it again with the same packet when the
    /// waker was woken. `redelivered` says that a reader may have had it.
    ///
    /// # Errors
    /// If the packet does not have one valid message of the topic.
    pub fn take(
        &mut self,
        packet: &[u8],
        redelivered: bool,
        job: impl FnOnce() -> J,
        now: Duration,
        waker: &Waker,
    ) -> Poll<Result<(), PacketError>> {
        let (_, frame) = self.message(packet)?;
        let metadata = Metadata { trace: frame.trace(), sent_at: frame.sent_at() };
        let push = |feed: &mut Feed| feed.push_with(frame.payload(), redelivered, metadata);
        let mut pushed = push(&mut self.feed);
        if let Err(FeedError::Full) = pushed {
            self.feed.park(waker);
            // There may have been room before it was parked.
            pushed = push(&mut self.feed);
        }
        self.feed.flush();
        match pushed {
            Ok(()) => {}
            Err(FeedError::Full) => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(PacketError::Message(error))),
        }
        self.jobs.push_back(Job { of: job(), arrived_at: now });
        Poll::Ready(Ok(()))
    }

    /// Returns the next message that is finished. If there is none, the waker is woken when there
    /// may be one.
    pub fn finished(&mut self, now: Duration, waker: &Waker) -> Poll<Finished<J>> {
        let first = self.feed.next() - self.jobs.len() as u64;
        // What readers have left unread is not finished, until `give_up` is called.
        let is_finished = |feed: &Feed| feed.done(|| true).is_some_and(|done| done > first);
        if !is_finished(&self.feed) {
            self.feed.park(waker);
            if !is_finished(&self.feed) {
                return Poll::Pending;
            }
        }
        let Some(Job { of, arrived_at }) = self.jobs.pop_front() else { return Poll::Pending };
        let time = now.saturating_sub(arrived_at);
        if time > SLOW {
            self.ahead = 1;
        } else if time < QUICK {
            self.ahead = (2 * self.ahead).min(AHEAD);
        }
        Poll::Ready(Finished { of, is_dead: lock(&self.dead).remove(&first) })
    }

    /// Whether there are messages that are not finished.
    #[must_use]
    pub fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Returns the messages that are not finished.
    pub fn jobs(&mut self) -> impl Iterator<Item = &mut J> {
        self.jobs.iter_mut().map(|job| &mut job.of)
    }

    /// Gives up the messages that are not finished, because their readers have left.
    pub fn give_up(&mut self) -> Vec<J> {
        let _ = self.feed.done(|| false);
        self.jobs.drain(..).map(|job| job.of).collect()
    }

    /// Returns the message of a packet, and its publisher.
    fn message<'a>(
        &self,
        packet: &'a [u8],
    ) -> Result<(Start<&'a str>, FrameView<'a>), PacketError> {
        let items = Packet::new(packet, self.topic.schema().id, self.limits);
        let (mut start, mut message) = (None, None);
        for item in items {
            match item? {
                Item::Start(found) if start.is_none() => start = Some(found),
                Item::Message(frame) if message.is_none() => message = Some(frame),
                _ => return Err(PacketError::Messages),
            }
        }
        start.zip(message).ok_or(PacketError::Messages)
    }

    /// Returns the dead letter of a packet that was delivered too often; `None` if it is not valid.
    #[must_use]
    pub fn dead_letter(&self, packet: &[u8], reader: &str) -> Option<Undelivered> {
        let (publisher, frame) = self.message(packet).ok()?;
        Some(Undelivered {
            topic: self.topic.name().into(),
            reader: reader.into(),
            type_id: self.topic.schema().id,
            publisher: publisher.publisher.into(),
            epoch: publisher.epoch,
            sequence: frame.header().sequence(),
            payload: frame.payload().to_vec().into(),
        })
    }
}
