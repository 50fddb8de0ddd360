//! The trait that an adapter implements, and its implementation for a shared executor (`Arc<E>`).

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::listener::Listener;
use crate::stream::Stream;
use crate::thread::{GrantedPlacement, Thread, ThreadError};

/// A boxed future that may move between threads.
pub type SendFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A boxed future that stays on its thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Makes a local future on the thread where it is to run.
pub type MakeLocal = Box<dyn FnOnce() -> LocalFuture<()> + Send>;

/// Makes a local future on the thread where it is to run, given the executor there.
pub type MakeDedicated = Box<dyn FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send>;

/// Tasks, timers, blocking work, streams and the clocks, as one executor has them.
///
/// What has to be there is a name, tasks and timers; the rest has a default, which for the network is a refusal.
///
/// All methods may be called from any thread, but for [`spawn_local`](Executor::spawn_local), which says where.
/// Dropping a returned future cancels what it stands for. What [`sleep_until`](Executor::sleep_until) returns may be awaited
/// anywhere. Streams and listeners, and the futures of connecting and listening, belong to tasks of the executor: an adapter
/// whose sockets stay on their thread refuses others by an error. Dropped they may be anywhere.
pub trait Executor: Send + Sync + 'static {
    /// What it is called in reports: "tokio, 2 workers".
    fn name(&self) -> String;

    /// Runs `task` to its end, detached.
    ///
    /// # Errors
    /// If the executor has ended. The task was dropped then.
    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError>;

    /// Whether futures that stay on one thread can run here.
    fn runs_local(&self) -> bool {
        false
    }

    /// Runs the future that `make` makes to its end, detached, on this executor's own thread.
    ///
    /// # Errors
    /// [`SpawnError::LocalUnsupported`] if tasks move between threads here, [`SpawnError::WrongThread`] if this
    /// executor takes local tasks on its own thread only and the caller is on another one.
    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        drop(make);
        Err(SpawnError::LocalUnsupported)
    }

    /// Starts a thread with an executor of this kind on it, and runs there the future that `make` makes. The executor
    /// that `make` is given takes local tasks on that thread. The thread ends when the future has, and tasks that were
    /// spawned there end with it.
    ///
    /// Returns when the executor is there; waits for nothing else.
    ///
    /// # Errors
    /// If the system refused what is asked of the thread, or the executor cannot be had on it. `make` was dropped then.
    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        drop((thread, make));
        let what = "a service a thread of its own".to_owned();
        Err(ThreadError::Unsupported { executor: self.name(), what })
    }

    /// Runs work that blocks away from the tasks. Unless an executor has threads for that, on a thread of its own.
    ///
    /// # Errors
    /// If the executor has ended, or the system has no thread to give. The work was dropped then.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        let thread = Thread { name: "blocking".to_owned(), ..Thread::default() };
        thread.start(|| Ok(work)).map(drop).map_err(|_| SpawnError::NoThread)
    }

    /// Monotonic time since an origin of this executor's choice. Virtual under a simulating executor.
    fn now(&self) -> Duration;

    /// Ready once [`now`](Executor::now) has reached `deadline`.
    fn sleep_until(&self, deadline: Duration) -> SendFuture<()>;

    /// The calendar time.
    fn wall_clock(&self) -> SystemTime {
        Clock::wall()
    }

    /// A seed that nobody can guess, or, under a simulating executor, one that it chose.
    fn entropy(&self) -> u64 {
        system_entropy()
    }

    /// Connects to `host:port` over TCP. An executor without a network refuses.
    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        let refused = no_network(self, &address);
        Box::pin(async { Err(refused) })
    }

    /// Adopts a listening TCP socket, which [`bind_tcp`](crate::bind_tcp) makes.
    ///
    /// # Errors
    /// If the executor cannot watch it, or has no network.
    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        drop(socket);
        Err(no_network(self, "a TCP socket"))
    }

    /// Takes over a connected Unix socket.
    ///
    /// # Errors
    /// If the executor cannot watch it, or has no network.
    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        drop(socket);
        Err(no_network(self, "a Unix socket"))
    }

    /// Takes over a listening Unix socket.
    ///
    /// # Errors
    /// If the executor cannot watch it, or has no network.
    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        drop(socket);
        Err(no_network(self, "a Unix socket"))
    }

    /// Ready when the process receives SIGINT (Ctrl-C) or SIGTERM after the first poll. From the
    /// first poll on, neither signal ends the process by itself.
    ///
    /// The default implementation needs Unix and this crate's feature `signals`. Without them it is
    /// an [`Unsupported`](io::ErrorKind::Unsupported) error that says so.
    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        #[cfg(all(unix, feature = "signals"))]
        let interrupted = crate::signal::interrupted();
        #[cfg(not(all(unix, feature = "signals")))]
        let interrupted = std::future::ready(Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "signals are not handled: mycelium-executor was built without its feature `signals`, or this is not Unix",
        )));
        Box::pin(interrupted)
    }
}

fn no_network(executor: &(impl Executor + ?Sized), asked: &str) -> io::Error {
    let text = format!("executor `{}` has no network: it cannot use {asked}", executor.name());
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Why a task was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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

/// A seed from the operating system, for [`Executor::entropy`] of executors on real machines.
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

    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        (**self).tcp_listener(socket)
    }

    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        (**self).unix_stream(socket)
    }

    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        (**self).unix_listener(socket)
    }

    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        (**self).interrupted()
    }
}
