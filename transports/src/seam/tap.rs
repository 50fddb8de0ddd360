//! The reading end of a topic for readers in another process: one [`TapStream`] of bytes for
//! each publisher.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use mycelium_core::link::RunShape;
use mycelium_core::ring::broadcast::{Claim, Layout, Peek, RetainingConsumer};
use mycelium_core::ring::region::{ForeignCursors, RingIdentity};
use zerocopy::IntoBytes;

use self::missed::{Gaps, Missed};
use super::control::BusyGuard;
use super::moved::Moved;
use crate::counters::{EdgeValue, Line};
use crate::descriptor::OwnedFd;
use crate::local::Metadata;
use crate::local::reader::view::kept_body;
use crate::local::retained::{KeptSlots, SlotReading};
use crate::local::ring::first;
use crate::local::ring::shared::{MemoryFault, RemoteBell, RemoteReaders, Ring};
use crate::local::state::Kept;
use crate::local::state::{Edge, PublisherState, SubscriberState};
use crate::local::topic::{Membership, Topic};
use crate::local::trace::{sent_at_in, trace_in};
use crate::local::values::{Policy, Schema, SubscribeOptions, TopicError, Undelivered};
use crate::memory::Mapping;
use crate::sync::{AtomicBool, Ordering};

/// Stands for the subscriptions of another process: it reads the messages of one topic as bytes,
/// one [stream](TapStream) for each publisher, and keeps them until they are confirmed. While it
/// exists, it blocks publishers as those subscriptions would. It does not read publishers of other
/// processes, so the messages of a feed are not sent to a third process.
///
/// The owner keeps a `T` with each stream.
pub struct Tap<T = ()> {
    streams: Vec<TapStream<T>>,
    membership: Membership,
    /// Makes the node wait for the tap; `None` for a tap that was not created by
    /// [`Ends`](super::Ends).
    busy: Option<BusyGuard>,
}

impl Topic {
    /// Creates a tap for the reader `name` of another process. It starts as
    /// [`subscribe`](Topic::subscribe) does, with the next message or the oldest retained one. It
    /// reads the publishers' own rings, so every policy that does not block publishers becomes
    /// [`DropOldest`](Policy::DropOldest) here.
    ///
    /// # Errors
    /// If the topic has too many gating subscriptions.
    pub fn tap<T>(
        self: &Arc<Topic>,
        name: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Tap<T>, TopicError> {
        let mut options = options.into();
        if !options.policy.is_gating() {
            options.policy = Policy::DropOldest;
        }
        let membership = Membership::join(self, name, options, true)?;
        Ok(Tap { streams: Vec::new(), membership, busy: None })
    }
}

impl<T> Tap<T> {
    /// Makes the shutdown of the node wait for the tap, and tells the node how many messages were
    /// confirmed, and how many were left unconfirmed.
    pub(super) fn known_to(mut self, node: BusyGuard) -> Self {
        if self.policy().is_gating() {
            node.control().add_tap(self.membership.topic.name(), &self.membership.state);
        }
        self.busy = Some(node);
        self
    }

    /// Returns one stream for each start of a publisher that may still send, or whose messages are
    /// not all confirmed. New streams since the last call are at the end.
    pub fn streams(&mut self) -> &mut Vec<TapStream<T>>
    where
        T: Default,
    {
        if self.membership.has_new_edges() {
            let edges = self.membership.new_edges().into_iter();
            let (membership, busy) = (&self.membership, &self.busy);
            let new = |edge| TapStream::new(edge, membership, busy.clone(), T::default());
            self.streams.extend(edges.map(new));
        }
        &mut self.streams
    }

    /// Returns the streams of the last call to [`streams`](Tap::streams).
    pub fn known_streams(&self) -> &[TapStream<T>] {
        &self.streams
    }

    /// Whether every publisher has ended and all messages are confirmed.
    pub fn is_over(&mut self) -> bool
    where
        T: Default,
    {
        self.streams().is_empty() && self.membership.had_edges()
    }

