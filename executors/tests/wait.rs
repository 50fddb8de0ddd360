//! Threads that wait: they are woken whenever they have to be, and cost nothing meanwhile.

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

/// Whoever takes longer than this was forgotten.
const PATIENCE: Duration = Duration::from_secs(60);

const POLICIES: [WaitStrategy; 3] =
    [WaitStrategy::Spin, WaitStrategy::SpinThenPark(100), WaitStrategy::Park];

/// Two threads that spin on one core cost a time slice each round.
fn rounds(wait: WaitStrategy) -> u32 {
    match wait {
        _ if cfg!(miri) => 20,
        WaitStrategy::Spin => 100,
        _ => 5_000,
    }
}

#[test]
fn requests_get_their_responses() {
    for wait in POLICIES {
        let rounds = rounds(wait);
        let (mut ask, mut asked) = spsc::bounded::<u32>(2).unwrap();
        let (mut answer, mut answered) = spsc::bounded::<u32>(2).unwrap();
        let other = thread::spawn(move || {
            while let Some(number) = block_on(asked.recv(), wait) {
                block_on(answer.send(number + 1), wait).unwrap();
            }
        });
        for number in 0..rounds {
            block_on(ask.send(number), wait).unwrap();
            assert_eq!(block_on(answered.recv(), wait), Some(number + 1));
        }
        drop(ask);
        assert_eq!(block_on(answered.recv(), wait), None);
        other.join().unwrap();
    }
}

#[test]
fn a_full_channel_blocks_its_sender() {
    for wait in POLICIES {
        let (mut sender, mut receiver) = spsc::bounded::<u32>(2).unwrap();
        let count = rounds(wait);
        let other = thread::spawn(move || {
            for number in 0..count {
                block_on(sender.send(number), wait).unwrap();
            }
        });
        for number in 0..count {
            assert_eq!(block_on(receiver.recv(), wait), Some(number));
        }
        other.join().unwrap();
    }
}

/// It polls once, sleeps, and polls again only when it was woken, not when its thread is unparked for other reasons.
#[test]
fn a_parked_thread_polls_only_when_woken() {
    static POLLS: AtomicUsize = AtomicUsize::new(0);
    let (sender, wakers) = mpsc::channel::<Waker>();
    let (mut send, mut receive) = spsc::bounded(2).unwrap();
    let waits = thread::spawn(move || {
        let mut received = pin!(receive.recv());
        block_on(
            poll_fn(|context| {
                POLLS.fetch_add(1, SeqCst);
                let polled = received.as_mut().poll(context);
                if polled.is_pending() {
                    sender.send(context.waker().clone()).unwrap();
                }
                polled
            }),
            WaitStrategy::Park,
        )
    });
    let waker = wakers.recv().unwrap();
    for _ in 0..100 {
        waits.thread().unpark();
    }
    assert_eq!(POLLS.load(SeqCst), 1, "an unpark is no wake");
    waker.wake();
    wakers.recv().unwrap();
    assert_eq!(POLLS.load(SeqCst), 2, "a wake is one look");
    send.try_send(7).unwrap();
    assert_eq!(waits.join().unwrap(), Some(7));
    assert_eq!(POLLS.load(SeqCst), 3);
}

#[test]
fn a_wake_before_the_wait_is_not_lost() {
    for wait in POLICIES {
        let mut polls = 0;
        let ready = poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        block_on(ready, wait);
        assert_eq!(polls, 3);
    }
}

/// Nanoseconds that this thread has had on a processor, where the system says.
fn cpu_time() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok()
}

/// While another thread works for 50 ms, one that waits gets next to nothing of a processor.
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
    assert!(cost < 10_000_000, "{cost} ns on a processor while there was nothing to do");
}

/// The inner wait takes no wake that was for the outer one.
#[test]
fn a_nested_wait_has_its_own_wakes() {
    for wait in POLICIES {
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

/// Some instructions, so that threads meet at other places.
fn linger(count: u32) {
    for number in 0..count {
        black_box(number);
    }
}

/// Each round wakes twice, at many distances from each other and from the start of the wait, and only before the second
/// wake is there something to see. Who takes a wake back by a plain store may take back one that it has not seen: natively
/// that shows now and then, under Miri at once.
#[test]
fn a_second_wake_is_not_cleared_with_the_first() {
    for wait in POLICIES {
        let rounds = match wait {
            _ if cfg!(miri) => 200,
            WaitStrategy::Spin => rounds(wait),
            _ => 40 * rounds(wait),
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
                for looks in 0.. {
                    if begun.load(Relaxed) == round {
                        break;
                    }
                    if looks < 1_000 { hint::spin_loop() } else { thread::yield_now() }
                }
                waker.wake_by_ref();
                linger(round % 127);
                word.store(round, Relaxed);
                waker.wake_by_ref();
            }
        });
        assert_eq!(end.recv_timeout(PATIENCE), Ok(()), "a wake was lost ({wait:?})");
    }
}
