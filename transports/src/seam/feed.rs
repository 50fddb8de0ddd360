//! The writing end of a topic for a publisher in another process: puts bytes from a transport into
//! a [`Writer`].

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;

use mycelium_core::frame::Fragment;
use mycelium_core::link::RunShape;
use mycelium_core::ring::broadcast::{CONTENT, Full, Place, Producer};
use zerocopy::{FromBytes, IntoBytes};

use super::credit::Credit;
use crate::counters::{Line, PublisherValue};
use crate::local::Metadata;
use crate::local::ring::MappedRing;
use crate::local::ring::numbering::Numbering;
use crate::local::ring::shared::{MappedOrigin, RemoteBell, Ring, SharedRing};
use crate::local::state::{Joiners, Kept, Origin, PublisherState, ReaderEntry};
use crate::local::topic::Topic;
use crate::local::trace::{Area, TraceArea};
use crate::local::values::{FeedError, GapReason, TopicError};
use crate::local::writer::Writer;
use crate::sync::Ordering;

/// How many words of a run are aligned at once.
const BLOCK: usize = 512;

/// Stands for one start of a publisher in another process. A transport pushes the bytes of the
/// publisher's messages and reports missing ones. Readers see the publisher's own name, epoch and
/// sequences; the bytes are checked when they are received. Dropping the feed ends the publisher.
///
/// Readers are woken by [`flush`](Feed::flush), not by a push.
pub struct Feed {
    writer: Writer,
    credit: Credit,
    /// The bytes that the arena has more than the topic's other rings, for messages that are longer
    /// here than at their publisher. No credit is given for them.
    spare: usize,
    /// The size of a message, or of the longest one.
    message_bytes: usize,
    /// The number of pushed messages.
    sent: u64,
    /// The sequence of the publisher's next message.
    next: u64,
    /// The last pushed message was marked as redelivered.
    redelivered: bool,
    /// If `redelivered` is false, no message from this sequence on is missing, or marked as
    /// redelivered.
    plain_from: u64,
    /// Messages before this sequence are counted: by their readers, or by this feed if no
    /// subscription got them.
    counted: u64,
    /// Room for a fixed message, and for fragments of a short one.
    words: Box<[usize]>,
    /// The message of which some [fragments](Feed::push_fragment) have arrived.
    open: Option<OpenMessage>,
}

/// A message whose last fragments are missing.
struct OpenMessage {
    total: usize,
    arrived: usize,
    /// Where its bytes are in the arena; `None` if they are in the feed's `words`.
    place: Option<Place>,
    redelivered: bool,
    metadata: Metadata,
}

impl Topic {
    /// Creates a feed for the publisher `name` of another process, whose next message has the
    /// sequence `first`. Every present subscription gets its messages.
    ///
    /// # Errors
    /// If the topic has too many gating subscriptions, or too many ended publishers of other
    /// processes with unread messages.
    pub fn feed(self: &Arc<Topic>, name: &str, epoch: u64, first: u64) -> Result<Feed, TopicError> {
        self.feed_with(name, epoch, first, 0, None)
    }

    /// Creates a feed whose messages take up to `more` bytes more here than at their publisher, with
    /// the credit and the arena of [`Credit::of_longer`]. `joiners`: the subscriptions wait for what
    /// the publisher retains.
    ///
    /// # Errors
    /// The same as for [`feed`](Topic::feed).
    pub(crate) fn feed_with(
        self: &Arc<Topic>,
        name: &str,
        epoch: u64,
        first: u64,
        more: usize,
        joiners: Option<Arc<Joiners>>,
    ) -> Result<Feed, TopicError> {
        Feed::join(self, name, epoch, (first, more), None, joiners)
    }
}

