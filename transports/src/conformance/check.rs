//! Runs a law on executors, on threads of its own.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use mycelium_executor::conformance::Subject;
use mycelium_executor::{Executor, LocalFuture, MakeDedicated};

use super::{Law, Pair};

/// Longer than anything takes that a law waits for.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// An executor that laws run on, chosen at run time.
#[derive(Clone, Copy)]
pub struct TestExecutor {
    /// What it is called in tables.
    pub name: &'static str,
    run: fn(MakeDedicated),
}

impl TestExecutor {
    /// The executor that a test subject makes.
    #[must_use]
    pub fn of<S: Subject>() -> TestExecutor {
        TestExecutor { name: S::NAME, run: |body| S::run(body) }
    }
}

impl fmt::Debug for TestExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestExecutor").field(&self.name).finish()
    }
}

/// Runs a law whose publishers are on one executor and whose readers on another, or all on one if it is the same.
///
/// # Errors
/// With what the law says, if it is broken; if an executor stands still; or if it does not end when its work has.
pub fn check(
    law: &Law,
    publishers: &TestExecutor,
    readers: &TestExecutor,
    time_limit: Duration,
) -> Result<(), String> {
    let (run, name) = (law.run, law.name);
    let (tell, told) = mpsc::channel();
    let (finish, finished) = oneshot::channel::<()>();
    let mut threads = 1;
    let elsewhere = (publishers.name != readers.name).then(|| {
        threads += 1;
        let (give, given) = mpsc::channel();
        start(publishers, tell.clone(), move |executor| {
            Box::pin(async move {
                _ = give.send(executor);
                // Until the law has ended.
                _ = finished.await;
            })
        });
        given
    });
    let outcome = tell.clone();
    start(readers, tell, move |readers| {
        Box::pin(async move {
            let publishers = match elsewhere.map(|given| given.recv_timeout(time_limit)) {
                None => readers.clone(),
                Some(Ok(publishers)) => publishers,
                Some(Err(_)) => return,
            };
            let law = run(Pair { publishers, readers, time_limit });
            let held = AssertUnwindSafe(law).catch_unwind().await;
            _ = outcome.send(Said::Law(held.map_err(words)));
            drop(finish);
        })
    });
    judge(&told, threads, time_limit).map_err(|what| format!("{name}: {what}"))
}

/// What is said about one run.
enum Said {
    /// Whether the law holds.
    Law(Result<(), String>),
    /// An executor has ended; how it panicked.
    Ended(Result<(), String>),
}

fn start(
    executor: &TestExecutor,
    tell: Sender<Said>,
    body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static,
) {
    let run = executor.run;
    thread::spawn(move || {
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run(Box::new(body))));
        _ = tell.send(Said::Ended(ended.map_err(words)));
    });
}

fn judge(told: &Receiver<Said>, mut threads: usize, time_limit: Duration) -> Result<(), String> {
    let mut held = false;
    while threads > 0 {
        match told.recv_timeout(3 * time_limit) {
            // What else becomes of tasks that it has left is of no interest then.
            Ok(Said::Law(Err(broken))) => return Err(broken),
            Ok(Said::Law(Ok(()))) => held = true,
            Ok(Said::Ended(Ok(()))) => threads -= 1,
            Ok(Said::Ended(Err(panic))) => return Err(format!("the executor panicked: {panic}")),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let what =
                    if held { "the executor does not end" } else { "the executor stands still" };
                return Err(what.to_owned());
            }
        }
    }
    if held { Ok(()) } else { Err("the executor ended before the law had".to_owned()) }
}

fn words(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic
            .downcast::<&str>()
            .map_or_else(|_| "a panic without words".to_owned(), |words| (*words).to_owned()),
    }
}
