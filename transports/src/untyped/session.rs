//! One connection after the other with a peer whose topic is read: requests the peer's catalogue
//! and the layout of the topic, subscribes as an observing reader, and passes on what arrives.
//!
//! [`Session`] is the traffic of the link. What it receives is foreign: each error ends the link,
//! and reading with it.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use mycelium_core::FrameView;
use mycelium_core::descriptor::Digest;
use mycelium_core::link::{
    CloseReason, Event, IncomingId, Interest, InterestId, Name, ReaderMode, ReaderStart,
    RejectReason,
};
use mycelium_executor::{Executor, SendFuture};

use super::error::UntypedError;
use super::layout::{Layout, check_digest};
use super::query::Query;
use super::queue::{Batch, Item, Queue, Source};
use super::value::SizeMismatch;
use crate::exchange::{CatalogueEntry, LONGEST_CATALOGUE, LONGEST_FORM, gap_reason};
use crate::local::{GapReason, Start};
use crate::stream::{NodeLink, STREAMS, TOPICS, Traffic};

/// The most bytes of a stream that are on their way, or wait for the reader.
const WINDOW: usize = 256 << 10;

/// After this time, messages for a reader that takes nothing are discarded, and counted as a gap:
/// otherwise a node that has completed would wait until they are taken.
const IDLE: Duration = Duration::from_secs(1);

/// What a session is for.
pub(super) enum Goal {
    /// The catalogue.
    List,
    /// A topic, from here on.
    Read { topic: String, start: Start },
}

pub(super) struct Session {
    goal: Goal,
    /// The name that the peer must have.
    expected: Option<String>,
    /// The name of this side.
    own: String,
    executor: Arc<dyn Executor>,
    queue: Arc<Queue>,
    /// The name that the peer has.
    node: Arc<str>,
    step: Step,
    /// The catalogue, once it has arrived.
    catalogue: Vec<CatalogueEntry>,
    layout: Option<Arc<Layout>>,
    interest: Option<InterestId>,
    /// By the place of their ids.
    streams: Vec<Option<IncomingSource>>,
    batch: Batch,
    /// Since when the reader takes nothing of what waits for it.
    idle_since: Option<Duration>,
    /// The reader takes nothing for so long that messages are discarded.
    discards: bool,
    /// Since then, credit was granted for messages that wait here.
    has_granted: bool,
    timer: Option<(Duration, SendFuture<()>)>,
    /// The topic was accepted once.
    has_read: bool,
    was_accepted: bool,
    /// Why reading has ended.
    error: Option<UntypedError>,
}

/// How far a session is.
enum Step {
    /// The peer has not said its name.
    Connecting,
    /// The catalogue is requested.
    Catalogue(Query),
    /// The topic is not in the catalogue: a subscription finds out why.
    Probe,
    /// The layout is requested of a topic with this type and digest.
    Layout(Query, u16, Digest),
    /// Subscribed, and not accepted yet.
    Subscribed,
    /// Messages arrive.
    Reading,
    /// The catalogue has arrived, and that was all.
    Done,
}

/// A stream of the peer.
struct IncomingSource {
    id: IncomingId,
    source: Arc<Source>,
    /// The sequence of the next message.
    next: u64,
    /// The messages before it that were discarded, and are not in a gap yet.
    discarded: u64,
    /// Of these, how many have used credit that was not granted again.
    ungranted: u32,
    /// The fragments of a message that have arrived, and when it was sent.
    fragments: Vec<u8>,
    sent_at: Option<u64>,
}

impl Session {
    pub(super) fn new(
        goal: Goal,
        expected: Option<String>,
        own: String,
        executor: Arc<dyn Executor>,
        queue: Arc<Queue>,
    ) -> Session {
        Session {
            goal,
            expected,
            own,
            executor,
            queue,
            node: Arc::from(""),
            step: Step::Connecting,
            catalogue: Vec::new(),
            layout: None,
            interest: None,
            streams: Vec::new(),
            batch: Batch::default(),
            idle_since: None,
            discards: false,
            has_granted: false,
            timer: None,
            has_read: false,
            was_accepted: false,
            error: None,
        }
    }

    /// Whether the topic was read before: then a lost connection is not the end.
    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    /// Whether the peer has accepted the topic since the last call.
    pub(super) fn take_was_accepted(&mut self) -> bool {
        std::mem::take(&mut self.was_accepted)
    }

