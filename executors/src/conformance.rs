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
            a_spawned_task_runs_detached,
            a_task_can_be_spawned_from_any_thread,
            a_local_task_runs_on_the_thread_that_spawned_it_or_is_refused,
            a_local_task_is_refused_on_another_thread,
            a_panic_ends_its_own_task_only,
            a_task_that_yields_lets_others_run,
            tasks_that_wake_each_other_never_stall,
            tasks_end_with_their_executor,
            an_ended_executor_refuses_everything,
            blocking_work_does_not_block_tasks,
            a_wake_from_another_thread_reaches_a_busy_executor,
            sigint_and_sigterm_interrupt,
            timers_fire_in_order_and_never_early,
            a_past_deadline_is_ready_at_once,
            a_far_deadline_stays_pending,
            a_dropped_timer_does_not_wake,
            a_timer_may_be_awaited_on_any_thread,
            time_never_goes_back,
            bytes_flow_both_ways_and_a_full_stream_blocks_its_writer,
            one_vectored_write_takes_every_buffer,
            a_dropped_read_loses_no_byte,
            a_dropped_write_wrote_nothing,
            a_dropped_accept_loses_no_connection,
            accept_reports_the_peer,
            a_closed_stream_reads_as_end_of_file,
            writing_to_a_closed_peer_is_an_error,
            an_unusable_address_is_an_error,
            a_socket_may_be_dropped_on_any_thread,
            a_dedicated_thread_has_its_name_and_its_core,
            an_unknown_core_is_refused_and_leaves_no_thread,
            a_dedicated_executor_is_a_full_executor,
            a_dedicated_thread_and_its_tasks_end_with_its_future,
            a_panic_ends_its_dedicated_thread_only,
            a_dedicated_executor_can_dedicate_threads,
            blocking_work_does_not_inherit_the_core_of_a_dedicated_thread,
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
