//! The writing end of a topic for a publisher in another process.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use mycelium_core::doorbell::announce;
use mycelium_core::link::RunShape;
use mycelium_core::ring::broadcast::{Broadcast, Producer};
use zerocopy::FromBytes;

use super::delivery::GapReason;
use super::numbering::Numbering;
use super::state::{Origin, PublisherState, Ring};
use super::task_budget::ReaderDoorbells;
use super::{Topic, TopicError};
use crate::counters::{Line, PublisherValue};

/// Stands for one start of a publisher in another process: whatever brings its messages here pushes their bytes, and
/// says where some are missing. Readers see the publisher's own name, epoch and sequences; the bytes are checked when
/// they are received. Dropping it says that the publisher has ended.
///
/// Nobody is told of what was pushed before [`flush`](RemotePublisher::flush).
pub struct RemotePublisher {
    topic: Arc<Topic>,
    publisher: Arc<PublisherState>,
    /// `None` after [`end`](RemotePublisher::end).
    producer: Option<Producer<Ring>>,
    doorbells: ReaderDoorbells,
    line: Line<PublisherValue>,
    sent: u64,
    /// The sequence of the publisher's next message.
    next: u64,
    /// What was pushed last was marked as coming again.
    again: bool,
    words: Box<[usize]>,
}

impl Topic {
    /// A relay for the publisher `name` of another process, whose next message is `first`. Every subscription there is
    /// gets its messages.
    ///
    /// # Errors
    /// If the topic has too many gating subscriptions, or too many relays that have ended and were not read to the end.
    pub fn remote_publisher(
        self: &Arc<Topic>,
        name: &str,
        epoch: u64,
        first: u64,
    ) -> Result<RemotePublisher, TopicError> {
        let origin = Origin::Remote(Numbering::new(first, self.capacity()));
        let publisher = self.add_publisher(name, epoch, origin)?;
        let words = self.schema().size.div_ceil(size_of::<usize>());
        let line = self.counters.line(&publisher.label());
        line.set(PublisherValue::Sent, first);
        Ok(RemotePublisher {
            topic: self.clone(),
            producer: Broadcast::producer(publisher.ring.clone()),
            doorbells: ReaderDoorbells::new(publisher.clone()),
            line,
            publisher,
            sent: 0,
            next: first,
            again: false,
            words: vec![0; words].into(),
        })
    }
}

impl RemotePublisher {
    /// Appends the next message. `again` marks it as one that an earlier process of the readers may have had.
    ///
    /// # Errors
    /// With nothing pushed: [`RemotePublishError::Size`] if a message of the topic has another size,
    /// [`RemotePublishError::Full`] if a gating subscription open_guards the ring, [`RemotePublishError::Ended`] after
    /// [`end`](RemotePublisher::end).
    #[inline]
    pub fn push(&mut self, message: &[u8], again: bool) -> Result<(), RemotePublishError> {
        let (expected, found) = (self.topic.schema().size, message.len());
        if expected != found {
            return Err(RemotePublishError::Size { expected, found });
        }
        let Some(producer) = &mut self.producer else { return Err(RemotePublishError::Ended) };
        // Nearly always the message lies as its words would.
        let words = match <[usize]>::ref_from_bytes(message) {
            Ok(words) => words,
            Err(_) => copied(&mut self.words, message),
        };
        mark(&self.publisher, &mut self.again, producer, again);
        producer.try_push(words, found).map_err(|_| RemotePublishError::Full)?;
        self.sent += 1;
        self.next += 1;
        self.line.set(PublisherValue::Sent, self.next);
        Ok(())
    }

    /// Appends the next messages, which lie in `bytes` as `shape` says, one after the other. None of them comes again.
    ///
    /// # Errors
    /// As [`push`](RemotePublisher::push). With [`RemotePublishError::Full`], as many are pushed as there was room for.
    pub fn push_run(&mut self, shape: RunShape, bytes: &[u8]) -> Result<(), RemotePublishError> {
        let (expected, found) = (self.topic.schema().size, usize::from(shape.length));
        if expected != found {
            return Err(RemotePublishError::Size { expected, found });
        }
        let stride = shape.stride as usize;
        let (word, skip) = (size_of::<usize>(), usize::from(shape.skip));
        // A message of a whole slot may be followed by no padding at all, and the ring takes whole words.
        let fits = skip.next_multiple_of(word) == skip
            && stride.is_multiple_of(word)
            && skip + found.next_multiple_of(word) <= stride;
        let words = <[usize]>::ref_from_bytes(bytes).ok().filter(|_| fits);
        let (Some(words), true) = (words, found.is_multiple_of(word)) else {
            // Bytes behind a message are the peer's, and do not go into the ring.
            return bytes.chunks(stride).try_for_each(|item| self.push(shape.message(item), false));
        };
        let Some(producer) = &mut self.producer else { return Err(RemotePublishError::Ended) };
        mark(&self.publisher, &mut self.again, producer, false);
        let pushed = producer.push_items(words, stride / word, skip / word).unwrap_or(0);
        self.sent += pushed as u64;
        self.next += pushed as u64;
        self.line.set(PublisherValue::Sent, self.next);
        if pushed < bytes.len() / stride { Err(RemotePublishError::Full) } else { Ok(()) }
    }

