//! One way from a publisher to a subscription of another node, over all that is between the two.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mycelium_executor::{Accept, Address, Credentials, Executor, Listener, Peer, Stream};
use mycelium_transports::counters::Region;
use mycelium_transports::endpoint::Anyone;
use mycelium_transports::exchange::{
    Control, ExportedTopic, Identity, LinkConfig, Observer, TopicClient, TopicInterest, TopicServer,
};
use mycelium_transports::local::{
    DeferredWakes, Delivery, Policy, Publisher, Schema, Start, Subscription, TaskBudget, Topic,
    poll_with,
};

use super::Wire;
use crate::harness::{Column, Mismatch, Round};
use crate::loops::executor::host::task;
use crate::sample::{SAMPLES, Sample, Tally, samples};

/// Messages that the ring of each side holds.
const CAPACITY: usize = 16_384;
const RUNS: &str = "the executor runs";
const FITS: &str = "a fresh topic with a valid name has space";

/// The parts of a node on one of the two sides.
struct Node {
    topic: Arc<Topic>,
    counters: Arc<Region>,
    control: Arc<Control>,
    observer: Observer,
    executor: Arc<dyn Executor>,
}

impl Node {
    fn new(executor: Arc<dyn Executor>) -> Node {
        let (counters, control) = (Region::new(16), Arc::new(Control::default()));
        let topic = Topic::new("samples", Schema::of::<Sample>(), CAPACITY, counters.clone());
        let topic = topic.expect(FITS);
        // Errors show in the messages that arrived.
        let observer: Observer = Arc::new(|_| {});
        Node { topic, counters, control, observer, executor }
    }

    /// Emits this number of samples and returns when it started.
    async fn sends(self, stream: Stream, config: LinkConfig, count: usize) -> Instant {
        let Node { topic, counters, control, observer, executor } = self;
        let identity = Identity::new("there", 1).expect("a short name");
        let inside = executor.clone();
        let mut server =
            TopicServer::new(identity, config, inside, control.clone(), counters, observer);
        server.add(ExportedTopic { topic: topic.clone(), readers: None });
        server.announce("here", &topic, Policy::Block).expect(FITS);
        let mut publisher = topic.publisher("samples", 1).expect(FITS);
        let serves = Arc::new(server).run(Listener::new(One(Some(stream))), Anyone);
        executor.spawn(Box::pin(serves)).expect(RUNS);
        control.ready().await;
        let start = Instant::now();
        let budget = TaskBudget::new();
        let wakes = publisher.attach(&budget);
        service(&executor, budget, wakes, emit(publisher, count)).await;
        control.drain();
        control.ended().await;
        start
    }

    /// Receives all samples and returns when this number had arrived.
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
                // A second connection attempt fails: messages in flight on the first one are lost.
                Box::pin(async move { stream.ok_or(io::ErrorKind::NotConnected.into()) })
            }),
            interests: vec![TopicInterest { topic, policy: Policy::Block, start: Start::Next }],
            identity: Identity::new("here", 2).expect("a short name"),
            config,
            executor: executor.clone(),
            memory: None,
            control: control.clone(),
            counters,
            observer,
        };
        let reads = client.run().expect("the settings of a preset");
        executor.spawn(Box::pin(reads)).expect(RUNS);
        let budget = TaskBudget::new();
        let wakes = subscription.attach(&budget);
        let received = service(&executor, budget, wakes, receive(subscription, count)).await;
        control.ended().await;
        received
    }
}

/// Runs `work` in a task with a budget, as a node runs its services.
async fn service<T: Send + 'static>(
    executor: &Arc<dyn Executor>,
    budget: Arc<TaskBudget>,
    wakes: DeferredWakes,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let mut wakes = [wakes];
    let mut work = Box::pin(work);
    let polled = std::future::poll_fn(move |context| {
        poll_with(&budget, &mut wakes, || work.as_mut().poll(context))
    });
    task(executor, polled).await.expect("the loops do not panic")
}

async fn emit(mut publisher: Publisher<Sample>, count: usize) {
    let samples = samples();
    for number in 0..count {
        // The reader rejects nothing.
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

/// Listens for one connection, which exists already.
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

/// From emit to receive.
pub(crate) fn exchange(name: &'static str, config: LinkConfig, wire: Wire) -> Column {
    Column::new(name, move |operations| {
        let (start, (tally, done)) = wire.run(
            async move |stream, executor| {
                Node::new(executor).sends(stream, config, operations).await
            },
            async move |stream, executor| {
                Node::new(executor).receives(stream, config, operations).await
            },
        );
        Mismatch::check(name, Tally::expected(operations, Tally::add), tally)?;
        let took = done.map_or(Duration::ZERO, |done| done.saturating_duration_since(start));
        Ok(Round::Total(took))
    })
}
