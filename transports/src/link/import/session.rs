//! Reads the topics of one peer, on one connection after the other.
//!
//! [`ImportSession`] handles the traffic of a link on the readers' side: each publisher of the peer
//! becomes an [`IncomingStream`], which outlives connections.

use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use event_listener::EventListener;
use futures_util::future::{Either, select};
use mycelium_core::descriptor::Digest;
use mycelium_core::link::{
    CloseReason, Config, ConfigError, Event, IncomingId, InterestId, LinkError, Name, ReaderStart,
    RejectReason, SendError,
};
use mycelium_core::{FrameView, TraceContext, debug_as_display};
use mycelium_executor::{Executor, SendFuture, Stream};
use thiserror::Error;

use super::incoming_memory::{IncomingMemory, MemoryAccess};
use super::incoming_stream::{IncomingStream, StreamJoiners};
use super::remote_topic::RemoteTopic;
use crate::counters::{Line, LinkValue, Region, plain};
use crate::link::channel::LostMemory;
use crate::link::config::{Identity, LinkConfig, MemoryUse, TopicInterest};
use crate::link::describing::{Fit, LayoutAnswer, LayoutQueries};
use crate::link::gap;
use crate::link::layout::LayoutMismatch;
use crate::link::notice::{Notice, Observer};
use crate::local::state::Joiners;
use crate::local::{GapReason, Metadata, Start, Topic};
use crate::memory::Token;
use crate::seam::{BusyGuard, Control, Phase};
use crate::stream::{DriveError, Driver, Moved, NodeLink, STREAMS, TOPICS, Traffic};

pub(super) struct ImportSession {
    /// The name of the peer.
    peer: String,
    topics: Vec<RemoteTopic>,
    /// The streams, indexed by the place in their ids.
    streams: Vec<Option<IncomingStream>>,
    control: Arc<Control>,
    observer: Observer,
    line: Line<LinkValue>,
    listener: Option<EventListener>,
    /// The peer has answered since the last `take_was_admitted`, so it has admitted this side.
    was_admitted: bool,
    queries: LayoutQueries,
    /// The number of connections in a row that ended before the layouts were compared.
    cut_off: usize,
    answer: LayoutAnswer,
    executor: Arc<dyn Executor>,
    access: Option<MemoryAccess>,
    needs_memory: bool,
    /// The features of the peer have arrived on this connection.
    knows_features: bool,
    /// The shared memory beside the present connection.
    memory: Option<IncomingMemory>,
    /// The peer's token, if connecting with it failed because the peer's queue was full.
    offered: Option<OfferedMemory>,
    lost_memory: LostMemory,
    /// The link's keep-alive interval and silence limit.
    times: (Duration, Duration),
}

/// The limit on connections in a row that end before the layouts are compared.
const MOST_CUT_OFF: usize = 4;

/// The next attempt to connect with a token.
struct OfferedMemory {
    token: Token,
    attempts: usize,
    pause: SendFuture<()>,
}

/// The pause before another attempt to connect while the peer's queue is full or its socket is
/// being restored, and the limit on attempts: one second in all.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(10);
const ATTEMPTS: usize = 100;

impl ImportSession {
    /// Creates a session that subscribes to the topics, on this connection and on each later one.
    pub(super) fn new(
        imports: &Imports,
        line: Line<LinkValue>,
        link: &mut NodeLink<'_>,
    ) -> Result<ImportSession, SendError> {
        let topics = imports.interests.iter().map(|interest| RemoteTopic::new(interest, link));
        Ok(ImportSession {
            peer: imports.peer.clone(),
            topics: topics.collect::<Result<_, SendError>>()?,
            streams: Vec::new(),
            control: imports.control.clone(),
            observer: imports.observer.clone(),
            line,
            listener: None,
            was_admitted: false,
            queries: LayoutQueries::default(),
            cut_off: 0,
            answer: LayoutAnswer::default(),
            executor: imports.executor.clone(),
            access: imports.memory.clone(),
            needs_memory: imports.config.memory == MemoryUse::Required,
            knows_features: false,
            memory: None,
            offered: None,
            lost_memory: LostMemory::default(),
            times: (imports.config.keep_alive, imports.config.silence),
        })
    }

    /// Returns whether the peer has admitted this side since the last call.
    pub(super) fn take_was_admitted(&mut self) -> bool {
        std::mem::take(&mut self.was_admitted)
    }

