//! One side of a link: its topics, servers and clients.

use std::io::{self, ErrorKind::AddrInUse};
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

use mycelium_core::Message;
use mycelium_executor::{Executor, Peer, SendFuture, Stream};
use mycelium_tokio::Tokio;
use mycelium_transports::counters::{Kind, Reading, Region};
use mycelium_transports::endpoint::unix::{self, BoundSocket};
use mycelium_transports::endpoint::{BindError, Gate, Secured};
use mycelium_transports::link::{
    ExportedTopic, Exports, Identity, Imports, LinkConfig, TopicInterest,
};
use mycelium_transports::local::{Policy, Publisher, Schema, Start, Subscription, Topic};
use mycelium_transports::seam::Control;
use tokio::task::JoinHandle;

use super::{Carrier, Notices, Number, Place, Tick, Wire};

pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) numbers: Arc<Topic>,
    pub(crate) ticks: Arc<Topic>,
    pub(crate) counters: Arc<Region>,
    pub(crate) control: Arc<Control>,
    pub(crate) identity: Identity,
    pub(crate) config: LinkConfig,
    pub(crate) notices: Notices,
}

impl Side {
    pub(crate) fn new(name: &str, boot: u64, capacity: usize) -> Side {
        Side::counting(name, boot, capacity, 1024)
    }

    /// Makes a side whose region of counters has this many lines.
    pub(crate) fn counting(name: &str, boot: u64, capacity: usize, lines: usize) -> Side {
        let counters = Region::new(lines);
        let topic = |name, schema| Topic::new(name, schema, capacity, counters.clone()).unwrap();
        Side {
            name: name.to_owned(),
            executor: Arc::new(Tokio::current().unwrap()),
            numbers: topic("numbers", Schema::of::<Number>()),
            ticks: topic("ticks", Schema::of::<Tick>()),
            counters: counters.clone(),
            control: Arc::default(),
            identity: Identity::new(name, boot).unwrap(),
            config: LinkConfig::default(),
            notices: Notices::default(),
        }
    }

    /// Replaces the topic `numbers` by one with the messages `M`.
    pub(crate) fn carry<M: Message>(&mut self, capacity: usize) {
        let schema = Schema::of::<M>();
        self.numbers = Topic::new("numbers", schema, capacity, self.counters.clone()).unwrap();
    }

    /// Returns the exports of both topics. With a list of readers, only they get numbers.
    pub(crate) fn exports(&self, readers: Option<&[String]>) -> Exports {
        let mut exports = Exports::new(
            self.identity,
            self.config,
            self.executor.clone(),
            self.control.clone(),
            self.counters.clone(),
            self.notices.observer(),
        );
        // Readers over plain TCP are believed, too.
        readers.into_iter().flatten().for_each(|reader| exports.believe(reader, "numbers"));
        let readers = readers.map(<[_]>::to_vec);
        exports.add(ExportedTopic { topic: self.numbers.clone(), readers });
        exports.add(ExportedTopic { topic: self.ticks.clone(), readers: None });
        exports
    }

    /// Returns exports for every reader, with this one announced for numbers.
    pub(crate) fn exports_for(&self, reader: &str, policy: Policy) -> Exports {
        let mut exports = self.exports(None);
        exports.announce(reader, &self.numbers, policy).unwrap();
        exports
    }

    /// Serves at a place until the side is stopped. Over a Unix socket, processes of this user may
    /// connect; over TCP, any process; over TLS, any peer with a certificate.
    pub(crate) fn serve(&self, exports: impl Into<Arc<Exports>>, place: &Place) -> JoinHandle<()> {
        if place.carrier == Carrier::Unix {
            let bound = BoundSocket::at(&place.address).unwrap();
            let own = bound.allowed();
            return self.serve_to(exports, bound, own);
        }
        // A process that another test starts holds a copy of the last listener until it runs its
        // program.
        let mut tries = 0..10_000;
        let bound = loop {
            match place.endpoint().bind() {
                Err(BindError::Tcp { error, .. })
                    if error.kind() == AddrInUse && tries.next().is_some() =>
                {
                    park_timeout(Duration::from_millis(1));
                }
                bound => break bound.unwrap(),
            }
        };
        let (exports, gate) = (exports.into(), AnyName(bound.gate()));
        let listener = bound.listener(&*self.executor).unwrap();
        tokio::spawn(exports.clone().wait_for_readers());
        tokio::spawn(async move {
            exports.run(listener, gate).await;
            drop(bound);
        })
    }

