//! A session with a peer whose topic is read, over one connection after the other. It requests the
//! peer's catalogue and the topic's layout, subscribes, and passes on the messages that arrive.
//!
//! Over a link several topics may be read, each by a [`Session`]: [`Parts`](super::parts::Parts) is
//! its traffic. Everything that is received is foreign: an error ends the link and the reading.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use mycelium_core::descriptor::Digest;
use mycelium_core::frame::Fragment;
use mycelium_core::link::{
    CloseReason, Event, IncomingId, Interest, InterestId, Name, ReaderMode, ReaderStart,
    RejectReason, SendError, Unit,
};
use mycelium_core::{FrameView, TraceContext};
use mycelium_executor::{Executor, SendFuture};

use super::UntypedError;
use super::query::Query;
use super::queue::{IncomingStreams, Item, Progress, Queue, Source, Taken};
use super::value::{LONGEST, ViewError};
use crate::layout::{Layout, MessageType, check_digest};
use crate::link::{CatalogueEntry, LONGEST_CATALOGUE, LONGEST_FORM, gap_reason};
use crate::local::{Metadata, Start};
use crate::stream::NodeLink;

/// The limit on the bytes of a stream that are in transit or wait for the reader, if all messages
/// have the same size. Otherwise it is that of the longest message.
const WINDOW: usize = 1 << 20;

/// The bytes for each credit, if messages differ in length.
const UNIT: u32 = 1 << 10;

/// The time after which messages for a reader that takes nothing are discarded and counted as a
/// gap. Otherwise a node that has completed would wait until they are taken.
const IDLE: Duration = Duration::from_secs(1);

/// The purpose of a session.
pub(super) enum Goal {
    /// To read the catalogue.
    List,
    /// To read a topic, from this start on. With `gates`, publishers wait for the reader.
    Read { topic: String, start: Start, gates: bool },
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
    /// The peer's name has arrived on this connection.
    is_up: bool,
    step: Step,
    /// The catalogue, once it has arrived on this connection.
    catalogue: Option<Arc<[CatalogueEntry]>>,
    layout: Option<Arc<Layout>>,
    message: Option<Arc<MessageType>>,
    interest: Option<InterestId>,
    streams: IncomingStreams,
    /// The time since which the reader takes none of the waiting items.
    idle_since: Option<Duration>,
    /// Messages are discarded, and new credit was granted for the items that wait here.
    has_granted: bool,
    timer: Option<(Duration, SendFuture<()>)>,
    /// The topic was accepted at least once.
    pub(super) has_read: bool,
    /// Messages have arrived since the last connection.
    pub(super) has_received: bool,
    /// The reader knows that all publishers have completed.
    has_completed: bool,
    /// The reader was notified of this connection, and will be notified of its end.
    is_known: bool,
    /// Why reading has ended.
    pub(super) error: Option<UntypedError>,
}

/// The progress of a session.
enum Step {
    /// The peer has not sent its name.
    Connecting,
    /// The catalogue was requested.
    Catalogue(Query),
    /// The topic is not in the catalogue: a subscription is to find out why.
    Probe,
    /// The layout of a topic with this type and digest was requested.
    Layout(Query, u16, Digest),
    /// The subscription was sent and not accepted yet.
    Subscribed,
    /// The topic is accepted, and messages arrive.
    Reading,
    /// The peer does not have the topic on this connection.
    Absent,
    /// The catalogue has arrived, and nothing else was needed.
    Done,
}

impl Session {
    pub(super) fn new(
        goal: Goal,
        expected: Option<String>,
        own: String,
        executor: Arc<dyn Executor>,
        queue: Arc<Queue>,
    ) -> Session {
        let gates = matches!(goal, Goal::Read { gates: true, .. });
        Session {
            goal,
            expected,
            own,
            executor,
            queue,
            node: Arc::from(""),
            is_up: false,
            step: Step::Connecting,
            catalogue: None,
            layout: None,
            message: None,
            interest: None,
            streams: IncomingStreams::new(gates),
            idle_since: None,
            has_granted: false,
            timer: None,
            has_read: false,
            has_received: false,
            has_completed: false,
            is_known: false,
            error: None,
        }
    }

    /// Whether publishers wait for the reader.
    pub(super) fn gates(&self) -> bool {
        self.streams.gates
    }

