//! Tasks that other threads wake while their executor ends.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use mycelium_executor::{Executor, yield_now};
use mycelium_smol::Smol;

/// Ends many executors, each with tasks that never end, while another thread wakes these.
fn no_task_is_left(run: impl Fn(&dyn Fn(&Smol))) {
    const TASKS: usize = 64;
    for round in 0..200 {
        let (alive, wakers) = (Arc::new(()), Arc::new(Mutex::new(Vec::<Waker>::new())));
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let wakers = wakers.lock().unwrap().clone();
                    wakers.iter().for_each(Waker::wake_by_ref);
                }
            });
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
        no_task_is_left(|spawn| {
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
    no_task_is_left(|spawn| {
        async_io::block_on(mycelium_smol::local(async |executor: Smol| {
            spawn(&executor);
            some_time().await;
        }));
    });
}
