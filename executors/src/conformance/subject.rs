//! The subjects of the laws, and the helpers that the laws share.

use std::future::pending;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::Wake;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};

use crate::executor::{Clock, Executor, MakeDedicated};
use crate::thread::Thread;
use crate::time::PausedTime;

/// An executor of one kind and configuration, for the laws.
pub trait Subject: 'static {
    /// The name in reports.
    const NAME: &'static str;

    /// Returns why this machine cannot run the executor. Its tests are then skipped and print the
    /// reason.
    fn skip_reason() -> Option<String> {
        None
    }

    /// Runs `body` inside a new executor. Both end together.
    fn run(body: MakeDedicated);
}

/// The executor on a thread that another subject's executor [dedicates](Executor::dedicate). It
/// keeps the same laws.
#[derive(Debug)]
pub struct Dedicated<S>(PhantomData<S>);

impl<S: Subject> Subject for Dedicated<S> {
    const NAME: &'static str = S::NAME;

    fn skip_reason() -> Option<String> {
        S::skip_reason()
    }

    fn run(body: MakeDedicated) {
        S::run(Box::new(|executor| {
            Box::pin(async move {
                let (done, finished) = oneshot::channel();
                let make: MakeDedicated = Box::new(move |there| {
                    Box::pin(async move {
                        let body = AssertUnwindSafe(body(there));
                        let _ = done.send(body.catch_unwind().await);
                    })
                });
                executor.dedicate(Thread::default(), make).expect("started");
                if let Err(panic) = finished.await.expect("it reports") {
                    resume_unwind(panic);
                }
            })
        }));
    }
}

/// The executor of another subject with [paused time](PausedTime), which a thread moves at the pace
/// of real time. It keeps the same laws.
#[derive(Debug)]
pub struct Paused<S>(PhantomData<S>);

impl<S: Subject> Subject for Paused<S> {
    const NAME: &'static str = S::NAME;

    fn skip_reason() -> Option<String> {
        S::skip_reason()
    }

    fn run(body: MakeDedicated) {
        S::run(Box::new(|executor| {
            let paused = PausedTime::new(executor);
            let (running, ended) = mpsc::channel::<()>();
            let (time, clock) = (paused.clone(), Clock::start());
            thread::spawn(move || {
                while ended.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout)
                {
                    time.advance(clock.now().saturating_sub(time.now()));
                }
            });
            Box::pin(async move {
                let _running = running;
                body(Arc::new(paused)).await;
            })
        }));
    }
}

/// Returns whether a subject can run on this machine. If it cannot, prints the reason.
#[must_use]
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
pub fn can_run<S: Subject>() -> bool {
    let reason = S::skip_reason();
    if let Some(reason) = &reason {
        println!("SKIPPED: {}: {reason}", S::NAME);
    }
    reason.is_none()
}

/// The time after which a waiting law fails. No law takes long, but machines may be busy.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a law inside the subject, on a separate thread, so that an executor that hangs fails the
/// law.
pub fn inside<S: Subject>(law: impl AsyncFnOnce(Arc<dyn Executor>) + Send + 'static) {
    run_on_a_thread::<S>(Box::new(move |executor| Box::pin(law(executor))));
}

/// Takes the law in a box, so that this code is compiled once for each subject and not for each
/// law.
fn run_on_a_thread<S: Subject>(law: MakeDedicated) {
    let (done, finished) = mpsc::channel();
    let runner = thread::spawn(move || {
        S::run(law);
        let _ = done.send(());
    });
    match finished.recv_timeout(2 * TIMEOUT) {
        Err(RecvTimeoutError::Timeout) => panic!("{}: the executor hangs", S::NAME),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = runner.join() {
                resume_unwind(panic);
            }
        }
    }
}

/// Returns the output of `future`. Panics if it is not ready within the timeout.
pub(super) async fn soon<T>(executor: &Arc<dyn Executor>, future: impl Future<Output = T>) -> T {
    let deadline = executor.sleep_until(executor.now() + TIMEOUT);
    match select(std::pin::pin!(future), deadline).await {
        Either::Left((output, _)) => output,
        Either::Right(_) => panic!("{}: the timeout has passed", executor.name()),
    }
}

/// Waits until a condition holds.
pub(super) async fn until(executor: &Arc<dyn Executor>, mut holds: impl FnMut() -> bool) {
    let poll = async {
        while !holds() {
            executor.sleep_until(executor.now() + Duration::from_millis(1)).await;
        }
    };
    soon(executor, poll).await;
}

/// Waits until a condition holds, outside any executor.
pub(super) fn until_outside(mut holds: impl FnMut() -> bool) {
    for _ in 0..TIMEOUT.as_millis() {
        if holds() {
            return;
        }
        // Polls, because nothing wakes this thread when another thread ends or a value is dropped.
        thread::park_timeout(Duration::from_millis(1));
    }
    panic!("the timeout has passed");
}

/// A waker that counts its wake-ups.
#[derive(Debug, Default)]
pub struct WakeCounter(pub AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits forever and holds `handle`, whose reference count shows whether the task was dropped.
pub(super) async fn hold(handle: Arc<()>) {
    let _handle = handle;
    pending().await
}

/// Spawns a task. Returns its output once it has ended.
pub(super) fn spawned<T: Send + 'static>(
    executor: &Arc<dyn Executor>,
    task: impl Future<Output = T> + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, finished) = oneshot::channel();
    let task = async move { drop(done.send(task.await)) };
    executor.spawn(Box::pin(task)).expect("spawned");
    finished
}