    fn is_reading(&self) -> bool {
        matches!(self.step, Step::Reading)
    }

    /// Whether this is the subscription.
    pub(super) fn has_interest(&self, interest: InterestId) -> bool {
        self.interest == Some(interest)
    }

    /// Whether the reader has left.
    pub(super) fn has_left(&self) -> bool {
        self.queue.has_left()
    }

    /// Whether everything that was needed has arrived.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Returns the name and the catalogue of the peer, if they have arrived.
    pub(super) fn catalogue(&self) -> Option<(&Arc<str>, &Arc<[CatalogueEntry]>)> {
        Some((&self.node, self.catalogue.as_ref()?))
    }

    /// Sets the catalogue that the peer has sent for another topic.
    pub(super) fn set_catalogue(&mut self, catalogue: &Arc<[CatalogueEntry]>) {
        self.catalogue.get_or_insert_with(|| catalogue.clone());
    }

    /// Handles the end of the connection.
    pub(super) fn disconnected(&mut self, link: &mut NodeLink<'_>, reason: String) {
        (self.timer, self.is_up, self.catalogue) = (None, false, None);
        if !self.is_reading() {
            // The next connection requests the catalogue again.
            let interest = self.interest.take();
            _ = interest.map(|interest| link.unsubscribe(interest));
            self.step = Step::Connecting;
        }
        if std::mem::take(&mut self.is_known) {
            self.streams.batch.items.push(Item::Disconnected { reason });
        }
        self.streams.disconnected();
        self.pass();
    }

    /// Passes the arrived items to the reader.
    pub(super) fn pass(&mut self) {
        _ = self.queue.pass(&mut self.streams.batch);
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

    /// Handles the name that the peer has sent.
    pub(super) fn up(&mut self, now: Duration, link: &mut NodeLink<'_>, node: &str) {
        if let Some(expected) = self.expected.clone().filter(|expected| expected != node) {
            let found = node.to_owned();
            return self.fail(now, link, UntypedError::Node { expected, found });
        }
        (self.node, self.is_up) = (Arc::from(node), true);
    }

    /// Whether this has a request for the peer, or is about to have one.
    pub(super) fn wants_to_ask(&self) -> bool {
        let is_next = self.is_up && matches!(self.step, Step::Connecting);
        self.is_asking() || is_next && !self.has_left()
    }

    /// Whether this waits for the answer to a request. A session whose reader has left waits, too,
    /// because nothing in an answer says to which request it belongs.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.step, Step::Catalogue(_) | Step::Layout(..))
    }

    /// Requests the catalogue, or the layout if it has the catalogue already. On a later connection
    /// the link subscribes again.
    pub(super) fn ask(&mut self, now: Duration, link: &mut NodeLink<'_>) {
        if !self.is_up || !matches!(self.step, Step::Connecting) {
            return;
        }
        if let Some(catalogue) = self.catalogue.clone() {
            if let Err(error) = self.find(now, link, &catalogue) {
                self.fail(now, link, error);
            }
            return;
        }
        let query = Query::new("its catalogue", Name::default(), LONGEST_CATALOGUE, now);
        self.step = Step::Catalogue(query);
    }

