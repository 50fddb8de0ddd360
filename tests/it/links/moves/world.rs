//! A publisher's node `there` and a reader's node `here` in one process, with shared memory between
//! them: their topics, and the link over real sockets.

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
use mycelium_executor::Backoff;
use mycelium_transports::endpoint::unix::{self, Access};
use mycelium_transports::link::{Exports, Imports, MemoryAccess};
use mycelium_transports::local::{
    PageSize, Policy, Publisher, Recorded, RingMemory, Schema, Subscription, Topic,
};
use mycelium_transports::memory::{ControlLimits, ControlThread};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getpeername, listen,
    shutdown, socket_with,
};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::task::JoinHandle;

use crate::links::harness::{Number, Side, TestDir};

/// The two nodes. The subscriptions of `here` are gating unless a test sets another policy.
pub(crate) struct World {
    pub(crate) there: Side,
    pub(crate) here: Side,
    /// The threads with the control connections of both nodes.
    pub(crate) there_thread: Arc<ControlThread>,
    pub(crate) here_thread: Arc<ControlThread>,
    exports: Arc<Exports>,
    dir: TestDir,
    /// The policy of the subscriptions of `here`.
    policy: Policy,
    /// The sockets of the link's connections.
    connections: Arc<Mutex<Vec<UnixStream>>>,
    client_wakes: Arc<Mutex<Vec<ThreadId>>>,
}

impl World {
    /// Makes two nodes that have a topic `name` of messages `M`. They are not connected, but
    /// `there` expects a reader in `here`.
    pub(crate) fn new<M: Message>(name: &str, capacity: usize) -> World {
        World::with::<M>(name, capacity, Policy::Block, |_| {})
    }

    /// Makes connected nodes whose stream has moved to memory, with a reader and a publisher.
    pub(crate) async fn moved(
        name: &str,
        capacity: usize,
    ) -> (World, Subscription<Number>, Publisher<Number>) {
        let world = World::new::<Number>(name, capacity);
        let (reader, publisher) = (world.here.reader(), world.there.publisher());
        world.connect();
        world.until_moved().await;
        (world, reader, publisher)
    }

    /// Makes nodes as `new` does, with the policy of the reader and more settings for the exports.
    pub(crate) fn with<M: Message>(
        name: &str,
        capacity: usize,
        policy: Policy,
        set: impl FnOnce(&mut Exports),
    ) -> World {
        let memory = RingMemory::Shared { pages: PageSize::Small, is_required: true };
        let there = side::<M>("there", 1, name, capacity, memory);
        let mut here = side::<M>("here", 2, name, capacity, RingMemory::Heap);
        // Both sides share an executor, so the reader's session wakes the reader directly, without
        // a thread.
        here.executor = there.executor.clone();
        let thread = |node| ControlThread::start(node, ControlLimits::default()).unwrap();
        let (there_thread, here_thread) = (thread("there"), thread("here"));
        let mut exports = there.exports_for("here", policy);
        exports.share_memory(there_thread.clone());
        set(&mut exports);
        World {
            there,
            here,
            there_thread,
            here_thread,
            exports: Arc::new(exports),
            dir: TestDir::new(name),
            policy,
            connections: Arc::default(),
            client_wakes: Arc::default(),
        }
    }

    /// Connects the nodes.
    pub(crate) fn connect(&self) {
        self.there_thread.listen(self.control_socket(), Access::default()).unwrap();
        self.connect_link();
    }

    /// Connects only the link: `there` does not listen for control connections.
    pub(crate) fn connect_link(&self) {
        self.there.serve(self.exports.clone(), self.dir.place());
        tokio::spawn(watched(self.imports().run().unwrap(), self.client_wakes.clone()));
    }

    /// Returns how many times this thread has woken the task of the reader's link since the last
    /// call.
    pub(crate) fn take_wakes_of_client(&self) -> usize {
        let wakes = std::mem::take(&mut *self.client_wakes.lock().unwrap());
        wakes.into_iter().filter(|it| *it == thread::current().id()).count()
    }

    fn imports(&self) -> Imports {
        let (here, socket) = (&self.here, self.dir.socket());
        let mut imports = here.imports("there", self.dir.place(), vec![here.interest(self.policy)]);
        let (executor, connections) = (here.executor.clone(), self.connections.clone());
        imports.connect = Box::new(move || {
            let connected = unix::connect(&socket);
            let (executor, connections) = (executor.clone(), connections.clone());
            Box::pin(async move {
                let socket = connected?;
                connections.lock().unwrap().push(socket.try_clone()?);
                executor.unix_stream(socket)
            })
        });
        imports.memory = Some(MemoryAccess {
            control: self.here_thread.clone(),
            path: self.control_socket(),
            access: Access::default(),
        });
        imports
    }

    /// Waits until a stream has moved to memory.
    pub(crate) async fn until_moved(&self) {
        self.here.notices.until("moved", "").await;
    }

    /// Cuts the connections of the link, but not the control connections.
    pub(crate) fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            // The connection may have ended before.
            _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Cuts the control connections, but not the link's.
    pub(crate) fn cut_memory(&self) {
        let path = self.control_socket();
        let is_there =
            |address: SocketAddrUnix| address.path_bytes() == Some(path.as_os_str().as_bytes());
        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let numbers = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        for number in numbers.filter_map(|it| it.file_name().to_str()?.parse().ok()) {
            // The descriptor may be closed by now.
            let Ok(socket) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else { continue };
            let peer = getpeername(&socket).ok().flatten();
            if peer.and_then(|it| SocketAddrUnix::try_from(it).ok()).is_some_and(is_there) {
                _ = shutdown(&socket, rustix::net::Shutdown::Both);
            }
        }
    }

    /// Makes a socket with a full queue in place of the control socket.
    pub(crate) fn fill_control_socket(&self) -> Vec<OwnedFd> {
        std::fs::DirBuilder::new().mode(0o700).create(self.dir.path()).unwrap();
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

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.dir.path().join("node.sock.shm")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for side in [&self.there, &self.here] {
            side.control.stop();
        }
    }
}

/// Returns a side whose topic has this name and memory. It reconnects without a pause.
fn side<M: Message>(
    node: &str,
    boot: u64,
    topic: &str,
    capacity: usize,
    memory: RingMemory,
) -> Side {
    let mut side = Side::new(node, boot, 8);
    side.config.retry =
        Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5) };
    let (schema, recorded) = (Schema::of::<M>(), Recorded::default());
    let counters = side.counters.clone();
    side.numbers =
        Topic::with_recorded(topic, schema, capacity, 64, memory, recorded, counters).unwrap();
    side
}

/// Emits messages with these numbers, waiting for room. Returns the publisher.
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

/// Runs the task, and records the threads that wake it.
pub(crate) async fn watched(task: impl Future<Output = ()>, wakes: Arc<Mutex<Vec<ThreadId>>>) {
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
