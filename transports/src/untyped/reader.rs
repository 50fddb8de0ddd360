//! The reader of topics of another process without their types.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_core::TraceContext;
use mycelium_core::link::{CloseReason, Config, Confirms, LinkError, Name};
use mycelium_executor::{Executor, Stream};

use super::UntypedError;
use super::parts::Parts;
use super::queue::{Batch, Item, OfStreams, Queue, Source};
use super::session::{Goal, Session};
use super::value::{StructView, ViewError};
use crate::endpoint::Endpoint;
use crate::layout::{Layout, MessageType};
use crate::link::{CatalogueEntry, Identity, LinkConfig};
use crate::local::{GapReason, Start};
use crate::stream::{DriveError, Driver, NodeLink};

/// How long to retry while the name of this side is taken, perhaps by an earlier connection of this
/// side whose end the peer has not noticed.
const NAME_WITHIN: Duration = Duration::from_secs(2);

/// A node whose topics are read without their types.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use mycelium_executor::Executor;
/// use mycelium_transports::endpoint::{Access, Endpoint};
/// use mycelium_transports::link::{Identity, LinkConfig};
/// use mycelium_transports::local::Start;
/// use mycelium_transports::untyped::{UntypedDelivery, UntypedPeer};
///
/// # async fn example(executor: Arc<dyn Executor>) -> Result<(), Box<dyn std::error::Error>> {
/// let feed = UntypedPeer {
///     node: Some("feed".to_owned()),
///     endpoints: vec![Endpoint::unix("/run/app/feed.sock", Access::default())],
///     identity: Identity::new("recorder", executor.entropy())?,
///     config: LinkConfig::default(),
///     executor,
/// };
/// let mut swaps = feed.read("swaps", Start::Next)?;
/// while let Some(delivery) = swaps.recv().await? {
///     match delivery {
///         UntypedDelivery::Message(swap) => println!("{} {}", swap.sequence, swap.view()?),
///         UntypedDelivery::Gap { missed, .. } => println!("gap {missed}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct UntypedPeer {
    /// The name that the node must have; `None` for any.
    pub node: Option<String>,
    /// The endpoints at which the node listens, tried in this order.
    pub endpoints: Vec<Endpoint>,
    /// The name of this side. If a node has announced this name for a topic, it sends the messages
    /// that it keeps for that name; so do not use the name of a node that reads topics.
    pub identity: Identity,
    /// The settings of the link.
    pub config: LinkConfig,
    /// The executor of the link's task.
    pub executor: Arc<dyn Executor>,
}

impl UntypedPeer {
    /// Returns the name of the node, and the topics that this side may read there.
    ///
    /// # Errors
    /// If the node cannot be reached, does not admit this side, or does not send its catalogue.
    pub async fn catalogue(&self) -> Result<(Arc<str>, Vec<CatalogueEntry>), UntypedError> {
        let queue = Arc::default();
        let mut parts = Parts::new(vec![self.session(Goal::List, &queue)]);
        let found = self.connections(&mut parts, &[queue]).await;
        found?;
        let catalogue = parts.sessions.iter().find_map(Session::catalogue);
        catalogue.map(|(node, catalogue)| (node.clone(), catalogue.to_vec())).ok_or_else(|| {
            UntypedError::NoCatalogue { node: self.node.clone().unwrap_or_default() }
        })
    }

    /// Reads a topic as an observing reader: its publishers never wait for this reader. Streams of
    /// existing publishers begin at `start`.
    ///
    /// A task of the executor runs the link; received messages wait for
    /// [`recv`](UntypedReader::recv), up to a MiB for each publisher, or up to the longest
    /// message, 64 MiB, if they differ in length. Messages that a publisher overwrites meanwhile are
    /// a gap with the exact number. After a lost connection the link connects again, perhaps to a
    /// new process of the node. If a peer breaks the protocol, or refuses this side, the reading
    /// ends.
    ///
    /// # Errors
    /// If no topic has this name, no link can have these settings, or the executor has ended.
    pub fn read(&self, topic: &str, start: Start) -> Result<UntypedReader, UntypedError> {
        // There is one for each topic.
        Ok(self.read_many(&[topic], start)?.swap_remove(0))
    }

    /// Reads topics as [`read`](UntypedPeer::read) does, over one link.
    ///
    /// # Errors
    /// The same as for [`read`](UntypedPeer::read). With more topics than a link has room for, the
    /// readers get [`UntypedError::TooManyTopics`].
    pub fn read_many(
        &self,
        topics: &[&str],
        start: Start,
    ) -> Result<Vec<UntypedReader>, UntypedError> {
        self.readers(topics, start, false)
    }

