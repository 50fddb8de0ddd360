//! The queue between a session and its reader: deliveries that the session has received and the
//! reader has not taken. The windows of the streams limit their number.
//!
//! Both sides lock the queue once for a batch, not for each message: the session fills its own
//! [`Batch`] and passes it on at the end of a round; the reader takes everything that was passed
//! on. The credit for taken messages goes the other way.

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use event_listener::{Event, EventListener};
use mycelium_core::frame::Fragment;
use mycelium_core::link::{IncomingId, Unit};

use super::UntypedError;
use crate::layout::{Layout, MessageType};
use crate::local::{GapReason, Metadata};
use crate::stream::NodeLink;
use crate::sync::lock;

/// The limit on waiting items that are not messages. Windows limit messages, but not the gaps,
/// starts and ends that a peer sends between them.
const MOST_OTHERS: usize = 1 << 20;

/// The limit on waiting bytes of retained messages.
const MOST_RETAINED: usize = 256 << 20;

/// One start of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name of the publisher.
    pub publisher: Arc<str>,
    /// The publisher's epoch, which differs for each start.
    pub epoch: u64,
}

/// A delivery, in the order of arrival.
#[derive(Debug)]
pub(super) enum Item {
    Subscribed {
        node: Arc<str>,
        layout: Arc<Layout>,
        message: Arc<MessageType>,
    },
    Disconnected {
        reason: String,
    },
    Began {
        source: Arc<Source>,
        first: u64,
    },
    Message {
        source: Arc<Source>,
        sequence: u64,
        from: usize,
        length: usize,
        metadata: Metadata,
        retained: bool,
    },
    Gap {
        source: Arc<Source>,
        next: u64,
        missed: u64,
        reason: GapReason,
    },
    Ended {
        source: Arc<Source>,
        next: u64,
    },
    Lost {
        source: Arc<Source>,
        next: u64,
    },
    TopicEnded,
}

/// Items, and the bytes of their messages.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    pub(super) bytes: Vec<u8>,
    /// The credit of the messages in the batch.
    credit: OfStreams<u32>,
    /// The sequence after the last message or gap in the batch; only if publishers wait for the
    /// reader.
    pub(super) ends: OfStreams<u64>,
    /// The number of messages that use credit.
    messages: usize,
    /// The bytes of retained messages, which use no credit.
    retained: usize,
}

impl Batch {
    /// Appends a message.
    pub(super) fn push(
        &mut self,
        stream: IncomingId,
        (source, sequence): (&Arc<Source>, u64),
        bytes: &[u8],
        metadata: Metadata,
        cost: u32,
    ) {
        self.add(source, sequence, bytes, metadata, false);
        self.messages += 1;
        let credit = self.credit.at(stream);
        *credit = credit.saturating_add(cost);
    }

    fn add(
        &mut self,
        source: &Arc<Source>,
        sequence: u64,
        bytes: &[u8],
        metadata: Metadata,
        retained: bool,
    ) {
        let (from, length, source) = (self.bytes.len(), bytes.len(), source.clone());
        self.bytes.extend_from_slice(bytes);
        self.retained += if retained { length } else { 0 };
        self.items.push(Item::Message { source, sequence, from, length, metadata, retained });
    }

    fn clear(&mut self) {
        (self.messages, self.retained) = (0, 0);
        self.items.clear();
        self.bytes.clear();
        self.credit.0.clear();
        self.ends.0.clear();
    }

    /// Appends the content of another batch, and empties it.
    fn append(&mut self, other: &mut Batch) {
        if self.items.is_empty() {
            std::mem::swap(self, other);
            other.clear();
            return;
        }
        let base = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.items.extend(other.items.drain(..).map(|mut item| {
            if let Item::Message { from, .. } = &mut item {
                *from += base;
            }
            item
        }));
        self.messages += std::mem::take(&mut other.messages);
        self.retained += std::mem::take(&mut other.retained);
        self.credit.add(&mut other.credit);
        self.ends.replace(&mut other.ends);
    }
}

