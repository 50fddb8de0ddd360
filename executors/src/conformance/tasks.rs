//! Laws of tasks, blocking work, wake-ups and signals.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::task::AtomicWaker;
use rustix::process::{Signal, getpid, kill_process};

use super::subject::{Subject, hold, inside, soon, spawned, until, until_outside};
use crate::executor::{Executor, LocalFuture, SpawnError};
use crate::wait::yield_now;

/// A spawned task runs to its end although no task awaits it, and may spawn other tasks.
pub fn a_spawned_task_runs_detached<S: Subject>() {
    inside::<S>(async |executor| {
        let (done, finished) = oneshot::channel();
        let inner = executor.clone();
        let task = async move {
            yield_now().await;
            let last = async move { done.send(7).expect("the law waits") };
            inner.spawn(Box::pin(last)).expect("spawned");
        };
        executor.spawn(Box::pin(task)).expect("spawned");
        assert_eq!(soon(&executor, finished).await, Ok(7));
    });
}

/// A thread outside the executor spawns tasks, while the executor is busy and while it sleeps.
pub fn a_task_can_be_spawned_from_any_thread<S: Subject>() {
    inside::<S>(async |executor| {
        for number in 0..20 {
            let (done, finished) = oneshot::channel();
            let elsewhere = executor.clone();
            let thread = thread::spawn(move || {
                elsewhere.spawn(Box::pin(async move { done.send(number).expect("the law waits") }))
            });
            assert_eq!(soon(&executor, finished).await, Ok(number));
            assert_eq!(thread.join().expect("no panic"), Ok(()));
        }
    });
}

/// A future that is not `Send` runs on the thread that spawned it, or spawning it is an error.
pub fn a_local_task_runs_on_the_thread_that_spawned_it_or_is_refused<S: Subject>() {
    inside::<S>(async |executor| {
        let (done, finished) = oneshot::channel();
        let make = move || {
            let shared = Rc::new(Cell::new(thread::current().id()));
            Box::pin(async move {
                yield_now().await;
                assert_eq!(shared.get(), thread::current().id());
                done.send(shared.get()).expect("the law waits");
            }) as LocalFuture<()>
        };
        let spawned = executor.spawn_local(Box::new(make));
        if executor.runs_local() {
            assert_eq!(spawned, Ok(()));
            assert_eq!(soon(&executor, finished).await, Ok(thread::current().id()));
        } else {
            assert_eq!(spawned, Err(SpawnError::LocalUnsupported));
            assert!(finished.await.is_err(), "a refused task is dropped");
        }
    });
}

/// The error distinguishes a wrong thread from an executor without local tasks.
pub fn a_local_task_is_refused_on_another_thread<S: Subject>() {
    inside::<S>(async |executor| {
        let elsewhere = executor.clone();
        let refused = thread::spawn(move || elsewhere.spawn_local(Box::new(|| Box::pin(async {}))));
        let expected = match executor.runs_local() {
            true => SpawnError::WrongThread,
            false => SpawnError::LocalUnsupported,
        };
        assert_eq!(refused.join().expect("no panic"), Err(expected));
    });
}

/// The executor and its other tasks continue.
pub fn a_panic_ends_its_own_task_only<S: Subject>() {
    inside::<S>(async |executor| {
        // Unwinds like a panic, but does not call the panic hook, which would print it.
        async fn panic() {
            yield_now().await;
            resume_unwind(Box::new("of this task alone"));
        }
        let sleep = executor.sleep_until(executor.now() + Duration::from_millis(20));
        let other = spawned(&executor, sleep);
        for _ in 0..5 {
            executor.spawn(Box::pin(panic())).expect("spawned");
            if executor.runs_local() {
                executor.spawn_local(Box::new(|| Box::pin(panic()))).expect("spawned");
            }
            executor
                .blocking(Box::new(|| resume_unwind(Box::new("of this work"))))
                .expect("spawned");
        }
        soon(&executor, other).await.expect("the other task continues");
        soon(&executor, spawned(&executor, async {})).await.expect("it ran");
    });
}