    /// Reads topics over one link as a gating reader: each message stays in the ring of its
    /// publisher until its reader is [done](UntypedReader::done) with it. If this process ends
    /// before that, its next process, which has the same name, gets the message. Waits for a node
    /// that does not listen yet. If the node does not publish a topic, its reader gets
    /// [`TopicEnded`](UntypedDelivery::TopicEnded). Publishers wait for the name from their start on
    /// if it is that of the recorder of the topology.
    ///
    /// # Errors
    /// The same as for [`read_many`](UntypedPeer::read_many).
    pub fn read_gating(&self, topics: &[&str]) -> Result<Vec<UntypedReader>, UntypedError> {
        self.readers(topics, Start::Next, true)
    }

    fn readers(
        &self,
        topics: &[&str],
        start: Start,
        gates: bool,
    ) -> Result<Vec<UntypedReader>, UntypedError> {
        let is_name = |topic: &&str| !topic.is_empty() && Name::try_from(*topic).is_ok();
        if let Some(topic) = topics.iter().find(|topic| !is_name(topic)) {
            return Err(UntypedError::Name { topic: (*topic).to_owned() });
        }
        let (mut readers, mut queues, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
        let link = Arc::new(());
        for topic in topics {
            let queue = Arc::new(Queue::default());
            let goal = Goal::Read { topic: (*topic).to_owned(), start, gates };
            sessions.push(self.session(goal, &queue));
            queues.push(queue.clone());
            readers.push(UntypedReader {
                queue,
                batch: Batch::default(),
                next: 0,
                taken: OfStreams::default(),
                layout: None,
                end: None,
                is_over: false,
                link: Some(link.clone()),
            });
        }
        let peer = self.clone();
        let task = async move {
            let ended = peer.connections(&mut Parts::new(sessions), &queues).await;
            queues.iter().for_each(|queue| queue.end(ended.clone()));
        };
        let spawned = self.executor.spawn(Box::pin(task));
        spawned.map_err(|error| UntypedError::Spawn(Arc::new(error)))?;
        Ok(readers)
    }

    fn session(&self, goal: Goal, queue: &Arc<Queue>) -> Session {
        let (expected, own) = (self.node.clone(), self.identity.node.as_str().to_owned());
        Session::new(goal, expected, own, self.executor.clone(), queue.clone())
    }

    /// Runs sessions to their end: over one connection or, once they read, over successive
    /// connections.
    async fn connections(
        &self,
        parts: &mut Parts,
        queues: &[Arc<Queue>],
    ) -> Result<(), UntypedError> {
        let mut buffer = vec![0; self.config.buffer.max(NodeLink::MIN_BUFFER)];
        let mut link = NodeLink::new(self.link_config(parts.gates()), &mut buffer)?;
        let mut random = fastrand::Rng::with_seed(self.executor.entropy());
        let mut failures = 0;
        let patient = self.executor.now().saturating_add(NAME_WITHIN);
        loop {
            if parts.is_over() {
                return Ok(());
            }
            let connected = match select(pin!(self.connect()), pin!(left(queues))).await {
                Either::Left((connected, _)) => connected,
                Either::Right(_) => return Ok(()),
            };
            match connected {
                Ok(stream) => {
                    let mut driver = Driver::new(&mut link, stream, self.executor.clone());
                    let error = driver.run(parts).await;
                    // Delivers the messages that have arrived before an error.
                    if let Some(error) = parts.pass() {
                        return Err(error);
                    }
                    if parts.is_over() {
                        return Ok(());
                    }
                    let is_taken = matches!(
                        error,
                        DriveError::Link(LinkError::PeerClosed(CloseReason::NameTaken))
                    );
                    let is_early = is_taken && self.executor.now() < patient;
                    let is_refusal =
                        matches!(&error, DriveError::Link(error) if error.is_refusal());
                    let lost = lost(error, link.close_words());
                    let is_waited_for = parts.has_read() || parts.gates() && !is_taken;
                    if is_refusal || !is_waited_for && !is_early {
                        return Err(lost);
                    }
                    if parts.take_received() {
                        failures = 0;
                    }
                    parts.disconnected(&mut link, &lost.to_string());
                }
                Err(error) if !parts.has_read() && !parts.gates() => {
                    return Err(UntypedError::Connect(Arc::new(error)));
                }
                Err(_) => {}
            }
            let pause = self.config.retry.pause(failures, random.u64(..));
            failures = failures.saturating_add(1);
            let wake = self.executor.sleep_until(self.executor.now().saturating_add(pause));
            select(wake, pin!(left(queues))).await;
        }
    }

    /// Connects to the first endpoint that accepts. If none does, returns the error of the first
    /// one.
    async fn connect(&self) -> io::Result<Stream> {
        let mut first = None;
        for endpoint in &self.endpoints {
            match endpoint.connect(&self.executor).await {
                Ok(stream) => return Ok(stream),
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        Err(first.unwrap_or_else(|| io::Error::other("the node has no address")))
    }

    fn link_config(&self, gates: bool) -> Config {
        // Messages that no publisher waits with are never requested again.
        let confirms = if gates { Confirms::ByCaller } else { Confirms::OnArrival };
        Config { memory: false, confirms, ..self.config.link(&self.identity) }
    }
}

/// Waits until all readers have left.
async fn left(queues: &[Arc<Queue>]) {
    for queue in queues {
        queue.left().await;
    }
}

/// Creates the error of a lost connection, with the peer's explanation of its end.
fn lost(error: DriveError, (detail, words): (u32, &str)) -> UntypedError {
    let error = Arc::new(error);
    let words = (!words.is_empty()).then(|| format!("`{}`", words.escape_debug()));
    let detail = (detail != 0).then(|| format!("detail {detail}"));
    match words.into_iter().chain(detail).collect::<Vec<_>>().join(", ") {
        words if words.is_empty() => UntypedError::Lost(error),
        words => UntypedError::Closed { error, words },
    }
}

impl fmt::Debug for UntypedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UntypedPeer { node, endpoints, .. } = self;
        let mut peer = f.debug_struct("UntypedPeer");
        peer.field("node", node).field("endpoints", endpoints).finish_non_exhaustive()
    }
}

/// Reads a topic without its type: see [`UntypedPeer::read`].
///
/// Dropping it ends the reading as [`leave`](UntypedReader::leave) does, without a wait. The link
/// ends with its last reader.
#[derive(Debug)]
pub struct UntypedReader {
    queue: Arc<Queue>,
    batch: Batch,
    /// The index of the next item of the batch.
    next: usize,
    /// What was taken and is not done, before the batch.
    taken: OfStreams<u64>,
    layout: Option<Arc<Layout>>,
    /// How the reading has ended, until `recv` has returned it.
    end: Option<Result<(), UntypedError>>,
    is_over: bool,
    /// Shared by the readers of a link.
    link: Option<Arc<()>>,
}

/// A delivery of an [`UntypedReader`].
#[derive(Debug)]
#[non_exhaustive]
pub enum UntypedDelivery<'a> {
    /// The node sends the topic. This delivery comes first, and again on each later connection.
    /// Later messages have this layout.
    Subscribed {
        /// The name of the node.
        node: &'a str,
        /// The layout of the topic's messages.
        layout: &'a Arc<Layout>,
        /// The type of the topic's messages.
        message: &'a Arc<MessageType>,
    },
    /// The connection was lost. The link connects again, and reports the end of further connections
    /// once the node sends the topic again.
    Disconnected {
        /// The reason.
        reason: &'a str,
    },
    /// The messages of a publisher begin.
    Began {
        /// The publisher.
        source: &'a Source,
        /// The sequence of the publisher's next message.
        first: u64,
    },
    /// A message.
    Message(UntypedMessage<'a>),
    /// Messages are missing.
    Gap {
        /// The publisher of the messages.
        source: &'a Source,
        /// The sequence after the missing messages.
        next: u64,
        /// The number of missing messages.
        missed: u64,
        /// The reason.
        reason: GapReason,
    },
    /// A publisher has ended, and all messages that it sent were delivered or are in gaps.
    Ended {
        /// The publisher.
        source: &'a Source,
        /// The sequence after the publisher's last message.
        next: u64,
    },
    /// A publisher has ended while this side was not connected. It is unknown how many messages are
    /// missing.
    Lost {
        /// The publisher.
        source: &'a Source,
        /// The sequence after the last message that was delivered, or is in a gap.
        next: u64,
    },
    /// All publishers of the topic in the node have completed. If the node is started again, the
    /// reader continues.
    TopicEnded,
}

/// A message of a topic whose type is unknown.
#[derive(Clone, Copy, Debug)]
pub struct UntypedMessage<'a> {
    /// The publisher of the message.
    pub source: &'a Source,
    /// The sequence of the message.
    pub sequence: u64,
    /// The send time, in nanoseconds since 1970 UTC, by the clock of the sender. A peer can send
    /// any number. `None` if the topic is not measured.
    pub sent_at: Option<u64>,
    /// The trace that the message belongs to.
    pub trace: Option<TraceContext>,
    /// The publisher has retained the message for readers that join later, as this one did.
    pub retained: bool,
    /// The bytes of the message, with its tail if it has one.
    pub bytes: &'a [u8],
    /// The layout of the message.
    pub layout: &'a Arc<Layout>,
}