    fn is_reading(&self) -> bool {
        matches!(self.step, Step::Reading)
    }

    /// Whether it has all that was needed.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    pub(super) fn take_error(&mut self) -> Option<UntypedError> {
        self.error.take()
    }

    /// The catalogue, if that is all that was needed and it has arrived.
    pub(super) fn take_catalogue(&mut self) -> Option<(Arc<str>, Vec<CatalogueEntry>)> {
        let is_done = matches!(self.step, Step::Done);
        is_done.then(|| (self.node.clone(), std::mem::take(&mut self.catalogue)))
    }

    /// The connection has ended.
    pub(super) fn disconnected(&mut self, link: &mut NodeLink<'_>, reason: String) {
        self.timer = None;
        if !self.is_reading() {
            // The next connection begins with the catalogue.
            let interest = self.interest.take();
            _ = interest.map(|interest| link.unsubscribe(interest));
            self.step = Step::Connecting;
        }
        if self.has_read {
            self.batch.items.push(Item::Disconnected { reason });
        }
        // The link forgets a stream at the last sequence.
        for place in &mut self.streams {
            if let Some(lost) = place.take_if(|stream| stream.next == u64::MAX) {
                lose(&mut self.batch, lost);
            }
        }
        _ = self.queue.pass(&mut self.batch);
    }

    fn fail(&mut self, now: Duration, link: &mut NodeLink<'_>, error: UntypedError) {
        self.error.get_or_insert(error);
        link.close(now, CloseReason::Shutdown);
    }

    fn topic(&self) -> &str {
        match &self.goal {
            Goal::Read { topic, .. } => topic,
            Goal::List => "",
        }
    }

    /// The peer has sent its name.
    fn up(&mut self, now: Duration, link: &mut NodeLink<'_>, node: &str) {
        if let Some(expected) = self.expected.clone().filter(|expected| expected != node) {
            let found = node.to_owned();
            return self.fail(now, link, UntypedError::Node { expected, found });
        }
        self.node = Arc::from(node);
        // On a later connection the link subscribes again.
        if !self.is_reading() {
            self.request_catalogue(now);
        }
    }

    fn request_catalogue(&mut self, now: Duration) {
        let query = Query::new("its catalogue", Name::default(), LONGEST_CATALOGUE, now);
        self.step = Step::Catalogue(query);
    }

    /// Bytes of the peer's catalogue or of a layout.
    fn described(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        piece: (u32, u32, &[u8]),
    ) -> Result<(), UntypedError> {
        let node = &*self.node;
        match &mut self.step {
            Step::Catalogue(query) => {
                let Some(bytes) = query.take(now, node, piece)? else { return Ok(()) };
                self.on_catalogue(now, link, &bytes)
            }
            Step::Layout(query, type_id, digest) => {
                let Some(form) = query.take(now, node, piece)? else { return Ok(()) };
                let (type_id, digest) = (*type_id, *digest);
                self.on_layout(link, &form, type_id, digest)
            }
            // It answers a request of an earlier connection, or none.
            Step::Connecting | Step::Probe | Step::Subscribed | Step::Reading | Step::Done => {
                Ok(())
            }
        }
    }

    fn on_catalogue(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        bytes: &[u8],
    ) -> Result<(), UntypedError> {
        let node = || self.node.to_string();
        if bytes.is_empty() {
            return Err(UntypedError::NoCatalogue { node: node() });
        }
        let catalogue = CatalogueEntry::parse(bytes);
        self.catalogue =
            catalogue.map_err(|error| UntypedError::Catalogue { node: node(), error })?;
        let Goal::Read { topic, .. } = &self.goal else {
            self.step = Step::Done;
            link.close(now, CloseReason::Shutdown);
            return Ok(());
        };
        let found = self.catalogue.iter().find(|entry| entry.topic == *topic);
        let Some(found) = found else {
            // Unknown, or not for this side?
            self.step = Step::Probe;
            return self.subscribe(link, 1, Digest([0; 16]), 1);
        };
        let (name, type_id, digest) = (self.name(), found.type_id, found.digest);
        let query = Query::new("the layout of its messages", name, LONGEST_FORM, now);
        self.step = Step::Layout(query, type_id, digest);
        Ok(())
    }

    fn on_layout(
        &mut self,
        link: &mut NodeLink<'_>,
        form: &[u8],
        type_id: u16,
        digest: Digest,
    ) -> Result<(), UntypedError> {
        let parsed = check_digest(form, digest).and_then(|()| Layout::parse(form));
        let layout = parsed.map_err(|error| {
            let (node, topic) = (self.node.to_string(), self.topic().to_owned());
            UntypedError::Layout { node, topic, error }
        })?;
        let window = (WINDOW / (layout.size() + 64)).max(8);
        self.layout = Some(Arc::new(layout));
        self.step = Step::Subscribed;
        self.subscribe(link, type_id, digest, window)
    }

    fn subscribe(
        &mut self,
        link: &mut NodeLink<'_>,
        type_id: u16,
        digest: Digest,
        window: usize,
    ) -> Result<(), UntypedError> {
        let start = match &self.goal {
            Goal::Read { start: Start::OldestRetained, .. } => ReaderStart::Oldest,
            Goal::Read { start: Start::Next, .. } | Goal::List => ReaderStart::Next,
        };
        let interest = Interest {
            topic: self.name(),
            type_id,
            digest,
            mode: ReaderMode::Observing,
            start,
            window: u32::try_from(window).unwrap_or(u32::MAX),
        };
        // Only type 0 is refused, on a link without other interests.
        self.interest = Some(link.subscribe(interest).map_err(|_| self.invalid_type())?);
        Ok(())
    }

    fn invalid_type(&self) -> UntypedError {
        let (node, what) = (self.node.to_string(), "its catalogue");
        UntypedError::Answer { node, what, problem: "a topic of type 0" }
    }

    /// The topic that is read.
    fn name(&self) -> Name {
        Name::try_from(self.topic()).unwrap_or_default()
    }

    fn accepted(&mut self) {
        self.step = Step::Reading;
        (self.has_read, self.was_accepted) = (true, true);
        if let Some(layout) = self.layout.clone() {
            self.batch.items.push(Item::Subscribed { node: self.node.clone(), layout });
        }
    }

    fn rejected(&mut self, now: Duration, link: &mut NodeLink<'_>, reason: RejectReason) {
        let (node, topic) = (self.node.to_string(), self.topic().to_owned());
        let is_probe = matches!(self.step, Step::Probe);
        let error = match reason {
            RejectReason::Ended if !is_probe => {
                self.streams.iter_mut().for_each(|place| *place = None);
                self.step = Step::Reading;
                (self.has_read, self.was_accepted) = (true, true);
                return self.batch.items.push(Item::TopicEnded);
            }
            // The node has another version of the message since it was started again.
            RejectReason::Digest if self.is_reading() => {
                let interest = self.interest.take();
                _ = interest.map(|interest| link.unsubscribe(interest));
                self.lose_all();
                return self.request_catalogue(now);
            }
            RejectReason::Unknown => {
                UntypedError::NoTopic { node, topic, known: std::mem::take(&mut self.catalogue) }
            }
            // A topic that is not in the catalogue, but has another digest than the made up one.
            RejectReason::Digest | RejectReason::Ended if is_probe => {
                UntypedError::Forbidden { node, topic, name: self.own.clone() }
            }
            RejectReason::Forbidden => {
                UntypedError::Forbidden { node, topic, name: self.own.clone() }
            }
            // Nothing else is expected of a topic that it has listed just now.
            _ => UntypedError::Rejected { node, topic, reason },
        };
        self.fail(now, link, error);
    }

    fn lose_all(&mut self) {
        for lost in self.streams.drain(..).flatten() {
            lose(&mut self.batch, lost);
        }
    }

    /// A stream begins or resumes.
    fn begin(&mut self, id: IncomingId, source: Source, first: u64, resumed: Option<u64>) {
        if matches!(self.step, Step::Subscribed) {
            self.accepted();
        }
        // As long as the highest place so far: at most as many as the link has streams.
        if self.streams.len() <= id.place() {
            self.streams.resize_with(id.place() + 1, || None);
        }
        let place = &mut self.streams[id.place()];
        match place.as_mut().filter(|known| known.id == id) {
            Some(known) => {
                known.fragments.clear();
                known.skip(&mut self.batch, resumed.unwrap_or(0), GapReason::Disconnected);
                known.next = first;
            }
            None => {
                let source = Arc::new(source);
                self.batch.items.push(Item::Began { source: source.clone(), first });
                let (fragments, sent_at) = (Vec::new(), None);
                let (discarded, ungranted, next) = (0, 0, first);
                *place = Some(IncomingSource {
                    id,
                    source,
                    next,
                    discarded,
                    ungranted,
                    fragments,
                    sent_at,
                });
            }
        }
    }

    fn stream(&mut self, id: IncomingId) -> Option<(&mut IncomingSource, &mut Batch)> {
        let place = self.streams.get_mut(id.place())?;
        let stream = place.as_mut().filter(|stream| stream.id == id)?;
        Some((stream, &mut self.batch))
    }

    fn take_stream(&mut self, id: IncomingId) -> Option<IncomingSource> {
        self.streams.get_mut(id.place())?.take_if(|stream| stream.id == id)
    }

    /// Checks the size of a message's fixed part.
    fn check(&mut self, id: IncomingId, found: usize) -> Result<(), UntypedError> {
        let expected = self.layout.as_ref().map_or(0, |layout| layout.size());
        if found == expected {
            return Ok(());
        }
        let stream = self.stream(id).map(|(stream, _)| stream.source.publisher.to_string());
        let (node, topic) = (self.node.to_string(), self.topic().to_owned());
        let (publisher, error) = (stream.unwrap_or_default(), SizeMismatch { expected, found });
        Err(UntypedError::Message { node, topic, publisher, error })
    }

    /// Calls the task when the peer is late.
    fn wake_at(&mut self, deadline: Duration, context: &mut Context<'_>) {
        if self.timer.as_ref().is_none_or(|(set, _)| *set != deadline) {
            self.timer = Some((deadline, self.executor.sleep_until(deadline)));
        }
        if let Some((_, timer)) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            self.timer = None;
            context.waker().wake_by_ref();
        }
    }
}

