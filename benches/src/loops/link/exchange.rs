//! One way from a publisher to a subscription of another process, with all that nodes have between the two.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mycelium_executor::{Accept, Address, Credentials, Executor, Listener, Peer, Stream};
use mycelium_transports::counters::Region;
use mycelium_transports::exchange::{
    Control, ExportedTopic, Identity, LinkConfig, Observer, TopicClient, TopicInterest, TopicServer,
};
use mycelium_transports::local::{
    DeferredWakes, Delivery, Policy, Publisher, Schema, Subscription, TaskBudget, Topic, poll_with,
};

use super::Wire;
use crate::harness::{Column, Mismatch};
use crate::sample::{SAMPLES, Sample, Tally, samples};

/// How many messages the ring of each side holds.
const CAPACITY: usize = 16_384;
const FITS: &str = "a fresh topic of a good name has room";

/// From emit to receive.
pub(crate) struct Exchange {
    pub(crate) name: &'static str,
    pub(crate) config: LinkConfig,
    pub(crate) wire: Wire,
}

/// What a node has on one of the two sides.
struct Node {
    topic: Arc<Topic>,
    counters: Arc<Region>,
    control: Arc<Control>,
    observer: Observer,
    executor: Arc<dyn Executor>,
}

impl Node {
    fn new(executor: impl Executor + 'static) -> Node {
        let (counters, control) = (Region::new(16), Arc::new(Control::default()));
        let topic = Topic::new("samples", Schema::of::<Sample>(), CAPACITY, counters.clone());
        let topic = topic.expect(FITS);
        // What went wrong shows in what arrived.
        let observer: Observer = Arc::new(|_| {});
        Node { topic, counters, control, observer, executor: Arc::new(executor) }
    }

    /// Emits so many samples, and says when the first went.
    async fn sends(self, stream: Stream, config: LinkConfig, count: usize) -> Instant {
        let Node { topic, counters, control, observer, executor } = self;
        let identity = Identity::new("there", 1).expect("a short name");
        let mut server =
            TopicServer::new(identity, config, executor, control.clone(), counters, observer);
        server.add(ExportedTopic { topic: topic.clone(), readers: None });
        server.announce("here", &topic, Policy::Block).expect(FITS);
        let mut publisher = topic.publisher("samples", 1).expect(FITS);
        tokio::spawn(Arc::new(server).run(Listener::new(One(Some(stream))), |_| Ok(())));
        control.ready().await;
        let start = Instant::now();
        let pulse = TaskBudget::new();
        let flusher = publisher.attach(&pulse);
        service(pulse, flusher, emit(publisher, count)).await;
        control.drain();
        control.ended().await;
        start
    }

    /// Receives all samples, and says what they were and when so many were there.
    async fn receives(
        self,
        stream: Stream,
        config: LinkConfig,
        count: usize,
    ) -> (Tally, Option<Instant>) {
        let Node { topic, counters, control, observer, executor } = self;
        let mut subscription = topic.subscribe("samples", Policy::Block).expect(FITS);
        let connection = Mutex::new(Some(stream));
        let client = TopicClient {
            peer: "there".to_owned(),
            connect: Box::new(move || {
                let stream = connection.lock().unwrap_or_else(PoisonError::into_inner).take();
                // The one connection is gone, and with it what was on its way: links are not to try again.
                Box::pin(async move { stream.ok_or(io::ErrorKind::NotConnected.into()) })
            }),
            interests: vec![TopicInterest { topic, policy: Policy::Block }],
            identity: Identity::new("here", 2).expect("a short name"),
            config,
            executor,
            control: control.clone(),
            counters,
            observer,
        };
        tokio::spawn(client.run().expect("the settings of a preset"));
        let pulse = TaskBudget::new();
        let flusher = subscription.attach(&pulse);
        let received = service(pulse, flusher, receive(subscription, count)).await;
        control.ended().await;
        received
    }
}

/// Runs `work` in a task of its own, with a pulse, as a node does with its services.
async fn service<T: Send + 'static>(
    pulse: Arc<TaskBudget>,
    flusher: DeferredWakes,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let mut flushers = [flusher];
    let mut work = Box::pin(work);
    let polled = std::future::poll_fn(move |context| {
        poll_with(&pulse, &mut flushers, || work.as_mut().poll(context))
    });
    tokio::spawn(polled).await.expect("the loops do not panic")
}

async fn emit(mut publisher: Publisher<Sample>, count: usize) {
    let samples = samples();
    for number in 0..count {
        // No reader of these rejects anything.
        let _ = publisher.emit(samples[number % SAMPLES]).await;
    }
}

async fn receive(mut subscription: Subscription<Sample>, count: usize) -> (Tally, Option<Instant>) {
    let (mut tally, mut done) = (Tally::default(), None);
    while let Some(delivery) = subscription.recv().await {
        if let Delivery::Msg(sample) = delivery {
            tally.add(&sample);
            if tally.count == count as u64 {
                done = Some(Instant::now());
            }
        }
    }
    (tally, done)
}

/// Listens for one connection, which is there already.
struct One(Option<Stream>);

impl Accept for One {
    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let peer = Peer::Unix(Credentials { process: None, user: 0, group: 0 });
        self.0.take().map_or(Poll::Pending, |stream| Poll::Ready(Ok((stream, peer))))
    }

    fn local_addr(&self) -> io::Result<Address> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Column for Exchange {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let Exchange { wire, config, .. } = self;
        let (start, (tally, done)) = wire.run(
            async |socket, executor| {
                let stream = wire.stream(socket, &executor);
                Node::new(executor).sends(stream, *config, operations).await
            },
            async |socket, executor| {
                let stream = wire.stream(socket, &executor);
                Node::new(executor).receives(stream, *config, operations).await
            },
        );
        Mismatch::check(self.name, Tally::expected(operations, Tally::add), tally)?;
        Ok(done.map_or(Duration::ZERO, |done| done.saturating_duration_since(start)))
    }
}
