//! Topics over an engine as a [`TestTransport`]: one process sends them, another one receives them.

use std::fmt;
use std::sync::Arc;
use std::thread;
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

    /// Causes a fault that an engine which [resumes](Capabilities::resumes) must hide. Does nothing
    /// by default.
    fn disturb(&self) {}
}

/// A topic over an engine, as a [`TestTransport`]. Dropping it ends its transports, and panics if
/// one of them has ended before.
///
/// If the engine cannot carry gating readers, they become `drop-oldest`, and their rings hold all
/// messages of a law.
pub struct Carried<E> {
    there: Arc<Topic>,
    here: Arc<Topic>,
    controls: [Arc<Control>; 2],
    /// The task of each transport has a copy while it runs.
    running: [Arc<()>; 2],
    engine: E,
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
        let topic = |pair: &Pair, name, executor, capacity| {
            local::topic::<Probe>(pair, name, executor, capacity, RingMemory::Heap)
        };
        let there = topic(pair, TOPIC, &pair.publishers, capacity);
        let here = topic(pair, TOPIC, &pair.readers, room);
        // The spans of a law are those of its own messages.
        let untraced = Pair { tracer: None, latency_sample: None, ..pair.clone() };
        let hello_there = topic(&untraced, "hello", &pair.publishers, capacity);
        let hello_here = topic(&untraced, "hello", &pair.readers, capacity);
        let (controls, running): ([Arc<Control>; 2], [Arc<()>; 2]) = Default::default();
        // The last topic: when its messages arrive, the engine has subscribed to the other one,
        // too.
        let receives = vec![here.clone(), hello_here.clone()];
        let ends = Ends::new("here", Vec::new(), receives, pair.readers.clone(), &controls[1]);
        drop(pair.read(carry(engine.receiving(), E::CAPABILITIES, ends, &running[1])));
        let sends = vec![there.clone(), hello_there.clone()];
        let ends = Ends::new("there", sends, Vec::new(), pair.publishers.clone(), &controls[0]);
        drop(pair.publish(carry(engine.sending(), E::CAPABILITIES, ends, &running[0])));
        let connected = until_connected(pair, &hello_there, &hello_here);
        pair.within("the two processes meet", connected).await;
        Carried { there, here, controls, running, engine }
    }

    fn open_alone(_: &Pair, _: usize) -> Self {
        unreachable!("only laws that need to know all readers call it")
    }

    fn meet(&self, _: &Pair, _: SubscribeOptions) {
        unreachable!("only laws that need to know all readers call it")
    }

    fn disturb(&self) {
        self.engine.disturb();
    }

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
    running: &Arc<()>,
) -> impl Future<Output = ()> + Send + use<> {
    assert_eq!(transport.capabilities(), promised, "the promises of {}", transport.name());
    let (carried, running) = (transport.carry(ends), running.clone());
    let carried = carried.expect("the transport starts");
    async move {
        carried.await;
        drop(running);
    }
}

/// Sends messages until one arrives: an engine drops them before it knows the readers.
async fn until_connected(pair: &Pair, there: &Arc<Topic>, here: &Arc<Topic>) {
    let mut publisher: Publisher<Probe> = local::publisher(there, "hello");
    let mut reader = here.subscribe::<Probe>("hello", Policy::DropOldest);
    let reader = reader.as_mut().expect("the topic has free entries");
    for number in 0.. {
        Publish::emit(&mut publisher, probe(0, number)).await.expect("no reader rejects");
        let arrives = async {
            loop {
                match reader.recv().await {
                    Some(Delivery::Msg(_)) => break,
                    Some(Delivery::Gap(_)) => {}
                    None => panic!("the receiving transport has ended"),
                }
            }
        };
        if timeout(&pair.readers, AGAIN, arrives.boxed_local()).await.is_some() {
            return;
        }
    }
}

impl<E> Drop for Carried<E> {
    fn drop(&mut self) {
        let runs = |it: &Arc<()>| Arc::strong_count(it) == 2;
        let all_run = self.running.iter().all(runs);
        assert!(all_run || thread::panicking(), "a transport has ended before the law");
        self.controls.iter().for_each(|control| control.stop());
    }
}

impl<E> fmt::Debug for Carried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").finish_non_exhaustive()
    }
}
