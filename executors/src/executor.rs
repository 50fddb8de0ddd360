//! The trait that an adapter implements, its implementation for a shared executor (`Arc<E>`), and
//! the values that its methods take and return.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mycelium_core::{Code, debug_as_display};

#[cfg(unix)]
use crate::network::WakeStream;
use crate::network::{Listener, Stream};
use crate::thread::{GrantedPlacement, Thread, ThreadError};

/// A boxed future that may move between threads.
pub type SendFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A boxed future that stays on its thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Creates a local future on the thread where it will run.
pub type MakeLocal = Box<dyn FnOnce() -> LocalFuture<()> + Send>;

/// Creates a local future on the thread where it will run, from that thread's executor.
pub type MakeDedicated = Box<dyn FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send>;

/// Tasks, timers, blocking work, streams and clocks of one executor.
///
/// Adapters must implement the name, tasks and timers. The other methods have defaults; the
/// defaults for the network return errors.
///
/// All methods may be called from any thread; [`spawn_local`](Executor::spawn_local) returns an
/// error on the wrong one. Dropping a returned future cancels its operation. A future of
/// [`sleep_until`](Executor::sleep_until) may be awaited on any thread. Streams, listeners and the
/// future of [`connect`](Executor::connect) belong to tasks of the executor: if an adapter's
/// sockets stay on their thread, operations on other threads return an error. They may be dropped
/// on any thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an executor of Mycelium",
    label = "expected an adapter, such as `mycelium_tokio::Tokio`",
    note = "pass the adapter of the runtime: `mycelium_tokio::Tokio::current()?` inside of a tokio \
            runtime; `mycelium_smol` and `mycelium_glommio` have theirs"
)]
pub trait Executor: Send + Sync + 'static {
    /// Returns the name in reports, for example "tokio, 2 workers". It starts with the kind of
    /// executor and, if more follows, a comma.
    fn name(&self) -> String;

    /// Spawns `task`, detached.
    ///
    /// # Errors
    /// If the executor has ended. The task is dropped.
    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError>;

    /// Returns whether this executor runs local futures, which stay on one thread.
    fn runs_local(&self) -> bool {
        false
    }

    /// Spawns the future that `make` creates, detached, on this executor's own thread.
    ///
    /// # Errors
    /// [`SpawnError::LocalUnsupported`] if this executor moves tasks between threads,
    /// [`SpawnError::WrongThread`] if the caller is not on the executor's own thread.
    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        drop(make);
        Err(SpawnError::LocalUnsupported)
    }

    /// Starts a thread with its own executor of this kind, and runs the future that `make` creates
    /// on it. The executor that `make` gets takes local tasks on that thread. When the future has
    /// ended, the thread ends, and so do the tasks that were spawned on that executor.
    ///
    /// Returns when the executor was created. Does not wait for the future.
    ///
    /// # Errors
    /// If the system refuses a property of the thread, or the executor cannot be created on it.
    /// `make` is dropped.
    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        drop((thread, make));
        let what = "a service a thread of its own".to_owned();
        Err(ThreadError::Unsupported { executor: self.name(), what })
    }

    /// Creates an executor with its own task queue on the thread of this executor. It has the clock
    /// of this executor, and ends with it, or when its last handle is dropped. Threads that it
    /// [dedicates](Executor::dedicate) get the settings of the task queue.
    ///
    /// # Errors
    /// If this executor has no task queues, which is the default; if it has ended; or if the caller
    /// is not on its thread.
    fn task_queue(&self, queue: TaskQueue) -> Result<Arc<dyn Executor>, ThreadError> {
        let what = format!("a task queue with {queue}");
        Err(ThreadError::Unsupported { executor: self.name(), what })
    }

    /// Runs blocking work outside the threads of the tasks. The default starts a thread for it.
    ///
    /// # Errors
    /// If the executor has ended, or the system cannot start a thread. The work is dropped.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        let thread = Thread { name: "blocking".to_owned(), ..Thread::default() };
        thread.start(|| Ok(work)).map(drop).map_err(|_| SpawnError::NoThread)
    }

    /// Returns monotonic time since an origin that the executor chooses. A simulating executor
    /// returns virtual time.
    fn now(&self) -> Duration;

    /// Waits until [`now`](Executor::now) has reached `deadline`; ready at once if it has.
    fn sleep_until(&self, deadline: Duration) -> SendFuture<()>;

    /// Returns the calendar time.
    fn wall_clock(&self) -> SystemTime {
        Clock::wall()
    }

    /// Returns an unpredictable seed, or the seed that a simulating executor chooses.
    fn entropy(&self) -> u64 {
        system_entropy()
    }

    /// Connects to `host:port` over TCP. The default is an error.
    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        let refused = no_network(self, &address);
        Box::pin(async { Err(refused) })
    }

    /// Adopts a connected TCP socket, and [prepares](crate::prepare_tcp) it.
    ///
    /// # Errors
    /// If the executor cannot watch the socket, or has no network.
    fn tcp_stream(&self, socket: TcpStream) -> io::Result<Stream> {
        drop(socket);
        Err(no_network(self, "a TCP socket"))
    }

    /// Adopts a listening TCP socket; [`bind_tcp`](crate::bind_tcp) creates one.
    ///
    /// # Errors
    /// If the executor cannot watch the socket, or has no network.
    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        drop(socket);
        Err(no_network(self, "a TCP socket"))
    }

    /// Adopts a connected Unix socket.
    ///
    /// # Errors
    /// If the executor cannot watch the socket, or has no network.
    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        drop(socket);
        Err(no_network(self, "a Unix socket"))
    }

    /// Adopts a connected Unix socket to which the peer writes only to wake this side. The default
    /// reads it as a [`unix_stream`](Executor::unix_stream).
    ///
    /// # Errors
    /// If the executor cannot watch the socket, or has no network.
    #[cfg(unix)]
    fn wake_stream(&self, socket: UnixStream) -> io::Result<WakeStream> {
        self.unix_stream(socket).map(WakeStream::reading)
    }

    /// Adopts a listening Unix socket.
    ///
    /// # Errors
    /// If the executor cannot watch the socket, or has no network.
    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        drop(socket);
        Err(no_network(self, "a Unix socket"))
    }

    /// Waits until the process receives SIGINT (Ctrl-C) or SIGTERM. Signals before the first poll
    /// do not count. From the first poll on, neither signal ends the process by itself.
    ///
    /// The default implementation needs Unix and this crate's feature `signals`. Without them it is
    /// an [`Unsupported`](io::ErrorKind::Unsupported) error that says so.
    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        #[cfg(all(unix, feature = "signals"))]
        let interrupted = crate::signal::interrupted();
        #[cfg(not(all(unix, feature = "signals")))]
        let interrupted = std::future::ready(Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "signals are not handled: mycelium-bus-executor was built without its feature `signals`, \
             or this system is not Unix",
        )));
        Box::pin(interrupted)
    }
}

