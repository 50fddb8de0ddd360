//! What every executor promises, as tests that are generic over it.
//!
//! Implement [`Subject`] and write `conformance!(MySubject);` in a test file: one test for each law. A law takes nothing
//! but the subject, so the same suite runs on any of them, and other suites build on the same subjects.

mod dedicated;
mod streams;
mod tasks;
mod timers;

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

use crate::{Executor, LocalFuture, MakeDedicated, Thread, yield_now};

pub use dedicated::*;
pub use streams::*;
pub use tasks::*;
pub use timers::*;

/// An executor of one kind and shape, as the laws see it.
pub trait Subject: 'static {
    /// What it is called in reports.
    const NAME: &'static str;

    /// What this machine lacks for it, if it cannot run here: its tests are skipped then, and say so.
    fn lacks() -> Option<String> {
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

    fn lacks() -> Option<String> {
        S::lacks()
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

/// Makes one test for each law.
#[macro_export]
macro_rules! conformance {
    ($subject:ty) => {
        $crate::conformance!(
            $subject:
            a_spawned_task_runs_and_nobody_has_to_wait_for_it,
            a_task_is_taken_from_any_thread,
            a_local_task_runs_on_the_thread_that_spawned_it_or_is_refused,
            a_local_task_is_refused_on_another_thread,
            a_panic_ends_its_own_task_only,
            a_task_that_yields_lets_others_run,
            a_switch_is_never_the_last,
            tasks_end_with_their_executor,
            an_executor_that_has_ended_takes_nothing,
            blocking_work_holds_no_task_up,
            a_wake_from_another_thread_reaches_a_busy_executor,
            a_signal_to_end_interrupts,
            deadlines_come_in_order_and_never_early,
            a_deadline_that_has_passed_holds_nobody_up,
            a_far_deadline_is_only_far,
            a_dropped_timer_wakes_nobody,
            a_timer_may_be_awaited_on_any_thread,
            time_never_goes_back,
            bytes_go_both_ways_and_a_writer_waits_for_its_reader,
            one_vectored_write_takes_every_buffer,
            a_read_that_is_dropped_loses_no_byte,
            a_write_that_is_dropped_was_not_done,
            an_accept_that_is_dropped_loses_no_connection,
            who_connects_is_known,
            the_end_of_a_stream_is_read_as_its_end,
            writing_to_nobody_is_an_error,
            an_address_that_cannot_be_had_is_an_error,
            a_socket_may_be_dropped_on_any_thread,
            a_dedicated_thread_has_its_name_and_its_core,
            a_core_that_is_not_there_is_refused_and_leaves_nothing,
            a_dedicated_executor_does_all_that_an_executor_does,
            a_dedicated_thread_ends_with_its_future_and_its_tasks_with_it,
            a_panic_ends_its_dedicated_thread_only,
            a_dedicated_executor_gives_threads_of_its_own,
            work_that_blocks_does_not_share_the_core_of_a_dedicated_thread,
        );
    };
    ($subject:ty: $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                if $crate::conformance::can_run::<$subject>() {
                    $crate::conformance::$law::<$subject>();
                }
            }
        )*
    };
}

/// Whether a subject can run on this machine; says so if not.
#[must_use]
#[expect(clippy::print_stdout, reason = "tests say what they leave out")]
pub fn can_run<S: Subject>() -> bool {
    let lacks = S::lacks();
    if let Some(what) = &lacks {
        println!("SKIPPED: {}: {what}", S::NAME);
    }
    lacks.is_none()
}

/// How long a law waits for what must come: nothing here takes long, but machines may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a law inside the subject, on a thread of its own: an executor that hangs fails the law.
pub fn inside<S: Subject>(law: impl AsyncFnOnce(Arc<dyn Executor>) + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let runner = thread::spawn(move || {
        S::run(move |executor| Box::pin(law(executor)));
        let _ = done.send(());
    });
    match finished.recv_timeout(2 * PATIENCE) {
        Err(RecvTimeoutError::Timeout) => panic!("{}: the executor stands still", S::NAME),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = runner.join() {
                resume_unwind(panic);
            }
        }
    }
}

/// What `future` gives, which has to come soon.
async fn soon<T>(executor: &Arc<dyn Executor>, future: impl Future<Output = T>) -> T {
    let deadline = executor.sleep_until(executor.now() + PATIENCE);
    match select(std::pin::pin!(future), deadline).await {
        Either::Left((output, _)) => output,
        Either::Right(_) => panic!("{}: nothing came", executor.name()),
    }
}

/// Waits until something is so.
async fn until(executor: &Arc<dyn Executor>, mut is_so: impl FnMut() -> bool) {
    let look = async {
        while !is_so() {
            executor.sleep_until(executor.now() + Duration::from_millis(1)).await;
        }
    };
    soon(executor, look).await;
}

/// The same outside of any executor.
fn until_outside(mut is_so: impl FnMut() -> bool) {
    let rounds = PATIENCE.as_millis();
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
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Says when it was dropped.
struct Guard(mpsc::Sender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}
