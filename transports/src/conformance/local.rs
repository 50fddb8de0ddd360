//! Topics within a process as a [`Transport`].

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mycelium_core::TraceContext;

use super::{Pair, Probe, Publish, Subscribe, Transport};
use crate::counters::Region;
use crate::local::{
    BatchError, Delivery, EmitError, OnStall, Policy, Publisher, RingMemory, Schema,
    SubscribeOptions, Subscription, Topic, TryRecv, Undelivered,
};

/// A topic within a process.
#[derive(Debug)]
pub struct Local(Arc<Topic>);

impl Local {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.0
    }
}

impl Transport for Local {
    const NAME: &'static str = "local";
    const RINGS: u64 = 1;
    type Publisher = Publisher<Probe>;
    type Subscription = Subscription<Probe>;

    fn open(pair: &Pair, capacity: usize, _: Policy) -> Local {
        Local(topic(pair, capacity, RingMemory::Heap))
    }

    fn open_alone(pair: &Pair, capacity: usize) -> Local {
        Local::open(pair, capacity, Policy::default())
    }

    // The readers are in the publishers' process.
    fn meet(&self, _: &Pair, _: SubscribeOptions) {}

    fn set_on_stall(&self, pair: &Pair, on_stall: OnStall) {
        set_on_stall(&self.0, pair, on_stall);
    }

    fn publisher(&self, name: &str) -> Publisher<Probe> {
        publisher(&self.0, name)
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Subscription<Probe> {
        subscribe(&self.0, name, options.into())
    }
}

pub(super) fn topic(pair: &Pair, capacity: usize, memory: RingMemory) -> Arc<Topic> {
    let (schema, tracer, counters) = (Schema::of::<Probe>(), pair.tracer.clone(), Region::new(64));
    let topic = Topic::with_tracer("conformance", schema, capacity, 64, memory, tracer, counters);
    topic.expect("the capacity is valid")
}

pub(super) fn set_on_stall(topic: &Topic, pair: &Pair, on_stall: OnStall) {
    topic.set_on_stall(on_stall);
    topic.set_executor(pair.publishers.clone());
}

pub(super) fn publisher(topic: &Arc<Topic>, name: &str) -> Publisher<Probe> {
    // Unique for each publisher.
    static EPOCH: AtomicU64 = AtomicU64::new(0);
    let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
    topic.publisher(name, epoch).expect("the topic has free entries")
}

pub(super) fn subscribe(
    topic: &Arc<Topic>,
    name: &str,
    options: SubscribeOptions,
) -> Subscription<Probe> {
    topic.subscribe(name, options).expect("the topic has free entries")
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
