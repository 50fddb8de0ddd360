//! Laws of clocks and timers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::{FutureExt, StreamExt};
use mycelium_core::wait::WaitStrategy;

use super::subject::{Subject, WakeCounter, inside, soon};
use crate::wait::block_on;

/// No task wakes before its deadline. If one thread runs all tasks, they wake in the order of their
/// deadlines.
pub fn timers_fire_in_order_and_never_early<S: Subject>() {
    inside::<S>(async |executor| {
        let (woke, mut awake) = mpsc::unbounded();
        let begin = executor.now();
        for pause in [90, 30, 60] {
            let (woke, here) = (woke.clone(), executor.clone());
            let deadline = begin + Duration::from_millis(pause);
            let task = async move {
                here.sleep_until(deadline).await;
                let early = deadline.saturating_sub(here.now());
                let thread = thread::current().id();
                woke.unbounded_send((pause, early, thread)).expect("the law counts");
            };
            executor.spawn(Box::pin(task)).expect("spawned");
        }
        drop(woke);
        let (mut order, mut threads) = (Vec::new(), HashSet::new());
        while let Some((pause, early, thread)) = soon(&executor, awake.next()).await {
            assert_eq!(early, Duration::ZERO);
            order.push(pause);
            threads.insert(thread);
        }
        if !executor.runs_local() || threads.len() > 1 {
            order.sort_unstable();
        }
        assert_eq!(order, [30, 60, 90]);
    });
}

/// A timer with a deadline in the past is ready without waiting.
pub fn a_past_deadline_is_ready_at_once<S: Subject>() {
    inside::<S>(async |executor| {
        for deadline in [Duration::ZERO, executor.now()] {
            soon(&executor, executor.sleep_until(deadline)).await;
        }
    });
}

/// Timers with a deadline after centuries, or the maximum, stay pending.
pub fn a_far_deadline_stays_pending<S: Subject>() {
    inside::<S>(async |executor| {
        let century = Duration::from_secs(100 * 365 * 86_400);
        let deadlines = [century, 10 * century, Duration::MAX];
        let mut far = deadlines.map(|deadline| executor.sleep_until(deadline));
        assert!(far.iter_mut().all(|timer| timer.now_or_never().is_none()));
        soon(&executor, executor.sleep_until(executor.now() + Duration::from_millis(5))).await;
        assert!(far.iter_mut().all(|timer| timer.now_or_never().is_none()));
    });
}

/// Dropping a timer cancels it.
pub fn a_dropped_timer_does_not_wake<S: Subject>() {
    inside::<S>(async |executor| {
        let wakes = Arc::new(WakeCounter::default());
        let deadline = executor.now() + Duration::from_millis(20);
        {
            let waker = Waker::from(wakes.clone());
            let mut timer = executor.sleep_until(deadline);
            let _ = timer.as_mut().poll(&mut Context::from_waker(&waker));
        }
        soon(&executor, executor.sleep_until(deadline + Duration::from_millis(20))).await;
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    });
}

/// A thread without an executor can await a timer of this executor.
pub fn a_timer_may_be_awaited_on_any_thread<S: Subject>() {
    inside::<S>(async |executor| {
        let (done, finished) = oneshot::channel();
        let elsewhere = executor.clone();
        let deadline = executor.now() + Duration::from_millis(5);
        let timer = executor.sleep_until(deadline);
        let thread = thread::spawn(move || {
            block_on(timer, WaitStrategy::Park);
            let another = elsewhere.sleep_until(elsewhere.now() + Duration::from_millis(1));
            block_on(another, WaitStrategy::Park);
            let _ = done.send(elsewhere.now());
        });
        let woke = soon(&executor, finished).await.expect("the thread reports");
        assert!(woke >= deadline);
        thread.join().expect("ended");
    });
}

/// The time never goes back, on one thread and between threads.
pub fn time_never_goes_back<S: Subject>() {
    inside::<S>(async |executor| {
        let mut last = executor.now();
        for _ in 0..100 {
            let elsewhere = executor.clone();
            let next = thread::spawn(move || elsewhere.now()).join().expect("no panic");
            assert!(last <= next);
            let _ = executor.sleep_until(next).now_or_never();
            last = executor.now();
            assert!(next <= last);
        }
    });
}
