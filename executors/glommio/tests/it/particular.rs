//! Tests of glommio's particular behaviour, beyond the laws of executors.

use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use futures_channel::oneshot::{Sender, channel};
use futures_util::FutureExt;
use futures_util::io::AsyncReadExt;
use mycelium_executor::{Executor, LocalFuture, TaskQueue, Thread, ThreadError};
use mycelium_glommio::{Glommio, LocalError, Settings, check, local, run};

/// Runs `body` inside glommio, or prints why this machine cannot.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn inside(settings: Settings, body: impl AsyncFnOnce(Glommio) + 'static) {
    if let Err(missing) = check() {
        println!("SKIPPED: glommio: {missing}");
        return;
    }
    run(&settings, async move |executor| body(executor).await).unwrap();
}

/// Sends the shares of the task queue that it runs in.
async fn tell_shares(to: Sender<usize>) {
    let own = glommio::executor().current_task_queue();
    let stats = glommio::executor().task_queue_stats(own).unwrap();
    _ = to.send(stats.current_shares());
}

#[test]
fn the_settings_of_a_task_queue_reach_glommio() {
    inside(Settings::default(), async |executor| {
        let latency = Some(Duration::from_micros(250));
        let queue = executor.task_queue(TaskQueue { shares: Some(70), latency }).unwrap();
        let expected = "glommio, one thread, shares = 70, latency = \"250µs\"";
        assert_eq!(queue.name(), expected);
        let (send, shares) = channel();
        queue.spawn(Box::pin(tell_shares(send))).unwrap();
        assert_eq!(shares.await, Ok(70));
        // Executors of the threads that it dedicates have the shares, too.
        let (send, shares) = channel();
        let make = move |_| Box::pin(tell_shares(send)) as LocalFuture<()>;
        queue.dedicate(Thread::default(), Box::new(make)).unwrap();
        assert_eq!(shares.await, Ok(70));
        // A queue inherits settings that it does not set from its executor.
        let queue = queue.task_queue(TaskQueue { shares: Some(7), latency: None }).unwrap();
        assert!(queue.name().ends_with("shares = 7, latency = \"250µs\""), "{}", queue.name());
        let error = executor.task_queue(TaskQueue { shares: Some(0), latency: None });
        let error = error.err().unwrap().to_string();
        assert!(error.contains("invalid shares 0"), "{error}");
        let elsewhere = thread::spawn(move || executor.task_queue(TaskQueue::default()).err());
        let error = elsewhere.join().unwrap().unwrap().to_string();
        assert!(error.contains("on the thread of its executor"), "{error}");
    });
}

#[test]
fn the_tasks_of_a_queue_end_with_its_last_handle_and_others_continue() {
    inside(Settings::default(), async |executor| {
        let [(first, queue), (second, _kept)] = [1_000, 100].map(|shares| {
            let queue = TaskQueue { shares: Some(shares), latency: None };
            let queue = executor.task_queue(queue).unwrap();
            let polls = Arc::new(AtomicU64::new(0));
            let counted = polls.clone();
            let task = poll_fn(move |context: &mut Context<'_>| {
                counted.fetch_add(1, Ordering::Relaxed);
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            queue.spawn(Box::pin(task)).unwrap();
            (polls, queue)
        });
        drop(queue);
        let begun = second.load(Ordering::Relaxed);
        while Arc::strong_count(&first) > 1 || second.load(Ordering::Relaxed) < begun + 1_000 {
            executor.sleep_until(executor.now() + Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_socket_is_an_error_on_another_thread_and_works_again_on_its_own() {
    inside(Settings::default(), async |executor| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut ours = executor.unix_stream(ours).unwrap();
        assert!(ours.read(&mut [0]).now_or_never().is_none());
        let mut ours = thread::spawn(move || {
            let read = ours.read(&mut [0]).now_or_never();
            assert!(matches!(read, Some(Err(_))), "{read:?}");
            ours
        })
        .join()
        .unwrap();
        std::io::Write::write_all(&mut theirs, &[7]).unwrap();
        let mut read = [0];
        ours.read_exact(&mut read).await.unwrap();
        assert_eq!(read, [7]);
    });
}

#[test]
fn a_nested_executor_is_an_error() {
    inside(Settings::default(), async |_| {
        let nested = run(&Settings::default(), async |_| {});
        assert!(matches!(nested, Err(ThreadError::Executor { .. })), "{nested:?}");
    });
    assert_eq!(local(async |_| {}).now_or_never(), Some(Err(LocalError::Outside)));
}

#[test]
fn invalid_settings_are_refused() {
    let refused = run(&Settings { shares: 0, ..Settings::default() }, async |_| {});
    let Err(ThreadError::Executor { error, .. }) = refused else { panic!("{refused:?}") };
    assert!(error.contains("1 to 1,000"), "{error}");
}
