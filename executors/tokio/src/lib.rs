//! Mycelium in a tokio runtime, or on dedicated threads with one runtime each.
//!
//! [`run`] creates a runtime. [`Tokio::current`] uses the runtime of the caller, multi-thread or
//! current-thread, for services that are `Send`. [`local`] also runs services that are not `Send`,
//! all on the thread that awaits it. A [dedicated](Executor::dedicate) thread has its own
//! current-thread runtime and runs both kinds.
//!
//! ```
//! use mycelium_executor::Executor;
//! use mycelium_tokio::Tokio;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let executor = Tokio::current().expect("inside a runtime");
//! let before = executor.now();
//! executor.sleep_until(before + std::time::Duration::from_millis(1)).await;
//! assert!(executor.now() > before);
//! # });
//! ```
//!
//! A dedicated thread:
//!
//! ```
//! use std::sync::Arc;
//!
//! use mycelium_executor::{Executor, MakeDedicated, Thread};
//! use mycelium_tokio::Tokio;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let executor = Tokio::current().expect("inside a runtime");
//! let (done, finished) = tokio::sync::oneshot::channel();
//! let make: MakeDedicated = Box::new(|there: Arc<dyn Executor>| {
//!     Box::pin(async move {
//!         assert!(there.runs_local());
//!         done.send(std::thread::current().name().map(str::to_owned)).unwrap();
//!     })
//! });
//! let thread = Thread { name: "engine".to_owned(), ..Thread::default() };
//! let granted = executor.dedicate(thread, make)?;
//! assert!(granted.refused.is_empty());
//! assert_eq!(finished.await.unwrap().as_deref(), Some("engine"));
//! # Ok::<(), mycelium_executor::ThreadError>(())
//! # }).unwrap();
//! ```
//!
//! Timers and sockets may be used on any thread.
//!
//! This crate knows the executor trait, queues and tokio, but no transport. `lib.rs` has the
//! adapter, `net.rs` sockets, `queue.rs` a channel for mailboxes.

mod net;
mod queue;

use std::future::{pending, poll_fn};
use std::io;
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

#[cfg(target_os = "linux")]
use mycelium_executor::WakeStream;
use mycelium_executor::{
    Executor, GrantedPlacement, Listener, MakeDedicated, MakeLocal, SendFuture, SpawnError, Stream,
    Thread, ThreadError, contain,
};
use tokio::runtime::{Builder, Handle, LocalOptions, RuntimeFlavor};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

pub use queue::{QueueReceiver, QueueSender, TokioMpsc};

/// A tokio runtime as an [`Executor`].
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
    origin: Instant,
    /// The thread that runs local tasks, if there is one.
    local_thread: Option<ThreadId>,
}

/// The caller is outside any tokio runtime.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no tokio runtime here: call `Tokio::current` in `#[tokio::main]` or `runtime.block_on(..)`"
)]
pub struct NoRuntime;

mycelium_core::debug_as_display!(NoRuntime);

impl Tokio {
    /// Returns the runtime of the caller. It needs tokio's timer and I/O drivers (`enable_all`).
    ///
    /// # Errors
    /// If the caller is not in a runtime.
    pub fn current() -> Result<Tokio, NoRuntime> {
        let handle = Handle::try_current().map_err(|_| NoRuntime)?;
        let _entered = handle.enter();
        Ok(Tokio { origin: Instant::now(), local_thread: None, handle: handle.clone() })
    }

    /// Returns the runtime of the caller, for local tasks on this thread, too.
    fn current_with_local() -> Result<Tokio, NoRuntime> {
        Ok(Tokio { local_thread: Some(thread::current().id()), ..Tokio::current()? })
    }
}

/// Runs `body` in a new runtime, with a thread for each processor that this process may use. Tasks
/// that are left when `body` has ended are dropped; blocking work that has begun is waited for.
///
/// # Errors
/// If the system refuses a thread or a socket of the runtime.
///
/// # Panics
/// If the caller is in a runtime.
pub fn run<F: Future>(body: impl FnOnce(Tokio) -> F) -> io::Result<F::Output> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let executor = Tokio::current().map_err(io::Error::other)?;
        Ok(body(executor).await)
    })
}

