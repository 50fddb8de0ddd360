//! Topics over streams of the server, which stores their messages.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use async_nats::Subject;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, StorageType, Stream};
use async_nats::jetstream::{self, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mycelium_executor::SendFuture;
use mycelium_transports::engine::{
    Outgoing, OutgoingPacket, PacketError, Place, Replay, Stored, Warnings, key_part, node_of,
};
use mycelium_transports::local::{Start, Topic, WorkQueue};
use mycelium_transports::seam::{Capabilities, Ends, Engine, Transport};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::config::Server;
use crate::connection::{self, ANSWER, Connection, finish};
use crate::queue::Queue;
use crate::streams::{
    self, INACTIVE, MISSING, STORED, check_right, open_own_stream, open_stream, position_at,
    publish, time_at,
};

/// The stream with the places of readers, and the first part of its subjects.
pub(crate) const PLACES: &str = "mycelium-places";
/// How often the place of readers is stored.
const SAVE: Duration = Duration::from_millis(100);
/// How often it is stored although it is the same.
const SAVE_AGAIN: Duration = Duration::from_secs(10);
/// The pause before a packet that was refused is stored again, or a stream is opened again.
pub(crate) const RETRY: Duration = Duration::from_millis(500);
/// How many bytes of packets are read ahead, and how many packets.
const AHEAD: usize = 4 << 20;
const PACKETS_AHEAD: usize = 256;
/// How many packets before its first one a reader looks at: more than publishers have on their way.
const BEFORE: u64 = 64;
/// How often the server says that there are no packets. After two that are missing, the packets are
/// asked for again.
const BEAT: Duration = Duration::from_secs(5);

/// A transport over JetStream of NATS, which stores messages for readers. See the [crate](crate).
#[derive(Debug)]
pub struct JetStream {
    server: Result<Server, String>,
    /// The topics that the program makes work queues.
    queues: Vec<String>,
}

impl JetStream {
    /// Creates a client of the server at this address, such as `nats://10.0.0.1:4222`, or of the
    /// first of several that answers, with commas between them.
    #[must_use]
    pub fn server(url: &str) -> JetStream {
        JetStream { server: Ok(Server::at(url)), queues: Vec::new() }
    }

    /// Creates a client with a context, as [`Nats::from_file`](crate::Nats::from_file) does.
    #[must_use]
    pub fn from_file(path: impl AsRef<Path>) -> JetStream {
        JetStream { server: Server::from_file(path.as_ref()), queues: Vec::new() }
    }

    /// Makes a topic a [work queue](crate#work-queues), as `work_queue = true` of a topology does.
    /// A topic that the transport does not carry is an error of the node's start.
    #[must_use]
    pub fn work_queue(mut self, topic: &str) -> JetStream {
        self.queues.push(topic.to_owned());
        self
    }
}

/// Prints the context with all keys, as JSON, or the problem with it. Secrets are left out.
impl fmt::Display for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Ok(server) => server.fmt(f),
            Err(problem) => f.write_str(problem),
        }
    }
}

impl Engine for JetStream {
    const NAME: &'static str = "jetstream";

    fn configured(config: Option<&Path>) -> JetStream {
        config.map_or_else(|| JetStream::server(""), JetStream::from_file)
    }
}

impl Transport for JetStream {
    fn name(&self) -> &str {
        JetStream::NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { has_work_queues: true, ..Capabilities::STORED }
    }

    fn carry(self: Box<Self>, ends: Ends) -> Result<SendFuture<()>, String> {
        for queue in &self.queues {
            let mut topics = ends.sends().iter().chain(ends.receives());
            let Some(topic) = topics.find(|topic| topic.name() == queue) else {
                return Err(format!("it does not carry topic `{queue}`, the work queue"));
            };
            topic.set_work_queue(WorkQueue::default());
        }
        let outgoing = Outgoing::confirmed(&ends, JetStream::NAME);
        let outgoing = outgoing.map_err(|error| error.to_string())?;
        connection::start(JetStream::NAME, self.server?, ends, prepare, |connection, prepared| {
            carry(connection, prepared, outgoing)
        })
    }
}