    /// Parks a waker until there is more to read. Read again after this.
    pub fn park(&self, waker: &Waker) {
        self.membership.state.bell.park(waker);
    }

    /// Returns the policy: what happens when the reader is slower than a publisher.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.membership.state.policy
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.membership.topic
    }

    /// Returns the number of messages that are not confirmed and that the rings still have.
    pub fn held(&mut self) -> usize
    where
        T: Default,
    {
        self.streams().iter().map(TapStream::held).sum()
    }

    /// Returns the number of messages that are not confirmed.
    pub fn depth(&mut self) -> usize
    where
        T: Default,
    {
        self.streams().iter().map(TapStream::depth).sum()
    }
}

impl<T> Drop for Tap<T> {
    fn drop(&mut self) {
        let Membership { topic, state, .. } = &self.membership;
        topic.remove_subscriber(state);
        // Drops new edges, too, as streams: edges that were never read leave like all others.
        for edge in self.membership.new_edges() {
            drop(TapStream::new(edge, &self.membership, self.busy.clone(), ()));
        }
    }
}

impl<T> fmt::Debug for Tap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("topic", &self.topic().name())
            .field("reader", &self.membership.state.name)
            .field("policy", &self.policy())
            .finish_non_exhaustive()
    }
}

// One publisher's messages as bytes, kept in the ring until the other process confirms them.

/// The next item of a [`TapStream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapItem<'a> {
    /// The bytes and the metadata of the next message.
    Message(&'a [u8], Metadata),
    /// The number of messages that were overwritten because the reader was too slow, or evicted.
    Gap(u64),
    /// Nothing yet.
    Empty,
    /// The end: the publisher has ended, and everything was read.
    Closed,
}

/// One start of a publisher at one tap. Dropping it unblocks the publisher.
pub struct TapStream<T = ()> {
    /// The owner's state.
    pub state: T,
    topic: Arc<Topic>,
    subscriber: Arc<SubscriberState>,
    /// Makes the node wait for the stream, and reports confirmed and left messages to the node;
    /// `None` if the tap has no guard.
    busy: Option<BusyGuard>,
    schema: Schema,
    line: Arc<Line<EdgeValue>>,
    /// A copy of the last message, if it cannot be read in the ring.
    words: Box<[usize]>,
    /// The last message, if it is not fixed.
    body: Box<[usize]>,
    /// The position and the length of that message. A long one is asked for once for each fragment.
    copied: Option<(usize, usize)>,
    gaps: Gaps,
    /// The next message at the time when this reader joined. The stream may start with earlier
    /// ones, which the publisher may overwrite even if it waits for the reader.
    joined_at: usize,
    /// Whether the reader was evicted, if it may have missed messages before `joined_at`.
    eviction: Option<Arc<AtomicBool>>,
    /// Whether the last gap comes from an eviction.
    was_evicted: bool,
    /// Dropped before `publisher`, whose drop wakes the publisher.
    reader: Reading,
    publisher: Leaving,
}

/// The side that reads the publisher's ring.
enum Reading {
    /// This process, for a link.
    Here(RetainingConsumer<Ring>),
    /// The readers themselves, in shared memory.
    There(Moved),
    /// A placeholder while one side replaces the other.
    Nobody,
}