fn no_network(executor: &(impl Executor + ?Sized), target: &str) -> io::Error {
    let text = format!("executor `{}` has no network: it cannot use {target}", executor.name());
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Why a task was not started.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The executor has ended.
    #[error("the executor has ended")]
    Ended,
    /// The executor moves tasks between threads, so it cannot run a future that is not `Send`.
    #[error("this executor moves tasks between threads and cannot run a future that is not Send")]
    LocalUnsupported,
    /// Local tasks can only be spawned on the executor's own thread.
    #[error("local tasks can only be spawned on the executor's own thread")]
    WrongThread,
    /// The system cannot start another thread.
    #[error("the system cannot start another thread")]
    NoThread,
}

debug_as_display!(SpawnError);

impl SpawnError {
    /// Returns the code of the error.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            SpawnError::Ended => Code::EXECUTOR_GONE,
            SpawnError::LocalUnsupported => Code::TASK_NOT_SEND,
            SpawnError::WrongThread => Code::WRONG_THREAD,
            SpawnError::NoThread => Code::NO_THREAD,
        }
    }
}

/// Returns a seed from the operating system: the [`Executor::entropy`] of executors on real
/// machines.
#[must_use]
pub fn system_entropy() -> u64 {
    fastrand::Rng::new().u64(..)
}