    /// Handles a piece of the peer's catalogue or of a layout.
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
            // The bytes answer a request of an earlier connection, or no request.
            Step::Connecting
            | Step::Probe
            | Step::Subscribed
            | Step::Reading
            | Step::Absent
            | Step::Done => Ok(()),
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
        let parsed = CatalogueEntry::parse(bytes);
        let parsed = parsed.map_err(|error| UntypedError::Catalogue { node: node(), error })?;
        let catalogue: Arc<[CatalogueEntry]> = parsed.into();
        self.catalogue = Some(catalogue.clone());
        self.find(now, link, &catalogue)
    }

    /// Searches the topic in the peer's catalogue, and requests its layout.
    fn find(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        catalogue: &[CatalogueEntry],
    ) -> Result<(), UntypedError> {
        let Goal::Read { topic, .. } = &self.goal else {
            self.step = Step::Done;
            link.close(now, CloseReason::Shutdown);
            return Ok(());
        };
        if self.has_left() {
            self.step = Step::Absent;
            return Ok(());
        }
        let Some(found) = catalogue.iter().find(|entry| entry.topic == *topic) else {
            // Either the topic is unknown, or this side may not read it. The probe finds out which.
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
        if self.has_left() {
            self.step = Step::Absent;
            return Ok(());
        }
        let parsed = check_digest(form, digest).and_then(|()| Layout::parse(form));
        let layout = parsed.map_err(|error| {
            let (node, topic) = (self.node.to_string(), self.topic().to_owned());
            UntypedError::Layout { node, topic, error }
        })?;
        let window = match layout.has_bodies() {
            true => LONGEST / UNIT as usize,
            false => (WINDOW / (layout.size() + size_of::<Item>())).max(8),
        };
        self.streams.unit = layout.has_bodies().then(|| Unit::of_bytes(UNIT));
        self.layout = Some(Arc::new(layout));
        self.message = Some(Arc::new(MessageType { id: type_id, form: form.to_vec() }));
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
            Goal::Read { start, .. } if start.is_earlier() => ReaderStart::Oldest,
            Goal::Read { .. } | Goal::List => ReaderStart::Next,
        };
        let interest = Interest {
            topic: self.name(),
            type_id,
            digest,
            mode: if self.streams.gates { ReaderMode::Gating } else { ReaderMode::Observing },
            start,
            window: u32::try_from(window).unwrap_or(u32::MAX),
            unit: self.streams.unit.unwrap_or(Unit::MESSAGE),
        };
        let subscribed = link.subscribe(interest);
        self.interest = Some(subscribed.map_err(|error| match error {
            SendError::Topics { limit } => {
                UntypedError::TooManyTopics { node: self.node.to_string(), limit }
            }
            // The only other reason: numbers last longer than any link.
            _ => self.answer("its catalogue", "a topic of type 0"),
        })?);
        Ok(())
    }

    /// Creates the error for a problem in the peer's answer.
    fn answer(&self, what: &'static str, problem: &'static str) -> UntypedError {
        UntypedError::Answer { node: self.node.to_string(), what, problem }
    }

    /// Returns the topic that is read.
    fn name(&self) -> Name {
        Name::try_from(self.topic()).unwrap_or_default()
    }

    fn accepted(&mut self) {
        self.step = Step::Reading;
        self.continues();
        if let (Some(layout), Some(message)) = (self.layout.clone(), self.message.clone()) {
            let node = self.node.clone();
            self.streams.batch.items.push(Item::Subscribed { node, layout, message });
        }
    }

    /// Notes that the peer sends the topic on this connection.
    fn continues(&mut self) {
        (self.has_read, self.is_known, self.has_completed) = (true, true, false);
    }

    fn rejected(&mut self, now: Duration, link: &mut NodeLink<'_>, reason: RejectReason) {
        let (node, topic) = (self.node.to_string(), self.topic().to_owned());
        let is_probe = matches!(self.step, Step::Probe);
        let error = match reason {
            RejectReason::Ended if !is_probe => {
                self.streams.forget_all();
                self.step = Step::Reading;
                self.has_read = true;
                // A node that ends reports this on each connection. Only the first report counts.
                if !std::mem::replace(&mut self.has_completed, true) {
                    self.is_known = true;
                    self.streams.batch.items.push(Item::TopicEnded);
                }
                return;
            }
            // The node was started again with another version of the message.
            RejectReason::Digest if self.is_reading() => {
                let interest = self.interest.take();
                _ = interest.map(|interest| link.unsubscribe(interest));
                self.streams.lose_all();
                return self.step = Step::Connecting;
            }
            // The node may be started again with the topic.
            RejectReason::Unknown if self.streams.gates => {
                self.streams.lose_all();
                self.streams.batch.items.push(Item::TopicEnded);
                return self.step = Step::Absent;
            }
            RejectReason::Unknown => {
                let known = self.catalogue.as_deref().unwrap_or_default().to_vec();
                UntypedError::NoTopic { node, topic, known }
            }
            // The topic is not in the catalogue, but exists: its digest differs from the invented
            // one, or it has ended.
            RejectReason::Digest | RejectReason::Ended if is_probe => {
                UntypedError::Forbidden { node, topic, name: self.own.clone() }
            }
            RejectReason::Forbidden => {
                UntypedError::Forbidden { node, topic, name: self.own.clone() }
            }
            // The peer has just listed the topic, so no other reason is expected.
            _ => UntypedError::Rejected { node, topic, reason },
        };
        self.fail(now, link, error);
    }

    /// Checks the size of a message's fixed part.
    fn check(&mut self, id: IncomingId, found: usize) -> Result<(), UntypedError> {
        let expected = self.layout.as_ref().map_or(0, |layout| layout.size());
        if found == expected {
            self.has_received = true;
            return Ok(());
        }
        Err(self.invalid(id, ViewError::Size { expected, found }))
    }

    /// Creates the error of an invalid message.
    fn invalid(&mut self, id: IncomingId, error: ViewError) -> UntypedError {
        let (node, topic) = (self.node.to_string(), self.topic().to_owned());
        UntypedError::Message { node, topic, publisher: self.streams.publisher(id), error }
    }

    /// Handles a message in one piece.
    fn whole(&mut self, id: IncomingId, frame: &FrameView<'_>) -> Result<(), UntypedError> {
        self.check(id, frame.header().fixed_len().into())?;
        let checked = check_bodies(self.layout.as_deref(), frame.payload());
        checked.map_err(|error| self.invalid(id, error))?;
        self.streams.push(id, frame.payload(), metadata(frame.trace(), frame.sent_at()));
        Ok(())
    }

    /// Handles messages that are the same number of bytes.
    fn run<'m>(
        &mut self,
        id: IncomingId,
        mut messages: impl Iterator<Item = &'m [u8]>,
    ) -> Result<(), UntypedError> {
        let layout = self.layout.clone();
        let layout = layout.as_deref();
        messages.try_for_each(|message| {
            if layout.is_none_or(|layout| !layout.has_bodies()) {
                self.check(id, message.len())?;
            }
            let checked = check_bodies(layout, message);
            checked.map_err(|error| self.invalid(id, error))?;
            self.streams.push(id, message, Metadata::default());
            Ok(())
        })
    }

    /// Handles a part of a long message.
    fn fragment(
        &mut self,
        id: IncomingId,
        fragment: &Fragment,
        bytes: &[u8],
        metadata: Metadata,
    ) -> Result<(), UntypedError> {
        self.check(id, fragment.fixed_len.into())?;
        let found = fragment.total as usize;
        if found > LONGEST {
            return Err(self.invalid(id, ViewError::TooLong { found }));
        }
        let layout = self.layout.as_deref();
        let check = |bytes: &[u8]| check_bodies(layout, bytes);
        let pushed = self.streams.push_fragment(id, fragment, (bytes, metadata), check);
        pushed.map_err(|error| self.invalid(id, error))
    }

    /// Handles a part of a retained message.
    fn retained(
        &mut self,
        name: (u64, u64),
        (offset, total): (u32, u32),
        bytes: &[u8],
    ) -> Result<(), UntypedError> {
        let layout = self.layout.clone();
        let found = total as usize;
        let check = |id, message: &[u8]| match layout.as_deref() {
            _ if found > LONGEST => Err((id, ViewError::TooLong { found })),
            Some(layout) => layout.view(message).map(drop).map_err(|error| (id, error)),
            None => Ok(()),
        };
        // A message that is too long is refused with its first part.
        let total = if found > LONGEST { 0 } else { total };
        let pushed = self.streams.push_retained(name, (offset, total), bytes, check);
        pushed.map_err(|(id, error)| self.invalid(id, error))
    }

    /// Wakes the task at the deadline of the peer.
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

