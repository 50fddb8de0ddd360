//! What the laws are tried on, and what they share.

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

use crate::executor::{Executor, LocalFuture, MakeDedicated};
use crate::thread::Thread;

/// An executor of one kind and shape, as the laws see it.
pub trait Subject: 'static {
    /// What it is called in reports.
    const NAME: &'static str;

    /// What this machine lacks for it, if it cannot run here: its tests are skipped then, and say so.
    fn skip_reason() -> Option<String> {
        None
    }

    /// Runs `body` to its end inside this executor, which ends with it.
    fn run(body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static);
}

/// What another subject's executor [dedicates](Executor::dedicate) is an executor as well, and keeps the same laws.
#[derive(Debug)]
pub struct Dedicated<S>(PhantomData<S>);

impl<S: Subject> Subject for Dedicated<S> {
    const NAME: &'static str = S::NAME;

    fn skip_reason() -> Option<String> {
        S::skip_reason()
    }

    fn run(body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static) {
        S::run(|executor| {
            Box::pin(async move {
                let (done, finished) = oneshot::channel();
                let make: MakeDedicated = Box::new(move |there| {
                    Box::pin(async move {
                        let body = AssertUnwindSafe(body(there));
                        let _ = done.send(body.catch_unwind().await);
                    })
                });
                executor.dedicate(Thread::default(), make).expect("the machine has threads");
                if let Err(panic) = finished.await.expect("it says so") {
                    resume_unwind(panic);
                }
            })
        });
    }
}

/// Whether a subject can run on this machine; says so if not.
#[must_use]
#[expect(clippy::print_stdout, reason = "tests say what they leave out")]
pub fn can_run<S: Subject>() -> bool {
    let reason = S::skip_reason();
    if let Some(reason) = &reason {
        println!("SKIPPED: {}: {reason}", S::NAME);
    }
    reason.is_none()
}

/// How long a law waits for what must come: nothing here takes long, but machines may be busy.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a law inside the subject, on a thread of its own: an executor that hangs fails the law.
pub fn inside<S: Subject>(law: impl AsyncFnOnce(Arc<dyn Executor>) + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let runner = thread::spawn(move || {
        S::run(move |executor| Box::pin(law(executor)));
        let _ = done.send(());
    });
    match finished.recv_timeout(2 * TIMEOUT) {
        Err(RecvTimeoutError::Timeout) => panic!("{}: the executor stands still", S::NAME),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = runner.join() {
                resume_unwind(panic);
            }
        }
    }
}

/// What `future` gives, which has to come soon.
pub(super) async fn soon<T>(executor: &Arc<dyn Executor>, future: impl Future<Output = T>) -> T {
    let deadline = executor.sleep_until(executor.now() + TIMEOUT);
    match select(std::pin::pin!(future), deadline).await {
        Either::Left((output, _)) => output,
        Either::Right(_) => panic!("{}: nothing came", executor.name()),
    }
}

/// Waits until something is so.
pub(super) async fn until(executor: &Arc<dyn Executor>, mut is_so: impl FnMut() -> bool) {
    let look = async {
        while !is_so() {
            executor.sleep_until(executor.now() + Duration::from_millis(1)).await;
        }
    };
    soon(executor, look).await;
}

/// The same outside of any executor.
pub(super) fn until_outside(mut is_so: impl FnMut() -> bool) {
    let rounds = TIMEOUT.as_millis();
    let came = (0..rounds).any(|_| {
        let so = is_so();
        if !so {
            // The condition has no wake of its own: it is a thread that ends, or a value that is dropped.
            thread::park_timeout(Duration::from_millis(1));
        }
        so
    });
    assert!(came, "nothing came");
}

/// Counts how often it was woken.
#[derive(Default)]
pub(super) struct WakeCounter(pub(super) AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Says when it was dropped.
pub(super) struct NotifyOnDrop(pub(super) mpsc::Sender<()>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}
