//! A publisher's node `there` and a reader's node `here` in this process, with shared memory
//! between them: their topics, the link over real sockets, and its notices.

use std::future::poll_fn;
use std::net::Shutdown;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use mycelium_core::Message;
use mycelium_executor::{Backoff, Executor};
use mycelium_tokio::Tokio;
use mycelium_transports::counters::Region;
use mycelium_transports::endpoint::Anyone;
use mycelium_transports::endpoint::unix::{self, Access, BoundSocket};
use mycelium_transports::exchange::{
    Control, ExportedTopic, Identity, LinkConfig, MemoryAccess, Notice, Observer, TopicClient,
    TopicInterest, TopicServer,
};
use mycelium_transports::local::{
    Delivery, PageSize, Policy, Publisher, Received, Recorded, RingMemory, Schema, Start,
    Subscription, Topic,
};
use mycelium_transports::memory::{ControlLimits, ControlThread};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getpeername, listen,
    shutdown, socket_with,
};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The two nodes. Unless another policy is named, the subscriptions of `here` get all messages.
pub(crate) struct World {
    pub(crate) there: Side,
    pub(crate) here: Side,
    server: Arc<TopicServer>,
    /// Of both.
    executor: Arc<dyn Executor>,
    dir: PathBuf,
    /// The policy of its subscriptions.
    policy: Policy,
    /// The sockets of the link's connections.
    connections: Arc<Mutex<Vec<UnixStream>>>,
    client_wakes: Arc<Mutex<Vec<ThreadId>>>,
}

pub(crate) struct Side {
    pub(crate) topic: Arc<Topic>,
    pub(crate) notices: Notices,
    /// Has the control connections to the other node.
    pub(crate) thread: Arc<ControlThread>,
    control: Arc<Control>,
    identity: Identity,
}

/// An event of the link.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Happening {
    Connected,
    Disconnected,
    Moved,
    StaysOnSocket(String),
    Other(String),
}

/// The events of one side, in order.
#[derive(Debug)]
pub(crate) struct Notices(watch::Sender<Vec<Happening>>);

impl World {
    /// Both nodes have a topic `name` of the messages `M`. They are not connected, but the
    /// publisher's node expects the reader's.
    pub(crate) fn new<M: Message>(name: &str, capacity: usize) -> World {
        World::with::<M>(name, capacity, Policy::Block, |_| {})
    }

