//! Tasks that other threads wake while their executor ends.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use mycelium_executor::{Executor, yield_now};
use mycelium_smol::Smol;

/// Ends many executors, each with tasks that never end, while other threads wake these.
fn no_task_is_left(rounds: usize, run: impl Fn(&dyn Fn(&Smol))) {
    const TASKS: usize = 64;
    for round in 0..rounds {
        let (alive, wakers) = (Arc::new(()), Arc::new(Mutex::new(Vec::<Waker>::new())));
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        let wakers = wakers.lock().unwrap().clone();
                        (0..64).for_each(|_| wakers.iter().for_each(Waker::wake_by_ref));
                    }
                });
            }
            run(&|executor| {
                for _ in 0..TASKS {
                    let (alive, wakers, mut is_first) = (alive.clone(), wakers.clone(), true);
                    let task = poll_fn(move |context| {
                        let _alive = &alive;
                        if std::mem::take(&mut is_first) {
                            wakers.lock().unwrap().push(context.waker().clone());
                        }
                        Poll::Pending
                    });
                    executor.spawn(Box::pin(task)).unwrap();
                }
            });
            ended.store(true, Ordering::Relaxed);
        });
        assert_eq!(Arc::strong_count(&alive), 1, "{round}: a task has outlived its executor");
    }
}

async fn some_time() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[test]
fn no_task_outlives_its_threads() {
    for threads in [1, 2] {
        no_task_is_left(200, |spawn| {
            let body = async |executor: Smol| {
                spawn(&executor);
                some_time().await;
            };
            mycelium_smol::run(threads, body).unwrap();
        });
    }
}

#[test]
fn no_task_outlives_its_local_executor() {
    no_task_is_left(200, |spawn| {
        async_io::block_on(mycelium_smol::local(async |executor: Smol| {
            spawn(&executor);
            some_time().await;
        }));
    });
}

/// Calls `run` and catches the panic that it must pass on.
fn panics<T>(run: impl FnOnce() -> T) {
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
}

#[test]
fn no_task_outlives_a_body_that_panics() {
    no_task_is_left(200, |spawn| {
        let body = async |executor: Smol| {
            spawn(&executor);
            some_time().await;
            resume_unwind(Box::new("of the body"));
        };
        panics(|| async_io::block_on(mycelium_smol::local(body)));
        for threads in [1, 2] {
            panics(|| mycelium_smol::run(threads, body));
        }
        // This panics before it returns a future.
        let body = |executor: Smol| {
            spawn(&executor);
            resume_unwind(Box::new("of the body"));
            #[expect(unreachable_code, reason = "the type of the future")]
            pending::<()>()
        };
        panics(|| async_io::block_on(mycelium_smol::local(body)));
        panics(|| mycelium_smol::run(2, body));
    });
}

#[test]
fn no_task_outlives_a_local_executor_that_is_dropped_half_way() {
    no_task_is_left(600, |spawn| {
        let mut local = pin!(mycelium_smol::local(async |executor: Smol| {
            spawn(&executor);
            pending::<()>().await;
        }));
        for _ in 0..100 {
            assert!(local.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    });
}

#[test]
fn a_local_executor_may_be_dropped_with_the_values_of_its_thread() {
    thread_local! {
        static KEPT: Cell<Option<Pin<Box<dyn Future<Output = ()>>>>> = const { Cell::new(None) };
    }
    let alive = Arc::new(());
    let held = alive.clone();
    let thread = thread::spawn(move || {
        // Registers the value first, so that others are dropped before it.
        KEPT.set(None);
        let mut local = Box::pin(mycelium_smol::local(async move |executor: Smol| {
            let task = async move {
                let _held = held;
                pending().await
            };
            executor.spawn(Box::pin(task)).unwrap();
            pending().await
        }));
        assert!(local.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        KEPT.set(Some(local));
    });
    thread.join().unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
}