impl Feed {
    fn join(
        topic: &Arc<Topic>,
        name: &str,
        epoch: u64,
        (first, more): (u64, usize),
        line: Option<Arc<Line<PublisherValue>>>,
        joiners: Option<Arc<Joiners>>,
    ) -> Result<Feed, TopicError> {
        let (credit, spare) = Credit::of_longer(topic, more);
        let origin = Origin::Remote(Numbering::new(first, topic.capacity()));
        let writer = Writer::join(topic, name, epoch, origin, spare, line, joiners)?;
        writer.line.set(PublisherValue::Sent, first);
        let schema = topic.schema();
        let longest = if schema.is_fixed { schema.size } else { schema.longest };
        let words = if schema.is_fixed { longest.div_ceil(size_of::<usize>()) } else { CONTENT };
        Ok(Feed {
            message_bytes: longest,
            credit,
            spare: writer.state.arena_bytes().saturating_sub(topic.arena_bytes()),
            writer,
            sent: 0,
            next: first,
            redelivered: false,
            plain_from: first,
            counted: first,
            words: vec![0; words].into(),
            open: None,
        })
    }

    /// Appends the next message. `redelivered`: an earlier process of the readers may have received
    /// it.
    ///
    /// # Errors
    /// [`FeedError::Size`] if messages of the topic have another size, [`FeedError::Full`] if a
    /// gating subscription needs the whole ring, [`FeedError::Ended`] after [`end`](Feed::end).
    /// Nothing is pushed then.
    #[inline]
    pub fn push(&mut self, message: &[u8], redelivered: bool) -> Result<(), FeedError> {
        self.push_with(message, redelivered, Metadata::default())
    }

    /// Appends the next message as [`push`](Feed::push) does, with its metadata, which is dropped
    /// if the topic records none.
    ///
    /// # Errors
    /// The same as for [`push`](Feed::push).
    #[inline]
    pub fn push_with(
        &mut self,
        message: &[u8],
        redelivered: bool,
        metadata: Metadata,
    ) -> Result<(), FeedError> {
        self.check_size(message.len())?;
        self.mark(redelivered);
        self.open = None;
        if self.writer.arena.is_some() {
            self.writer.push_into_arena_with(message, metadata)?;
            self.count(1);
            return Ok(());
        }
        // Links nearly always pass aligned messages. These are copied only once, into the ring.
        if let Ok(words) = <[usize]>::ref_from_bytes(message) {
            return self.push_words(words, message.len(), metadata);
        }
        let mut own = std::mem::take(&mut self.words);
        let words = copy_to_words(&mut own, message);
        let pushed = self.push_words(words, message.len(), metadata);
        self.words = own;
        pushed
    }

    /// Takes a fragment of the next message. The message is appended with its last fragment, and
    /// has the mark and the metadata of its first. Returns whether it is appended. A message that is
    /// not complete is dropped by another first fragment, any other push, and
    /// [`skip`](Feed::skip).
    ///
    /// # Errors
    /// The same as for [`push`](Feed::push); [`FeedError::Size`] also if the fragment does not
    /// continue the message, or neither is its last nor has a multiple of 8 bytes. The message is
    /// dropped then.
    pub fn push_fragment(
        &mut self,
        Fragment { offset, total, .. }: Fragment,
        bytes: &[u8],
        redelivered: bool,
        metadata: Metadata,
    ) -> Result<bool, FeedError> {
        let (at, total) = (offset as usize, total as usize);
        let open = self.open.take().filter(|open| (open.total, open.arrived) == (total, at));
        let open = match open {
            Some(open) if at > 0 => open,
            _ => {
                self.check_size(total)?;
                let place = self.writer.reserve_for_feed(total)?;
                OpenMessage { total, arrived: 0, place, redelivered, metadata }
            }
        };
        let end = at.saturating_add(bytes.len());
        let is_aligned = end == total || bytes.len().is_multiple_of(8);
        if at != open.arrived || end > total || !is_aligned {
            return Err(FeedError::Size { expected: total, found: end });
        }
        match open.place {
            Some(place) => self.writer.write_for_feed(place, at / size_of::<usize>(), bytes),
            None => self.words.as_mut_bytes()[at..end].copy_from_slice(bytes),
        }
        if end < total {
            self.open = Some(OpenMessage { arrived: end, ..open });
            return Ok(false);
        }
        let OpenMessage { place, redelivered, metadata, .. } = open;
        if let Some(place) = place {
            self.mark(redelivered);
            self.writer.commit_for_feed(place, total, metadata)?;
            self.count(1);
            return Ok(true);
        }
        let own = std::mem::take(&mut self.words);
        let pushed = self.push_with(&own.as_bytes()[..total], redelivered, metadata);
        self.words = own;
        pushed.map(|()| true)
    }

