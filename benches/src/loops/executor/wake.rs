//! A wake of another thread, there and back: between services on two executors, and by the fastest
//! means of the system.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use mycelium::{Execution, WaitStrategy};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::io::{read, write};
use tokio::sync::oneshot;

use super::host::{Host, OnTokio, inside, run_node};
use super::services::{CLIENT, ECHO, FITS, Results, trips};
use crate::affinity::{Cores, Side};
use crate::harness::{Column, Mismatch, Round};
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

/// Two threads, each of which sleeps until the other one writes to its eventfd.
pub(crate) fn eventfds(name: &'static str, cores: Cores) -> Column {
    let new = || eventfd(0, EventfdFlags::CLOEXEC).expect("the process may open a descriptor");
    let wake = |file: &OwnedFd| {
        write(file, &1u64.to_ne_bytes()).expect("its counter is far from full");
    };
    let sleep = |file: &OwnedFd| _ = read(file, &mut [0; 8]).expect("it is open");
    Column::new(name, move |operations| {
        let (there, back) = (new(), new());
        let (times, ()) = threads::both(
            &cores,
            || {
                let mut times = Times::default();
                for _ in 0..operations {
                    let start = Instant::now();
                    wake(&there);
                    sleep(&back);
                    times.record(start.elapsed());
                }
                times
            },
            || {
                for _ in 0..operations {
                    sleep(&there);
                    wake(&back);
                }
            },
        );
        Ok(Round::Each(times))
    })
}