    /// Whether the peer has ended all topics.
    pub(super) fn is_over(&self) -> bool {
        self.topics.iter().all(|topic| topic.keep_open.is_none())
    }

    /// Ends the session, because the peer will not run again. Its open streams are lost, and the
    /// subscriptions end.
    pub(super) fn abandon(self) {
        self.topics.iter().filter(|topic| topic.is_new).for_each(|_| self.control.found());
    }

    /// Handles the end of the connection: the peer will not answer open requests.
    pub(super) fn disconnected(&mut self, link: &mut NodeLink<'_>) {
        // Streams in shared memory keep the parts of the connection that they need.
        (self.memory, self.offered) = (None, None);
        self.leave_lost_memory(link);
        self.streams.iter_mut().flatten().for_each(IncomingStream::outlive_connection);
        // The link forgets streams that have reached the last sequence, because nothing can follow
        // it.
        for place in &mut self.streams {
            if let Some(stream) = place.take_if(|stream| stream.is_exhausted()) {
                RemoteTopic::lose(&mut self.topics, stream);
            }
        }
        // The next connection compares the layouts, so that the difference is known.
        self.cut_off = if self.queries.is_empty() { 0 } else { self.cut_off + 1 };
        if self.cut_off == MOST_CUT_OFF {
            self.stop_comparing(link);
        }
        for RemoteTopic { id, topic, is_compared, recalls, .. } in &mut self.topics {
            *is_compared = false;
            let streams = self.streams.iter_mut().flatten();
            recalls.disconnected(topic, streams.filter(|stream| stream.interest == *id));
        }
    }

    /// Reports the topics whose layouts were not compared before the connection ended, because no
    /// connection will tell how they differ.
    fn stop_comparing(&mut self, link: &mut NodeLink<'_>) {
        while let Some((topic, fit)) = self.queries.finish(false) {
            self.compared(link, &topic, fit);
        }
    }

    /// Returns the topic that the peer has accepted or rejected.
    fn answered(&mut self, interest: InterestId) -> Option<&mut RemoteTopic> {
        self.was_admitted = true;
        let topic = self.topics.iter_mut().find(|topic| topic.id == interest)?;
        if std::mem::take(&mut topic.is_new) {
            self.control.found();
        }
        Some(topic)
    }

    fn rejected(
        &mut self,
        link: &mut NodeLink<'_>,
        interest: InterestId,
        reason: RejectReason,
        digest: Digest,
    ) {
        for place in &mut self.streams {
            let stream = place.take_if(|stream| stream.interest == interest);
            // A topic ends after all of its messages are confirmed, so no message is lost, unless
            // the peer takes messages for confirmed that this side does not have.
            let is_lost = |it: &IncomingStream| reason != RejectReason::Ended || it.is_incomplete();
            if let Some(stream) = stream.filter(is_lost) {
                RemoteTopic::lose(&mut self.topics, stream);
            }
        }
        let Some(rejected) = self.answered(interest) else { return };
        let topic = rejected.topic.clone();
        rejected.recalls.disconnected(&topic, std::iter::empty());
        match reason {
            RejectReason::Ended => rejected.keep_open = None,
            RejectReason::Digest if !std::mem::replace(&mut rejected.is_compared, true) => {
                if rejected.growth.is_some() && digest == topic.schema().digest {
                    // The peer was replaced by a program with the layout of this one.
                    if !rejected.resubscribe(link, digest, None) {
                        self.report_refused(&topic, RejectReason::TooMany);
                    }
                } else {
                    self.queries.add(topic, digest);
                }
            }
            RejectReason::Digest => {
                let mismatch = LayoutMismatch::new(topic.schema(), digest, None);
                self.compared(link, &topic, Err(mismatch));
            }
            _ => self.report_refused(&topic, reason),
        }
    }

    /// Reports why streams stay on the link instead of using shared memory.
    fn report_on_socket(&self, reason: &str) {
        (self.observer)(Notice::stays_on_socket(&self.peer, reason, self.needs_memory));
    }

    fn report_refused(&self, topic: &Topic, reason: RejectReason) {
        self.line.add(LinkValue::Refused, 1);
        (self.observer)(Notice::TopicRefused { peer: &self.peer, topic: topic.name(), reason });
    }