/// Returns the metadata of a message. A trace with invalid ids counts as none.
fn metadata(trace: Option<TraceContext>, sent_at: Option<u64>) -> Metadata {
    Metadata { trace: trace.filter(TraceContext::is_valid), sent_at }
}

/// Checks that the bodies of a message are those of its fields.
fn check_bodies(layout: Option<&Layout>, bytes: &[u8]) -> Result<(), ViewError> {
    match layout.filter(|layout| layout.has_bodies()) {
        Some(layout) => layout.view(bytes).map(drop),
        None => Ok(()),
    }
}

impl Session {
    /// Handles a message of a stream of this topic.
    pub(super) fn message(
        &mut self,
        id: IncomingId,
        frame: &FrameView<'_>,
    ) -> Result<(), CloseReason> {
        self.whole(id, frame).map_err(|error| {
            self.error.get_or_insert(error);
            CloseReason::Protocol
        })
    }

    /// Handles an event of this topic, or the answer to its request.
    pub(super) fn on_event(&mut self, now: Duration, link: &mut NodeLink<'_>, event: Event<'_>) {
        match event {
            Event::Described { offset, total, bytes } => {
                if let Err(error) = self.described(now, link, (offset, total, bytes)) {
                    self.fail(now, link, error);
                }
            }
            Event::Accepted { .. } => match self.step {
                Step::Probe => {
                    let problem = "a list without the topic that it has";
                    self.fail(now, link, self.answer("its catalogue", problem));
                }
                _ => self.accepted(),
            },
            Event::Rejected { reason, .. } => self.rejected(now, link, reason),
            Event::Stream { stream, publisher, epoch, first, resumed, .. } => {
                let source = Source { publisher: Arc::from(publisher), epoch };
                match self.step {
                    Step::Subscribed => self.accepted(),
                    Step::Reading => self.continues(),
                    Step::Connecting
                    | Step::Catalogue(_)
                    | Step::Probe
                    | Step::Layout(..)
                    | Step::Absent
                    | Step::Done => {}
                }
                self.streams.begin(stream, source, first, resumed);
            }
            Event::Fragment { stream: id, fragment, envelope, bytes } => {
                let metadata = metadata(envelope.trace, envelope.sent_at);
                if let Err(error) = self.fragment(id, &fragment, bytes, metadata) {
                    self.fail(now, link, error);
                }
            }
            Event::Run { stream: id, shape, bytes, .. } => {
                let messages = bytes.chunks_exact(shape.stride.max(1) as usize);
                if let Err(error) = self.run(id, messages.map(|item| shape.message(item))) {
                    self.fail(now, link, error);
                }
            }
            Event::Retained { epoch, sequence, offset, total, bytes, .. } => {
                if let Err(error) = self.retained((epoch, sequence), (offset, total), bytes) {
                    self.fail(now, link, error);
                }
            }
            Event::Gap { stream, missed, reason } => {
                self.streams.skip(stream, missed, gap_reason(reason));
            }
            Event::End { stream, next } => self.streams.end(stream, next),
            Event::Gone { stream } => self.streams.lose(stream),
            _ => {}
        }
    }