/// Wakes the publisher when dropped, which is after the reader has left.
struct Leaving(Arc<PublisherState>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<T> TapStream<T> {
    fn here(&self) -> Option<&RetainingConsumer<Ring>> {
        match &self.reader {
            Reading::Here(reader) => Some(reader),
            Reading::There(_) | Reading::Nobody => None,
        }
    }

    fn new(edge: Edge, membership: &Membership, busy: Option<BusyGuard>, state: T) -> Self {
        let Membership { topic, state: subscriber, .. } = membership;
        let Edge { publisher, consumer, line, gates_from, was_evicted: eviction, .. } = edge;
        let schema = *topic.schema();
        let longest = if schema.is_fixed { 0 } else { schema.longest };
        TapStream {
            state,
            copied: None,
            body: vec![0; longest.div_ceil(size_of::<usize>())].into(),
            topic: topic.clone(),
            subscriber: subscriber.clone(),
            busy,
            schema,
            line,
            words: Box::default(),
            gaps: Gaps::default(),
            joined_at: gates_from,
            eviction,
            was_evicted: false,
            reader: Reading::Here(consumer.retaining()),
            publisher: Leaving(publisher),
        }
    }

    /// Returns the size of the fixed part of each message; of a fixed message, that of all of it.
    #[must_use]
    pub fn fixed_len(&self) -> u16 {
        // It fits: the macro refuses messages with a larger part.
        u16::try_from(self.schema.descriptor.size).unwrap_or(u16::MAX)
    }

    /// Returns the publisher's name.
    #[must_use]
    pub fn publisher(&self) -> &Arc<str> {
        &self.publisher.0.name
    }

    /// Returns the publisher's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.publisher.0.epoch
    }

    /// Whether the publisher retains messages for readers that join later.
    pub(crate) fn retains(&self) -> bool {
        self.slots().is_some()
    }

    /// Begins to read what the publisher retains, for readers whose first message has this sequence.
    /// They are in another process, which may ask for any.
    pub(crate) fn retained(&self, before: u64) -> Option<SlotReading> {
        let before = first(before as usize, self.publisher.0.ring.tail());
        Some(self.slots()?.read(before, &self.schema))
    }

    /// Begins to read what the publisher retains of the last [gap](TapItem::Gap), which had this
    /// number of messages. Call [`mark_sent`](TapStream::mark_sent) for each that is sent.
    pub(crate) fn retained_in_gap(&self, missed: u64) -> Option<SlotReading> {
        let before = self.next() as usize;
        Some(self.slots()?.read_last(missed as usize, before, &self.schema))
    }

    /// Marks a message of the last gap as sent.
    pub(crate) fn mark_sent(&mut self, sequence: u64) {
        let capacity = self.capacity();
        self.gaps.mark_sent(capacity, sequence);
    }

    fn slots(&self) -> Option<&KeptSlots> {
        match self.publisher.0.kept.get()? {
            Kept::Here(slots) => Some(slots),
            Kept::There(_) => None,
        }
    }

    /// Returns the most messages that the stream can keep.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.publisher.0.ring.capacity()
    }

    /// Whether the last [gap](TapItem::Gap) comes from an eviction: the publisher had waited for
    /// the readers.
    #[must_use]
    pub fn was_evicted(&self) -> bool {
        self.was_evicted
    }

    /// Returns the sequence of the next message at the time when this reader joined the publisher.
    /// A reader that starts with the oldest retained message gets earlier ones, too.
    #[must_use]
    pub fn joined_at(&self) -> u64 {
        self.joined_at as u64
    }

    /// Skips the messages before [`joined_at`](TapStream::joined_at). Call it before anything is
    /// read from the stream.
    pub fn start_at_next(&mut self) {
        let joined_at = self.joined_at;
        if let Reading::Here(reader) = &mut self.reader
            && reader.cursor() < joined_at
        {
            reader.skip_to(joined_at);
            reader.release(joined_at);
            self.line.set(EdgeValue::JoinedAt, joined_at as u64);
            self.publisher.0.wake();
        }
    }

    /// Returns the next item; the same one until [`advance`](TapStream::advance).
    #[inline]
    pub fn next_item(&mut self) -> TapItem<'_> {
        let reader = match &mut self.reader {
            Reading::Here(reader) => reader,
            Reading::There(moved) if moved.has_ended() => return TapItem::Closed,
            Reading::There(_) | Reading::Nobody => return TapItem::Empty,
        };
        // A gating reader copies nothing if its messages stay in the ring.
        let borrows = reader.can_borrow();
        let (size, content) =
            (self.schema.size, self.publisher.0.area.content_bytes(self.schema.size));
        let bytes = if borrows { 0 } else { content };
        if self.words.len() * size_of::<usize>() < bytes {
            self.words = vec![0; bytes.div_ceil(size_of::<usize>())].into();
        }
        let words: &mut [usize] = if borrows { &mut [] } else { &mut self.words };
        let peek = match (self.schema.is_fixed, self.copied) {
            (is_fixed, _) if is_fixed || borrows => reader.peek(words),
            (_, Some((sequence, length))) if sequence == reader.cursor() && reader.has_peeked() => {
                Peek::Message { sequence, length }
            }
            _ => reader.peek_body(words, &mut self.body),
        };
        match peek {
            Peek::Message { sequence, .. } if borrows => {
                let (slot, message) = kept(reader, &self.schema, sequence).unwrap_or_default();
                let TapItem::Message(_, metadata) = item(&self.topic, slot, size, content) else {
                    return TapItem::Empty;
                };
                TapItem::Message(message, metadata)
            }
            Peek::Message { sequence, length } if !self.schema.is_fixed => {
                self.copied = Some((sequence, length));
                let slot = item(&self.topic, self.words.as_bytes(), size, content);
                let TapItem::Message(_, metadata) = slot else { return slot };
                let message = self.body.as_bytes().get(..length).unwrap_or_default();
                TapItem::Message(message, metadata)
            }
            Peek::Message { .. } => item(&self.topic, self.words.as_bytes(), size, content),
            Peek::Gap { missed } => {
                // The gap is counted when it is released, because it may grow until then.
                let first = reader.cursor().wrapping_sub(missed);
                let (from, before) = (first as u64, reader.cursor() as u64);
                let count = missed as u64;
                let was_waited_for = first.wrapping_sub(self.joined_at).cast_signed() >= 0
                    || self.eviction.as_ref().is_some_and(|it| it.load(Ordering::Relaxed));
                self.was_evicted = self.subscriber.policy.is_gating() && was_waited_for;
                let value = EdgeValue::Overwritten;
                let capacity = self.publisher.0.ring.capacity();
                self.gaps.add(capacity, Missed { from, before, count, value });
                TapItem::Gap(count)
            }
            Peek::Empty | Peek::Evicted => TapItem::Empty,
            Peek::Closed => TapItem::Closed,
        }
    }

    /// Returns how many of the next messages, at most `most`, can be [borrowed](TapStream::borrow)
    /// and have no metadata.
    #[must_use]
    pub fn ready(&self, most: usize) -> usize {
        let Some(reader) = self.here().filter(|_| self.schema.is_fixed) else { return 0 };
        let ready = reader.ready(most);
        if !self.publisher.0.area.is_present() {
            return ready;
        }
        let slot_words = reader.ring().layout().slot_words();
        let slots = reader.borrow(reader.cursor(), ready).unwrap_or_default();
        let slots = slots.into_iter().flat_map(|piece| piece.chunks_exact(slot_words));
        let content = self.publisher.0.area.content_bytes(self.schema.size);
        let has_none = |slot: &&[usize]| {
            let content = content_of(slot).get(..content);
            content.is_none_or(|it| trace_in(it).is_none() && sent_at_in(it).is_none())
        };
        slots.take_while(has_none).count()
    }

    /// Moves past `count` messages that are [ready](TapStream::ready), and keeps them.
    pub fn pass_ready(&mut self, count: usize) {
        if let Reading::Here(reader) = &mut self.reader {
            reader.pass(count);
        }
    }

    /// Returns the positions of messages in the result of [`borrow`](TapStream::borrow); `None` if
    /// they are too long.
    #[must_use]
    pub fn shape(&self) -> Option<RunShape> {
        let layout = self.publisher.0.ring.layout();
        let word = size_of::<usize>();
        let length = u16::try_from(self.schema.size).ok()?;
        let stride = u32::try_from(layout.slot_words() * word).ok()?;
        // The first word of a slot is the stamp.
        Some(RunShape { stride, skip: word as u16, length })
    }

    /// Returns the slots of `count` kept messages, from a sequence on, in two pieces. The second
    /// piece is empty unless the slots wrap around the end of the ring. Returns `None` if not all
    /// of the messages are kept.
    #[must_use]
    pub fn borrow(&self, first: u64, count: usize) -> Option<[&[u8]; 2]> {
        let slots = self.here()?.borrow(first as usize, count)?;
        Some(slots.map(IntoBytes::as_bytes))
    }

    /// Whether the stream lends its messages, as [`message`](TapStream::message) does.
    #[must_use]
    pub fn lends(&self) -> bool {
        self.here().is_some_and(RetainingConsumer::can_borrow)
    }

    /// Returns the bytes of a kept message in the ring; `None` if it is not kept, or the stream does
    /// not [lend](TapStream::lends).
    #[must_use]
    pub fn message(&self, sequence: u64) -> Option<&[u8]> {
        kept(self.here()?, &self.schema, sequence as usize).map(|(_, message)| message)
    }

    /// Moves past the message of [`next_item`](TapStream::next_item), and keeps it.
    #[inline]
    pub fn advance(&mut self) {
        if let Reading::Here(reader) = &mut self.reader {
            reader.advance();
        }
    }

    /// Skips the messages before a sequence. They are counted as `value` when they are released.
    /// Returns their number: 0 if the stream is past that sequence, or not all of them are
    /// published.
    pub fn pass(&mut self, before: u64, value: EdgeValue) -> u64 {
        let from = self.next();
        if let Reading::Here(reader) = &mut self.reader {
            reader.skip_to(before as usize);
        }
        let (before, capacity) = (self.next(), self.capacity());
        let count = before - from;
        if count > 0 {
            self.gaps.add(capacity, Missed { from, before, count, value });
        }
        count
    }

    /// Counts messages that were sent a second time.
    pub fn count_sent_again(&self, count: u64) {
        self.line.add(EdgeValue::SentAgain, count);
    }

    /// Returns the next message as a dead letter.
    pub fn dead_letter(&mut self) -> Option<Undelivered> {
        let (sequence, epoch) = (self.next(), self.epoch());
        let TapItem::Message(bytes, _) = self.next_item() else { return None };
        let payload = Bytes::copy_from_slice(bytes);
        let Leaving(publisher) = &self.publisher;
        Some(Undelivered {
            topic: publisher.topic.clone(),
            reader: self.subscriber.name.clone(),
            type_id: self.schema.id,
            publisher: publisher.name.clone(),
            epoch,
            sequence,
            payload,
        })
    }

    /// Returns the sequence of the next message.
    #[must_use]
    pub fn next(&self) -> u64 {
        match &self.reader {
            Reading::Here(reader) => reader.cursor() as u64,
            // The next message is the first unpublished one: the readers may have read all others.
            Reading::There(moved) => moved.end() as u64,
            Reading::Nobody => 0,
        }
    }

    /// Returns the sequence of the first message that the readers' process cannot have had. In
    /// shared memory that is the [next](TapStream::next) message, or the first one that was
    /// published after the process was found dead.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        let at_death = self.remote_readers().and_then(|readers| readers.tail_at_death());
        at_death.map_or_else(|| self.next(), |tail| tail as u64)
    }

    /// Returns the sequence after the last published message, as far as this thread can see.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.publisher.0.ring.tail() as u64
    }

    /// Returns the sequence of the first kept message.
    #[must_use]
    pub fn kept(&self) -> u64 {
        match &self.reader {
            Reading::Here(reader) => reader.kept() as u64,
            Reading::There(moved) => moved.kept() as u64,
            Reading::Nobody => 0,
        }
    }

    /// Returns the descriptor of the memory in which readers of another process can read the
    /// messages themselves, and the entry in the ring by which they gate.
    ///
    /// # Errors
    /// If the ring is on the heap: the reason.
    pub fn memory(&self) -> Result<(&OwnedFd, Option<Claim>), &str> {
        let file = self.publisher.0.file.as_ref().map_err(|reason| &**reason)?;
        Ok((file, self.here().and_then(RetainingConsumer::claim)))
    }

    /// Returns the layout and the identity of the publisher's ring.
    #[must_use]
    pub fn ring(&self) -> (Layout, RingIdentity) {
        let Leaving(publisher) = &self.publisher;
        let digest = self.schema.digest.0;
        (publisher.ring.layout(), RingIdentity { epoch: publisher.epoch, digest })
    }

    /// Returns the first message that the readers read in shared memory.
    #[must_use]
    pub fn moved_at(&self) -> Option<u64> {
        match &self.reader {
            Reading::There(moved) => Some(moved.from as u64),
            Reading::Here(_) | Reading::Nobody => None,
        }
    }

    /// Whether the readers' shared memory is lost: their process is gone, or has unmapped the ring,
    /// before all readers had left or had read an ended publisher to its end.
    #[must_use]
    pub fn has_lost_memory(&self) -> bool {
        self.remote_readers().is_some_and(|readers| readers.is_gone() && !readers.have_finished())
    }

    /// Returns the protocol violation by the readers' process that an [`update`](TapStream::update)
    /// has found in its memory, if there is one.
    #[must_use]
    pub fn memory_fault(&self) -> Option<MemoryFault> {
        match &self.reader {
            Reading::There(moved) => moved.fault,
            Reading::Here(_) | Reading::Nobody => None,
        }
    }

    /// Whether the readers read in shared memory.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        matches!(self.reader, Reading::There(_))
    }

    /// Moves the readers to shared memory: they read there from the next message on. `bell` wakes
    /// their process.
    pub fn move_to_memory(&mut self, cursors: ForeignCursors<Mapping>, bell: Arc<dyn RemoteBell>) {
        let Leaving(publisher) = &self.publisher;
        self.reader = match std::mem::replace(&mut self.reader, Reading::Nobody) {
            Reading::Here(reader) => {
                Reading::There(Moved::new(reader, cursors, bell, publisher, &self.subscriber))
            }
            moved => moved,
        };
        self.line.set(EdgeValue::InMemory, u64::from(self.has_moved()));
        // The publisher may have woken its readers just before.
        publisher.wake();
    }

    /// Returns the state that the publisher shares with the readers, if they read in shared memory.
    #[must_use]
    pub fn remote_readers(&self) -> Option<&Arc<RemoteReaders>> {
        match &self.reader {
            Reading::There(moved) => Some(&moved.readers),
            Reading::Here(_) | Reading::Nobody => None,
        }
    }

    /// Ends the reading in shared memory: the process of the readers is gone, or has stopped
    /// reading. The next message is the first one that they cannot have read;
    /// [`rewind`](TapStream::rewind) goes back to messages that they have not confirmed.
    pub fn move_back(&mut self) {
        self.update(false);
        self.reader = match std::mem::replace(&mut self.reader, Reading::Nobody) {
            Reading::There(moved) => Reading::Here(moved.back()),
            here => here,
        };
        self.line.set(EdgeValue::InMemory, 0);
    }

    /// Counts the messages that the readers finished in shared memory since the last call, and
    /// returns their number. With `wake`, their process wakes this one when they finish more; check
    /// again after the call.
    pub fn update(&mut self, wake: bool) -> u64 {
        let Reading::There(moved) = &mut self.reader else { return 0 };
        if wake {
            self.publisher.0.request_wake();
        }
        let taken = moved.count();
        self.count_taken(taken);
        taken
    }

    /// Returns the number of messages that are not confirmed and that the ring still has: a
    /// publisher that has stopped waiting for the readers may have overwritten others.
    #[must_use]
    pub fn held(&self) -> usize {
        self.depth().min(self.capacity())
    }

    /// Returns the number of messages that are not confirmed.
    #[must_use]
    pub fn depth(&self) -> usize {
        match &self.reader {
            Reading::Here(reader) => reader.depth(),
            Reading::There(moved) => moved.depth(),
            Reading::Nobody => 0,
        }
    }

    /// Confirms the messages before this sequence: their slots become free for the publisher. Does
    /// nothing if the sequence is after the [next](TapStream::next) message.
    pub fn release(&mut self, before: u64) {
        let released = match &mut self.reader {
            Reading::Here(reader) => {
                let kept = reader.kept();
                reader.release(before as usize);
                reader.kept().wrapping_sub(kept) as u64
            }
            Reading::There(moved) => {
                moved.release(before as usize);
                moved.count()
            }
            Reading::Nobody => 0,
        };
        if released > 0 {
            self.count_taken(released);
            self.publisher.0.wake();
        }
    }

    /// Goes back to a kept message.
    pub fn rewind(&mut self, sequence: u64) {
        if let Reading::Here(reader) = &mut self.reader {
            reader.rewind(sequence as usize);
        }
        self.gaps.rewind(sequence);
    }

    /// Counts messages that were just confirmed.
    fn count_taken(&mut self, confirmed: u64) {
        let missed = self.gaps.count(self.kept(), &self.line);
        self.line.add(EdgeValue::Taken, confirmed.saturating_sub(missed));
        if let Some(busy) = &self.busy {
            busy.control().count_confirmed(confirmed);
        }
    }
}