impl<'a> UntypedMessage<'a> {
    /// Returns the values of the message.
    ///
    /// # Errors
    /// Never for a message of an [`UntypedReader`], which has checked the size.
    pub fn view(&self) -> Result<StructView<'a>, ViewError> {
        self.layout.view(self.bytes)
    }
}

impl UntypedReader {
    /// Returns the next delivery; `None` once an error was returned.
    ///
    /// Cancelling is safe: a delivery is either returned or kept.
    ///
    /// # Errors
    /// If the topic cannot be read, or can no longer be read.
    pub async fn recv(&mut self) -> Result<Option<UntypedDelivery<'_>>, UntypedError> {
        self.ready().await;
        match self.end.take() {
            Some(end) => end.map(|()| None),
            None => Ok(self.try_recv()),
        }
    }

    /// Returns the next delivery, if one has arrived. [`recv`](UntypedReader::recv) returns errors.
    #[must_use]
    pub fn try_recv(&mut self) -> Option<UntypedDelivery<'_>> {
        if !self.refill() {
            return None;
        }
        self.next += 1;
        self.delivery(self.next - 1)
    }

    /// Returns whether [`try_recv`](UntypedReader::try_recv) would return a delivery.
    pub fn has_arrived(&mut self) -> bool {
        self.refill()
    }

    /// Waits until [`recv`](UntypedReader::recv) would not wait. Use it to wait for several readers
    /// at once.
    pub async fn ready(&mut self) {
        loop {
            let filled = self.queue.listen();
            if self.refill() || self.is_over {
                return;
            }
            filled.await;
        }
    }

    /// Lets publishers that [wait](UntypedPeer::read_gating) for this reader drop the messages that
    /// it has taken. Messages arrive in batches: a batch is dropped only once all of it is taken.
    /// Call this when what was taken is safe and [`try_recv`](UntypedReader::try_recv) returns
    /// nothing more.
    pub fn done(&mut self) {
        if self.next >= self.batch.items.len() {
            self.taken.replace(&mut self.batch.ends);
        }
        self.queue.done(&mut self.taken);
    }

    /// Ends the reading. Publishers that wait for this reader go on without it. The last reader of
    /// a link waits for the link's end, for at most about a second.
    pub async fn close(self) {
        self.finish(false).await;
    }

    /// Ends the reading as the end of this process would: publishers that wait for this reader keep
    /// the messages that it is not [done](UntypedReader::done) with, and wait for its next process.
    /// The last reader of a link waits for the link's end, for at most about a second.
    pub async fn leave(self) {
        self.finish(true).await;
    }

    async fn finish(mut self, may_return: bool) {
        self.queue.leave(may_return);
        if self.link.take().and_then(Arc::into_inner).is_none() {
            return;
        }
        loop {
            let ended = self.queue.listen();
            if self.queue.has_ended() {
                return;
            }
            ended.await;
        }
    }

    /// Takes the next batch if all of this one is taken. Returns whether there is a delivery.
    fn refill(&mut self) -> bool {
        if self.next >= self.batch.items.len() && !self.is_over {
            self.next = 0;
            self.taken.replace(&mut self.batch.ends);
            if let Some(end) = self.queue.take(&mut self.batch) {
                (self.is_over, self.end) = (true, Some(end));
            }
        }
        self.next < self.batch.items.len()
    }

    fn delivery(&mut self, index: usize) -> Option<UntypedDelivery<'_>> {
        if let Item::Subscribed { layout, .. } = self.batch.items.get(index)? {
            self.layout = Some(layout.clone());
        }
        Some(match self.batch.items.get(index)? {
            Item::Subscribed { node, layout, message } => {
                UntypedDelivery::Subscribed { node, layout, message }
            }
            Item::Disconnected { reason } => UntypedDelivery::Disconnected { reason },
            Item::Began { source, first } => UntypedDelivery::Began { source, first: *first },
            Item::Message { source, sequence, from, length, metadata, retained } => {
                UntypedDelivery::Message(UntypedMessage {
                    retained: *retained,
                    source,
                    sequence: *sequence,
                    sent_at: metadata.sent_at,
                    trace: metadata.trace,
                    bytes: self.batch.bytes.get(*from..*from + *length).unwrap_or_default(),
                    layout: self.layout.as_ref()?,
                })
            }
            Item::Gap { source, next, missed, reason } => {
                let (next, missed, reason) = (*next, *missed, *reason);
                UntypedDelivery::Gap { source, next, missed, reason }
            }
            Item::Ended { source, next } => UntypedDelivery::Ended { source, next: *next },
            Item::Lost { source, next } => UntypedDelivery::Lost { source, next: *next },
            Item::TopicEnded => UntypedDelivery::TopicEnded,
        })
    }
}

impl Drop for UntypedReader {
    fn drop(&mut self) {
        self.queue.leave(true);
    }
}
