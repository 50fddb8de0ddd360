//! Topics over a link as a [`TestTransport`]: the publishers' side exports, the readers' side
//! imports, and connections can be cut. The subject chooses the kind of stream by a [`StreamPair`].

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_util::StreamExt;
use mycelium_executor::{Accept, Address, Backoff, Executor, Listener, Peer, SendFuture, Stream};

use super::local::{self, TOPIC};
use super::{Pair, Probe, Sample, TestTransport, key_of};
use crate::counters::{Latency, Region};
use crate::endpoint::unix::Access;
use crate::endpoint::{Anyone, Gate};
use crate::link::{
    ExportedTopic, Exports, Identity, Imports, LinkConfig, MemoryAccess, TopicInterest,
};
use crate::local::{
    LatestByKey, OnStall, PageSize, Policy, Publisher, Retain, RingMemory, SubscribeOptions,
    Subscription, Topic,
};
use crate::memory::{ControlLimits, ControlThread};
use crate::seam::Control;
use crate::sync::lock;

/// One kind of connected streams, as sockets that an executor takes over.
pub trait StreamPair: 'static {
    /// One end, before an executor has taken it over.
    type Socket: Send + 'static;
    /// The name in reports of a link over such streams.
    const NAME: &'static str;

    /// Creates two connected ends.
    ///
    /// # Errors
    /// Errors of the system.
    fn connect() -> io::Result<(Self::Socket, Self::Socket)>;

    /// Returns a function that cuts the connection of this end.
    ///
    /// # Errors
    /// Errors of the system.
    fn cut(socket: &Self::Socket) -> io::Result<Box<dyn FnOnce() + Send>>;

    /// Gives an end to an executor.
    ///
    /// # Errors
    /// Errors of the executor.
    fn stream(executor: &dyn Executor, socket: Self::Socket) -> io::Result<Stream>;

    /// Returns the address and the peer that a listener reports for such streams.
    fn peer() -> (Address, Peer);

    /// Returns the gate that accepted streams have to pass.
    fn gate() -> Arc<dyn Gate> {
        Arc::new(Anyone)
    }

    /// Secures a stream on the side that connects.
    fn secure(stream: Stream) -> SendFuture<io::Result<Stream>> {
        Box::pin(async { Ok(stream) })
    }
}

/// A topic over a link, as a [`TestTransport`]. Dropping it ends the link. If `IN_MEMORY`, readers
/// map the publishers' rings.
pub struct Link<S: StreamPair, const IN_MEMORY: bool = false, M = Probe> {
    there: Arc<Topic>,
    here: Arc<Topic>,
    controls: [Arc<Control>; 2],
    memory: Option<Memory>,
    cuts: Cuts,
    connections: UnboundedSender<S::Socket>,
    message: PhantomData<fn(M)>,
}

impl<S: StreamPair, const IN_MEMORY: bool, M: Sample> TestTransport for Link<S, IN_MEMORY, M> {
    const NAME: &'static str = if IN_MEMORY { "shm" } else { S::NAME };
    // Two, because a stream in shared memory may begin on the link, in another ring.
    const RINGS: u64 = 2;
    type Publisher = Publisher<M>;
    type Subscription = Subscription<M>;

    async fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Self {
        let (link, incoming) = Link::new(pair, capacity);
        link.serve(pair, incoming, Some(strictest));
        link.read(pair, strictest.into());
        link
    }

    fn open_alone(pair: &Pair, capacity: usize) -> Self {
        let (link, incoming) = Link::new(pair, capacity);
        link.serve(pair, incoming, None);
        link
    }

    fn meet(&self, pair: &Pair, options: SubscribeOptions) {
        self.read(pair, options);
    }

    fn set_on_stall(&self, _: &Pair, on_stall: OnStall) {
        self.there.set_on_stall(on_stall);
    }

    fn retain(&self, retain: Retain) {
        for topic in [&self.there, &self.here] {
            topic.retain(retain).expect("the key is that of the message");
        }
    }

    fn latencies(&self) -> Vec<Latency> {
        Latency::of(&self.here.counters.read())
    }

    fn by_publisher(keys: NonZeroU32) -> LatestByKey {
        key_of::<M>(keys)
    }

    fn publisher(&self, name: &str) -> Publisher<M> {
        local::publisher(&self.there, name)
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Subscription<M> {
        self.here.subscribe(name, options).expect("the topic has free entries")
    }

    fn disturb(&self) {
        let mut cuts = lock(&self.cuts);
        cuts.drain(..).for_each(|cut| cut());
    }
}

impl<S: StreamPair, const IN_MEMORY: bool, M: Sample> Link<S, IN_MEMORY, M> {
    /// Creates the two topics, without their ends, and the receiver of accepted connections.
    fn new(pair: &Pair, capacity: usize) -> (Self, UnboundedReceiver<S::Socket>) {
        let there = if IN_MEMORY {
            RingMemory::Shared { pages: PageSize::Small, is_required: true }
        } else {
            RingMemory::Heap
        };
        let (connections, incoming) = mpsc::unbounded();
        let link = Link {
            there: local::topic::<M>(pair, TOPIC, &pair.publishers, capacity, there),
            here: local::topic::<M>(pair, TOPIC, &pair.readers, capacity, RingMemory::Heap),
            controls: Default::default(),
            memory: IN_MEMORY.then(Memory::new),
            cuts: Cuts::default(),
            connections,
            message: PhantomData,
        };
        (link, incoming)
    }

