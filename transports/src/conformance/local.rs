//! Topics within a process as a [`TestTransport`].

use std::future::poll_fn;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mycelium_core::{Message, TraceContext};
use mycelium_executor::Executor;

use super::{Pair, Probe, Publish, Sample, Subscribe, TestTransport, key_of};
use crate::counters::{Latency, Region};
use crate::local::{
    BatchError, Delivery, EmitError, LatestByKey, OnStall, Policy, Publisher, Received, Recorded,
    Retain, RingMemory, Schema, SubscribeOptions, Subscription, Topic, TryRecv, Undelivered,
};

/// A topic within a process.
#[derive(Debug)]
pub struct Local<M = Probe>(Arc<Topic>, PhantomData<fn(M)>);

impl<M> Local<M> {
    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.0
    }
}

impl<M: Sample> TestTransport for Local<M> {
    const NAME: &'static str = "local";
    const RINGS: u64 = 1;
    type Publisher = Publisher<M>;
    type Subscription = Subscription<M>;

    async fn open(pair: &Pair, capacity: usize, _: Policy) -> Self {
        Local::open_alone(pair, capacity)
    }

    fn open_alone(pair: &Pair, capacity: usize) -> Self {
        Local(topic::<M>(pair, TOPIC, &pair.publishers, capacity, RingMemory::Heap), PhantomData)
    }

    // The readers are in the publishers' process, so no node has to join.
    fn meet(&self, _: &Pair, _: SubscribeOptions) {}

    fn set_on_stall(&self, _: &Pair, on_stall: OnStall) {
        self.0.set_on_stall(on_stall);
    }

    fn retain(&self, retain: Retain) {
        self.topic().retain(retain).expect("the key is that of the message");
    }

    fn latencies(&self) -> Vec<Latency> {
        Latency::of(&self.0.counters.read())
    }

    fn by_publisher(keys: NonZeroU32) -> LatestByKey {
        key_of::<M>(keys)
    }

    fn publisher(&self, name: &str) -> Publisher<M> {
        publisher(&self.0, name)
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Subscription<M> {
        self.0.subscribe(name, options).expect("the topic has free entries")
    }
}

/// The name of the topic of a law.
pub(super) const TOPIC: &str = "conformance";

/// Creates a topic that uses this executor, unless the law has a clock of its own.
pub(super) fn topic<M: Message>(
    pair: &Pair,
    name: &str,
    executor: &Arc<dyn Executor>,
    capacity: usize,
    memory: RingMemory,
) -> Arc<Topic> {
    let (schema, counters) = (Schema::of::<M>(), Region::new(64));
    let recorded = Recorded { tracer: pair.tracer.clone(), latency_sample: pair.latency_sample };
    let topic = Topic::with_recorded(name, schema, capacity, 64, memory, recorded, counters);
    let topic = topic.expect("the capacity is valid");
    topic.set_executor(pair.clock.as_ref().unwrap_or(executor).clone());
    topic
}

pub(super) fn publisher<M: Message>(topic: &Arc<Topic>, name: &str) -> Publisher<M> {
    // Unique for each publisher.
    static EPOCH: AtomicU64 = AtomicU64::new(0);
    let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
    topic.publisher(name, epoch).expect("the topic has free entries")
}

impl<M: Sample> Publish for Publisher<M> {
    async fn emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
        Publisher::emit(self, M::of(message)).await.map_err(error)
    }

    fn try_emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
        Publisher::try_emit(self, M::of(message)).map_err(error)
    }

    async fn emit_batch(&mut self, messages: &[Probe], sent: &mut usize) -> Result<(), BatchError> {
        let messages: Vec<_> = messages.iter().cloned().map(M::of).collect();
        poll_fn(|context| self.poll_emit_batch(context, &messages, sent)).await
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

impl<M: Sample> Subscribe for Subscription<M> {
    async fn recv(&mut self) -> Option<Delivery<Probe>> {
        Subscription::recv(self).await.map(delivery)
    }

    async fn recv_many(&mut self, deliveries: &mut Vec<Delivery<Probe>>, limit: usize) -> usize {
        let mut received = Vec::new();
        let count = Subscription::recv_many(self, &mut received, limit).await;
        deliveries.extend(received.into_iter().map(delivery));
        count
    }

    fn try_recv(&mut self) -> TryRecv<Probe> {
        match Subscription::try_recv(self) {
            TryRecv::Delivery(received) => TryRecv::Delivery(delivery(received)),
            TryRecv::Empty => TryRecv::Empty,
            TryRecv::Closed => TryRecv::Closed,
        }
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

fn error<M: Sample>(EmitError { message, refusal, topic }: EmitError<M>) -> EmitError<Probe> {
    EmitError { message: message.probe(), refusal, topic }
}

fn delivery<M: Sample>(delivery: Delivery<M>) -> Delivery<Probe> {
    match delivery {
        Delivery::Msg(Received { message, sequence, attempt }) => {
            Delivery::Msg(Received { message: message.probe(), sequence, attempt })
        }
        Delivery::Gap(gap) => Delivery::Gap(gap),
    }
}
