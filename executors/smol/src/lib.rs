//! Mycelium on smol's executors.
//!
//! This crate uses [`async_executor`] for tasks and [`async_io`] for timers and sockets, and works
//! beside smol's other crates. There are three ways to use it:
//!
//! - [`Smol::new`] takes an executor that you run yourself, on any number of threads, for services
//!   that are `Send`.
//! - [`run`] creates an executor and runs it on the given number of threads.
//! - [`local()`] also runs services that are not `Send`, all on the thread that awaits it. A
//!   [dedicated](mycelium_executor::Executor::dedicate) thread has such an executor.
//!
//! ```
//! # if cfg!(miri) { return Ok(()) }
//! use mycelium_executor::Executor;
//! use mycelium_smol::Smol;
//!
//! let woke = mycelium_smol::run(2, async |executor: Smol| {
//!     let before = executor.now();
//!     executor.sleep_until(before + std::time::Duration::from_millis(1)).await;
//!     executor.now() - before
//! })?;
//! assert!(woke >= std::time::Duration::from_millis(1));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Inside your own executor:
//!
//! ```
//! # if cfg!(miri) { return }
//! use std::sync::Arc;
//!
//! use async_executor::Executor;
//! use mycelium_executor::Executor as _;
//! use mycelium_smol::Smol;
//!
//! let mine = Arc::new(Executor::new());
//! let executor = Smol::new(&mine);
//! async_io::block_on(mine.run(async {
//!     let (done, finished) = std::sync::mpsc::channel();
//!     executor.spawn(Box::pin(async move { done.send(7).unwrap() })).unwrap();
//!     executor.sleep_until(executor.now() + std::time::Duration::from_millis(1)).await;
//!     assert_eq!(finished.recv(), Ok(7));
//! }));
//! ```
//!
//! Timers and sockets may be awaited on any thread and by any executor.
//!
//! This crate knows the executor trait and smol, but no message and no transport. `lib.rs` has the
//! adapter, `local.rs` local tasks, `tasks.rs` the ends of tasks, `threads.rs` threads that run an
//! executor, `net.rs` sockets.

mod local;
mod net;
mod tasks;
mod threads;

use std::io;
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mycelium_executor::{
    Clock, Executor, GrantedPlacement, Listener, MakeDedicated, MakeLocal, SendFuture, SpawnError,
    Stream, Thread, ThreadError, contain, pool,
};

use local::{LocalGuard, LocalHandle};
use tasks::{EndOnDrop, Tasks};

/// An executor of smol as an [`Executor`].
#[derive(Clone, Debug)]
pub struct Smol {
    /// Weak, because the executor's own tasks may hold this value.
    tasks: Weak<async_executor::Executor<'static>>,
    clock: Clock,
    runner: Runner,
}

/// The owner of the threads that run the tasks.
#[derive(Clone, Debug)]
enum Runner {
    /// The user of this crate.
    User,
    /// [`run`], with this number of threads.
    Threads(usize, Arc<Tasks>),
    /// One thread, which also runs local tasks.
    Local(LocalHandle, Arc<Tasks>),
}

/// Runs `body` with a new executor on `threads` threads; the calling thread is the first of them.
/// When `body` has ended or panicked, all tasks are dropped, then the threads end, and this returns
/// or passes on the panic.
///
/// # Errors
/// If the system cannot start the threads.
pub fn run<F: Future>(threads: usize, body: impl FnOnce(Smol) -> F) -> io::Result<F::Output> {
    let (threads, all) = (threads.max(1), Tasks::new());
    let tasks = Arc::new(async_executor::Executor::new());
    let executor = Smol::with_runner(&tasks, Runner::Threads(threads, all.clone()));
    let ends = EndOnDrop { all, tasks: &tasks, local: None };
    threads::run(threads, ends, body(executor))
}

/// Runs `body` with an executor that also takes local tasks, on the calling thread. Its tasks make
/// progress while this is awaited. All are dropped with it: when `body` has ended or panicked, and
/// also when this future is dropped half way; the drop waits for threads that wake one at that
/// moment. Any executor may await it; [`async_io::block_on`] serves timers and sockets best.
///
/// ```
/// # if cfg!(miri) { return }
/// use std::rc::Rc;
///
/// use mycelium_executor::Executor;
/// use mycelium_smol::{Smol, local};
///
/// async_io::block_on(local(async |executor: Smol| {
///     let (done, finished) = std::sync::mpsc::channel();
///     let make = move || {
///         let shared = Rc::new(7);
///         Box::pin(async move { done.send(*shared).unwrap() }) as mycelium_executor::LocalFuture<()>
///     };
///     executor.spawn_local(Box::new(make)).unwrap();
///     executor.sleep_until(executor.now() + std::time::Duration::from_millis(1)).await;
///     assert_eq!(finished.recv(), Ok(7));
/// }));
/// ```
pub async fn local<F: Future>(body: impl FnOnce(Smol) -> F) -> F::Output {
    let tasks = Arc::new(async_executor::Executor::new());
    let (guard, all) = (LocalGuard::new(), Tasks::new());
    let executor = Smol::with_runner(&tasks, Runner::Local(guard.handle, all.clone()));
    let _ends = EndOnDrop { all, tasks: &tasks, local: Some(&guard.tasks) };
    guard.tasks.run(tasks.run(body(executor))).await
}

impl Smol {
    /// Wraps an executor that the caller runs, on one thread or on several. It has ended when the
    /// caller drops it. A task that another thread wakes at that moment may then never be dropped,
    /// by a fault of `async_executor`. [`run`] and [`local()`] drop all tasks, however they end.
    #[must_use]
    pub fn new(executor: &Arc<async_executor::Executor<'static>>) -> Smol {
        Smol::with_runner(executor, Runner::User)
    }

    fn with_runner(executor: &Arc<async_executor::Executor<'static>>, runner: Runner) -> Smol {
        Smol { tasks: Arc::downgrade(executor), clock: Clock::start(), runner }
    }
}

impl Executor for Smol {
    fn name(&self) -> String {
        match &self.runner {
            Runner::User => "smol, run by its user".to_owned(),
            Runner::Threads(count, _) => format!("smol, {count} threads"),
            Runner::Local(..) => "smol, local tasks on one thread".to_owned(),
        }
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        let tasks = self.tasks.upgrade().ok_or(SpawnError::Ended)?;
        match &self.runner {
            Runner::User => {
                tasks.spawn(contain(task)).detach();
                Ok(())
            }
            Runner::Threads(_, all) | Runner::Local(_, all) => {
                all.add(|place| tasks.spawn(place.run(task)))
            }
        }
    }

    fn runs_local(&self) -> bool {
        matches!(self.runner, Runner::Local(..))
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        match &self.runner {
            Runner::Local(handle, all) => handle.spawn(make, all),
            Runner::User | Runner::Threads(..) => Err(SpawnError::LocalUnsupported),
        }
    }

    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        let body = |executor: Smol| contain(make(Arc::new(executor)));
        let (_, granted) = thread.start(|| Ok(|| async_io::block_on(local(body))))?;
        Ok(granted)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        if self.tasks.strong_count() == 0 {
            return Err(SpawnError::Ended);
        }
        pool::run(work);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        self.clock.sleep_until(deadline, async |at| _ = async_io::Timer::at(at).await)
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        Box::pin(net::connect(address))
    }

    fn tcp_stream(&self, socket: TcpStream) -> io::Result<Stream> {
        net::tcp_stream(async_io::Async::new(socket)?)
    }

    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        net::tcp_listener(socket)
    }

    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        net::unix::stream(socket)
    }

    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        net::unix::listener(socket)
    }
}