    /// Serves readers, which are announced with `strictest`, their strictest policy, if it is
    /// given.
    fn serve(
        &self,
        pair: &Pair,
        incoming: UnboundedReceiver<S::Socket>,
        strictest: Option<Policy>,
    ) {
        let mut exports = Exports::new(
            Identity::new("there", 1).expect("the name is short"),
            config(),
            pair.publishers.clone(),
            self.controls[0].clone(),
            Region::new(64),
            Arc::new(|_| {}),
        );
        if let Some(memory) = &self.memory {
            exports.share_memory(memory.there.clone());
        }
        // Names the readers, because publishers wait only for readers that are named.
        let readers = Some(vec!["here".to_owned()]);
        exports.believe("here", self.there.name());
        exports.add(ExportedTopic { topic: self.there.clone(), readers });
        if let Some(policy) = strictest {
            exports.announce("here", &self.there, policy).expect("one reader fits");
        }
        let (exports, executor) = (Arc::new(exports), pair.publishers.clone());
        drop(pair.publish(exports.clone().wait_for_readers()));
        drop(pair.publish(async move {
            let sockets = Sockets::<S> { incoming, executor };
            exports.run(Listener::new(sockets), S::gate()).await;
        }));
    }

    fn read(&self, pair: &Pair, options: SubscribeOptions) {
        let SubscribeOptions { policy, start } = options;
        let (connections, cuts) = (self.connections.clone(), self.cuts.clone());
        let executor = pair.readers.clone();
        // Connects at the first poll, which happens on the executor that owns the stream.
        let connect = Arc::new(move || {
            let (near, far) = S::connect()?;
            lock(&cuts).push(S::cut(&near)?);
            let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
            connections.unbounded_send(far).map_err(gone)?;
            S::stream(&*executor, near)
        });
        let imports = Imports {
            peer: "there".to_owned(),
            connect: Box::new(move || {
                let connect = connect.clone();
                Box::pin(async move { S::secure(connect()?).await })
            }),
            interests: vec![TopicInterest { topic: self.here.clone(), policy, start }],
            identity: Identity::new("here", 2).expect("the name is short"),
            config: config(),
            executor: pair.readers.clone(),
            memory: self.memory.as_ref().map(Memory::access),
            control: self.controls[1].clone(),
            counters: Region::new(64),
            observer: Arc::new(|_| {}),
        };
        drop(pair.read(imports.run().expect("the link's configuration is valid")));
    }
}

impl<S: StreamPair, const IN_MEMORY: bool, M> Drop for Link<S, IN_MEMORY, M> {
    fn drop(&mut self) {
        self.controls.iter().for_each(|control| control.stop());
    }
}

/// The control threads of the two ends. Dropping it stops them.
struct Memory {
    there: Arc<ControlThread>,
    here: Arc<ControlThread>,
    path: PathBuf,
}

impl Memory {
    fn new() -> Memory {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = format!("mycelium-conformance-{process}-{number}");
        let path = std::env::temp_dir().join(directory).join("there.shm");
        let control = |name| {
            let thread = ControlThread::start(name, ControlLimits::default());
            thread.expect("the system has a thread")
        };
        let (there, here) = (control("there"), control("here"));
        there.listen(path.clone(), Access::default()).expect("the path is free");
        Memory { there, here, path }
    }

    fn access(&self) -> MemoryAccess {
        let (control, path) = (self.here.clone(), self.path.clone());
        MemoryAccess { control, path, access: Access::default() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.here.stop();
        self.there.stop();
        let directory = self.path.parent().expect("the path has a directory");
        _ = std::fs::remove_dir_all(directory);
    }
}

impl<S: StreamPair, const IN_MEMORY: bool> fmt::Debug for Link<S, IN_MEMORY> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Cuts the open connections.
type Cuts = Arc<Mutex<Vec<Box<dyn FnOnce() + Send>>>>;

fn config() -> LinkConfig {
    let retry = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5) };
    // Confirms soon: with rings as small as these, a publisher waits for nearly every confirmation.
    LinkConfig { retry, confirm: Duration::from_millis(1), ..LinkConfig::low_latency() }
}

/// A listener that accepts the other ends.
struct Sockets<S: StreamPair> {
    incoming: UnboundedReceiver<S::Socket>,
    executor: Arc<dyn Executor>,
}

impl<S: StreamPair> Accept for Sockets<S> {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let Some(socket) = ready!(self.incoming.poll_next_unpin(context)) else {
            return Poll::Pending;
        };
        let stream = S::stream(&*self.executor, socket);
        Poll::Ready(stream.map(|stream| (stream, S::peer().1)))
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(S::peer().0)
    }
}