    /// Appends a message of a topic without an arena.
    #[inline]
    fn push_words(
        &mut self,
        words: &[usize],
        length: usize,
        metadata: Metadata,
    ) -> Result<(), FeedError> {
        let area = self.writer.state.area;
        let Some(producer) = &mut self.writer.producer else {
            return Err(FeedError::Ended);
        };
        while let Err(full) = match area {
            TraceArea::Absent => producer.try_push(words, length).map(drop),
            TraceArea::Present => push_with_area(producer, words, length, metadata),
        } {
            if !self.writer.state.pump(full.reader.entry) {
                return Err(FeedError::Full);
            }
        }
        self.count(1);
        Ok(())
    }

    /// Appends a run of messages, which are in `bytes` as `shape` describes. None of them is marked
    /// as redelivered.
    ///
    /// # Errors
    /// The same as for [`push`](Feed::push). With [`FeedError::Full`], some of the first messages
    /// may have been pushed.
    pub fn push_run(&mut self, shape: RunShape, bytes: &[u8]) -> Result<(), FeedError> {
        let length = usize::from(shape.length);
        self.check_size(length)?;
        if self.writer.arena.is_some() {
            // Only fixed messages are sent in runs.
            return Err(FeedError::Size { expected: self.message_bytes, found: length });
        }
        let stride = shape.stride as usize;
        let (word, skip) = (size_of::<usize>(), usize::from(shape.skip));
        // The ring takes whole words, so the bytes after a message may be those of the next
        // message. The messages of a run have no metadata.
        let is_aligned = skip.is_multiple_of(word)
            && stride.is_multiple_of(word)
            && length.is_multiple_of(word)
            && skip + length <= stride
            && !self.writer.state.area.is_present();
        if !is_aligned || stride > BLOCK * word {
            return bytes.chunks(stride).try_for_each(|item| self.push(shape.message(item), false));
        }
        self.mark(false);
        self.open = None;
        let (stride, skip) = (stride / word, skip / word);
        match <[usize]>::ref_from_bytes(bytes) {
            Ok(words) => self.push_items(words, stride, skip),
            Err(_) => self.push_by_blocks(bytes, stride, skip),
        }
    }

    /// Appends the messages of a run whose bytes are anywhere.
    #[inline(never)]
    fn push_by_blocks(
        &mut self,
        bytes: &[u8],
        stride: usize,
        skip: usize,
    ) -> Result<(), FeedError> {
        let mut block = [0; BLOCK];
        bytes.chunks(BLOCK / stride * stride * size_of::<usize>()).try_for_each(|part| {
            let words = &mut block[..part.len() / size_of::<usize>()];
            words.as_mut_bytes().copy_from_slice(part);
            self.push_items(words, stride, skip)
        })
    }

    /// Appends the messages of a run that is aligned.
    fn push_items(&mut self, words: &[usize], stride: usize, skip: usize) -> Result<(), FeedError> {
        let Some(producer) = &mut self.writer.producer else {
            return Err(FeedError::Ended);
        };
        let (mut pushed, count) = (0, words.len() / stride);
        while pushed < count {
            match producer.push_items(&words[pushed * stride..], stride, skip) {
                Ok(more) => pushed += more,
                Err(full) if self.writer.state.pump(full.reader.entry) => {}
                Err(_) => break,
            }
        }
        self.count(pushed as u64);
        if pushed < count { Err(FeedError::Full) } else { Ok(()) }
    }

    /// Records that the publisher's next `missed` messages are missing.
    pub fn skip(&mut self, missed: u64, reason: GapReason) {
        self.open = None;
        let Some((producer, numbering)) = self.numbering() else { return };
        numbering.skip(producer.sequence(), missed, reason);
        // Missing messages count as sent. Each reader counts them as missed; without readers
        // `flush` does.
        self.next = self.next.wrapping_add(missed);
        self.plain_from = self.next;
        self.writer.line.set(PublisherValue::Sent, self.next);
    }