/// Runs `body` in the current runtime with an executor that also takes local tasks, on the calling
/// thread. The local tasks make progress while this is awaited, and end with it.
///
/// # Errors
/// If the caller is not in a runtime.
pub async fn local<F: Future>(body: impl FnOnce(Tokio) -> F) -> Result<F::Output, NoRuntime> {
    Ok(LocalSet::new().run_until(body(Tokio::current_with_local()?)).await)
}

/// Checks that tokio has accepted a task. A runtime that has ended drops the task, and only the
/// task's handle shows this. Polls it only if the task has ended: a handle that is not polled is
/// cheaper to drop.
fn started(mut task: JoinHandle<()>) -> Result<(), SpawnError> {
    if !task.is_finished() {
        return Ok(());
    }
    match Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) if error.is_cancelled() => Err(SpawnError::Ended),
        _ => Ok(()),
    }
}

impl Executor for Tokio {
    fn name(&self) -> String {
        let workers = self.handle.metrics().num_workers();
        match (self.handle.runtime_flavor(), self.local_thread) {
            (_, Some(_)) => "tokio, local tasks on one thread".to_owned(),
            (RuntimeFlavor::CurrentThread, None) => "tokio, current thread".to_owned(),
            _ => format!("tokio, {workers} workers"),
        }
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        started(self.handle.spawn(task))
    }

    fn runs_local(&self) -> bool {
        self.local_thread.is_some()
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        let local_thread = self.local_thread.ok_or(SpawnError::LocalUnsupported)?;
        if local_thread != thread::current().id() {
            return Err(SpawnError::WrongThread);
        }
        let task = make();
        // tokio panics outside a running `LocalSet` and a local runtime, which means that this
        // executor has outlived them.
        catch_unwind(AssertUnwindSafe(|| drop(tokio::task::spawn_local(task))))
            .map_err(|_| SpawnError::Ended)
    }

    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        let (_, granted) = thread.start(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                // Resets the placement of new threads, because threads for blocking work would
                // inherit the cores and the class of this thread.
                .on_thread_start(|| drop(Thread::default().apply_to_current()))
                .build_local(LocalOptions::default())
                .map_err(|error| ThreadError::Executor {
                    executor: "tokio".to_owned(),
                    error: error.to_string(),
                })?;
            Ok(move || {
                runtime.block_on(async {
                    // Cannot fail, because this is inside a runtime.
                    let Ok(executor) = Tokio::current_with_local() else { return };
                    // A task: the future of `block_on` would cost two system calls whenever it
                    // yields. The task does not panic.
                    let task = contain(make(Arc::new(executor)));
                    _ = tokio::task::spawn_local(task).await;
                });
                // Ends the runtime without waiting for blocking work.
                runtime.shutdown_background();
            })
        })?;
        Ok(granted)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        started(self.handle.spawn_blocking(work))
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        let Some(deadline) = self.origin.checked_add(deadline) else {
            return Box::pin(pending());
        };
        let _entered = self.handle.enter();
        Box::pin(tokio::time::sleep_until(deadline))
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        // tokio creates sockets only inside a runtime, but this future may be polled anywhere.
        let (handle, mut connect) = (self.handle.clone(), Box::pin(net::connect(address)));
        Box::pin(poll_fn(move |context| {
            let _entered = handle.enter();
            connect.as_mut().poll(context)
        }))
    }

    fn tcp_stream(&self, socket: TcpStream) -> io::Result<Stream> {
        let _entered = self.handle.enter();
        net::tcp_stream(socket)
    }

    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        let _entered = self.handle.enter();
        net::tcp_listener(socket)
    }

    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        let _entered = self.handle.enter();
        net::unix::stream(socket)
    }

    #[cfg(target_os = "linux")]
    fn wake_stream(&self, socket: UnixStream) -> io::Result<WakeStream> {
        let _entered = self.handle.enter();
        net::unix::wake_stream(socket)
    }

    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        let _entered = self.handle.enter();
        net::unix::listener(socket)
    }

    #[cfg(not(unix))]
    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        Box::pin(tokio::signal::ctrl_c())
    }
}