/// A task whose drop panics ends only itself, also if it was never polled.
pub fn a_panic_of_a_drop_ends_its_own_task_only<S: Subject>() {
    struct Panics(Arc<()>);

    impl Drop for Panics {
        fn drop(&mut self) {
            resume_unwind(Box::new("of this drop"));
        }
    }

    fn task(held: &Arc<()>, polled: Poll<()>) -> impl Future<Output = ()> + Send + 'static {
        let panics = Panics(held.clone());
        poll_fn(move |_| {
            let _ = &panics.0;
            polled
        })
    }

    let kept = Arc::new(());
    let held = kept.clone();
    inside::<S>(async move |executor| {
        let spawn = |polled| {
            executor.spawn(Box::pin(task(&held, polled))).expect("spawned");
            if executor.runs_local() {
                let local = Box::pin(task(&held, polled));
                executor.spawn_local(Box::new(|| local)).expect("spawned");
            }
        };
        spawn(Poll::Ready(()));
        spawn(Poll::Pending);
        // These tasks have been polled when the executor ends; the last ones may not have started.
        soon(&executor, spawned(&executor, yield_now())).await.expect("it ran");
        (0..20).for_each(|_| spawn(Poll::Pending));
    });
    until_outside(|| Arc::strong_count(&kept) == 1);
}

/// Tasks that are always ready take turns with other tasks and with timers.
pub fn a_task_that_yields_lets_others_run<S: Subject>() {
    inside::<S>(async |executor| {
        let turns = [(); 4].map(|()| busy(&executor));
        until(&executor, || turns.iter().all(|turns| turns.load(Ordering::SeqCst) > 100)).await;
    });
}

