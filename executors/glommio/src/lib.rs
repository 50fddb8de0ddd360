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
//! Linux 5.8 with io_uring permitted, and 512 KiB of memory that may be locked. Both are looked at first, and
//! [`ThreadError::Executor`] says what to change.
//!
//! # What may be called from where
//!
//! Tasks, blocking work and wakes are taken from any thread, and a timer may be awaited on any. Sockets, listeners and
//! connecting belong to tasks of the executor that made them: used on another thread they give an error, dropped there
//! they are closed at home. Local tasks are spawned at home.
//!
//! # Wakes
//!
//! glommio looks at wakes from other threads only when it would sleep, or at its preempt timer, which is at 100
//! ms unless set. Here it is at [1 ms](Settings::preempt), and that is seldom waited for: a task that is polled first looks
//! for wakes from elsewhere, so on an executor that is busy with tasks of this crate they are seen within microseconds. Only
//! one that is busy with tasks of glommio's own sees them at the preempt timer, as it sees sockets and timers.
//!
//! An executor may spin for a while before it sleeps ([`Settings::spin`]); glommio itself does so on a thread that is
//! pinned to one core alone.
#![cfg(target_os = "linux")]

mod check;
mod home;
mod net;
mod room;
mod settings;
mod timer;

use std::cell::RefCell;
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use mycelium_executor::{
    Clock, Executor, Granted, Listener, MakeDedicated, MakeLocal, SendFuture, SpawnError, Stream,
    Thread, ThreadError, contain, pool, system_entropy,
};

use home::Home;
use room::Room;

pub use settings::{Latency, Settings};

/// An executor of glommio's as an [`Executor`].
#[derive(Clone, Debug)]
pub struct Glommio {
    home: Arc<Home>,
    clock: Clock,
    settings: Settings,
}

/// There is no executor of glommio's around the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoGlommio;

impl fmt::Display for NoGlommio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no executor of glommio's here: await this in a task of one")
    }
}

impl std::error::Error for NoGlommio {}

/// Runs `body` with an executor of its own on the calling thread, which all its tasks end with. A thread that keeps to
/// one core is best ([`Thread::settle`]).
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
    settings.executor()?.run(settings.within(body))
}

/// Runs `body` as a task of the executor of glommio's that awaits this, in its task queue. What is spawned by it makes
/// progress while this is awaited, and ends with it.
///
/// # Errors
/// If glommio does not run here. (It says so by a panic, which is caught, but a panic hook is told.)
pub async fn local<F>(body: impl FnOnce(Glommio) -> F + 'static) -> Result<F::Output, NoGlommio>
where
    F: Future + 'static,
    F::Output: 'static,
{
    within(Settings::default(), body).await
}

async fn within<F>(
    settings: Settings,
    body: impl FnOnce(Glommio) -> F + 'static,
) -> Result<F::Output, NoGlommio>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let queue = catch_unwind(|| glommio::executor().current_task_queue()).map_err(|_| NoGlommio)?;
    let (home, room) = Home::begin(queue);
    let stay = Stay { home: home.clone(), room: room.clone() };
    let result = Rc::new(RefCell::new(None));
    let (executor, told) = (home.clone(), result.clone());
    let work = async move {
        let executor = Glommio { home: executor, clock: Clock::start(), settings };
        let home = executor.home.clone();
        let done = AssertUnwindSafe(async move { body(executor).await }).catch_unwind().await;
        told.replace(Some(done));
        home.ring();
    };
    room.start(&home, Box::pin(work)).map_err(|_| NoGlommio)?;
    let done = poll_fn(|context| {
        home.answer(&room, context.waker());
        result.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    drop(stay);
    // They see the end at their next poll, which is near.
    while room.has_shells() {
        glommio::executor().yield_now().await;
    }
    done.map_or_else(|panic| resume_unwind(panic), Ok)
}

/// As long as this is, tasks run here.
struct Stay {
    home: Arc<Home>,
    room: Rc<Room>,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.home.end(&self.room);
    }
}

impl Glommio {
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
        self.home.spawn(task)
    }

    fn runs_local(&self) -> bool {
        true
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        self.home.spawn_local(make)
    }

    fn dedicate(&self, thread: Thread, make: MakeDedicated) -> Result<Granted, ThreadError> {
        let settings = self.settings.clone();
        let (_, granted) = thread.start(move || {
            let executor = settings.executor()?;
            let body = |glommio| contain(make(Arc::new(glommio)));
            // It runs, so this cannot fail.
            Ok(move || drop(executor.run(settings.within(body))))
        })?;
        Ok(granted)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        if self.home.has_ended() {
            return Err(SpawnError::Ended);
        }
        pool::run(work);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        match self.clock.instant(deadline) {
            Some(deadline) => timer::sleep(self.home.clone(), deadline),
            None => Box::pin(pending()),
        }
    }

    fn wall_clock(&self) -> SystemTime {
        Clock::wall()
    }

    fn entropy(&self) -> u64 {
        system_entropy()
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        Box::pin(net::connect(self.home.clone(), address))
    }

    fn listen(&self, address: String) -> SendFuture<io::Result<Listener>> {
        Box::pin(net::listen(self.home.clone(), address))
    }

    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        net::stream(self.home.clone(), socket)
    }

    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        net::listener(self.home.clone(), socket)
    }

    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        Box::pin(mycelium_executor::interrupted())
    }
}