/// Creates the streams that are missing, and finds the places of the readers.
async fn prepare(connection: &Rc<Connection>) -> Result<Prepared, String> {
    connection.check_lengths()?;
    let context = connection.server.jetstream(connection.client.clone());
    for topic in connection.ends.sends() {
        open_stream(&context, topic).await?;
        check_right(&context, connection.subject(STORED, topic)).await;
    }
    let mut prepared = Prepared::default();
    for topic in connection.ends.receives() {
        match topic.work_queue() {
            Some(_) => prepared.queues.push(Queue::open(connection, &context, topic).await?),
            None => prepared.readers.push(Reader::open(connection, &context, topic).await?),
        }
    }
    connection.check_accepted().await?;
    Ok(prepared)
}

/// What reads the topics of a node.
#[derive(Default)]
struct Prepared {
    readers: Vec<Reader>,
    queues: Vec<Queue>,
}

async fn carry(connection: Rc<Connection>, prepared: Prepared, mut outgoing: Outgoing) {
    let context = connection.server.jetstream(connection.client.clone());
    outgoing.limit(connection.most_bytes());
    let mut tasks = JoinSet::new();
    let Prepared { readers, queues } = prepared;
    readers.into_iter().for_each(|reader| _ = tasks.spawn_local(reader.run()));
    queues.into_iter().for_each(|queue| _ = tasks.spawn_local(queue.run()));
    let work = async { tokio::join!(send(&connection, &context, outgoing), finish(&mut tasks)) };
    tokio::select! {
        _ = work => {}
        () = connection.ends.stopped() => {}
    }
}

/// Stores the packets of the node's publishers until all have ended.
async fn send(connection: &Rc<Connection>, context: &jetstream::Context, mut outgoing: Outgoing) {
    let ends = &connection.ends;
    let subject = |topic: &Arc<Topic>| connection.subject(STORED, topic);
    let subjects: Vec<Subject> = ends.sends().iter().map(subject).collect();
    let mut draining = pin!(ends.draining());
    let (mut drains, mut has_warned) = (false, vec![false; ends.sends().len()]);
    let mut storing = FuturesUnordered::new();
    poll_fn(|task| {
        drains = drains || draining.as_mut().poll(task).is_ready();
        loop {
            let mut packets = Vec::new();
            let now = ends.executor().now();
            let progress = outgoing.poll(task.waker(), now, drains, |packet| packets.push(packet));
            // It need not be called again at a time: if there is more, packets are being stored,
            // and each answer comes here again.
            if progress.is_over {
                return Poll::Ready(());
            }
            for OutgoingPacket { topic, epoch, number, first, bytes } in packets {
                let of = &ends.sends()[topic];
                let mut packet = PublishMessage::build().payload(bytes.into());
                if of.work_queue().is_some() {
                    // One that is sent again is stored once.
                    packet = packet.message_id(format!("{epoch:016x}-{first}"));
                }
                let stored = store(connection, context, of, subjects[topic].clone(), packet);
                storing.push(async move { (topic, epoch, number, stored.await) });
            }
            let Poll::Ready(Some((topic, epoch, number, stored))) = storing.poll_next_unpin(task)
            else {
                return Poll::Pending;
            };
            match stored {
                Ok(position) => {
                    if std::mem::take(&mut has_warned[topic]) {
                        let name = ends.sends()[topic].name();
                        ends.warn(&format!("topic `{name}`: the server stores its messages again"));
                    }
                    outgoing.confirm(topic, epoch, number, position);
                }
                Err(problem) => {
                    if let Some(problem) = problem.filter(|_| !has_warned[topic]) {
                        let name = ends.sends()[topic].name();
                        ends.warn(&format!(
                            "topic `{name}`: the server does not store its messages, and publishers \
                             wait when their rings are full: {problem}"
                        ));
                        has_warned[topic] = true;
                    }
                    outgoing.repeat(topic, epoch, number);
                }
            }
        }
    })
    .await;
}