/// Two tasks wake each other in turn: one of them is always ready, so the executor must not sleep.
/// Some executors slept if the system suspended the thread at a certain moment.
pub fn tasks_that_wake_each_other_never_stall<S: Subject>() {
    const TURNS: usize = 200_000;
    inside::<S>(async |executor| {
        let turn = Arc::new(AtomicUsize::new(0));
        let sides = [AtomicWaker::new(), AtomicWaker::new()].map(Arc::new);
        let [one, other] = [0, 1].map(|side| {
            let (turn, here, there) = (turn.clone(), sides[side].clone(), sides[1 - side].clone());
            spawned(&executor, async move {
                while turn.load(Ordering::SeqCst) < TURNS {
                    poll_fn(|context| {
                        here.register(context.waker());
                        let now = turn.load(Ordering::SeqCst);
                        if now % 2 == side || now >= TURNS {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    })
                    .await;
                    turn.fetch_add(1, Ordering::SeqCst);
                    there.wake();
                }
                there.wake();
            })
        });
        soon(&executor, one).await.expect("played");
        soon(&executor, other).await.expect("played");
    });
}

/// Spawns a task that is always ready, and returns the number of its turns. The task ends when this
/// number is dropped.
fn busy(executor: &Arc<dyn Executor>) -> Arc<AtomicUsize> {
    let turns = Arc::new(AtomicUsize::new(0));
    let own = turns.clone();
    drop(spawned(executor, async move {
        while Arc::strong_count(&own) > 1 {
            own.fetch_add(1, Ordering::SeqCst);
            yield_now().await;
        }
    }));
    turns
}

/// Tasks that still wait are dropped with their executor, including local tasks.
pub fn tasks_end_with_their_executor<S: Subject>() {
    let kept = Arc::new(());
    let held = kept.clone();
    inside::<S>(async move |executor| {
        executor.spawn(Box::pin(hold(held.clone()))).expect("spawned");
        // This task waits already when the executor ends; the others may not have started.
        yield_now().await;
        executor.spawn(Box::pin(hold(held.clone()))).expect("spawned");
        if executor.runs_local() {
            executor.spawn_local(Box::new(move || Box::pin(hold(held)))).expect("spawned");
        }
    });
    until_outside(|| Arc::strong_count(&kept) == 1);
}

/// After the end, methods return errors and do not panic. Their arguments are dropped.
pub fn an_ended_executor_refuses_everything<S: Subject>() {
    let (sender, receiver) = mpsc::channel();
    inside::<S>(async move |executor| sender.send(executor).expect("the law waits"));
    let executor = receiver.recv().expect("sent");
    let kept = Arc::new(());
    let [one, two, three] = [(); 3].map(|()| kept.clone());
    // `run` may return a moment before the executor has ended.
    until_outside(|| executor.spawn(Box::pin(async {})) == Err(SpawnError::Ended));
    assert_eq!(executor.spawn(Box::pin(async move { drop(one) })), Err(SpawnError::Ended));
    assert_eq!(executor.blocking(Box::new(move || drop(two))), Err(SpawnError::Ended));
    let refused = executor.spawn_local(Box::new(move || Box::pin(async move { drop(three) })));
    assert!(refused.is_err());
    assert_eq!(Arc::strong_count(&kept), 1);
    let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
    drop(executor.unix_stream(socket));
    let _ = (executor.name(), executor.now(), executor.wall_clock(), executor.entropy());
    drop(executor);
}

/// Blocking work may wait for a task, so it must not run on a thread of the tasks.
pub fn blocking_work_does_not_block_tasks<S: Subject>() {
    inside::<S>(async |executor| {
        let (begun, begins) = oneshot::channel();
        let (go, wait) = mpsc::channel();
        let (done, finished) = oneshot::channel();
        let work = move || {
            begun.send(()).expect("the law waits");
            done.send(wait.recv()).expect("the law waits");
        };
        executor.blocking(Box::new(work)).expect("spawned");
        soon(&executor, begins).await.expect("it started");
        soon(&executor, executor.sleep_until(executor.now() + Duration::from_millis(5))).await;
        go.send(7).expect("the work waits");
        assert_eq!(soon(&executor, finished).await, Ok(Ok(7)));
    });
}

/// While another task is always ready, a wake-up from another thread takes effect before that task
/// has had many turns.
pub fn a_wake_from_another_thread_reaches_a_busy_executor<S: Subject>() {
    const ROUNDS: usize = 41;
    // Executors need up to 200, and more while their other thread waits for a processor.
    const MOST: usize = 100_000;
    inside::<S>(async |executor| {
        let turns = busy(&executor);
        let mut delays = Vec::new();
        for _ in 0..ROUNDS {
            let (send, sent) = oneshot::channel();
            let (waits, waiting) = mpsc::channel();
            let elsewhere = turns.clone();
            let thread = thread::spawn(move || {
                waiting.recv().expect("it reports");
                send.send(elsewhere.load(Ordering::SeqCst)).expect("the law waits");
            });
            waits.send(()).expect("the work waits");
            let before = soon(&executor, sent).await.expect("sent");
            delays.push(turns.load(Ordering::SeqCst) - before);
            thread.join().expect("ended");
        }
        delays.sort_unstable();
        // In a few rounds the system stops the other thread between the load and the wake-up.
        assert!(delays[ROUNDS / 2] < MOST, "{}: {delays:?}", executor.name());
    });
}

/// The future is ready at each of the two signals. From the first poll on, the signals do not end
/// the process.
pub fn sigint_and_sigterm_interrupt<S: Subject>() {
    inside::<S>(async |executor| {
        for signal in [Signal::TERM, Signal::INT, Signal::TERM] {
            let mut interrupted = executor.interrupted();
            // The future is ready at once if a signal of another law arrives at this moment.
            if interrupted.as_mut().now_or_never().is_none() {
                kill_process(getpid(), signal).expect("may signal itself");
                soon(&executor, interrupted).await.expect("handled");
            }
        }
    });
}