impl<E: Executor + ?Sized> Executor for Arc<E> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        (**self).spawn(task)
    }

    fn runs_local(&self) -> bool {
        (**self).runs_local()
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        (**self).spawn_local(make)
    }

    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        (**self).dedicate(thread, make)
    }

    fn task_queue(&self, queue: TaskQueue) -> Result<Arc<dyn Executor>, ThreadError> {
        (**self).task_queue(queue)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        (**self).blocking(work)
    }

    fn now(&self) -> Duration {
        (**self).now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        (**self).sleep_until(deadline)
    }

    fn wall_clock(&self) -> SystemTime {
        (**self).wall_clock()
    }

    fn entropy(&self) -> u64 {
        (**self).entropy()
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        (**self).connect(address)
    }

    fn tcp_stream(&self, socket: TcpStream) -> io::Result<Stream> {
        (**self).tcp_stream(socket)
    }

    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        (**self).tcp_listener(socket)
    }

    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        (**self).unix_stream(socket)
    }

    #[cfg(unix)]
    fn wake_stream(&self, socket: UnixStream) -> io::Result<WakeStream> {
        (**self).wake_stream(socket)
    }

    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        (**self).unix_listener(socket)
    }

    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        (**self).interrupted()
    }
}

// Task queues: the share of its thread that a task queue gets.

/// The settings of a task queue on an executor's thread: its share of the thread, and the latency
/// that its tasks need. By default the queue inherits both from the executor.
///
/// Of this project's adapters, only glommio has task queues
/// ([`Executor::task_queue`]).
///
/// ```
/// use std::time::Duration;
///
/// use mycelium_executor::TaskQueue;
///
/// let queue = TaskQueue { shares: Some(100), latency: Some(Duration::from_micros(250)) };
/// assert_eq!(queue.to_string(), "shares = 100, latency = \"250µs\"");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskQueue {
    /// The weight against the other task queues of the thread while they are busy: 1 to 1,000.
    pub shares: Option<u32>,
    /// How long the tasks may wait for tasks of other queues, and for sockets and timers.
    pub latency: Option<Duration>,
}

impl TaskQueue {
    /// The limit on [`shares`](TaskQueue::shares).
    pub const MOST_SHARES: u32 = 1_000;
}

impl fmt::Display for TaskQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.shares, self.latency) {
            (None, None) => Ok(()),
            (Some(shares), None) => write!(f, "shares = {shares}"),
            (None, Some(latency)) => write!(f, "latency = \"{latency:?}\""),
            (Some(shares), Some(latency)) => {
                write!(f, "shares = {shares}, latency = \"{latency:?}\"")
            }
        }
    }
}

// The clock of real machines. No other file of the workspace reads the system's clocks for a
// service.

/// A monotonic clock, which counts from its start: the [`Executor::now`] of
/// executors on real machines.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

#[expect(clippy::disallowed_methods, reason = "the source of time for executors")]
impl Clock {
    /// Starts a clock, at zero.
    #[must_use]
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Returns the time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }

    /// Converts a time of this clock to the system's representation. Returns `None` if the system
    /// cannot represent it; such a time is never reached.
    #[must_use]
    pub fn instant(&self, time: Duration) -> Option<Instant> {
        self.0.checked_add(time)
    }

    /// Returns the future for [`Executor::sleep_until`]: the timer
    /// that `timer` creates, or, if the system cannot represent the deadline, a future that is
    /// never ready.
    pub fn sleep_until<F: Future<Output = ()> + Send + 'static>(
        &self,
        deadline: Duration,
        timer: impl FnOnce(Instant) -> F,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.instant(deadline) {
            Some(deadline) => Box::pin(timer(deadline)),
            None => Box::pin(pending()),
        }
    }

    /// Returns the calendar time.
    #[must_use]
    pub fn wall() -> SystemTime {
        SystemTime::now()
    }
}
