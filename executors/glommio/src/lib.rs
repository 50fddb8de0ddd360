//! Mycelium on glommio: one executor per thread, ideally one thread per core, over io_uring. On
//! systems other than Linux the crate is empty.
//!
//! [`run`] creates an executor on the calling thread. Each [dedicated](Executor::dedicate) thread
//! gets its own. [`local()`] uses the executor of the task that awaits it. Services need not be
//! `Send`: none leaves its thread.
//!
//! ```
//! # #[cfg(all(target_os = "linux", not(miri)))] {
//! use std::rc::Rc;
//!
//! use mycelium_executor::{Executor, LocalFuture, ThreadError};
//! use mycelium_glommio::{Glommio, Settings};
//!
//! let waited = mycelium_glommio::run(&Settings::default(), async |executor: Glommio| {
//!     let (done, finished) = std::sync::mpsc::channel();
//!     let make = move || {
//!         let shared = Rc::new(7);
//!         Box::pin(async move { done.send(*shared).unwrap() }) as LocalFuture<()>
//!     };
//!     executor.spawn_local(Box::new(make)).unwrap();
//!     executor.sleep_until(executor.now() + std::time::Duration::from_millis(1)).await;
//!     finished.recv()
//! });
//! match waited {
//!     Ok(sent) => assert_eq!(sent, Ok(7)),
//!     // This machine does not meet glommio's requirements. glommio itself would panic.
//!     Err(missing) => println!("{missing}"),
//! }
//! # }
//! ```
//!
//! # Requirements
//!
//! Linux 5.8 with io_uring permitted, and 512 KiB of lockable memory. [`check()`] tests both, and
//! [`ThreadError::Executor`] says what to change.
//!
//! # Threads
//!
//! Tasks, blocking work and wake-ups are accepted from any thread, and a timer may be awaited on
//! any thread. Sockets, listeners and connecting belong to tasks of the executor that created them:
//! on another thread they return an error. A socket that is dropped on another thread is closed on
//! its own thread. Local tasks can only be spawned on the executor's own thread.
//!
//! # Latency of a busy executor
//!
//! glommio itself checks sockets, timers and wake-ups from other threads only before it sleeps and
//! when its preempt timer fires, by default every 100 ms. This crate checks for wake-ups and tasks
//! from other threads before each task that it polls, so they take microseconds on a busy executor.
//! It checks sockets and timers every millisecond, or at the interval of [`Latency::Matters`].
//!
//! This holds for tasks that are spawned through this crate. If you also have glommio tasks of your
//! own, create the executor yourself and use [`local()`]: then your preempt timer decides how long
//! they may delay others. In an executor of [`run`] the preempt timer never fires: glommio 0.9 may
//! sleep forever although tasks are ready, if its thread is suspended for longer than the preempt
//! timer at a certain moment.
//!
//! An executor may spin before it sleeps ([`Settings::spin`]). glommio supports this only on a
//! thread that is pinned to one core.
//!
//! # Task queues
//!
//! [`Executor::task_queue`] creates an executor with a task queue of its own on the same thread.
//! While several of these executors are busy, they take turns, and each gets time in proportion to
//! its [shares](Settings). The shortest [latency](Latency) on the thread limits how long one of
//! them may delay the others.
//!
//! # Files
//!
//! From the bottom: `slots.rs` (keys), `inbox.rs` (for other threads), `local.rs` (tasks and values
//! that stay on the thread), then `runner.rs` (polls the tasks), `net.rs` and `timer.rs`, then
//! `settings.rs`. The crate knows the executor trait and glommio, but no message and no transport.
#![cfg(all(target_os = "linux", not(miri)))]

mod check;
mod inbox;
mod local;
mod net;
mod runner;
mod settings;
mod slots;
mod timer;

use std::fmt;
use std::future::pending;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use mycelium_executor::{
    Clock, Executor, GrantedPlacement, Listener, MakeDedicated, MakeLocal, SendFuture, SpawnError,
    Stream, TaskQueue, Thread, ThreadError, contain, pool,
};

use glommio::Task;
use inbox::{Inbox, Message};
use local::{LocalState, LocalValue, Weight};
use runner::Runner;

pub use check::check;
pub use settings::{Latency, Settings};

/// A glommio executor as an [`Executor`].
#[derive(Clone, Debug)]
pub struct Glommio {
    inbox: Arc<Inbox>,
    clock: Clock,
    settings: Settings,
    /// The glommio task that polls the tasks of a task queue; `None` without a task queue. It ends
    /// with the last handle.
    queue: Option<Arc<LocalValue<Task<()>>>>,
}

/// Why [`local()`] did not run its body.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The caller is not in a glommio task.
    #[error("no executor of glommio's here: await `mycelium_glommio::local` in a task of one")]
    Outside,
    /// The system refused the socket for wake-ups from other threads.
    #[error("the system has no socket for wake-ups: {error}")]
    Socket {
        /// The system's error.
        error: String,
    },
}

