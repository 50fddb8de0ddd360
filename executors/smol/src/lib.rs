//! Mycelium on smol's executors.
//!
//! smol is made of small crates; this one needs [`async_executor`] for tasks and [`async_io`] for timers and sockets,
//! and fits beside the whole of smol. There are three ways:
//!
//! - [`Smol::new`] takes an executor that you run yourself, on as many threads as you like, for services that are
//!   `Send`.
//! - [`run`] makes one, and runs it on so many threads.
//! - [`local()`] adds services that are not `Send`: they run beside each other on the thread that awaits it. A
//!   [dedicated](mycelium_executor::Executor::dedicate) thread has one of these.
//!
//! ```
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
//! Inside an executor of one's own:
//!
//! ```
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
//! Timers and sockets may be awaited on any thread, and used by any executor.

mod local;
mod net;
mod threads;

use std::future::pending;
use std::io;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mycelium_executor::{
    Clock, Executor, GrantedPlacement, Listener, MakeDedicated, MakeLocal, SendFuture, SpawnError,
    Stream, Thread, ThreadError, contain, pool,
};

pub use local::local;
pub use threads::run;

/// An executor of smol's as an [`Executor`].
#[derive(Clone, Debug)]
pub struct Smol {
    /// Its tasks may hold this: they do not keep it.
    tasks: Weak<async_executor::Executor<'static>>,
    clock: Clock,
    shape: Shape,
}

/// How an executor is run.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// By its user.
    Users,
    /// By so many threads.
    Threads(usize),
    /// By one, with local tasks.
    Local(local::Home),
}

impl Smol {
    /// An executor that the caller runs, on one thread or on many. It has ended when the caller drops it.
    #[must_use]
    pub fn new(executor: &Arc<async_executor::Executor<'static>>) -> Smol {
        Smol::shaped(executor, Shape::Users)
    }

    fn shaped(executor: &Arc<async_executor::Executor<'static>>, shape: Shape) -> Smol {
        Smol { tasks: Arc::downgrade(executor), clock: Clock::start(), shape }
    }
}

impl Executor for Smol {
    fn name(&self) -> String {
        match self.shape {
            Shape::Users => "smol, run by its user".to_owned(),
            Shape::Threads(count) => format!("smol, {count} threads"),
            Shape::Local(_) => "smol, local tasks on one thread".to_owned(),
        }
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        let tasks = self.tasks.upgrade().ok_or(SpawnError::Ended)?;
        tasks.spawn(contain(task)).detach();
        Ok(())
    }

    fn runs_local(&self) -> bool {
        matches!(self.shape, Shape::Local(_))
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        match self.shape {
            Shape::Local(home) => home.spawn(make),
            Shape::Users | Shape::Threads(_) => Err(SpawnError::LocalUnsupported),
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
        let _runs = self.tasks.upgrade().ok_or(SpawnError::Ended)?;
        pool::run(work);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        match self.clock.instant(deadline) {
            Some(deadline) => Box::pin(async move {
                async_io::Timer::at(deadline).await;
            }),
            None => Box::pin(pending()),
        }
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        Box::pin(net::connect(address))
    }

    fn listen(&self, address: String) -> SendFuture<io::Result<Listener>> {
        Box::pin(net::listen(address))
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
