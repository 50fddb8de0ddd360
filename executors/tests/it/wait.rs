//! `block_on`: no wake-up is lost, and a parked thread uses no processor time.

use std::future::poll_fn;
use std::hint::{self, black_box};
use std::pin::pin;
use std::sync::atomic::{
    AtomicU32, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use mycelium_core::channel::spsc;
use mycelium_core::wait::WaitStrategy;
use mycelium_executor::block_on;

/// A thread that takes longer than this has lost a wake-up.
const TIMEOUT: Duration = Duration::from_secs(60);

const STRATEGIES: [WaitStrategy; 3] =
    [WaitStrategy::Spin, WaitStrategy::SpinThenPark(100), WaitStrategy::Park];

/// The thread polls once, parks, and polls again only after a wake-up, not when something else
/// unparks it.
#[test]
fn a_parked_thread_polls_only_when_woken() {
    static POLLS: AtomicUsize = AtomicUsize::new(0);
    let (sender, wakers) = mpsc::channel::<Waker>();
    let (mut send, mut receive) = spsc::bounded(2).unwrap();
    let waits = thread::spawn(move || {
        let mut received = pin!(receive.recv());
        let receives = poll_fn(|context| {
            POLLS.fetch_add(1, SeqCst);
            let polled = received.as_mut().poll(context);
            if polled.is_pending() {
                sender.send(context.waker().clone()).unwrap();
            }
            polled
        });
        block_on(receives, WaitStrategy::Park)
    });
    let waker = wakers.recv().unwrap();
    for _ in 0..100 {
        waits.thread().unpark();
    }
    assert_eq!(POLLS.load(SeqCst), 1, "an unpark without a wake-up does not poll");
    waker.wake();
    wakers.recv().unwrap();
    assert_eq!(POLLS.load(SeqCst), 2, "a wake-up polls once");
    send.try_send(7).unwrap();
    assert_eq!(waits.join().unwrap(), Some(7));
    assert_eq!(POLLS.load(SeqCst), 3);
}

/// Returns the processor time of this thread in nanoseconds; `None` if the system does not report
/// it.
fn cpu_time() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok()
}

/// While another thread works for 50 ms, a waiting thread uses almost no processor time.
#[test]
fn a_parked_thread_uses_no_processor_time() {
    if cfg!(miri) || cpu_time().is_none() {
        return;
    }
    let (mut sender, mut receiver) = spsc::bounded(2).unwrap();
    let waits = thread::spawn(move || {
        let before = cpu_time().unwrap();
        assert_eq!(block_on(receiver.recv(), WaitStrategy::SpinThenPark(100)), Some(()));
        cpu_time().unwrap() - before
    });
    let start = cpu_time().unwrap();
    while cpu_time().unwrap() - start < 50_000_000 {}
    sender.try_send(()).unwrap();
    let cost = waits.join().unwrap();
    assert!(cost < 10_000_000, "{cost} ns of processor time while waiting");
}

/// The inner wait does not consume a wake-up of the outer wait.
#[test]
fn a_nested_wait_has_its_own_wakes() {
    for wait in STRATEGIES {
        let mut polls = 0;
        let outer = poll_fn(|context| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            let (mut sender, mut receiver) = spsc::bounded(2).unwrap();
            let sends = thread::spawn(move || block_on(sender.send(1), wait));
            assert_eq!(block_on(receiver.recv(), wait), Some(1));
            sends.join().unwrap().unwrap();
            Poll::Pending
        });
        block_on(outer, wait);
        assert_eq!(polls, 2);
    }
}

/// Executes some instructions, so that the threads interleave differently.
fn linger(count: u32) {
    for number in 0..count {
        black_box(number);
    }
}

/// Each round wakes twice, at varying distances from each other and from the start of the wait. The
/// word changes only before the second wake-up. An implementation that clears the first wake-up by
/// a plain store may also clear the second one: this shows rarely in a native run, but at once
/// under Miri.
#[test]
fn a_second_wake_is_not_cleared_with_the_first() {
    for wait in STRATEGIES {
        let rounds = match wait {
            _ if cfg!(miri) => 200,
            // Two threads that spin on one core need a time slice per round.
            WaitStrategy::Spin => 100,
            _ => 200_000,
        };
        let (begun, word) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (give, wakers) = mpsc::channel::<Waker>();
        let (ends, end) = mpsc::channel();
        let waits = {
            let (begun, word) = (begun.clone(), word.clone());
            move || {
                let mut round = 0;
                let all = poll_fn(|context| {
                    if word.load(Relaxed) == round {
                        if round == rounds {
                            return Poll::Ready(());
                        }
                        if round == 0 {
                            give.send(context.waker().clone()).unwrap();
                        }
                        round += 1;
                        begun.store(round, Relaxed);
                        linger(round % 61);
                    }
                    Poll::Pending
                });
                block_on(all, wait);
                ends.send(()).unwrap();
            }
        };
        thread::spawn(waits);
        thread::spawn(move || {
            let waker = wakers.recv().unwrap();
            for round in 1..=rounds {
                for spins in 0.. {
                    if begun.load(Relaxed) == round {
                        break;
                    }
                    if spins < 1_000 { hint::spin_loop() } else { thread::yield_now() }
                }
                waker.wake_by_ref();
                linger(round % 127);
                word.store(round, Relaxed);
                waker.wake_by_ref();
            }
        });
        assert_eq!(end.recv_timeout(TIMEOUT), Ok(()), "a wake-up was lost ({wait:?})");
    }
}