    /// Returns the credit for which the gating subscriptions leave room.
    #[must_use]
    pub fn room(&mut self) -> usize {
        // The arena first: this makes room for slots, too.
        let arena = self.writer.arena_room(self.spare);
        self.credit.of_room(self.writer.room(), arena)
    }

    /// Returns the credit of the remote publisher while the feed's ring is empty.
    #[must_use]
    pub fn credit(&self) -> Credit {
        self.credit
    }

    /// Returns the sequence of the first message that a gating subscription still needs. If none
    /// gates, it is the first message that an observing one has not received, and if all messages
    /// are received, the next one. Returns `None` without subscriptions. At a shutdown, gating
    /// subscriptions that have left since it began count, too: they take no more messages.
    #[must_use]
    pub fn done(&self, at_shutdown: impl FnOnce() -> bool) -> Option<u64> {
        self.writer.state.done(at_shutdown)
    }

    /// Whether every gating subscription has requested a message.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.writer.state.is_requested()
    }

    /// Returns whether a gating subscription may have a message in flight, or may have left with
    /// one in flight.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.writer.state.is_in_flight()
    }

    /// Returns the sequence of the publisher's next message.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Returns the publisher's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.writer.state.name
    }

    /// Returns the publisher's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.writer.state.epoch
    }

    /// Returns the number of messages in the feed's ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.writer.state.ring.capacity()
    }

    /// Parks a waker until a subscription makes room or finishes a message. Read
    /// [`room`](Feed::room) and [`done`](Feed::done) again after this.
    pub fn park(&self, waker: &Waker) {
        self.writer.state.room.park(waker);
    }

    /// Wakes the readers of pushed and skipped messages, and counts messages without a reader.
    pub fn flush(&mut self) {
        self.count_unread();
        self.writer.flush();
    }

    /// Ends the publisher: readers get the pushed messages, and then the end.
    pub fn end(&mut self) {
        self.count_unread();
        self.writer.close();
    }

    /// Ends the publisher as lost: the number of messages that it had sent is unknown.
    pub fn lose(mut self) {
        self.end_as_lost();
    }

    /// Ends the publisher as [`lose`](Feed::lose) does. The feed still knows what readers have
    /// [done](Feed::done).
    pub fn end_as_lost(&mut self) {
        self.writer.state.lose();
        self.end();
    }

    /// Returns the size of the topic's messages in bytes, or of the longest one.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// Returns whether a message of this number of bytes is only too long: its publisher may have
    /// another limit.
    #[must_use]
    pub fn is_too_long(&self, bytes: usize) -> bool {
        !self.writer.topic.schema().is_fixed && bytes > self.message_bytes()
    }

    /// Returns whether a message of the topic may have this number of bytes.
    #[must_use]
    pub fn accepts(&self, bytes: usize) -> bool {
        let most = self.message_bytes;
        bytes == most || bytes < most && self.writer.arena.is_some()
    }

    /// Returns the number of pushed messages.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    #[inline]
    fn check_size(&self, found: usize) -> Result<(), FeedError> {
        let expected = self.message_bytes;
        if self.accepts(found) { Ok(()) } else { Err(FeedError::Size { expected, found }) }
    }

    /// Records whether the messages from the next one on are redelivered, if this changes.
    #[inline]
    fn mark(&mut self, redelivered: bool) {
        if redelivered == self.redelivered {
            return;
        }
        (self.redelivered, self.plain_from) = (redelivered, self.next);
        if let Some((producer, numbering)) = self.numbering() {
            numbering.mark(producer.sequence(), redelivered);
        }
    }

    fn numbering(&self) -> Option<(&Producer<Ring>, &Numbering)> {
        Some((self.writer.producer.as_ref()?, self.writer.state.origin.numbering()?))
    }

    /// Counts the messages that no subscription got, without messages that a subscription counted
    /// as `left`.
    fn count_unread(&mut self) {
        if !self.writer.must_count_readers() || self.writer.producer.is_none() {
            return;
        }
        let first = self.writer.readers().iter().map(ReaderEntry::joined_at).min();
        let until = first.unwrap_or(self.next);
        let left_at = self.writer.state.origin.numbering().map_or(0, Numbering::left_at);
        let from = self.counted.max(left_at);
        if until > from {
            self.writer.line.add(PublisherValue::NoSubscribers, until - from);
            self.counted = until;
        }
    }

    #[inline]
    fn count(&mut self, pushed: u64) {
        self.sent += pushed;
        self.next = self.next.wrapping_add(pushed);
        self.writer.line.set(PublisherValue::Sent, self.next);
    }
}

