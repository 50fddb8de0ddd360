//! The runner: one glommio task that polls all tasks of this crate.
//!
//! glommio 0.9 has a defect: if the system suspends a thread for longer than the preempt timer at a
//! certain moment, glommio concludes that it has nothing to do, and sleeps although tasks are
//! ready. (The law `tasks_that_wake_each_other_never_stall` stalled within a second.) So an
//! executor that is created here has a preempt timer that never fires. This crate queues the tasks,
//! and a single glommio task polls them. To make glommio check its rings, that task waits for a
//! timer that is almost due: glommio has nothing else to do, so it checks rings and timers once and
//! continues.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::AsyncRead;
use futures_util::FutureExt;
use glommio::net::TcpStream;
use glommio::timer::Timer;
use mycelium_executor::Clock;

use crate::inbox::Inbox;
use crate::local::{LocalGuard, LocalState, Weight};

/// The number of polled tasks between two reads of the clock, if the thread has no other executor.
const TASKS_PER_CLOCK_READ: u32 = 32;

/// An executor that does not run yet.
pub(crate) struct Runner {
    inbox: Arc<Inbox>,
    /// The socket at which the bytes of the inbox's doorbell arrive.
    rung: UnixStream,
}

impl Runner {
    /// Creates a runner for the calling thread.
    ///
    /// # Errors
    /// If the system has no sockets left for the inbox.
    pub(crate) fn new() -> io::Result<Runner> {
        let (inbox, rung) = Inbox::new()?;
        Ok(Runner { inbox, rung })
    }

    /// Registers the executor on this thread: it accepts tasks, but does not run them yet. While
    /// tasks are ready, glommio will check its rings and timers at the interval of `weight`.
    pub(crate) fn register(self, weight: Weight) -> Registered {
        let guard = LocalState::register(self.inbox, weight);
        Registered { guard, rung: self.rung }
    }
}

/// An executor that is registered on its thread and does not run yet.
pub(crate) struct Registered {
    guard: LocalGuard,
    rung: UnixStream,
}

impl Registered {
    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.guard.0.inbox
    }

    /// Runs `body` and the tasks that it spawns, inside glommio, until `body` has ended.
    pub(crate) async fn run<F>(self, body: impl FnOnce(Arc<Inbox>) -> F + 'static) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let Registered { guard, rung } = self;
        let mut rung = TcpStream::from(socket2::Socket::from(rung));
        let state = guard.0.clone();
        let inbox = state.inbox.clone();
        let result = Rc::new(RefCell::new(None));
        let (executor, output) = (inbox.clone(), result.clone());
        state.spawn(Box::pin(async move {
            let body = AssertUnwindSafe(async move { body(executor).await });
            let done = body.catch_unwind().await;
            output.replace(Some(done));
        }));
        let mut ring_check = None;
        let done = poll_fn(|context| {
            inbox.wake_up();
            loop {
                ring_check = None;
                if poll_tasks(&state) {
                    ring_check = Some(almost_due_timer(context));
                } else {
                    drain_doorbell(&mut rung, context);
                    if !inbox.fall_asleep() {
                        continue;
                    }
                }
                if let Some(done) = result.take() {
                    return Poll::Ready(done);
                }
                state.set_runner(context.waker());
                return Poll::Pending;
            }
        })
        .await;
        drop((ring_check, guard));
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Polls ready tasks, at most for the time slice of the executor. Returns true if tasks may still
/// be ready and glommio first has to check its rings, and to run the other tasks of the thread.
fn poll_tasks(state: &LocalState) -> bool {
    let _polling = state.polling();
    let (slice, is_alone) = state.slice();
    let reads = if is_alone { TASKS_PER_CLOCK_READ } else { 1 };
    let begin = Clock::start();
    let mut tasks = 0;
    loop {
        state.receive();
        if !state.poll_next() {
            return false;
        }
        tasks += 1;
        let is_late = tasks % reads == 0 && begin.now() >= slice;
        if is_late || glommio::executor().need_preempt() {
            return true;
        }
    }
}

/// Creates a timer that is pending now, and due when glommio checks its timers.
fn almost_due_timer(context: &mut Context<'_>) -> Timer {
    let mut pause = Duration::from_micros(1);
    loop {
        let mut timer = Timer::new(pause);
        if Pin::new(&mut timer).poll(context).is_pending() {
            return timer;
        }
        // The thread was suspended for longer than the pause, so the next pause is longer.
        pause *= 2;
    }
}

/// Reads all bytes of the inbox's doorbell, and registers for the next one.
fn drain_doorbell(rung: &mut TcpStream, context: &mut Context<'_>) {
    let mut bytes = [0; 64];
    while let Poll::Ready(Ok(1..)) = Pin::new(&mut *rung).poll_read(context, &mut bytes) {}
}