/// Stores a packet, and returns its position. If the server did not confirm it, this returns when
/// it is time to send it again: with a problem, or without one if there is a new connection.
async fn store(
    connection: &Connection,
    context: &jetstream::Context,
    topic: &Topic,
    subject: Subject,
    packet: PublishMessage,
) -> Result<u64, Option<String>> {
    let mut opened = connection.reconnections.subscribe();
    let problem = tokio::select! {
        stored = publish(context, subject, packet, open_stream(context, topic)) => match stored {
            Ok(position) => return Ok(position),
            Err(None) => return Err(None),
            Err(Some(problem)) => problem,
        },
        // What was on its way over the last connection may be lost.
        _ = opened.changed() => return Err(None),
    };
    tokio::select! {
        () = sleep(RETRY) => {}
        _ = opened.changed() => {}
    }
    Err(Some(problem))
}

/// The readers of a topic in this node.
struct Reader {
    connection: Rc<Connection>,
    context: jetstream::Context,
    /// When the stream was created, as the place says it.
    created: i128,
    /// The digest of the topic's layout.
    digest: String,
    replay: Replay,
    /// The position of the next packet.
    next: u64,
    /// Packets before this position only tell where their streams are.
    begins_at: u64,
    /// The packets before this position may have been passed on by an earlier process.
    redelivered_before: u64,
    /// The subject of the place; `None` if no reader needs it.
    place: Option<Subject>,
    saved: Place,
    /// When it was stored.
    saved_at: Duration,
    /// The position of the last packet that has arrived, and when it was stored.
    last: Option<(u64, i128)>,
    /// The node knows that the place is not stored.
    has_warned: bool,
    warnings: Warnings,
}

impl Reader {
    async fn open(
        connection: &Rc<Connection>,
        context: &jetstream::Context,
        topic: &Arc<Topic>,
    ) -> Result<Reader, String> {
        let name = topic.name();
        let stream = open_stream(context, topic).await?;
        let (state, created) = (&stream.cached_info().state, streams::created(&stream));
        let subscriptions = topic.subscriptions();
        let start = subscriptions.first().map_or(Start::Next, |it| it.start);
        if subscriptions.iter().any(|it| it.start != start) {
            return Err(format!(
                "the subscriptions of topic `{name}` have different values of `start`: expected one, \
                 because the node reads the stream once"
            ));
        }
        let (mut place, mut saved) = (None, None);
        if subscriptions.iter().any(|it| it.policy.is_gating()) {
            let subject =
                format!("{PLACES}.{}.{}", key_part(connection.ends.node()), key_part(name));
            saved = load(context, &subject).await?;
            place = Some(subject.into());
        }
        if saved.as_ref().is_some_and(|saved| saved.created != created) {
            connection.ends.warn(&format!(
                "topic `{name}`: its stream is another one than that which this node has read: it is \
                 read from `start` on"
            ));
            saved = None;
        }
        let (next, begins_at, redelivered_before, last, begun) = match saved {
            Some(Saved { read, last, place, .. }) => {
                let before = read.min(state.last_sequence) + 1;
                (place.position + 1, 0, before, last, place)
            }
            None => {
                let begins_at = first_of(connection, &stream, name, start).await?;
                // Some packets from before, of streams that are in the middle of something.
                let next = begins_at.saturating_sub(BEFORE).max(state.first_sequence).max(1);
                let begun = Place { position: begins_at - 1, streams: BTreeMap::new() };
                (next, begins_at, 0, None, begun)
            }
        };
        let mut reader = Reader {
            connection: connection.clone(),
            context: context.clone(),
            created,
            digest: topic.schema().digest.to_string(),
            next,
            begins_at,
            redelivered_before,
            replay: Replay::new(topic.clone(), begun.clone(), JetStream::NAME),
            place,
            saved: Place { position: u64::MAX, ..begun },
            saved_at: Duration::ZERO,
            last,
            has_warned: false,
            warnings: Warnings::default(),
        };
        if let Some(saving) = reader.save(false) {
            saving.await.map_err(|error| format!("cannot store the place of `{name}`: {error}"))?;
        }
        Ok(reader)
    }
}