/// The reason why a mapped ring has no descriptor.
const OF_OTHERS: &str = "the ring is that of another process";

/// A publisher in another process whose ring the subscriptions of this process read in shared
/// memory. Dropping it ends the publisher, as [`end`](MappedFeed::end) does.
pub struct MappedFeed {
    topic: Arc<Topic>,
    state: Arc<PublisherState>,
}

impl Feed {
    /// Ends this feed and continues in shared memory, which has the messages from the next one on.
    /// Present subscriptions read there after they have taken the pushed messages. `bell` wakes the
    /// publisher's process.
    ///
    /// # Errors
    /// If the memory is not a ring of this publisher, or has no room for all subscriptions.
    pub fn continue_in_memory(
        &mut self,
        ring: MappedRing,
        bell: Arc<dyn RemoteBell>,
    ) -> Result<MappedFeed, TopicError> {
        let (topic, earlier) = (&self.writer.topic, &self.writer.state);
        let MappedRing { ring, floor, readers, is_gated, area } = ring;
        let line = self.writer.line.clone();
        // Messages in shared memory have no marks and gaps, so later subscriptions start after
        // marked and missing messages.
        let first = if self.redelivered { self.next } else { self.plain_from } as usize;
        let origin = MappedOrigin::new(bell, readers, is_gated, first, line);
        let origin = Origin::Mapped(Box::new(origin));
        let (name, epoch) = (&earlier.name, earlier.epoch);
        let state = PublisherState::over(
            topic.name(),
            ring,
            area,
            Err(OF_OTHERS.to_owned()),
            name,
            epoch,
            origin,
        );
        let joiners = joiners_of(earlier).map(Kept::There);
        joiners.into_iter().for_each(|joiners| _ = state.kept.set(joiners));
        if let Some(numbering) = earlier.origin.numbering() {
            let is_gated = earlier.readers.lock().iter().any(|reader| reader.entry.is_some());
            numbering.was_gated.store(is_gated, Ordering::Release);
        }
        // The position of a message in the publisher's ring is its sequence.
        topic.add_mapped(&state, self.next as usize, earlier)?;
        // From now on the subscriptions themselves block the publisher.
        floor.release();
        state.wake();
        let mapped = MappedFeed { topic: topic.clone(), state };
        self.writer.close();
        Ok(mapped)
    }
}

impl MappedFeed {
    /// Ends the publisher, because it has ended in its process. Subscriptions get the messages in
    /// its ring, and then the end.
    pub fn end(&self) {
        self.topic.remove_publisher(&self.state);
    }