/// A number for each stream that has one.
#[derive(Debug, Default)]
pub(super) struct OfStreams<N>(Vec<(IncomingId, N)>);

impl<N: Default> OfStreams<N> {
    /// Returns the number of a stream, which is 0 at first.
    fn at(&mut self, stream: IncomingId) -> &mut N {
        // Searches from the end, because messages of a stream often follow each other.
        let known = self.0.iter().rposition(|(known, _)| *known == stream);
        let place = known.unwrap_or_else(|| {
            self.0.push((stream, N::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}

impl OfStreams<u32> {
    /// Adds the numbers of `others`, which is then empty.
    fn add(&mut self, others: &mut OfStreams<u32>) {
        for (stream, more) in others.0.drain(..) {
            let number = self.at(stream);
            *number = number.saturating_add(more);
        }
    }
}

impl OfStreams<u64> {
    /// Replaces numbers by those of `later`, which is then empty.
    pub(super) fn replace(&mut self, later: &mut OfStreams<u64>) {
        later.0.drain(..).for_each(|(stream, number)| *self.at(stream) = number);
    }
}

/// The queue between a session and its reader.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when items or the end have arrived.
    filled: Event,
    /// Notified when the reader has gone.
    left: Event,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    /// The credit of the messages that the reader has taken.
    taken: OfStreams<u32>,
    /// The ends of the messages that it is done with.
    done: OfStreams<u64>,
    /// How reading has ended.
    end: Option<Result<(), UntypedError>>,
    has_left: bool,
    /// The next process of the reader is to get what this one is not done with.
    may_return: bool,
    /// The reader has taken items since this was checked.
    progress: bool,
    /// The waker of the session's task.
    waker: Option<Waker>,
}

/// What a reader has done with the messages of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Progress {
    /// It has taken messages that use this credit.
    Taken(u32),
    /// It is done with all messages before this sequence.
    Done(u64),
}

/// The reader's activity since the last call of [`taken`](Queue::taken).
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// The reader has gone.
    pub(super) has_left: bool,
    /// Publishers are to keep what it is not done with.
    pub(super) may_return: bool,
    /// The reader has taken nothing, although items wait for it.
    pub(super) is_idle: bool,
}

impl Queue {
    /// Passes a batch on, and empties it. Returns false if more items wait than windows and correct
    /// publishers allow.
    pub(super) fn pass(&self, batch: &mut Batch) -> bool {
        if batch.items.is_empty() {
            return true;
        }
        let mut state = lock(&self.state);
        state.batch.append(batch);
        let Batch { items, messages, retained, .. } = &state.batch;
        let is_bounded = items.len() - messages <= MOST_OTHERS && *retained <= MOST_RETAINED;
        drop(state);
        self.filled.notify(usize::MAX);
        is_bounded
    }

    /// Replaces the content of `batch` by all items that were passed on. If there are none, returns
    /// how reading has ended, if it has.
    pub(super) fn take(&self, batch: &mut Batch) -> Option<Result<(), UntypedError>> {
        let mut state = lock(&self.state);
        batch.clear();
        if state.batch.items.is_empty() {
            return state.end.clone();
        }
        std::mem::swap(&mut state.batch, batch);
        state.progress = true;
        let State { taken, waker, .. } = &mut *state;
        taken.add(&mut batch.credit);
        let waker = waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        None
    }

    /// Notes that the reader is done with messages.
    pub(super) fn done(&self, ends: &mut OfStreams<u64>) {
        if ends.0.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        state.done.replace(ends);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Calls `each` with what the reader has taken and is done with since the last call, by stream.
    /// The waker is woken when there is more, or the reader leaves.
    pub(super) fn taken(&self, waker: &Waker, mut each: impl FnMut(IncomingId, Progress)) -> Taken {
        let mut state = lock(&self.state);
        let progress = std::mem::take(&mut state.progress);
        let State { taken, done, .. } = &mut *state;
        taken.0.drain(..).for_each(|(stream, credit)| each(stream, Progress::Taken(credit)));
        done.0.drain(..).for_each(|(stream, next)| each(stream, Progress::Done(next)));
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        let is_idle = !state.batch.items.is_empty() && !progress;
        Taken { has_left: state.has_left, may_return: state.may_return, is_idle }
    }

    /// Ends the queue: no more items will be passed on.
    pub(super) fn end(&self, end: Result<(), UntypedError>) {
        lock(&self.state).end.get_or_insert(end);
        self.filled.notify(usize::MAX);
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }

    /// Notes that the reader leaves. `may_return`: publishers that wait for it keep what it is not
    /// done with for its next process.
    pub(super) fn leave(&self, may_return: bool) {
        let mut state = lock(&self.state);
        if state.has_left {
            return;
        }
        (state.has_left, state.may_return) = (true, may_return);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        self.left.notify(usize::MAX);
    }

    /// Returns a listener for items or the end. Listen first, then check.
    pub(super) fn listen(&self) -> EventListener {
        self.filled.listen()
    }

    pub(super) fn has_left(&self) -> bool {
        lock(&self.state).has_left
    }

    /// Waits until the reader has left.
    pub(super) async fn left(&self) {
        while !self.has_left() {
            let left = self.left.listen();
            if !self.has_left() {
                left.await;
            }
        }
    }
}

// The streams of a peer's topic: turns their messages, gaps and ends into items for the reader.

/// The streams that have begun, and the items that were not passed to the reader yet.
#[derive(Default)]
pub(super) struct IncomingStreams {
    /// The streams, indexed by the place in their ids.
    places: Vec<Option<IncomingStream>>,
    pub(super) batch: Batch,
    /// Whether messages are discarded, because the reader takes nothing.
    pub(super) discards: bool,
    /// What a message uses of the credit; `None` if that is one.
    pub(super) unit: Option<Unit>,
    /// Whether publishers wait until the reader is done with messages.
    pub(super) gates: bool,
}

struct IncomingStream {
    id: IncomingId,
    source: Arc<Source>,
    /// The sequence of the next message.
    next: u64,
    /// The number of discarded messages before `next` that are not in a gap yet.
    discarded: u64,
    /// The credit of discarded messages that was not granted again yet.
    ungranted: u32,
    /// The arrived fragments of a message, and its metadata.
    fragments: Vec<u8>,
    metadata: Metadata,
    /// The reader's demand was signaled to the peer on this connection.
    has_signaled: bool,
}

impl IncomingStreams {
    /// Creates no streams. `gates`: publishers wait until the reader is done with messages.
    pub(super) fn new(gates: bool) -> IncomingStreams {
        IncomingStreams { gates, ..IncomingStreams::default() }
    }

    /// Starts or resumes a stream.
    pub(super) fn begin(
        &mut self,
        id: IncomingId,
        source: Source,
        first: u64,
        resumed: Option<u64>,
    ) {
        // The list is as long as the highest place so far needs, at most the number of streams of a
        // link.
        if self.places.len() <= id.place() {
            self.places.resize_with(id.place() + 1, || None);
        }
        let place = &mut self.places[id.place()];
        match place.as_mut().filter(|known| known.id == id) {
            Some(known) => {
                known.skip(&mut self.batch, resumed.unwrap_or(0), GapReason::Disconnected);
                known.next = first;
            }
            None => {
                let source = Arc::new(source);
                self.batch.items.push(Item::Began { source: source.clone(), first });
                *place = Some(IncomingStream {
                    id,
                    source,
                    next: first,
                    discarded: 0,
                    ungranted: 0,
                    fragments: Vec::new(),
                    metadata: Metadata::default(),
                    has_signaled: false,
                });
            }
        }
    }

    /// Handles the next message.
    pub(super) fn push(&mut self, id: IncomingId, bytes: &[u8], metadata: Metadata) {
        let (discards, unit) = (self.discards, self.unit);
        if let Some((stream, batch)) = self.get(id) {
            stream.push(batch, bytes, metadata, (discards, unit));
        }
        self.note_end(id);
    }

    /// Notes where a stream is, if publishers wait for the reader.
    fn note_end(&mut self, id: IncomingId) {
        if self.gates
            && let Some((stream, batch)) = self.get(id)
        {
            *batch.ends.at(id) = stream.next;
        }
    }

    /// Handles a part of the next message. `check` checks the message once it is whole.
    pub(super) fn push_fragment<E>(
        &mut self,
        id: IncomingId,
        fragment: &Fragment,
        (bytes, metadata): (&[u8], Metadata),
        check: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let how = (self.discards, self.unit);
        let Some((stream, batch)) = self.get(id) else { return Ok(()) };
        if fragment.offset == 0 {
            stream.fragments.clear();
            stream.metadata = metadata;
        }
        stream.fragments.extend_from_slice(bytes);
        if stream.fragments.len() >= fragment.total as usize {
            let (bytes, metadata) = (std::mem::take(&mut stream.fragments), stream.metadata);
            check(&bytes)?;
            stream.push(batch, &bytes, metadata, how);
            self.note_end(id);
        }
        Ok(())
    }

    /// Handles a part of a message that the publisher with this epoch retains. `check` checks the
    /// message once it is whole.
    pub(super) fn push_retained<E>(
        &mut self,
        (epoch, sequence): (u64, u64),
        (offset, total): (u32, u32),
        bytes: &[u8],
        check: impl FnOnce(IncomingId, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut streams = self.places.iter_mut().flatten();
        let Some(stream) = streams.find(|stream| stream.source.epoch == epoch) else {
            return Ok(());
        };
        if offset == 0 {
            stream.fragments.clear();
        }
        stream.fragments.extend_from_slice(bytes);
        if stream.fragments.len() >= total as usize {
            let bytes = std::mem::take(&mut stream.fragments);
            check(stream.id, &bytes)?;
            self.batch.add(&stream.source, sequence, &bytes, Metadata::default(), true);
        }
        Ok(())
    }

    /// Handles missing messages: the next `missed` ones do not arrive.
    pub(super) fn skip(&mut self, id: IncomingId, missed: u64, reason: GapReason) {
        if let Some((stream, batch)) = self.get(id) {
            stream.skip(batch, missed, reason);
        }
        self.note_end(id);
    }

    /// Ends a stream, whose publisher has ended after the message before `next`.
    pub(super) fn end(&mut self, id: IncomingId, next: u64) {
        if let Some(mut stream) = self.take(id) {
            stream.report_discarded(&mut self.batch);
            self.batch.items.push(Item::Ended { source: stream.source, next });
        }
    }

    /// Ends a stream as lost: its end does not arrive.
    pub(super) fn lose(&mut self, id: IncomingId) {
        if let Some(stream) = self.take(id) {
            stream.lose(&mut self.batch);
        }
    }

    pub(super) fn lose_all(&mut self) {
        for stream in self.places.drain(..).flatten() {
            stream.lose(&mut self.batch);
        }
    }

    /// Handles the end of the connection. The link forgets a stream at the last sequence.
    pub(super) fn disconnected(&mut self) {
        for place in &mut self.places {
            place.iter_mut().for_each(|stream| stream.has_signaled = false);
            if let Some(stream) = place.take_if(|stream| stream.next == u64::MAX) {
                stream.lose(&mut self.batch);
            }
        }
    }

    /// Removes all streams without a notice to the reader.
    pub(super) fn forget_all(&mut self) {
        self.places.clear();
    }

    /// Grants the credit of discarded messages, and reports these messages as gaps once messages
    /// are taken again.
    pub(super) fn grant_discarded(&mut self, link: &mut NodeLink<'_>) {
        for stream in self.places.iter_mut().flatten() {
            if !self.discards {
                stream.report_discarded(&mut self.batch);
            }
            _ = link.grant(stream.id, std::mem::take(&mut stream.ungranted));
        }
    }

    /// Tells the peer, once on each connection, that the reader waits for messages. Until then, the
    /// peer holds back messages that were in flight when earlier processes of the reader died.
    pub(super) fn signal_demand(&mut self, now: Duration, link: &mut NodeLink<'_>) {
        for stream in self.places.iter_mut().flatten().filter(|stream| !stream.has_signaled) {
            stream.has_signaled = link.signal_demand(now, stream.id).is_ok();
        }
    }

    /// Grants the whole window of each stream.
    pub(super) fn grant_all(&self, link: &mut NodeLink<'_>) {
        for stream in self.places.iter().flatten() {
            _ = link.grant(stream.id, u32::MAX);
        }
    }

    /// Returns the publisher of a stream; empty if there is no such stream.
    pub(super) fn publisher(&mut self, id: IncomingId) -> String {
        self.get(id).map(|(stream, _)| stream.source.publisher.to_string()).unwrap_or_default()
    }

    fn get(&mut self, id: IncomingId) -> Option<(&mut IncomingStream, &mut Batch)> {
        let place = self.places.get_mut(id.place())?;
        let stream = place.as_mut().filter(|stream| stream.id == id)?;
        Some((stream, &mut self.batch))
    }

    fn take(&mut self, id: IncomingId) -> Option<IncomingStream> {
        self.places.get_mut(id.place())?.take_if(|stream| stream.id == id)
    }
}

impl IncomingStream {
    /// Skips the next `missed` messages, which do not arrive.
    fn skip(&mut self, batch: &mut Batch, missed: u64, reason: GapReason) {
        self.fragments.clear();
        if reason == GapReason::Overwritten && self.discarded > 0 {
            // Counts missed messages as discarded, too, because the cause is the same: a slow
            // reader.
            self.discarded = self.discarded.saturating_add(missed);
            self.next = self.next.saturating_add(missed);
            return;
        }
        self.report_discarded(batch);
        self.next = self.next.saturating_add(missed);
        if missed > 0 {
            let (source, next) = (self.source.clone(), self.next);
            batch.items.push(Item::Gap { source, next, missed, reason });
        }
    }

    /// Takes a message, or discards it.
    fn push(
        &mut self,
        batch: &mut Batch,
        bytes: &[u8],
        metadata: Metadata,
        (discards, unit): (bool, Option<Unit>),
    ) {
        let cost = unit.map_or(1, |unit| u32::try_from(unit.cost(bytes.len())).unwrap_or(u32::MAX));
        if discards {
            self.discarded = self.discarded.saturating_add(1);
            self.ungranted = self.ungranted.saturating_add(cost);
        } else {
            self.report_discarded(batch);
            batch.push(self.id, (&self.source, self.next), bytes, metadata, cost);
        }
        self.next = self.next.saturating_add(1);
    }

    /// Reports the discarded messages as a gap.
    fn report_discarded(&mut self, batch: &mut Batch) {
        let missed = std::mem::take(&mut self.discarded);
        if missed > 0 {
            let (source, next, reason) = (self.source.clone(), self.next, GapReason::Overwritten);
            batch.items.push(Item::Gap { source, next, missed, reason });
        }
    }

    /// Ends the stream as lost.
    fn lose(mut self, batch: &mut Batch) {
        self.report_discarded(batch);
        batch.items.push(Item::Lost { source: self.source, next: self.next });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let items = vec![Item::TopicEnded];
        Batch { items, ..Batch::default() }
    }

    #[test]
    fn a_reader_is_idle_that_takes_nothing_while_items_wait() {
        let (queue, mut own) = (Queue::default(), Batch::default());
        let is_idle = || queue.taken(Waker::noop(), |_, _| {}).is_idle;
        assert!(!is_idle(), "nothing waits");
        assert!(queue.pass(&mut batch()));
        assert!(is_idle());
        assert!(queue.take(&mut own).is_none());
        // More items have come since the reader took these.
        assert!(queue.pass(&mut batch()));
        assert!(!is_idle());
        assert!(is_idle(), "it has taken nothing since then");
    }
}