/// Returns the position at which readers start that have no place.
async fn first_of(
    connection: &Connection,
    stream: &Stream,
    topic: &str,
    start: Start,
) -> Result<u64, String> {
    let state = &stream.cached_info().state;
    let (oldest, end) = (state.first_sequence.max(1), state.last_sequence + 1);
    match start {
        Start::Oldest => Ok(oldest),
        Start::Position(position) if position > end => Err(format!(
            "topic `{topic}` is to be read from position {position}, and its stream ends at {}",
            state.last_sequence
        )),
        Start::Position(position) => Ok(position.max(oldest)),
        Start::Since(time) if time > connection.ends.executor().wall_clock() => Err(format!(
            "topic `{topic}` is to be read from a time that has not come: expected an earlier one, or \
             \"next\""
        )),
        Start::Since(time) => position_at(stream, time).await,
        _ => Ok(end),
    }
}

/// A place that is being stored.
type Saving = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// The packets of a stream from a position on.
struct Opened {
    packets: pull::Stream,
    /// How many of them have arrived.
    delivered: u64,
    from: u64,
    /// When the stream was created.
    created: i128,
    /// The stream has not all packets any more that were read.
    has_lost: bool,
}

impl Reader {
    /// Passes packets on until the services have ended.
    async fn run(mut self) {
        let connection = self.connection.clone();
        let mut draining = pin!(connection.ends.draining());
        let mut opened = connection.reconnections.subscribe();
        let mut tick = interval(SAVE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut messages, mut packet) = (None::<Opened>, None::<Packet>);
        let (mut opening, mut saving) = (Some(self.open_at(Duration::ZERO)), None::<Saving>);
        let mut has_warned = false;
        loop {
            tokio::select! {
                () = &mut draining => break,
                _ = opened.changed() => {
                    (messages, opening) = (None, Some(self.open_at(Duration::ZERO)));
                }
                found = or_pending(&mut opening), if packet.is_none() => {
                    opening = None;
                    match found {
                        Ok(found) => {
                            self.begin(&found);
                            messages = Some(found);
                        }
                        Err(problem) => {
                            if !has_warned {
                                connection.ends.warn(&problem);
                                has_warned = true;
                            }
                            opening = Some(self.open_at(RETRY));
                        }
                    }
                }
                message = next(&mut messages), if packet.is_none() => match message {
                    Ok(message) => {
                        packet = self.check(message);
                        has_warned = false;
                    }
                    Err(problem) => {
                        if let Some(problem) = problem.filter(|_| !has_warned) {
                            let name = self.replay.topic().name();
                            connection.ends.warn(&format!(
                                "cannot read the stream of topic `{name}`, and tries again: {problem}"
                            ));
                            has_warned = true;
                        }
                        (messages, opening) = (None, Some(self.open_at(RETRY)));
                    }
                },
                taken = poll_fn(|task| take(&mut self.replay, packet.as_ref(), task)) => {
                    if let (Err(error), Some(Packet { process, .. })) = (taken, packet.take()) {
                        let problem = error.to_string();
                        let warning = self.warnings.of(self.replay.topic(), &process, &problem);
                        warning.iter().for_each(|warning| connection.ends.warn(warning));
                    }
                }
                _ = tick.tick(), if saving.is_none() => saving = self.save(false),
                saved = or_pending(&mut saving) => {
                    saving = None;
                    self.note_saved(saved);
                }
            }
        }
        // The services have ended: what they have finished does not change any more.
        drop(messages);
        if let Some(saving) = saving {
            let _ = saving.await;
        }
        // Once more even if it is the same place: now it is known what they have read.
        self.saved.position = u64::MAX;
        while let Some(saving) = self.save(true) {
            let saved = saving.await;
            if saved.is_err() {
                self.note_saved(saved);
                sleep(RETRY).await;
            }
        }
    }