    /// The publisher's next `missed` messages do not come.
    pub fn skip(&mut self, missed: u64, reason: GapReason) {
        let (Some(producer), Some(numbering)) = (&self.producer, self.publisher.origin.numbering())
        else {
            return;
        };
        numbering.skip(producer.sequence(), missed, reason);
        // The publisher sent them, and each reader counts them as what became of them.
        self.next = self.next.wrapping_add(missed);
        self.line.set(PublisherValue::Sent, self.next);
    }

    /// How many messages the gating subscriptions leave room for.
    #[must_use]
    pub fn room(&mut self) -> usize {
        self.producer.as_mut().map_or(0, Producer::room)
    }

    /// The sequence of the first message that a gating subscription is not done with or, where none gates, that an
    /// observing one has not been given: the one that comes next if there is no such message. `None` if there is no
    /// subscription. At a shutdown, gating ones count that have left since it began: they take nothing more.
    #[must_use]
    pub fn done(&self, at_shutdown: impl FnOnce() -> bool) -> Option<u64> {
        self.publisher.done(at_shutdown)
    }

    /// Whether all gating subscriptions have asked for messages.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.publisher.is_asked()
    }

    /// Whether a gating subscription may have a message in hand, or had one when it left.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.publisher.is_in_flight()
    }

    /// The sequence of the publisher's next message.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many messages its ring open_guards.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.publisher.ring.capacity()
    }

    /// Has the waker called when a subscription makes room, or is done with a message; look at the
    /// [`room`](RemotePublisher::room) and at what is [`done`](RemotePublisher::done) again after this.
    pub fn park(&self, waker: &Waker) {
        self.publisher.room.park(waker);
    }

    /// Tells the readers of what was pushed and skipped.
    pub fn flush(&mut self) {
        announce();
        self.doorbells.ring();
    }

    /// The publisher has ended: readers get what was pushed, and then the end.
    pub fn end(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.close();
            self.topic.end_remote_publisher(&self.publisher);
            self.flush();
        }
    }

    /// The publisher is gone, and nobody knows what it had sent.
    pub fn lose(self) {
        self.publisher.lose();
    }

    /// How many bytes the topic's messages have.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        self.topic.schema().size
    }

    /// How many messages were pushed.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

impl Drop for RemotePublisher {
    fn drop(&mut self) {
        self.end();
        // As when a publisher goes.
        self.publisher.room.forget();
    }
}

impl fmt::Debug for RemotePublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotePublisher")
            .field("topic", &self.publisher.topic)
            .field("publisher", &self.publisher.name)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// Marks the messages from the next one on as `again` says, where that changes.
#[inline]
fn mark(publisher: &PublisherState, marked: &mut bool, producer: &Producer<Ring>, again: bool) {
    if again != *marked {
        *marked = again;
        if let Some(numbering) = publisher.origin.numbering() {
            numbering.mark(producer.sequence(), again);
        }
    }
}

/// The message in words; those behind it stay zero.
#[inline(never)]
fn copied<'a>(words: &'a mut [usize], message: &[u8]) -> &'a [usize] {
    for (word, bytes) in words.iter_mut().zip(message.chunks(size_of::<usize>())) {
        let mut whole = [0; size_of::<usize>()];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = usize::from_ne_bytes(whole);
    }
    words
}

/// Why a message was not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemotePublishError {
    /// It is longer or shorter than the topic's messages are.
    Size {
        /// How many bytes these have.
        expected: usize,
        /// How many there were.
        found: usize,
    },
    /// A gating subscription has not taken its messages.
    Full,
    /// The publisher has [ended](RemotePublisher::end).
    Ended,
}

impl fmt::Display for RemotePublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemotePublishError::Size { expected, found } => {
                write!(f, "a message of {found} bytes on a topic whose messages have {expected}")
            }
            RemotePublishError::Full => f.write_str("more messages than there is room for"),
            RemotePublishError::Ended => f.write_str("a message of a publisher that has ended"),
        }
    }
}

impl std::error::Error for RemotePublishError {}