impl fmt::Debug for LocalError {
    /// Writes the same text as `Display`, because `main` and `unwrap` print errors this way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Runs `body` with a new executor on the calling thread. All its tasks end with `body`. Pin the
/// thread to one core for the best performance ([`Thread::apply_to_current`]).
///
/// # Errors
/// If the machine does not meet the requirements, or the thread runs an executor already.
pub fn run<F>(
    settings: &Settings,
    body: impl FnOnce(Glommio) -> F + 'static,
) -> Result<F::Output, ThreadError>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (executor, runner) = settings.make_executor()?;
    executor.run(settings.run_in_queue(runner, Glommio::wrapping(settings.clone(), body)))
}

/// Runs `body` in the glommio executor and task queue that await this. The tasks that `body` spawns
/// make progress while this is awaited, and end with it.
///
/// # Errors
/// If this is awaited outside glommio, or the system has no sockets left. Outside glommio, glommio
/// panics; the panic is caught after the panic hook was called.
pub async fn local<F>(body: impl FnOnce(Glommio) -> F + 'static) -> Result<F::Output, LocalError>
where
    F: Future + 'static,
    F::Output: 'static,
{
    catch_unwind(|| glommio::executor().current_task_queue()).map_err(|_| LocalError::Outside)?;
    let runner = Runner::new().map_err(|error| LocalError::Socket { error: error.to_string() })?;
    let settings = Settings::default();
    let body = Glommio::wrapping(settings.clone(), body);
    Ok(runner.register(settings.weight()).run(body).await)
}

impl Glommio {
    /// Returns a function that takes the executor's inbox and calls `body` with the executor.
    fn wrapping<F>(
        settings: Settings,
        body: impl FnOnce(Glommio) -> F,
    ) -> impl FnOnce(Arc<Inbox>) -> F {
        |inbox| body(Glommio { inbox, clock: Clock::start(), settings, queue: None })
    }

    /// Returns this executor with other settings for the executors of
    /// [dedicated](Executor::dedicate) threads.
    #[must_use]
    pub fn with(&self, settings: Settings) -> Glommio {
        Glommio { settings, ..self.clone() }
    }
}

impl Executor for Glommio {
    fn name(&self) -> String {
        match (&self.queue, self.settings.weight()) {
            (None, _) => "glommio, one thread".to_owned(),
            (Some(_), Weight { shares, interval }) => {
                let queue = TaskQueue { shares: Some(shares), latency: Some(interval) };
                format!("glommio, one thread, {queue}")
            }
        }
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        match LocalState::of(&self.inbox) {
            Some(state) => {
                state.spawn(task);
                Ok(())
            }
            None => self.inbox.send(Message::Spawn(task)),
        }
    }

    fn runs_local(&self) -> bool {
        true
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        if !self.inbox.is_on_this_thread() {
            return Err(SpawnError::WrongThread);
        }
        let state = LocalState::of(&self.inbox).ok_or(SpawnError::Ended)?;
        state.spawn(make());
        Ok(())
    }

    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        let settings = self.settings.clone();
        let (_, granted) = thread.start(move || {
            let (executor, runner) = settings.make_executor()?;
            let body = |glommio| contain(make(Arc::new(glommio)));
            let body = Glommio::wrapping(settings.clone(), body);
            // Cannot fail, because the queue is new.
            Ok(move || drop(executor.run(settings.run_in_queue(runner, body))))
        })?;
        Ok(granted)
    }

    fn task_queue(&self, queue: TaskQueue) -> Result<Arc<dyn Executor>, ThreadError> {
        if !self.inbox.is_on_this_thread() {
            let text = "a task queue is made on the thread of its executor: start the node there";
            return Err(check::error(text.to_owned()));
        }
        let settings = self.settings.with(queue)?;
        let runner = Runner::new().map_err(|error| check::error(error.to_string()))?;
        let registered = runner.register(settings.weight());
        let inbox = registered.inbox().clone();
        let started = LocalValue::try_new(&self.inbox, || {
            settings.spawn_in_queue(registered.run(|_| pending::<()>()))
        });
        let ended = || check::error("the executor has ended".to_owned());
        let queue = Some(Arc::new(started.ok_or_else(ended)??));
        Ok(Arc::new(Glommio { inbox, clock: self.clock, settings, queue }))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        if self.inbox.has_ended() {
            return Err(SpawnError::Ended);
        }
        pool::run(work);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        self.clock.sleep_until(deadline, |at| timer::sleep(self.inbox.clone(), at))
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        Box::pin(net::connect(self.inbox.clone(), address))
    }

    fn tcp_stream(&self, socket: TcpStream) -> io::Result<Stream> {
        net::tcp_stream(self.inbox.clone(), socket)
    }

    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        Ok(net::listener(self.inbox.clone(), socket))
    }

    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        net::stream(self.inbox.clone(), socket)
    }

    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        Ok(net::listener(self.inbox.clone(), socket))
    }
}