    /// Subscribes with the peer's layout of a topic if its messages can be converted; otherwise
    /// reports why not.
    fn compared(&mut self, link: &mut NodeLink<'_>, topic: &Arc<Topic>, fit: Fit) {
        let mismatch = match fit {
            Ok((growth, digest)) => {
                let mut topics = self.topics.iter_mut();
                let known = topics.find(|known| Arc::ptr_eq(&known.topic, topic));
                if !known.is_some_and(|known| known.resubscribe(link, digest, Some(growth))) {
                    self.report_refused(topic, RejectReason::TooMany);
                }
                return;
            }
            Err(mismatch) => mismatch,
        };
        self.report_refused(topic, RejectReason::Digest);
        let (peer, topic, mismatch) = (&*self.peer, topic.name(), &mismatch);
        (self.observer)(Notice::TopicLayoutDiffers { peer, topic, mismatch });
    }

    /// Begins or resumes a stream. The error says why this process has no room for the stream.
    fn begin(
        &mut self,
        (id, interest): (IncomingId, InterestId),
        (publisher, epoch): (&str, u64),
        first: u64,
        resumed: Option<u64>,
        retains: bool,
    ) -> Result<(), String> {
        // The list is as long as the highest place so far needs, at most the number of streams of a
        // link.
        if self.streams.len() <= id.place() {
            self.streams.resize_with(id.place() + 1, || None);
        }
        let place = &mut self.streams[id.place()];
        if let Some(stream) = place.as_mut().filter(|stream| stream.id == id) {
            stream.has_signaled = false;
            stream.skip(resumed.unwrap_or(0), GapReason::Disconnected);
            self.line.add(LinkValue::Missed, resumed.unwrap_or(0));
            return Ok(());
        }
        let topic = self.topics.iter().find(|topic| topic.id == interest);
        let Some(RemoteTopic { topic, growth, known, .. }) = topic else {
            return Err(format!("publisher `{publisher}` sends a topic that nobody reads here"));
        };
        let more = growth.map_or(0, |growth| growth.more());
        let known = known.iter().find(|(known, _)| *known == epoch).map(|(_, known)| *known);
        let joiners = (retains && topic.retained_most().is_some()).then(|| Joiners::new(known));
        let joiners = joiners.map(Arc::new);
        let publisher = topic.feed_with(publisher, epoch, first, more, joiners.clone());
        let publisher = publisher.map_err(|error| error.to_string())?;
        let joiners = joiners.map(|joiners| StreamJoiners::new(topic, joiners));
        *place = Some(IncomingStream::new(id, interest, publisher, first, *growth, joiners));
        Ok(())
    }

    /// Moves a stream to shared memory, which has its next messages. Returns false if the stream's
    /// ring was not passed.
    fn move_to_memory(&mut self, id: IncomingId, number: u32) -> bool {
        if self.stream(id).is_some_and(|stream| stream.has_moved()) {
            // The stream moved on an earlier connection and is still in that memory.
            return true;
        }
        let ring = self.memory.as_mut().and_then(|memory| memory.take(number));
        let (Some(stream), Some(ring)) = (self.stream(id), ring) else { return false };
        let moved = ring.epoch == stream.epoch() && stream.move_to_memory(ring).is_ok();
        if moved {
            let (publisher, interest) = (stream.publisher().clone(), stream.interest);
            let topic = self.topics.iter().find(|topic| topic.id == interest);
            let (peer, topic) = (&*self.peer, topic.map_or("", |topic| topic.topic.name()));
            (self.observer)(Notice::MovedToMemory { peer, topic, publisher: &publisher });
        }
        moved
    }

    /// Connects with the token that the peer has sent.
    fn connect_memory(&mut self, token: Token, attempts: usize) {
        let Some(access) = &self.access else { return };
        match IncomingMemory::connect(access, token, &self.executor) {
            Ok(memory) => self.memory = Some(memory),
            Err(error) if attempts > 0 && may_pass(error.kind()) => {
                let at = self.executor.now().saturating_add(ATTEMPT_PAUSE);
                let pause = self.executor.sleep_until(at);
                self.offered = Some(OfferedMemory { token, attempts: attempts - 1, pause });
            }
            Err(error) => self.report_on_socket(&format!("cannot connect to its node: {error}")),
        }
    }