/// Borrows a kept message: returns the content of its slot, and its bytes.
#[inline]
fn kept<'a>(
    reader: &'a RetainingConsumer<Ring>,
    schema: &Schema,
    sequence: usize,
) -> Option<(&'a [u8], &'a [u8])> {
    if !schema.is_fixed {
        return kept_body(reader, sequence).map(|(slot, message)| (slot.as_bytes(), message));
    }
    let [slot, _] = reader.borrow(sequence, 1)?;
    let slot = content_of(slot);
    Some((slot, slot.get(..schema.size)?))
}

/// Returns the bytes of a borrowed slot after its stamp.
fn content_of(slot: &[usize]) -> &[u8] {
    slot.get(1..).unwrap_or_default().as_bytes()
}

/// Returns a message of this size, from the content of a slot.
#[inline]
fn item<'a>(topic: &Topic, bytes: &'a [u8], size: usize, content: usize) -> TapItem<'a> {
    let mut metadata = Metadata::default();
    if content > size
        && let Some(content) = bytes.get(..content)
    {
        metadata.trace = trace_in(content);
        let clock = || Some(topic.executor()?.wall_clock());
        metadata.sent_at = sent_at_in(content).and_then(|it| Some(it.to_nanoseconds(clock()?)));
    }
    TapItem::Message(bytes.get(..size).unwrap_or(bytes), metadata)
}

impl<T> Drop for TapStream<T> {
    fn drop(&mut self) {
        self.update(false);
        self.line.set(EdgeValue::InMemory, 0);
        let missed = self.gaps.count(u64::MAX, &self.line);
        let unread = (self.depth() as u64).saturating_sub(missed);
        let left = unread.min(self.capacity() as u64);
        self.line.add(EdgeValue::Left, left);
        self.line.add(EdgeValue::Overwritten, unread - left);
        if let Some(busy) = self.busy.as_ref().filter(|_| self.subscriber.policy.is_gating()) {
            let (reader, has_ended) = (&self.subscriber.name, self.publisher.0.ring.is_closed());
            busy.control().leave_messages(reader, self.topic.name(), left, has_ended);
        }
        // Leaves before the ring's entry becomes free, because another reader may get the entry
        // then.
        self.subscriber.leave(&self.publisher.0);
    }
}

impl<T> fmt::Debug for TapStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TapStream")
            .field("publisher", &self.publisher.0.name)
            .field("kept", &self.kept())
            .field("next", &self.next())
            .finish_non_exhaustive()
    }
}

mod missed;
#[cfg(test)]
mod tests;