    /// Opens the packets from the next one on, after this time.
    fn open_at(&self, after: Duration) -> Pin<Box<dyn Future<Output = Result<Opened, String>>>> {
        let (context, topic) = (self.context.clone(), self.replay.topic().clone());
        let (next, created, client) = (self.next, self.created, self.connection.client.clone());
        let last = self.last;
        Box::pin(async move {
            sleep(after).await;
            let name = topic.name();
            let failed = |error: &dyn fmt::Display| {
                format!("cannot read the stream of topic `{name}`: {error}")
            };
            let stream = open_stream(&context, &topic).await?;
            let found = streams::created(&stream);
            // A new stream has other packets, and the server may have lost its last ones, and have
            // stored others since.
            let end = stream.cached_info().state.last_sequence + 1;
            let (mut from, mut has_lost) = (next.min(end), next > end);
            if found != created {
                (from, has_lost) = (1, true);
            } else if let Some((position, stored_at)) = last {
                let there = time_at(&stream, position).await.map_err(|error| failed(&error))?;
                let is_removed = there.is_none() && position < end;
                if !is_removed && there != Some(stored_at) {
                    let nanos = u64::try_from(stored_at + 1).unwrap_or_default();
                    let after = UNIX_EPOCH + Duration::from_nanos(nanos);
                    (from, has_lost) = (position_at(&stream, after).await?.min(next), true);
                }
            }
            let consumer = stream.create_consumer(pull::Config {
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
                ack_policy: AckPolicy::None,
                inactive_threshold: INACTIVE,
                memory_storage: true,
                num_replicas: 1,
                ..pull::Config::default()
            });
            let consumer = timeout(ANSWER, consumer).await.map_err(|error| failed(&error))?;
            let consumer = consumer.map_err(|error| failed(&error))?;
            let batches = consumer.stream().max_messages_per_batch(PACKETS_AHEAD);
            let batches = batches.max_bytes_per_batch(AHEAD.max(2 * client.max_payload()));
            let batches = batches.heartbeat(BEAT).expires(BEAT * 4);
            let packets = batches.messages().await.map_err(|error| failed(&error))?;
            Ok(Opened { packets, delivered: 0, from, created: found, has_lost })
        })
    }

    fn begin(&mut self, opened: &Opened) {
        let Opened { from, created, has_lost, .. } = *opened;
        if has_lost {
            let name = self.replay.topic().name();
            self.connection.ends.warn(&format!(
                "topic `{name}`: the server has lost the end of its stream, and goes on at position \
                 {from}"
            ));
            self.replay.restart(from - 1);
            (self.next, self.created, self.last) = (from, created, None);
            (self.begins_at, self.redelivered_before) = (0, 0);
        }
    }

    /// Returns the packet in a message, if it is for the readers of this node.
    fn check(&mut self, message: Message) -> Option<Packet> {
        let info = message.info().ok()?;
        let (position, stored_at) = (info.stream_sequence, info.published);
        if position < self.next {
            return None;
        }
        if position > self.next.max(self.begins_at) {
            self.replay.miss();
        }
        self.next = position + 1;
        self.last = Some((position, stored_at.unix_timestamp_nanos()));
        let topic = self.replay.topic();
        let mut parts = message.subject.rsplit('.');
        let (process, found) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // What this node has emitted, also earlier, its readers had in their own process.
        let is_own = node_of(process) == node_of(&self.connection.process);
        let is_of_layout = found == self.digest;
        if position < self.begins_at {
            if is_of_layout {
                self.replay.note(&message.payload);
            }
            return None;
        }
        if is_own || !is_of_layout {
            let warning =
                if is_own { None } else { self.warnings.of_layout(topic, process, found) };
            warning.iter().for_each(|warning| self.connection.ends.warn(warning));
            self.replay.pass_over(position);
            return None;
        }
        let nanos = u64::try_from(stored_at.unix_timestamp_nanos()).unwrap_or_default();
        Some(Packet {
            position,
            process: process.to_owned(),
            stored_at: Duration::from_nanos(nanos),
            redelivered: position < self.redelivered_before,
            bytes: message.message.payload,
        })
    }

    /// Notes whether a place was stored. If it was not, the next tick tries again.
    fn note_saved(&mut self, saved: Result<(), String>) {
        let Err(problem) = saved else {
            self.has_warned = false;
            return;
        };
        self.saved.position = u64::MAX;
        if !self.has_warned {
            let name = self.replay.topic().name();
            self.connection.ends.warn(&format!(
                "topic `{name}`: the server does not store what its readers have finished, and they \
                 get it again after a restart: {problem}"
            ));
            self.has_warned = true;
        }
    }

