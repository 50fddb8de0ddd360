//! Mycelium on glommio: one executor a thread, best a thread a core, over io_uring. Linux only; elsewhere the crate is
//! empty.
//!
//! [`run`] makes an executor on the calling thread, and each [dedicated](Executor::dedicate) thread gets one.
//! [`local`] uses one that the caller has. Services may be `Send` or not: none leaves its thread.
//!
//! ```
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
//!     // What the machine lacks is said before glommio would panic.
//!     Err(lacking) => println!("{lacking}"),
//! }
//! ```
//!
//! # What it needs
//!
//! Linux 5.8 with io_uring permitted, and 512 KiB of memory that may be locked. Both are [looked at](check()) first, and
//! [`ThreadError::Executor`] says what to change.
//!
//! # What may be called from where
//!
//! Tasks, blocking work and wakes are taken from any thread, and a timer may be awaited on any. Sockets, listeners and
//! connecting belong to tasks of the executor that made them: used on another thread they give an error, dropped there
//! they are closed at home. Local tasks are spawned at home.
//!
//! # Wakes, sockets and timers while it is busy
//!
//! glommio itself looks at wakes from other threads, at sockets and at timers when it would sleep or at its preempt timer:
//! by default after 100 ms. Here, wakes and tasks from other threads are looked for before each task that is polled, which
//! is a matter of microseconds on a busy executor, and rings and timers every millisecond or as
//! [`Latency::Matters`] says.
//!
//! That holds for tasks that are spawned here. Tasks of glommio's own beside them belong into an executor of your own
//! ([`local`]), where its preempt timer decides how long they may hold these up. An executor of [`run`] has none that
//! comes: glommio 0.9 may sleep for ever, with tasks that are ready, if its thread is suspended for longer than the
//! preempt timer at a certain moment.
//!
//! An executor may spin for a while before it sleeps ([`Settings::spin`]); glommio itself does so on a thread that is
//! pinned to one core alone.
#![cfg(target_os = "linux")]

mod check;
mod inbox;
mod local;
mod net;
mod runner;
mod settings;
mod slots;
mod timer;

use std::io;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use mycelium_executor::{
    Clock, Executor, GrantedPlacement, Listener, MakeDedicated, MakeLocal, SendFuture, SpawnError,
    Stream, Thread, ThreadError, contain, pool,
};

use inbox::{Inbox, Message};
use local::LocalState;

pub use check::check;
pub use settings::{Latency, Settings};

/// An executor of glommio's as an [`Executor`].
#[derive(Clone, Debug)]
pub struct Glommio {
    inbox: Arc<Inbox>,
    clock: Clock,
    settings: Settings,
}

/// The caller is outside any executor of glommio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no executor of glommio's here: await this in a task of one")]
pub struct NoGlommio;

/// Runs `body` with an executor of its own on the calling thread, which all its tasks end with. A thread that keeps to
/// one core is best ([`Thread::apply_to_current`]).
///
/// # Errors
/// If the machine lacks what glommio needs, or an executor runs on this thread already.
pub fn run<F>(
    settings: &Settings,
    body: impl FnOnce(Glommio) -> F + 'static,
) -> Result<F::Output, ThreadError>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let executor = settings.make_executor()?;
    executor.run(settings.run_in_queue(Glommio::wrapping(settings.clone(), body)))
}

/// Runs `body` in the executor of glommio's that awaits this, in the task queue that does. What it spawns makes progress
/// while this is awaited, and ends with it.
///
/// # Errors
/// If glommio does not run here (it says so by a panic, which is caught, but a panic hook is told), or there are no
/// sockets left.
pub async fn local<F>(body: impl FnOnce(Glommio) -> F + 'static) -> Result<F::Output, NoGlommio>
where
    F: Future + 'static,
    F::Output: 'static,
{
    catch_unwind(|| glommio::executor().current_task_queue()).map_err(|_| NoGlommio)?;
    let settings = Settings::default();
    let body = Glommio::wrapping(settings.clone(), body);
    runner::run_inside(settings.check_interval(), body).await.map_err(|_| NoGlommio)
}

impl Glommio {
    /// `body` as a function of the executor's inbox.
    fn wrapping<F>(
        settings: Settings,
        body: impl FnOnce(Glommio) -> F,
    ) -> impl FnOnce(Arc<Inbox>) -> F {
        |inbox| body(Glommio { inbox, clock: Clock::start(), settings })
    }

    /// The same with other settings for the executors of [dedicated](Executor::dedicate) threads.
    #[must_use]
    pub fn with(&self, settings: Settings) -> Glommio {
        Glommio { settings, ..self.clone() }
    }
}

impl Executor for Glommio {
    fn name(&self) -> String {
        "glommio, one thread".to_owned()
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
            let executor = settings.make_executor()?;
            let body = |glommio| contain(make(Arc::new(glommio)));
            let body = Glommio::wrapping(settings.clone(), body);
            // An error means that the system has no sockets left; the future was dropped.
            Ok(move || drop(executor.run(settings.run_in_queue(body))))
        })?;
        Ok(granted)
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
