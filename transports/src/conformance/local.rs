//! Topics within a process as a [`TestTransport`].

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mycelium_core::TraceContext;
use mycelium_executor::Executor;

use super::{Pair, Probe, Publish, Subscribe, TestTransport};
use crate::counters::{Latency, Region};
use crate::local::{
    BatchError, Delivery, EmitError, OnStall, Policy, Publisher, Recorded, RingMemory, Schema,
    SubscribeOptions, Subscription, Topic, TryRecv, Undelivered,
};

/// A topic within a process.
#[derive(Debug)]
pub struct Local(Arc<Topic>);

impl Local {
    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.0
    }
}

impl TestTransport for Local {
    const NAME: &'static str = "local";
    const RINGS: u64 = 1;
    type Publisher = Publisher<Probe>;
    type Subscription = Subscription<Probe>;

    fn open(pair: &Pair, capacity: usize, _: Policy) -> Local {
        Local(topic(pair, &pair.publishers, capacity, RingMemory::Heap))
    }

    fn open_alone(pair: &Pair, capacity: usize) -> Local {
        Local::open(pair, capacity, Policy::default())
    }

    // The readers are in the publishers' process, so no node has to join.
    fn meet(&self, _: &Pair, _: SubscribeOptions) {}

    fn set_on_stall(&self, _: &Pair, on_stall: OnStall) {
        self.0.set_on_stall(on_stall);
    }

    fn latencies(&self) -> Vec<Latency> {
        Latency::of(&self.0.counters.read())
    }

    fn publisher(&self, name: &str) -> Publisher<Probe> {
        publisher(&self.0, name)
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Subscription<Probe> {
        self.0.subscribe(name, options).expect("the topic has free entries")
    }
}

/// Creates a topic that uses this executor, unless the law has a clock of its own.
pub(super) fn topic(
    pair: &Pair,
    executor: &Arc<dyn Executor>,
    capacity: usize,
    memory: RingMemory,
) -> Arc<Topic> {
    let (schema, counters) = (Schema::of::<Probe>(), Region::new(64));
    let recorded = Recorded { tracer: pair.tracer.clone(), latency_sample: pair.latency_sample };
    let topic =
        Topic::with_recorded("conformance", schema, capacity, 64, memory, recorded, counters);
    let topic = topic.expect("the capacity is valid");
    topic.set_executor(pair.clock.as_ref().unwrap_or(executor).clone());
    topic
}

pub(super) fn publisher(topic: &Arc<Topic>, name: &str) -> Publisher<Probe> {
    // Unique for each publisher.
    static EPOCH: AtomicU64 = AtomicU64::new(0);
    let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
    topic.publisher(name, epoch).expect("the topic has free entries")
}

impl Publish for Publisher<Probe> {
    async fn emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
        Publisher::emit(self, message).await
    }

    fn try_emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
        Publisher::try_emit(self, message)
    }

    async fn emit_batch(&mut self, messages: &[Probe], sent: &mut usize) -> Result<(), BatchError> {
        poll_fn(|context| self.poll_emit_batch(context, messages, sent)).await
    }

    fn depth(&self) -> usize {
        Publisher::depth(self)
    }

    fn backpressure_threshold_exceeded(&mut self) -> bool {
        Publisher::backpressure_threshold_exceeded(self)
    }

    async fn until_below(&mut self) {
        Publisher::until_below(self).await;
    }

    async fn confirmed(&mut self) {
        Publisher::confirmed(self).await;
    }
}

impl Subscribe for Subscription<Probe> {
    async fn recv(&mut self) -> Option<Delivery<Probe>> {
        Subscription::recv(self).await
    }

    async fn recv_many(&mut self, deliveries: &mut Vec<Delivery<Probe>>, limit: usize) -> usize {
        Subscription::recv_many(self, deliveries, limit).await
    }

    fn try_recv(&mut self) -> TryRecv<Probe> {
        Subscription::try_recv(self)
    }

    fn fail(&mut self) -> Option<Undelivered> {
        Subscription::fail(self)
    }

    fn depth(&self) -> usize {
        Subscription::depth(self)
    }

    fn trace(&self) -> Option<TraceContext> {
        Subscription::trace(self)
    }
}
