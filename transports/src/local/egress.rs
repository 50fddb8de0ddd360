//! The reading end of a topic for whoever reads in another process.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::task::Waker;

use mycelium_core::doorbell::announce;
use mycelium_core::link::RunShape;
use mycelium_core::ring::broadcast::{Keeping, Look};
use zerocopy::IntoBytes;

use super::delivery::Undelivered;
use super::state::{Edge, PublisherState, Ring, SubscriberState};
use super::{Policy, Topic, TopicError};
use crate::counters::{EdgeValue, Line};

/// Reads the messages of one topic as bytes, each publisher's by itself, and keeps them until they are
/// confirmed. It stands for the subscriptions of another process: as long as it exists, it open_guards the
/// publishers as they would. It does not read publishers of other processes: what came over a link is
/// not sent out again.
///
/// Whoever brings the messages on keeps a `T` with each stream.
pub struct EgressReader<T = ()> {
    topic: Arc<Topic>,
    subscriber: Arc<SubscriberState>,
    streams: Vec<EgressStream<T>>,
    /// The version of the subscriber's incoming edges that were taken in.
    edges_version: usize,
}

impl Topic {
    /// A tap for the reader `name` of another process. It begins as [`subscribe`](Topic::subscribe) does.
    ///
    /// # Errors
    /// If the topic has too many gating subscriptions.
    pub fn egress_reader<T>(
        self: &Arc<Topic>,
        name: &str,
        policy: Policy,
    ) -> Result<EgressReader<T>, TopicError> {
        let subscriber = SubscriberState::for_egress(name, policy);
        self.add_subscriber(&subscriber)?;
        Ok(EgressReader { topic: self.clone(), subscriber, streams: Vec::new(), edges_version: 0 })
    }
}

impl<T> EgressReader<T> {
    /// One for each start of a publisher that may send, or has sent messages that are not confirmed.
    /// New ones since the last call are behind the others.
    pub fn streams(&mut self) -> &mut Vec<EgressStream<T>>
    where
        T: Default,
    {
        if self.edges_version != self.subscriber.incoming.version() {
            self.add_edges();
        }
        &mut self.streams
    }

    /// The streams that are known already; new ones are not looked for.
    pub fn known_streams(&self) -> &[EgressStream<T>] {
        &self.streams
    }

    /// Whether every publisher has ended and all of their messages are confirmed.
    pub fn is_over(&mut self) -> bool
    where
        T: Default,
    {
        self.streams().is_empty() && self.edges_version > 0
    }

    /// Has the waker called when there is more; look once more after this.
    pub fn park(&self, waker: &Waker) {
        self.subscriber.bell.park(waker);
    }

    /// What happens when the reader is slower than a publisher.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.subscriber.policy
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// How many messages are not confirmed.
    pub fn depth(&mut self) -> usize
    where
        T: Default,
    {
        self.streams().iter().map(|stream| stream.reader.depth()).sum()
    }

    #[cold]
    fn add_edges(&mut self)
    where
        T: Default,
    {
        let mut incoming = self.subscriber.incoming.lock();
        self.edges_version = self.subscriber.incoming.version();
        let (subscriber, type_id) = (&self.subscriber, self.topic.schema().id);
        self.streams.extend(
            incoming.drain(..).map(|edge| EgressStream::new(edge, subscriber.clone(), type_id)),
        );
    }
}

impl<T> Drop for EgressReader<T> {
    fn drop(&mut self) {
        self.topic.remove_subscriber(&self.subscriber);
        // Nobody hands it any more; these leave as the others do.
        let incoming = std::mem::take(&mut *self.subscriber.incoming.lock());
        incoming
            .into_iter()
            .for_each(|edge| drop(EgressStream::<()>::new(edge, self.subscriber.clone(), 0)));
        // As when a subscription goes.
        self.subscriber.bell.forget();
    }
}

impl<T> fmt::Debug for EgressReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressReader")
            .field("topic", &self.topic.name())
            .field("reader", &self.subscriber.name)
            .field("policy", &self.subscriber.policy)
            .finish_non_exhaustive()
    }
}

/// What a [`EgressStream`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressItem<'a> {
    /// The bytes of its next message.
    Message(&'a [u8]),
    /// How many messages were overwritten because the reader was too slow.
    Gap(u64),
    /// Nothing yet.
    Empty,
    /// Its publisher has ended, and all was seen.
    Closed,
}

/// One start of a publisher at one tap. Dropping it lets the publisher pass.
pub struct EgressStream<T = ()> {
    /// What whoever brings its messages on keeps with it.
    pub state: T,
    subscriber: Arc<SubscriberState>,
    type_id: u16,
    line: Line<EdgeValue>,
    words: Box<[usize]>,
    /// What was missed between what is kept and what comes next.
    gaps: VecDeque<Missed>,
    /// Dropped before `publisher`, which tells the publisher then.
    reader: Keeping<Ring>,
    publisher: Leaving,
}

/// `count` messages before a sequence, and how they are counted.
struct Missed {
    before: u64,
    count: u64,
    value: EdgeValue,
}

/// The publisher of a reader that has left when this is dropped.
struct Leaving(Arc<PublisherState>);

impl Deref for Leaving {
    type Target = PublisherState;

    fn deref(&self) -> &PublisherState {
        &self.0
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        announce();
        self.room.ring();
    }
}