    /// Takes the packets that have arrived over the control connection.
    fn update_memory(&mut self, context: &mut Context<'_>) {
        while let Some(OfferedMemory { token, attempts, .. }) =
            self.offered.take_if(|it| it.pause.as_mut().poll(context).is_ready())
        {
            self.connect_memory(token, attempts);
        }
        let Some(memory) = &mut self.memory else { return };
        let (streams, topics) = (&self.streams, &self.topics);
        let topic = |epoch| {
            let mut streams = streams.iter().flatten();
            let stream = streams.find(|stream| stream.epoch() == epoch && stream.may_move())?;
            let topic = topics.iter().find(|topic| topic.id == stream.interest)?;
            Some((&*topic.topic, topic.growth.is_some()))
        };
        let gone = memory.update(topic, context);
        for problem in memory.channel.take_problems() {
            self.report_on_socket(&problem);
        }
        if let Some(reason) = gone {
            self.memory = None;
            self.lost_memory.ended(&reason);
        }
    }

    /// Lets streams whose shared memory was lost continue over the next connection, because this
    /// one has ended. A stream cannot continue if the peer's process has died.
    fn leave_lost_memory(&mut self, link: &mut NodeLink<'_>) {
        self.lost_memory.clear();
        self.lose_streams(|it| it.has_lost_memory() && !it.leave_memory(link));
    }

    /// Removes streams. Those that subscriptions do not have to their ends are lost.
    fn lose_streams(&mut self, mut is_lost: impl FnMut(&mut IncomingStream) -> bool) {
        for place in &mut self.streams {
            let lost = place.take_if(&mut is_lost).filter(|it| !it.is_whole_in_memory());
            if let Some(stream) = lost {
                RemoteTopic::lose(&mut self.topics, stream);
            }
        }
    }

    /// Returns the metadata of a message. A trace with invalid ids counts as none.
    #[inline]
    fn metadata_of(&self, frame: &FrameView<'_>) -> Metadata {
        if frame.extensions().is_empty() {
            return Metadata::default();
        }
        self.metadata(frame.trace(), frame.sent_at())
    }

    fn metadata(&self, mut trace: Option<TraceContext>, sent_at: Option<u64>) -> Metadata {
        if trace.is_some_and(|trace| !trace.is_valid()) {
            self.line.add(LinkValue::InvalidTraces, 1);
            trace = None;
        }
        Metadata { trace, sent_at }
    }

    fn stream(&mut self, id: IncomingId) -> Option<&mut IncomingStream> {
        self.streams.get_mut(id.place())?.as_mut().filter(|stream| stream.id == id)
    }
}

