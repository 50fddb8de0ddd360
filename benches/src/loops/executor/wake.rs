//! A wake of another thread, there and back: between services on two executors, by the runtimes'
//! own channels, and by the fastest means of the system.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Instant;

use mycelium::{Execution, WaitStrategy};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::io::{read, write};
use tokio::sync::oneshot;

use super::host::{Host, OnTokio, inside, run_node};
use super::services::{CLIENT, ECHO, FITS, Results, trips};
use crate::affinity::{Cores, Side};
use crate::ends::{Ends, Receive, Transmit};
use crate::harness::{Column, Mismatch, Round};
use crate::loops::tasks::{answer, ask};
use crate::sample::Item;
use crate::stats::Times;
use crate::threads;

/// The times of the trips on a results.
fn found(name: &'static str, operations: usize, results: &Results) -> Result<Round, Mismatch> {
    let found = results.found();
    Mismatch::check(name, u64::expected(operations), found.tally)?;
    Ok(Round::Each(found.times))
}

/// Two services of one node, on two executors on two threads.
pub(crate) fn services<A: Host, B: Host>(
    name: &'static str,
    wait: WaitStrategy,
    cores: Cores,
) -> Column {
    Column::new(name, move |operations| {
        let results = Arc::new(Results::default());
        let builder = trips(operations, true, &results);
        // The remote executor, and its end.
        let (give, given) = mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let (ran, _) = threads::both(
            &cores,
            move || {
                let there: B::Executor =
                    given.recv().map_err(|_| Mismatch::new(name, "the other executor failed"))?;
                let node = builder
                    .executor("there", there)
                    .execution(CLIENT, Execution::shared().wait(wait))
                    .execution(ECHO, Execution::shared().on("there").wait(wait))
                    .build()
                    .expect(FITS);
                let ran = run_node::<A>(name, node);
                let _ = end.send(());
                ran
            },
            move || {
                inside::<B, _>(async move |executor| {
                    let _ = give.send(executor);
                    ended.await.is_ok()
                })
            },
        );
        ran?;
        found(name, operations, &results)
    })
}

/// Two services on their own threads, each pinned to a core, that never sleep.
pub(crate) fn pinned(name: &'static str, cores: Cores) -> Column {
    Column::new(name, move |operations| {
        let results = Arc::new(Results::default());
        let [client, echo] = [Side::Writer, Side::Reader].map(|side| {
            let core = cores.of(side);
            core.map_or_else(Execution::dedicated, |core| Execution::pinned([core]))
                .wait(WaitStrategy::Spin)
        });
        let node = trips(operations, true, &results)
            .execution(CLIENT, client)
            .execution(ECHO, echo)
            .build()
            .expect(FITS);
        run_node::<OnTokio>(name, node)?;
        found(name, operations, &results)
    })
}

/// A rival's channel between two executors on two threads.
pub(crate) fn channel<A: Host, B: Host, P: Transmit, Q: Receive>(
    name: &'static str,
    ends: fn() -> Ends<P, Q>,
    cores: Cores,
) -> Column {
    Column::new(name, move |operations| {
        let (mut there, mut back) = (ends(), ends());
        let (ran, _) = threads::both(
            &cores,
            move || {
                inside::<A, _>(async move |_| {
                    let (mut times, mut before) = (Times::default(), Instant::now());
                    let each = || {
                        let now = Instant::now();
                        times.record(now - before);
                        before = now;
                    };
                    let asked = ask(&mut there.sender, &mut back.receiver, operations, each).await;
                    (asked.0, times)
                })
            },
            move || {
                inside::<B, _>(async move |_| {
                    answer(&mut there.receiver, &mut back.sender, operations).await;
                })
            },
        );
        let (tally, times) = ran.ok_or_else(|| Mismatch::new(name, "a task panicked"))?;
        Mismatch::check(name, u64::expected(operations), tally)?;
        Ok(Round::Each(times))
    })
}

/// A way to wake a thread.
pub(crate) trait Wake: Sized + Sync {
    fn new() -> Self;
    fn wake(&self);
    fn sleep(&self);
}

/// An eventfd that the sleeping thread reads.
pub(crate) struct Eventfd(OwnedFd);

impl Wake for Eventfd {
    fn new() -> Eventfd {
        Eventfd(eventfd(0, EventfdFlags::CLOEXEC).expect("the process may open a descriptor"))
    }

    fn wake(&self) {
        write(&self.0, &1u64.to_ne_bytes()).expect("its counter is far from full");
    }

    fn sleep(&self) {
        read(&self.0, &mut [0; 8]).expect("it is open");
    }
}

/// `thread::park`, which is a futex.
#[derive(Default)]
pub(crate) struct Futex {
    state: AtomicBool,
    thread: OnceLock<thread::Thread>,
}

impl Wake for Futex {
    fn new() -> Futex {
        Futex::default()
    }

    fn wake(&self) {
        self.state.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn sleep(&self) {
        self.thread.get_or_init(thread::current);
        while !self.state.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Two threads that sleep until the other one wakes them.
pub(crate) fn threads<W: Wake>(name: &'static str, cores: Cores) -> Column {
    Column::new(name, move |operations| {
        let (there, back) = (W::new(), W::new());
        let (times, ()) = threads::both(
            &cores,
            || {
                let mut times = Times::default();
                for _ in 0..operations {
                    let start = Instant::now();
                    there.wake();
                    back.sleep();
                    times.record(start.elapsed());
                }
                times
            },
            || {
                for _ in 0..operations {
                    there.sleep();
                    back.wake();
                }
            },
        );
        Ok(Round::Each(times))
    })
}