impl<T> EgressStream<T> {
    fn new(edge: Edge, subscriber: Arc<SubscriberState>, type_id: u16) -> EgressStream<T>
    where
        T: Default,
    {
        let Edge { publisher, consumer, line, .. } = edge;
        let words =
            vec![0; publisher.ring.layout().message_bytes().div_ceil(size_of::<usize>())].into();
        let (state, gaps, reader) = (T::default(), VecDeque::new(), consumer.keeping());
        EgressStream {
            state,
            subscriber,
            type_id,
            line,
            words,
            gaps,
            reader,
            publisher: Leaving(publisher),
        }
    }

    /// The publisher.
    #[must_use]
    pub fn publisher(&self) -> &Arc<str> {
        &self.publisher.name
    }

    /// Its start.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.publisher.epoch
    }

    /// How many messages it keeps at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.publisher.ring.capacity()
    }

    /// What comes next; the same again until [`advance`](EgressStream::advance).
    #[inline]
    pub fn next_item(&mut self) -> EgressItem<'_> {
        match self.reader.look(&mut self.words) {
            Look::Message { length, .. } => {
                let bytes = self.words.as_bytes();
                EgressItem::Message(bytes.get(..length).unwrap_or(bytes))
            }
            Look::Gap { missed } => {
                // It counts once it is let go of: until then it may yet grow.
                let (before, count) = (self.next(), missed as u64);
                self.gaps.push_back(Missed { before, count, value: EdgeValue::Overwritten });
                EgressItem::Gap(count)
            }
            Look::Empty => EgressItem::Empty,
            Look::Closed => EgressItem::Closed,
        }
    }

    /// How many messages come next that can be [lent](EgressStream::lend), at most `most`.
    #[must_use]
    pub fn ready(&self, most: usize) -> usize {
        self.reader.ready(most)
    }

    /// Goes on after `count` messages that are [ready](EgressStream::ready). They are kept.
    pub fn pass_ready(&mut self, count: usize) {
        self.reader.pass(count);
    }

    /// How messages lie in what is [lent](EgressStream::lend); `None` if they are too long for that.
    #[must_use]
    pub fn shape(&self) -> Option<RunShape> {
        let layout = self.publisher.ring.layout();
        let word = size_of::<usize>();
        let length = u16::try_from(layout.message_bytes()).ok()?;
        let stride = u32::try_from(layout.slot_words() * word).ok()?;
        // The stamp comes first.
        Some(RunShape { stride, skip: word as u16, length })
    }

    /// The slots of `count` messages from a sequence on, as they lie, if all of them are kept: in two pieces, the second of
    /// which may be empty.
    #[must_use]
    pub fn lend(&self, first: u64, count: usize) -> Option<[&[u8]; 2]> {
        let slots = self.reader.lend(first as usize, count)?;
        Some(slots.map(IntoBytes::as_bytes))
    }

    /// Goes on to the message after the one that was looked at, which is kept.
    #[inline]
    pub fn advance(&mut self) {
        self.reader.advance();
    }

    /// Passes over the messages before a sequence, which are counted as `value` once they are let go of. Returns how many
    /// there were.
    pub fn pass(&mut self, before: u64, value: EdgeValue) -> u64 {
        let from = self.next();
        self.reader.skip_to(before as usize);
        let count = self.next() - from;
        self.gaps.push_back(Missed { before, count, value });
        count
    }

    /// The messages that come next were sent a second time.
    pub fn count_sent_again(&self, count: u64) {
        self.line.add(EdgeValue::SentAgain, count);
    }

    /// The message that comes next, as one that is given up.
    pub fn dead_letter(&mut self) -> Option<Undelivered> {
        let (sequence, epoch) = (self.next(), self.epoch());
        let EgressItem::Message(bytes) = self.next_item() else { return None };
        let payload = bytes.to_owned();
        let (topic, publisher) = (self.publisher.topic.clone(), self.publisher.name.clone());
        let (reader, type_id) = (self.subscriber.name.clone(), self.type_id);
        Some(Undelivered { topic, reader, type_id, publisher, epoch, sequence, payload })
    }

    /// The sequence of what comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.reader.cursor() as u64
    }

    /// The sequence of the first message that is kept.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.reader.kept() as u64
    }

    /// The messages before this sequence are confirmed: they are kept no more, and their room is the publisher's again.
    pub fn release(&mut self, before: u64) {
        self.let_go(before, EdgeValue::Taken);
    }

    /// Goes back to a message that is kept.
    pub fn rewind(&mut self, sequence: u64) {
        self.reader.rewind(sequence as usize);
        self.gaps.retain(|gap| gap.before <= sequence);
    }

    fn let_go(&mut self, before: u64, value: EdgeValue) {
        let kept = self.reader.kept();
        self.reader.release(before as usize);
        let passed = self.reader.kept().wrapping_sub(kept) as u64;
        if passed > 0 {
            let missed = self.missed(before);
            self.line.add(value, passed.saturating_sub(missed));
            announce();
            self.publisher.room.ring();
        }
    }

    /// Counts what was missed before a sequence.
    fn missed(&mut self, before: u64) -> u64 {
        let mut missed = 0;
        while let Some(gap) = self.gaps.pop_front_if(|gap| gap.before <= before) {
            missed += gap.count;
            self.line.add(gap.value, gap.count);
        }
        missed
    }
}

impl<T> Drop for EgressStream<T> {
    fn drop(&mut self) {
        let missed = self.missed(u64::MAX);
        self.line.add(EdgeValue::Left, (self.reader.depth() as u64).saturating_sub(missed));
        // Its entry in the ring may go to another reader only when it no longer says that it is this one's.
        self.subscriber.leave(&self.publisher.0);
    }
}

impl<T> fmt::Debug for EgressStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressStream")
            .field("publisher", &self.publisher.name)
            .field("kept", &self.kept())
            .field("next", &self.next())
            .finish_non_exhaustive()
    }
}