    /// Whether the connection with the publisher's process has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state.origin.mapped().is_some_and(MappedOrigin::is_gone)
    }

    /// Whether no message follows after the messages in this ring, because the publisher has ended.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let ring = &self.state.ring;
        ring.is_closed() && ring.tail() as u64 == self.next()
    }

    /// Whether the publisher's process has died.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state.is_lost()
    }

    /// Returns the sequence after the last message that subscriptions read in this ring.
    #[must_use]
    pub fn next(&self) -> u64 {
        let end = self.state.origin.mapped().and_then(MappedOrigin::end);
        end.unwrap_or_else(|| self.state.ring.tail()) as u64
    }

    /// Returns the first message that a subscription still needs, once the publisher [is
    /// gone](MappedFeed::is_gone); `None` if none needs any. At a shutdown, subscriptions that have
    /// left count as in [`Feed::done`].
    #[must_use]
    pub fn needed(&self, at_shutdown: impl FnOnce() -> bool) -> Option<u64> {
        let needed = self.state.needed(at_shutdown).map(|place| place as u64);
        needed.filter(|needed| *needed < self.next())
    }

    /// Ends this feed and continues over the link, which sends the messages from `first` on again.
    /// Call it once the publisher [is gone](MappedFeed::is_gone), even if its process still runs.
    /// Present subscriptions get these messages after they have read this ring.
    ///
    /// # Errors
    /// The same as for [`feed`](Topic::feed). No message is lost then.
    pub fn continue_on_link(&self, first: u64) -> Result<Feed, TopicError> {
        self.end();
        let line = self.state.origin.mapped().map(|mapped| mapped.line.clone());
        let PublisherState { name, epoch, .. } = &*self.state;
        Feed::join(&self.topic, name, *epoch, (first, 0), line, joiners_of(&self.state))
    }

    /// Whether the publisher has ended, and every subscription has left or has read it to the end.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.state.readers.lock().is_empty()
    }

    /// Ends the publisher as lost, because its process is gone. Subscriptions get the complete
    /// messages in its ring, then an inexact gap, and then the end.
    pub fn lose(&self) {
        self.state.peer_is_gone(true);
    }

    /// Returns the ring, to which the control connection reports wake-ups and its end.
    #[must_use]
    pub fn ring(&self) -> Weak<dyn SharedRing> {
        let state: Weak<PublisherState> = Arc::downgrade(&self.state);
        state
    }

    /// Returns whether a gating subscription may have a message in flight, or may have left with
    /// one in flight.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.state.is_in_flight()
    }

    /// Parks a waker until a subscription leaves, or the publisher is gone. Call
    /// [`settle`](MappedFeed::settle), [`is_read`](MappedFeed::is_read) and
    /// [`is_gone`](MappedFeed::is_gone) again after this.
    pub fn park(&self, waker: &Waker) {
        if let Some(mapped) = self.state.origin.mapped() {
            mapped.session.park(waker);
        }
    }

    /// Releases subscriptions that have left, except at a shutdown: then the publisher keeps the
    /// messages that they have not taken, for the next process.
    pub fn settle(&self, at_shutdown: impl FnOnce() -> bool) {
        self.state.settle_abandoned(at_shutdown);
    }
}

impl Drop for MappedFeed {
    fn drop(&mut self) {
        self.topic.remove_publisher(&self.state);
        // Drops the task's waker, because readers keep the state until they have read the ring, and
        // the task may end before.
        if let Some(mapped) = self.state.origin.mapped() {
            mapped.session.forget();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.count_unread();
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("topic", &self.writer.state.topic)
            .field("publisher", &self.writer.state.name)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// Returns the subscriptions that wait for what a publisher in another process retains.
fn joiners_of(publisher: &PublisherState) -> Option<Arc<Joiners>> {
    match publisher.kept.get() {
        Some(Kept::There(joiners)) => Some(joiners.clone()),
        Some(Kept::Here(_)) | None => None,
    }
}

/// Appends a message with a trace area.
fn push_with_area(
    producer: &mut Producer<Ring>,
    words: &[usize],
    length: usize,
    metadata: Metadata,
) -> Result<(), Full> {
    let mut grant = producer.grant()?;
    let area = metadata.to_area().unwrap_or(Area::EMPTY);
    grant.write_parts([words, area.words()], TraceArea::Present.content_bytes(length));
    grant.commit();
    Ok(())
}

/// Copies a message of any alignment. The bytes after its end stay zero.
#[inline(never)]
fn copy_to_words<'a>(words: &'a mut [usize], message: &[u8]) -> &'a [usize] {
    let count = message.len().div_ceil(size_of::<usize>()).min(words.len());
    let words = &mut words[..count];
    if let Some(last) = words.last_mut() {
        *last = 0;
    }
    if let Some(bytes) = words.as_mut_bytes().get_mut(..message.len()) {
        bytes.copy_from_slice(message);
    }
    words
}