    /// Stores the place of the readers, if there is another one. `is_last`: they get no more
    /// packets.
    fn save(&mut self, is_last: bool) -> Option<Saving> {
        let place = self.replay.place(self.connection.ends.is_leaving());
        let now = self.connection.ends.executor().now();
        // Again from time to time: somebody may have deleted it.
        let is_old = now >= self.saved_at.saturating_add(SAVE_AGAIN);
        let subject = self.place.clone().filter(|_| is_old || place != self.saved)?;
        self.saved_at = now;
        let read = if is_last { self.replay.read() } else { u64::MAX };
        let mut text = format!("{} {} {read}", self.created, place.position);
        if let Some((position, stored_at)) = self.last {
            text += &format!(" {position} {stored_at}");
        }
        text.push('\n');
        for (epoch, next) in &place.streams {
            text += &format!("{epoch} {next}\n");
        }
        self.saved = place;
        let context = self.context.clone();
        Some(Box::pin(async move {
            let message = PublishMessage::build().payload(text.into());
            let stored = publish(&context, subject, message, open_places(&context)).await;
            stored.map(drop).map_err(|problem| problem.unwrap_or_else(|| MISSING.to_owned()))
        }))
    }
}

/// A packet that readers get.
struct Packet {
    position: u64,
    process: String,
    stored_at: Duration,
    redelivered: bool,
    bytes: Bytes,
}

fn take(
    replay: &mut Replay,
    packet: Option<&Packet>,
    task: &mut Context<'_>,
) -> Poll<Result<(), PacketError>> {
    let Some(packet) = packet else { return Poll::Pending };
    let Packet { position, process, stored_at, redelivered, bytes } = packet;
    let (position, stored_at, redelivered) = (*position, *stored_at, *redelivered);
    let stored = Stored { position, process, stored_at, redelivered, packet: bytes };
    replay.take(&stored, task.waker())
}

/// Waits for a future that there may be.
pub(crate) async fn or_pending<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// Waits for the next message.
///
/// # Errors
/// If the packets have to be opened again: with the problem, unless the client had no room.
async fn next(opened: &mut Option<Opened>) -> Result<Message, Option<String>> {
    let Some(Opened { packets, delivered, .. }) = opened else { return pending().await };
    let message = packets.next().await.ok_or(None)?;
    let message = message.map_err(|error| Some(error.to_string()))?;
    *delivered += 1;
    // The client drops messages for which it has no room.
    let is_next = message.info().is_ok_and(|info| info.consumer_sequence == *delivered);
    if is_next { Ok(message) } else { Err(None) }
}

/// A place as it is stored.
struct Saved {
    /// When the stream was created.
    created: i128,
    /// The readers had perhaps packets up to this position.
    read: u64,
    /// The position of the last packet that had arrived, and when it was stored, if one had.
    last: Option<(u64, i128)>,
    place: Place,
}

/// Opens the stream of places, and creates it if it is missing.
pub(crate) async fn open_places(context: &jetstream::Context) -> Result<Stream, String> {
    let config = Config {
        name: PLACES.to_owned(),
        description: Some("what readers of topics have finished".to_owned()),
        subjects: vec![format!("{PLACES}.>")],
        max_messages_per_subject: 1,
        storage: StorageType::File,
        ..Config::default()
    };
    open_own_stream(context, config).await
}

/// Loads the place of the readers of a topic in a node.
async fn load(context: &jetstream::Context, subject: &str) -> Result<Option<Saved>, String> {
    let stream = open_places(context).await?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => {
            let place = parse(&message.payload);
            let problem = || format!("the last message of subject `{subject}` is not a place");
            place.map(Some).ok_or_else(problem)
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(format!("cannot read the place at subject `{subject}`: {error}")),
    }
}

fn parse(place: &[u8]) -> Option<Saved> {
    let mut lines = str::from_utf8(place).ok()?.lines();
    let mut first = lines.next()?.split(' ');
    let created = first.next()?.parse().ok()?;
    let position = first.next()?.parse().ok().filter(|position| *position < u64::MAX)?;
    let read = first.next()?.parse().ok()?;
    let last = first.next().zip(first.next());
    let last = last.and_then(|(at, time)| Some((at.parse().ok()?, time.parse().ok()?)));
    let stream = |line: &str| {
        let (epoch, next) = line.split_once(' ')?;
        Some((epoch.parse().ok()?, next.parse().ok()?))
    };
    let streams = lines.map(stream).collect::<Option<_>>()?;
    Some(Saved { created, read, last, place: Place { position, streams } })
}
