//! A wake of another thread, there and back: between services on two executors, and by the least that the machine and
//! the runtimes have for it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;
use mycelium::{Execution, WaitStrategy};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::io::{read, write};
use tokio::sync::oneshot;

use super::handler::answer;
use super::host::{Host, OnTokio, inside};
use super::services::{ANSWERER, ASKER, Board, FITS, trips};
use crate::affinity::{Cores, Side};
use crate::ends::{Ends, Receive, Transmit};
use crate::harness::Mismatch;
use crate::item::Item;
use crate::loops::latency::Timed;
use crate::report::histogram;
use crate::sample::Tally;
use crate::threads;

/// Two services of one node, on two executors on two threads.
pub(crate) struct Services<A, B> {
    pub(crate) name: &'static str,
    pub(crate) wait: WaitStrategy,
    pub(crate) cores: Cores,
    pub(crate) hosts: PhantomData<(A, B)>,
}

impl<A: Host, B: Host> Timed for Services<A, B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let Services { wait, cores, name, .. } = self;
        let board = Arc::new(Board::default());
        let builder = trips(operations, true, &board);
        let wait = *wait;
        // The executor over there, and its end.
        let (give, given) = mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let (ran, _) = threads::both(
            cores,
            move || {
                let there: B::Executor = given.recv().ok()?;
                let node = builder
                    .executor("there", there)
                    .execution(ASKER, Execution::shared().wait(wait))
                    .execution(ANSWERER, Execution::shared().on("there").wait(wait))
                    .build()
                    .expect(FITS);
                let ran = inside::<A, _>(async move |executor| {
                    node.start(executor).expect("it has all it needs").join().await.is_ok()
                });
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
        if ran != Some(true) {
            return Err(Mismatch::new(name, "the node failed"));
        }
        let found = board.found();
        Mismatch::check(name, u64::expected(operations), found.tally)?;
        Ok(found.times.unwrap_or_else(histogram))
    }
}

/// Two services with threads of their own, each pinned to a core, that never sleep.
pub(crate) struct Pinned {
    pub(crate) name: &'static str,
    pub(crate) cores: Cores,
}

impl Timed for Pinned {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let board = Arc::new(Board::default());
        let [asker, answerer] = [Side::Writer, Side::Reader].map(|side| {
            let core = self.cores.of(side);
            core.map_or_else(Execution::dedicated, |core| Execution::pinned([core]))
                .wait(WaitStrategy::Spin)
        });
        let node = trips(operations, true, &board)
            .execution(ASKER, asker)
            .execution(ANSWERER, answerer)
            .build()
            .expect(FITS);
        let ran = inside::<OnTokio, _>(async move |executor| {
            node.start(executor).expect("it has all it needs").join().await.is_ok()
        });
        if ran != Some(true) {
            return Err(Mismatch::new(self.name, "the node failed"));
        }
        let found = board.found();
        Mismatch::check(self.name, u64::expected(operations), found.tally)?;
        Ok(found.times.unwrap_or_else(histogram))
    }
}

/// A channel between two executors that wakes by the runtimes' own means.
pub(crate) struct Channel<A, B, P, Q> {
    pub(crate) name: &'static str,
    pub(crate) ends: fn() -> Ends<P, Q>,
    pub(crate) cores: Cores,
    pub(crate) hosts: PhantomData<(A, B)>,
}

impl<A: Host, B: Host, P: Transmit, Q: Receive> Timed for Channel<A, B, P, Q> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let (there, back) = ((self.ends)(), (self.ends)());
        let (ran, _) = threads::both(
            &self.cores,
            move || {
                inside::<A, _>(async move |_| ask(there.sender, back.receiver, operations).await)
            },
            move || inside::<B, _>(async move |_| answer(there.receiver, back.sender).await),
        );
        let (tally, times) = ran.ok_or(Mismatch::new(self.name, "a task panicked"))?;
        Mismatch::check(self.name, u64::expected(operations), tally)?;
        Ok(times)
    }
}

async fn ask(
    mut sender: impl Transmit,
    mut receiver: impl Receive,
    trips: usize,
) -> (Tally, Histogram<u64>) {
    let (mut tally, mut times) = (Tally::default(), histogram());
    for number in 0..trips as u64 {
        let start = Instant::now();
        if !sender.transmit(number).await {
            break;
        }
        let Some(back) = receiver.receive().await else { break };
        back.add(&mut tally);
        let _ = times.record(start.elapsed().as_nanos() as u64);
    }
    (tally, times)
}

/// Two threads that sleep until the other one wakes them.
pub(crate) struct Threads<W> {
    pub(crate) name: &'static str,
    pub(crate) cores: Cores,
    pub(crate) by: PhantomData<W>,
}

/// A way to wake a thread, for the side that wakes and the side that sleeps.
pub(crate) trait Bell: Sized + Sync {
    fn new() -> Self;
    fn ring(&self);
    fn sleep(&self);
}

/// An eventfd that the sleeper reads.
pub(crate) struct Eventfd(OwnedFd);

impl Bell for Eventfd {
    fn new() -> Eventfd {
        Eventfd(eventfd(0, EventfdFlags::CLOEXEC).expect("the system gives a descriptor"))
    }

    fn ring(&self) {
        write(&self.0, &1u64.to_ne_bytes()).expect("far from full");
    }

    fn sleep(&self) {
        read(&self.0, &mut [0; 8]).expect("it is open");
    }
}

/// `thread::park`, which is a futex.
pub(crate) struct Futex {
    state: std::sync::atomic::AtomicBool,
    thread: std::sync::OnceLock<thread::Thread>,
}

impl Bell for Futex {
    fn new() -> Futex {
        Futex { state: false.into(), thread: std::sync::OnceLock::new() }
    }

    fn ring(&self) {
        self.state.store(true, std::sync::atomic::Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn sleep(&self) {
        self.thread.get_or_init(thread::current);
        while !self.state.swap(false, std::sync::atomic::Ordering::Acquire) {
            thread::park();
        }
    }
}

impl<W: Bell> Timed for Threads<W> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let (there, back) = (W::new(), W::new());
        let (times, ()) = threads::both(
            &self.cores,
            || {
                let mut times = histogram();
                for _ in 0..operations {
                    let start = Instant::now();
                    there.ring();
                    back.sleep();
                    let _ = times.record(start.elapsed().as_nanos() as u64);
                }
                times
            },
            || {
                for _ in 0..operations {
                    there.sleep();
                    back.ring();
                }
            },
        );
        Ok(times)
    }
}