impl IncomingSource {
    /// The next messages do not arrive.
    fn skip(&mut self, batch: &mut Batch, missed: u64, reason: GapReason) {
        self.fragments.clear();
        if reason == GapReason::Overwritten && self.discarded > 0 {
            // For the same reason: this reader is slow.
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
    fn push(&mut self, batch: &mut Batch, bytes: &[u8], sent_at: Option<u64>, discards: bool) {
        if discards {
            self.discarded = self.discarded.saturating_add(1);
            self.ungranted = self.ungranted.saturating_add(1);
        } else {
            self.report_discarded(batch);
            batch.push(self.id, (&self.source, self.next), bytes, sent_at);
        }
        self.next = self.next.saturating_add(1);
    }

    /// Reports messages that were discarded as a gap.
    fn report_discarded(&mut self, batch: &mut Batch) {
        let missed = std::mem::take(&mut self.discarded);
        if missed > 0 {
            let (source, next, reason) = (self.source.clone(), self.next, GapReason::Overwritten);
            batch.items.push(Item::Gap { source, next, missed, reason });
        }
    }
}

/// Ends a stream whose end has not arrived.
fn lose(batch: &mut Batch, mut stream: IncomingSource) {
    stream.report_discarded(batch);
    batch.items.push(Item::Lost { source: stream.source, next: stream.next });
}

impl Traffic<TOPICS, STREAMS> for Session {
    fn message(&mut self, id: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        if let Err(error) = self.check(id, frame.header().fixed_len().into()) {
            self.error.get_or_insert(error);
            return Err(CloseReason::Protocol);
        }
        let discards = self.discards;
        if let Some((stream, batch)) = self.stream(id) {
            stream.push(batch, frame.payload(), frame.sent_at(), discards);
        }
        Ok(())
    }

    fn on_event(&mut self, now: Duration, link: &mut NodeLink<'_>, event: Event<'_>) {
        match event {
            Event::Up { node, .. } => self.up(now, link, node),
            Event::Described { offset, total, bytes } => {
                if let Err(error) = self.described(now, link, (offset, total, bytes)) {
                    self.fail(now, link, error);
                }
            }
            Event::Accepted { interest } if self.interest == Some(interest) => match self.step {
                Step::Probe => self.fail(now, link, self.invalid_probe()),
                _ => self.accepted(),
            },
            Event::Rejected { interest, reason, .. } if self.interest == Some(interest) => {
                self.rejected(now, link, reason);
            }
            Event::Stream { stream, interest, publisher, epoch, first, resumed }
                if self.interest == Some(interest) =>
            {
                let source = Source { publisher: Arc::from(publisher), epoch };
                self.begin(stream, source, first, resumed);
            }
            Event::Fragment { stream: id, fragment, frame } => {
                if let Err(error) = self.check(id, fragment.fixed_len.into()) {
                    return self.fail(now, link, error);
                }
                let discards = self.discards;
                let Some((stream, batch)) = self.stream(id) else { return };
                if fragment.offset == 0 {
                    stream.fragments.clear();
                    stream.sent_at = frame.sent_at();
                }
                stream.fragments.extend_from_slice(frame.payload());
                if stream.fragments.len() >= fragment.total as usize {
                    let (bytes, sent_at) = (std::mem::take(&mut stream.fragments), stream.sent_at);
                    stream.push(batch, &bytes, sent_at, discards);
                }
            }
            Event::Run { stream: id, shape, bytes, .. } => {
                if let Err(error) = self.check(id, shape.length.into()) {
                    return self.fail(now, link, error);
                }
                let discards = self.discards;
                let Some((stream, batch)) = self.stream(id) else { return };
                for item in bytes.chunks_exact(shape.stride.max(1) as usize) {
                    stream.push(batch, shape.message(item), None, discards);
                }
            }
            Event::Gap { stream: id, missed, reason } => {
                if let Some((stream, batch)) = self.stream(id) {
                    stream.skip(batch, missed, gap_reason(reason));
                }
            }
            Event::End { stream: id, next } => {
                if let Some(mut stream) = self.take_stream(id) {
                    stream.report_discarded(&mut self.batch);
                    self.batch.items.push(Item::Ended { source: stream.source, next });
                }
            }
            Event::Gone { stream: id } => {
                if let Some(stream) = self.take_stream(id) {
                    lose(&mut self.batch, stream);
                }
            }
            // This side has no topics.
            Event::Describe { offset, .. } => _ = link.answer(now, None, offset),
            Event::Subscribe { export, .. } => {
                _ = link.reject(export, RejectReason::Unknown, Digest([0; 16]));
            }
            _ => {}
        }
    }

    fn send(&mut self, now: Duration, link: &mut NodeLink<'_>, context: &mut Context<'_>) {
        let taken = self.queue.taken(context.waker(), |stream, count| {
            // A stream that has ended needs no credit.
            _ = link.grant(stream, count);
        });
        if taken.has_left {
            return link.close(now, CloseReason::Shutdown);
        }
        let idle_since = taken.is_idle.then(|| *self.idle_since.get_or_insert(now));
        self.idle_since = idle_since;
        self.discards = idle_since.is_some_and(|since| now >= since.saturating_add(IDLE));
        for stream in self.streams.iter_mut().flatten() {
            if !self.discards {
                stream.report_discarded(&mut self.batch);
            }
            _ = link.grant(stream.id, std::mem::take(&mut stream.ungranted));
        }
        if !self.queue.pass(&mut self.batch) {
            let (node, what) = (self.node.to_string(), "a topic");
            let problem = "more gaps and ends than messages";
            return self.fail(now, link, UntypedError::Answer { node, what, problem });
        }
        if self.discards && !self.has_granted {
            // Messages that wait here have used credit: the window begins again behind them.
            self.has_granted = true;
            for stream in self.streams.iter().flatten() {
                _ = link.grant(stream.id, u32::MAX);
            }
        }
        self.has_granted &= self.discards;
        let (Step::Catalogue(query) | Step::Layout(query, ..)) = &mut self.step else {
            return match idle_since.filter(|_| !self.discards) {
                Some(since) => self.wake_at(since.saturating_add(IDLE), context),
                None => self.timer = None,
            };
        };
        let (requested, deadline) = (query.request(now, &self.node, link), query.deadline());
        match requested {
            Ok(()) => self.wake_at(deadline, context),
            Err(error) => self.fail(now, link, error),
        }
    }
}

impl Session {
    /// The peer accepts a topic that its catalogue does not have.
    fn invalid_probe(&self) -> UntypedError {
        let (node, what) = (self.node.to_string(), "its catalogue");
        UntypedError::Answer { node, what, problem: "a list without the topic that it has" }
    }
}