    /// The same, with another policy of the reader, and more settings of the publisher's side.
    pub(crate) fn with<M: Message>(
        name: &str,
        capacity: usize,
        policy: Policy,
        set: impl FnOnce(&mut TopicServer),
    ) -> World {
        let memory = RingMemory::Shared { pages: PageSize::Small, is_required: true };
        let there = Side::new::<M>("there", 1, name, capacity, memory);
        let here = Side::new::<M>("here", 2, name, capacity, RingMemory::Heap);
        let dir = std::env::temp_dir().join(format!("mycelium-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&dir);
        let executor: Arc<dyn Executor> = Arc::new(Tokio::current().unwrap());
        let mut server = there.server(executor.clone(), policy);
        set(&mut server);
        let server = Arc::new(server);
        let (connections, client_wakes) = (Arc::default(), Arc::default());
        World { there, here, server, executor, dir, policy, connections, client_wakes }
    }

    /// Connects the nodes.
    pub(crate) fn connect(&self) {
        self.there.thread.listen(self.control_socket(), Access::default()).unwrap();
        self.connect_link();
    }

    /// Connects the nodes. Nothing of `there` listens for control connections.
    pub(crate) fn connect_link(&self) {
        let (executor, server) = (self.executor.clone(), self.server.clone());
        let bound = BoundSocket::at(self.socket()).unwrap();
        let listener = executor.unix_listener(bound.socket().unwrap()).unwrap();
        tokio::spawn(server.clone().wait_for_readers());
        tokio::spawn(async move {
            server.run(listener, Anyone).await;
            drop(bound);
        });
        let (client, wakes) = (self.client(executor).run().unwrap(), self.client_wakes.clone());
        tokio::spawn(watched(client, wakes));
    }

    /// The wakes of the task of the reader's link by this thread, since the last call.
    pub(crate) fn take_wakes_of_client(&self) -> usize {
        let wakes = std::mem::take(&mut *self.client_wakes.lock().unwrap());
        wakes.into_iter().filter(|it| *it == thread::current().id()).count()
    }

    fn client(&self, executor: Arc<dyn Executor>) -> TopicClient {
        let (here, path) = (&self.here, self.control_socket());
        TopicClient {
            peer: "there".into(),
            connect: {
                let (executor, socket) = (executor.clone(), self.socket());
                let connections = self.connections.clone();
                Box::new(move || {
                    let connected = unix::connect(&socket);
                    let (executor, connections) = (executor.clone(), connections.clone());
                    Box::pin(async move {
                        let socket = connected?;
                        connections.lock().unwrap().push(socket.try_clone()?);
                        executor.unix_stream(socket)
                    })
                })
            },
            interests: vec![TopicInterest {
                topic: here.topic.clone(),
                policy: self.policy,
                start: Start::Next,
            }],
            identity: here.identity,
            config: config(),
            executor,
            memory: Some(MemoryAccess {
                control: here.thread.clone(),
                path,
                access: Access::default(),
            }),
            control: here.control.clone(),
            counters: Region::new(512),
            observer: here.notices.observer(),
        }
    }

    /// Waits until this many streams have moved to memory.
    pub(crate) async fn until_moved(&self, streams: usize) {
        self.here.notices.until(Happening::Moved, streams).await;
    }

    /// Cuts the connections of the link. Its control connections stay.
    pub(crate) fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            // It may have ended.
            _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Cuts the control connections. Those of the link stay.
    pub(crate) fn cut_memory(&self) {
        let path = self.control_socket();
        let is_there =
            |address: SocketAddrUnix| address.path_bytes() == Some(path.as_os_str().as_bytes());
        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let numbers = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        for number in numbers.filter_map(|it| it.file_name().to_str()?.parse().ok()) {
            // It may be closed by now.
            let Ok(socket) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else { continue };
            let peer = getpeername(&socket).ok().flatten();
            if peer.and_then(|it| SocketAddrUnix::try_from(it).ok()).is_some_and(is_there) {
                _ = shutdown(&socket, rustix::net::Shutdown::Both);
            }
        }
    }

    /// A socket in the place of the control socket, whose queue is full.
    pub(crate) fn fill_control_socket(&self) -> Vec<OwnedFd> {
        std::fs::DirBuilder::new().mode(0o700).create(&self.dir).unwrap();
        let address = SocketAddrUnix::new(self.control_socket()).unwrap();
        let new = || {
            let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::NONBLOCK);
            socket_with(AddressFamily::UNIX, kind, flags, None).unwrap()
        };
        let listener = new();
        bind(&listener, &address).unwrap();
        listen(&listener, 1).unwrap();
        let mut full = vec![listener];
        loop {
            let waiting = new();
            match connect(&waiting, &address) {
                Ok(()) => full.push(waiting),
                Err(error) => {
                    assert_eq!(error, Errno::AGAIN);
                    return full;
                }
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("there.sock")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.dir.join("there.sock.shm")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for side in [&self.there, &self.here] {
            side.control.stop();
        }
        _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Side {
    fn new<M: Message>(
        node: &str,
        boot: u64,
        topic: &str,
        capacity: usize,
        memory: RingMemory,
    ) -> Side {
        let (schema, counters) = (Schema::of::<M>(), Region::new(512));
        Side {
            topic: Topic::with_recorded(
                topic,
                schema,
                capacity,
                64,
                memory,
                Recorded::default(),
                counters,
            )
            .unwrap(),
            notices: Notices(watch::Sender::default()),
            thread: ControlThread::start(node, ControlLimits::default()).unwrap(),
            control: Arc::default(),
            identity: Identity::new(node, boot).unwrap(),
        }
    }

    fn server(&self, executor: Arc<dyn Executor>, policy: Policy) -> TopicServer {
        let mut server = TopicServer::new(
            self.identity,
            config(),
            executor,
            self.control.clone(),
            Region::new(512),
            self.notices.observer(),
        );
        server.add(ExportedTopic { topic: self.topic.clone(), readers: None });
        server.announce("here", &self.topic, policy).unwrap();
        server.share_memory(self.thread.clone());
        server
    }

    pub(crate) fn publisher<M: Message>(&self) -> Publisher<M> {
        self.topic.publisher("publisher", 7).unwrap()
    }

    pub(crate) fn reader<M: Message>(&self) -> Subscription<M> {
        self.topic.subscribe("reader", Policy::Block).unwrap()
    }
}

impl Notices {
    fn observer(&self) -> Observer {
        let happenings = self.0.clone();
        Arc::new(move |notice: Notice<'_>| {
            let happening = match notice {
                Notice::Connected { .. } => Happening::Connected,
                Notice::Disconnected { .. } => Happening::Disconnected,
                Notice::MovedToMemory { .. } => Happening::Moved,
                Notice::StaysOnSocket { reason, .. } => Happening::StaysOnSocket(reason.to_owned()),
                other => Happening::Other(other.to_string()),
            };
            happenings.send_modify(|all| all.push(happening));
        })
    }

    pub(crate) fn count(&self, happening: &Happening) -> usize {
        self.0.borrow().iter().filter(|it| *it == happening).count()
    }

    /// Waits until it has happened this many times.
    pub(crate) async fn until(&self, happening: Happening, times: usize) {
        let happened = |all: &[Happening]| all.iter().filter(|it| **it == happening).count();
        self.find(|all| (happened(all) >= times).then_some(())).await;
    }

    /// Waits until streams stay on the socket for a reason that begins so.
    pub(crate) async fn until_on_socket(&self, begin: &str) {
        let is_it = |it: &Happening| matches!(it, Happening::StaysOnSocket(reason) if reason.starts_with(begin));
        self.find(|all| all.iter().any(is_it).then_some(())).await;
    }

    async fn find<R>(&self, find: impl Fn(&[Happening]) -> Option<R>) -> R {
        let mut all = self.0.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = find(&all.borrow_and_update()) {
                    return found;
                }
                all.changed().await.unwrap();
            }
        };
        let found = timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("only this has happened: {:?}", self.0.borrow()))
    }
}

/// The next message, which no gap may precede.
pub(crate) async fn next<M: Message>(reader: &mut Subscription<M>) -> Received<M> {
    match timeout(PATIENCE, reader.recv()).await {
        Ok(Some(Delivery::Msg(message))) => message,
        Ok(Some(Delivery::Gap(gap))) => panic!("{gap} instead of a message"),
        Ok(None) => panic!("the end instead of a message"),
        Err(_) => panic!("no message"),
    }
}

/// Emits messages with these numbers, each when there is room. Returns the publisher.
pub(crate) fn emit<M: Message + From<u64> + Send>(
    mut publisher: Publisher<M>,
    numbers: Range<u64>,
) -> JoinHandle<Publisher<M>> {
    tokio::spawn(async move {
        for number in numbers {
            assert!(publisher.emit(M::from(number)).await.is_ok());
        }
        publisher
    })
}

/// Records the threads that wake a task.
async fn watched(task: impl Future<Output = ()>, wakes: Arc<Mutex<Vec<ThreadId>>>) {
    struct Recorder(Waker, Arc<Mutex<Vec<ThreadId>>>);
    impl Wake for Recorder {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(thread::current().id());
            self.0.wake_by_ref();
        }
    }
    let mut task = pin!(task);
    let mut recorder: Option<(Waker, Waker)> = None;
    poll_fn(|context| {
        let waker = context.waker();
        if recorder.as_ref().is_none_or(|(known, _)| !known.will_wake(waker)) {
            let recording = Waker::from(Arc::new(Recorder(waker.clone(), wakes.clone())));
            recorder = Some((waker.clone(), recording));
        }
        let recording = recorder.as_ref().map_or(waker, |(_, recording)| recording);
        task.as_mut().poll(&mut Context::from_waker(recording))
    })
    .await;
}

fn config() -> LinkConfig {
    let retry = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5) };
    LinkConfig { retry, ..LinkConfig::default() }
}