impl Traffic<TOPICS, STREAMS> for ImportSession {
    #[inline]
    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        self.lost_memory.read();
        let metadata = self.metadata_of(&frame);
        let Some(stream) = self.stream(stream) else { return Ok(()) };
        stream.push(&frame, metadata)?;
        self.line.add(LinkValue::Received, 1);
        Ok(())
    }

    fn moved(&mut self, moved: Moved) {
        moved.count(&self.line);
    }

    fn on_event(&mut self, now: Duration, link: &mut NodeLink<'_>, event: Event<'_>) {
        self.lost_memory.read();
        match event {
            Event::Fragment { stream, fragment, envelope, bytes } => {
                let metadata = self.metadata(envelope.trace, envelope.sent_at);
                let stream = self.stream(stream);
                let part = (bytes, envelope.redelivered);
                let taken = stream.map(|stream| stream.push_fragment(fragment, part, metadata));
                self.line.add(LinkValue::Received, u64::from(taken == Some(Ok(true))));
                if let Some(Err(reason)) = taken {
                    link.close(now, reason);
                }
            }
            Event::Run { stream, shape, bytes, .. } => {
                let taken = self.stream(stream).map(|stream| stream.push_run(shape, bytes));
                if let Some(Err(reason)) = taken {
                    link.close(now, reason);
                }
                let count = bytes.len() / shape.stride.max(1) as usize;
                self.line.add(LinkValue::Received, count as u64);
            }
            Event::Up { node: peer, .. } if peer != self.peer => {
                let (cause, expected) = (CloseReason::NotAllowed, &self.peer);
                let reason = &*format!("expected node `{expected}` at this address");
                self.line.add(LinkValue::RejectedPeers, 1);
                (self.observer)(Notice::PeerRejected { peer, from: None, cause, reason });
                link.close(now, cause);
            }
            Event::Up { boot, .. } => {
                // An earlier connection may have changed these times.
                _ = link.set_times(self.times.0, self.times.1);
                self.line.add(LinkValue::Connections, 1);
                (self.observer)(Notice::Connected { peer: &self.peer, boot });
                self.knows_features = false;
                self.queries = LayoutQueries::default();
                // The subscriptions of this connection are not sent yet, so they can still change.
                for topic in self.topics.iter_mut().filter(|topic| topic.has_lost) {
                    (topic.start, topic.has_lost) = (Start::Next, false);
                    topic.interest.start = ReaderStart::Next;
                    _ = link.start_at_next(topic.id);
                }
            }
            Event::Accepted { interest } => {
                let is_late = |topic: &&mut RemoteTopic| topic.start.is_earlier();
                let late = self.answered(interest).filter(is_late).map(|topic| topic.topic.clone());
                if let Some(topic) = late.filter(|_| !link.peer_reads_starts()) {
                    let (peer, topic) = (&*self.peer, topic.name());
                    (self.observer)(Notice::StartsAtNext { peer, topic });
                }
                // The peer's features arrived before this event, so they are known from now on.
                let is_known = std::mem::replace(&mut self.knows_features, true);
                if !is_known && self.access.is_some() && !link.peer_accepts_memory() {
                    self.report_on_socket("it does not share memory");
                }
            }
            Event::Rejected { interest, reason, digest } => {
                self.rejected(link, interest, reason, digest);
            }
            Event::Described { offset, total, bytes } => {
                if let Some((topic, fit)) = self.queries.on_piece(offset, total, bytes) {
                    self.compared(link, &topic, fit);
                }
            }
            Event::Stream { stream, interest, publisher, epoch, first, resumed, retains } => {
                let (ids, publisher) = ((stream, interest), (publisher, epoch));
                let begun = self.begin(ids, publisher, first, resumed, retains);
                if let Err(reason) = begun {
                    let (peer, cause, reason) = (&*self.peer, CloseReason::Busy, &*reason);
                    (self.observer)(Notice::PeerRejected { peer, from: None, cause, reason });
                    link.close(now, cause);
                }
            }
            Event::Gap { stream, missed, reason } => {
                if let Some(stream) = self.stream(stream) {
                    stream.skip(missed, gap::reason(reason));
                    self.line.add(LinkValue::Missed, missed);
                }
            }
            Event::Retained { interest, epoch, sequence, offset, total, bytes } => {
                let known = self.topics.iter_mut().find(|topic| topic.id == interest);
                let Some(RemoteTopic { topic, growth, recalls, .. }) = known else { return };
                let (name, place) = ((epoch, sequence), (offset, total));
                match recalls.part((topic, growth.as_ref()), name, place, bytes) {
                    Ok(refused) => self.line.add(LinkValue::Missed, refused),
                    Err(reason) => link.close(now, reason),
                }
            }
            Event::RetainedEnd { interest, epoch } => {
                let known = self.topics.iter_mut().find(|topic| topic.id == interest);
                let Some(RemoteTopic { topic, recalls, .. }) = known else { return };
                let of_epoch =
                    |it: &&mut IncomingStream| (it.interest, it.epoch()) == (interest, epoch);
                recalls.end(topic, epoch, self.streams.iter_mut().flatten().find(of_epoch));
            }
            Event::Memory { token } => self.connect_memory(token, ATTEMPTS),
            Event::Region { stream, number, first } if !self.move_to_memory(stream, number) => {
                // The ring was not passed, perhaps because the control connection was lost. So the
                // stream leaves the shared memory.
                _ = link.leave_memory(stream, first, false);
                let has_passed_others = self.memory.is_some();
                let reasons = [CloseReason::Aborted, CloseReason::Protocol];
                link.close(now, reasons[usize::from(has_passed_others)]);
            }
            Event::End { stream, .. } => {
                if let Some(stream) = self.stream(stream) {
                    stream.end(link);
                }
            }
            Event::Gone { stream: id } => {
                let place = self.streams.get_mut(id.place());
                if let Some(stream) = place.and_then(|place| place.take_if(|known| known.id == id))
                {
                    RemoteTopic::lose(&mut self.topics, stream);
                }
            }
            // The peer reads no topic here, so it may not learn any layout.
            Event::Describe { offset, .. } => _ = self.answer.answer(now, link, None, offset),
            Event::Subscribe { export, .. } => {
                _ = link.reject(export, RejectReason::Unknown, Digest([0; 16]));
            }
            _ => {}
        }
    }

    fn send(&mut self, now: Duration, link: &mut NodeLink<'_>, context: &mut Context<'_>) {
        let phase = self.control.watch(context, &mut self.listener);
        self.update_memory(context);
        // The link to the process that runs now must not end for one that has died.
        self.lose_streams(|it| it.is_of_dead_process());
        // Messages that subscriptions have not taken when this process ends stay unconfirmed, for
        // the node's next process.
        let control = &self.control;
        let at_shutdown = || phase > Phase::Run || control.is_leaving();
        for place in &mut self.streams {
            let Some(stream) = place else { continue };
            stream.update(now, link, context.waker(), &at_shutdown);
            let mut topics = self.topics.iter_mut().filter(|_| stream.joiners.is_some());
            let topic = topics.find(|topic| topic.id == stream.interest);
            let recalls = topic.map(|topic| &mut topic.recalls);
            let waits = recalls.is_some_and(|it| it.update(now, link, stream, context.waker()));
            if stream.is_over() && !waits {
                if let Some(end) = stream.memory_end() {
                    _ = link.leave_memory(stream.id, end, true);
                }
                *place = None;
            }
        }
        // Comes after the streams have parked the waker.
        if self.streams.iter().flatten().any(IncomingStream::has_lost_memory) {
            self.lost_memory.notice(now, self.times.1, link);
        }
        self.lost_memory.check(now, link, &*self.executor, context);
        while let Some((topic, fit)) = self.queries.request(now, link) {
            self.compared(link, &topic, fit);
        }
        self.answer.retry(now, link);
        if phase > Phase::Run || self.is_over() {
            // After a requested shutdown this node may be started again, so publishers keep the
            // messages that it has not taken.
            let is_away = !self.is_over() && self.control.may_come_back();
            let in_flight = || self.streams.iter().flatten().any(IncomingStream::is_in_flight);
            let reason = match is_away {
                true if in_flight() => CloseReason::Aborted,
                true => CloseReason::Away,
                false => CloseReason::Shutdown,
            };
            link.close(now, reason);
        }
    }
}

