//! Topics over an engine as a [`TestTransport`]: one process sends them, another one receives them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::local::{self, TOPIC};
use super::pair::timeout;
use super::{Pair, Probe, Publish, TestTransport, probe};
use crate::counters::Latency;
use crate::local::{
    Delivery, OnStall, Policy, Publisher, Retain, RingMemory, SubscribeOptions, Subscription, Topic,
};
use crate::seam::{Capabilities, Control, Ends, Transport};

/// An engine that carries a topic from one process to another one.
pub trait TestEngine: Send + Sized + 'static {
    /// The engine's name in reports.
    const NAME: &'static str;
    /// What its transports promise.
    const CAPABILITIES: Capabilities;

    /// Starts what both processes need, such as a server.
    fn start() -> Self;

    /// Returns the transport of the process whose publishers send.
    fn sending(&self) -> Box<dyn Transport>;

    /// Returns the transport of the process that reads. It is created before the other one.
    fn receiving(&self) -> Box<dyn Transport>;
}

/// A topic over an engine, as a [`TestTransport`]. Dropping it ends its transports.
///
/// If the engine cannot carry a topic for a gating reader, that reader observes, with room for all
/// messages of a law.
pub struct Carried<E> {
    there: Arc<Topic>,
    here: Arc<Topic>,
    controls: [Arc<Control>; 2],
    _engine: E,
}

/// More messages than a law sends to a gating reader.
const ROOM: usize = 1024;
/// How long a message may be on its way before it is sent again.
const AGAIN: Duration = Duration::from_millis(50);

impl<E: TestEngine> TestTransport for Carried<E> {
    const NAME: &'static str = E::NAME;
    const RINGS: u64 = 2;
    const CAPABILITIES: Capabilities = E::CAPABILITIES;
    const PACES: bool = true;
    type Publisher = Publisher<Probe>;
    type Subscription = Subscription<Probe>;

    async fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Self {
        let room = if E::CAPABILITIES.lacks(strictest).is_some() { ROOM } else { capacity };
        let engine = E::start();
        let topics = |pair: &Pair, name, capacity| {
            [&pair.publishers, &pair.readers]
                .map(|it| local::topic::<Probe>(pair, name, it, capacity, RingMemory::Heap))
        };
        let [there, here] = topics(pair, TOPIC, room);
        // The spans of a law are those of its own messages.
        let untraced = Pair { tracer: None, latency_sample: None, ..pair.clone() };
        let [hello_there, hello_here] = topics(&untraced, "hello", capacity);
        let controls: [Arc<Control>; 2] = Default::default();
        let receives = vec![here.clone(), hello_here.clone()];
        let ends = Ends::new("here", Vec::new(), receives, pair.readers.clone(), &controls[1]);
        let run = carry(engine.receiving(), E::CAPABILITIES, ends);
        drop(pair.read(run));
        let sends = vec![there.clone(), hello_there.clone()];
        let ends = Ends::new("there", sends, Vec::new(), pair.publishers.clone(), &controls[0]);
        let run = carry(engine.sending(), E::CAPABILITIES, ends);
        drop(pair.publish(run));
        pair.within("the two processes meet", meet(pair, &hello_there, &hello_here)).await;
        Carried { there, here, controls, _engine: engine }
    }

    fn open_alone(_: &Pair, _: usize) -> Self {
        unreachable!("only laws that need to know all readers call it")
    }

    fn meet(&self, _: &Pair, _: SubscribeOptions) {}

    fn set_on_stall(&self, _: &Pair, on_stall: OnStall) {
        self.there.set_on_stall(on_stall);
    }

    fn retain(&self, retain: Retain) {
        self.there.retain(retain).expect("the key is that of the message");
    }

    fn latencies(&self) -> Vec<Latency> {
        Latency::of(&self.here.counters.read())
    }

    fn publisher(&self, name: &str) -> Publisher<Probe> {
        local::publisher(&self.there, name)
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Self::Subscription {
        let mut options = options.into();
        if E::CAPABILITIES.lacks(options.policy).is_some() {
            options.policy = Policy::DropOldest;
        }
        self.here.subscribe(name, options).expect("the topic has free entries")
    }
}

fn carry(
    transport: Box<dyn Transport>,
    promised: Capabilities,
    ends: Ends,
) -> impl Future<Output = ()> + Send + 'static {
    assert_eq!(transport.capabilities(), promised, "the promises of {}", transport.name());
    transport.carry(ends).expect("the transport starts")
}

/// Sends messages until one arrives: an engine drops them before it knows the readers.
async fn meet(pair: &Pair, there: &Arc<Topic>, here: &Arc<Topic>) {
    let mut publisher: Publisher<Probe> = local::publisher(there, "hello");
    let mut reader = here.subscribe::<Probe>("hello", Policy::DropOldest);
    let reader = reader.as_mut().expect("the topic has free entries");
    for number in 0.. {
        Publish::emit(&mut publisher, probe(0, number)).await.expect("no reader rejects");
        let arrives = async { while !matches!(reader.recv().await, Some(Delivery::Msg(_))) {} };
        if timeout(&pair.readers, AGAIN, arrives.boxed_local()).await.is_some() {
            return;
        }
    }
}

impl<E> Drop for Carried<E> {
    fn drop(&mut self) {
        self.controls.iter().for_each(|control| control.stop());
    }
}

impl<E> fmt::Debug for Carried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").finish_non_exhaustive()
    }
}