    /// Serves at a Unix socket to these peers only.
    pub(crate) fn serve_to(
        &self,
        exports: impl Into<Arc<Exports>>,
        bound: BoundSocket,
        allowed: unix::AllowedPeers,
    ) -> JoinHandle<()> {
        let listener = self.executor.unix_listener(bound.socket().unwrap()).unwrap();
        let exports = exports.into();
        tokio::spawn(exports.clone().wait_for_readers());
        tokio::spawn(async move {
            exports.run(listener, allowed).await;
            drop(bound);
        })
    }

    /// Reads numbers from the server at this place.
    pub(crate) fn read(&self, peer: &str, place: &Place, policy: Policy) -> JoinHandle<()> {
        tokio::spawn(self.imports(peer, place, vec![self.interest(policy)]).run().unwrap())
    }

    /// Reads numbers over connections that can be cut.
    pub(crate) fn read_over(&self, wire: &Wire, place: &Place, policy: Policy) -> JoinHandle<()> {
        let mut imports = self.imports("there", place, vec![self.interest(policy)]);
        imports.connect = wire.connect(self.executor.clone(), place);
        tokio::spawn(imports.run().unwrap())
    }

    pub(crate) fn interest(&self, policy: Policy) -> TopicInterest {
        TopicInterest { topic: self.numbers.clone(), policy, start: Start::Next }
    }

    pub(crate) fn imports(
        &self,
        peer: &str,
        place: &Place,
        interests: Vec<TopicInterest>,
    ) -> Imports {
        let (executor, endpoint) = (self.executor.clone(), place.endpoint());
        Imports {
            peer: peer.to_owned(),
            connect: Box::new(move || endpoint.connect(&executor)),
            interests,
            identity: self.identity,
            config: self.config,
            executor: self.executor.clone(),
            memory: None,
            control: self.control.clone(),
            counters: self.counters.clone(),
            observer: self.notices.observer(),
        }
    }

    /// Returns a publisher of numbers with epoch 7.
    pub(crate) fn publisher(&self) -> Publisher<Number> {
        self.numbers.publisher("publisher", 7).unwrap()
    }

    /// Returns a gating reader of numbers.
    pub(crate) fn reader(&self) -> Subscription<Number> {
        self.numbers.subscribe("reader", Policy::Block).unwrap()
    }

    /// Returns the sum of a value over all counters of this kind.
    pub(crate) fn sum(&self, kind: Kind, value: &str) -> u64 {
        self.sum_where(value, |line| line.kind == kind)
    }

    /// Returns the value of a counter of the link with `peer`, over both roles.
    pub(crate) fn link(&self, peer: &str, value: &str) -> u64 {
        self.sum_where(value, |line| line.kind == Kind::Link && line.label("link") == peer)
    }

    fn sum_where(&self, value: &str, counts: impl Fn(&Reading) -> bool) -> u64 {
        self.counters.read().iter().filter(|line| counts(line)).map(|line| line.value(value)).sum()
    }
}

/// Accepts any name that a peer states, because peers of a test state many names with one
/// certificate.
struct AnyName(Arc<dyn Gate>);

impl Gate for AnyName {
    fn check(&self, peer: &Peer) -> Result<(), String> {
        self.0.check(peer)
    }

    fn secure(&self, stream: Stream) -> SendFuture<io::Result<Secured>> {
        let secured = self.0.secure(stream);
        Box::pin(async move { Ok(Secured { proof: None, ..secured.await? }) })
    }
}