    /// Sends credit for the messages that the reader has taken, and confirms those that it is done
    /// with.
    pub(super) fn confirm(&self, now: Duration, link: &mut NodeLink<'_>, waker: &Waker) -> Taken {
        let taken = self.queue.taken(waker, |stream, progress| {
            // A stream that has ended needs no credit, and one that is gone waits for nobody.
            _ = match progress {
                Progress::Taken(credit) => link.grant(stream, credit),
                Progress::Done(next) => link.confirm(now, stream, next),
            };
        });
        Taken { may_return: taken.may_return && self.gates(), ..taken }
    }

    /// Sends credit, confirmations and requests.
    pub(super) fn send(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        context: &mut Context<'_>,
    ) {
        let taken = self.confirm(now, link, context.waker());
        if taken.has_left && !self.is_asking() {
            // The link stays for other topics.
            self.timer = None;
            if !taken.may_return {
                self.streams.forget_all();
                _ = self.interest.take().map(|interest| link.unsubscribe(interest));
            }
            return;
        }
        if self.streams.gates {
            self.streams.signal_demand(now, link);
        }
        let is_idle = taken.is_idle && !self.streams.gates;
        let idle_since = is_idle.then(|| *self.idle_since.get_or_insert(now));
        self.idle_since = idle_since;
        self.streams.discards = idle_since.is_some_and(|since| now >= since.saturating_add(IDLE));
        self.streams.grant_discarded(link);
        if !self.queue.pass(&mut self.streams.batch) {
            let error = self.answer("a topic", "more gaps and ends than messages");
            return self.fail(now, link, error);
        }
        if self.streams.discards && !self.has_granted {
            // The messages that wait here have used credit, so each stream gets its whole window
            // again.
            self.has_granted = true;
            self.streams.grant_all(link);
        }
        self.has_granted &= self.streams.discards;
        let (Step::Catalogue(query) | Step::Layout(query, ..)) = &mut self.step else {
            return match idle_since.filter(|_| !self.streams.discards) {
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