impl Drop for ImportSession {
    fn drop(&mut self) {
        // The streams that have not ended count as lost, because the rest of their messages will
        // not arrive.
        self.streams.drain(..).flatten().for_each(IncomingStream::lose);
        for RemoteTopic { topic, recalls, .. } in &mut self.topics {
            recalls.disconnected(topic, std::iter::empty());
        }
    }
}

/// Whether the next attempt may succeed: the peer's queue is full, or its socket is being restored.
fn may_pass(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::WouldBlock | ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

// Reads the topics of one other process: connects, and reconnects after each loss.

/// Connects to the peer.
pub type Connect = Box<dyn Fn() -> SendFuture<io::Result<Stream>> + Send + Sync>;

/// Reads topics of one peer. See the [module](crate::link).
pub struct Imports {
    /// The peer's name.
    pub peer: String,
    /// Connects to the peer.
    pub connect: Connect,
    /// The topics that are read.
    pub interests: Vec<TopicInterest>,
    /// The name of this process.
    pub identity: Identity,
    /// The settings of the link.
    pub config: LinkConfig,
    /// The executor of the link's task.
    pub executor: Arc<dyn Executor>,
    /// Maps rings of the peer; `None` if all messages go over the link.
    pub memory: Option<MemoryAccess>,
    /// How the owner controls the link.
    pub control: Arc<Control>,
    /// The region for the link's counters.
    pub counters: Arc<Region>,
    /// Called for each notice.
    pub observer: Observer,
}

impl Imports {
    /// Reads until the peer has ended all topics, the links are to end, or the peer has
    /// [completed](Control::completed) while no connection to it is open. The topics are kept open
    /// from this call on, even before the future is first polled.
    ///
    /// # Errors
    /// If no link can have these settings and topics.
    pub fn run(self) -> Result<impl Future<Output = ()> + Send + 'static, ImportError> {
        let mut buffer = vec![0; self.config.buffer.max(NodeLink::MIN_BUFFER)];
        // Checks the settings now; the link itself is made when the future runs.
        NodeLink::new(self.link_config(), &mut buffer)?;
        if self.interests.len() > TOPICS {
            let (limit, found) = (TOPICS, self.interests.len());
            return Err(ImportError::Topics { limit, found });
        }
        let mut names = self.interests.iter().map(|interest| interest.topic.name());
        if let Some(topic) = names.find(|name| Name::try_from(*name).is_err()) {
            return Err(ImportError::Name { topic: topic.to_owned() });
        }
        let open: Vec<_> =
            self.interests.iter().map(|interest| interest.topic.keep_open()).collect();
        self.control.expect(self.interests.len());
        let busy = BusyGuard::new(&self.control);
        Ok(async move {
            let _busy = busy;
            let Ok(mut link) = NodeLink::new(self.link_config(), &mut buffer) else {
                return;
            };
            let label = |role| format!("link={} role={role}", plain(&self.peer));
            let line = self.counters.line(&label("reader"));
            let Ok(mut session) = ImportSession::new(&self, line, &mut link) else { return };
            drop(open);
            let errors = self.counters.line(&label("client"));
            let mut random = fastrand::Rng::with_seed(self.executor.entropy());
            let mut failures = 0;
            while self.control.phase() == Phase::Run && !session.is_over() {
                if self.control.peer_end(&self.peer).is_some() {
                    (self.observer)(Notice::PeerEnded { peer: &self.peer });
                    session.stop_comparing(&mut link);
                    return session.abandon();
                }
                match self.connected().await {
                    Some(Ok(stream)) => {
                        let mut driver = Driver::new(&mut link, stream, self.executor.clone());
                        let error = driver.run(&mut session).await;
                        drop(driver);
                        session.disconnected(&mut link);
                        // If one side has closed the link because of the other side, it may do so
                        // again. This counts as a refusal, so that the next pause is longer.
                        let was_refused =
                            matches!(&error, DriveError::Link(error) if !error.is_goodbye());
                        if session.take_was_admitted() && !was_refused {
                            failures = 0;
                        }
                        if !matches!(error, DriveError::Link(LinkError::LocallyClosed(_))) {
                            errors.add(LinkValue::Errors, 1);
                        }
                        (self.observer)(Notice::Disconnected { peer: &self.peer, error: &error });
                        if self.control.phase() > Phase::Run || session.is_over() {
                            return;
                        }
                        self.pause(&mut failures, random.u64(..), None).await;
                    }
                    Some(Err(error)) => {
                        // The peer listens, but its queue is full, so the next attempt may succeed
                        // at once.
                        match error.kind() {
                            io::ErrorKind::WouldBlock => failures = 0,
                            _ => session.stop_comparing(&mut link),
                        }
                        self.pause(&mut failures, random.u64(..), Some(&error)).await;
                    }
                    // No connection is needed any more. The conditions of the loop find the reason.
                    None => {}
                }
            }
        })
    }

    /// Returns the settings of the link.
    fn link_config(&self) -> Config {
        Config { memory: self.memory.is_some(), ..self.config.link(&self.identity) }
    }

    /// Connects; returns `None` once no connection is needed any more.
    async fn connected(&self) -> Option<io::Result<Stream>> {
        let unneeded = pin!(self.control.until_unneeded(&self.peer));
        match select((self.connect)(), unneeded).await {
            Either::Left((connected, _)) => Some(connected),
            Either::Right(_) => None,
        }
    }

    async fn pause(&self, failures: &mut u32, random: u64, error: Option<&io::Error>) {
        let pause = self.config.retry.pause(*failures, random);
        *failures = failures.saturating_add(1);
        if let Some(error) = error {
            (self.observer)(Notice::Unreachable { peer: &self.peer, error, pause });
        }
        let wake = self.executor.sleep_until(self.executor.now().saturating_add(pause));
        select(wake, pin!(self.control.until_unneeded(&self.peer))).await;
    }
}

impl fmt::Debug for Imports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imports").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Why the topics of a peer cannot be imported.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// No link can have these settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There are more topics than a link has room for.
    #[error("{found} topics are read from one peer, but a link has room for {limit}")]
    Topics {
        /// The limit.
        limit: usize,
        /// The number of topics.
        found: usize,
    },
    /// The name of a topic is too long for a link.
    #[error("topic `{topic}`: the name is too long for a link, expected at most 62 bytes")]
    Name {
        /// The topic.
        topic: String,
    },
}

debug_as_display!(ImportError);
