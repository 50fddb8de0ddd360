//! A wake of another thread, there and back, between services on two executors.

use std::sync::{Arc, mpsc};

use mycelium::execution::{Execution, WaitStrategy};
use mycelium_executor::Executor;
use tokio::sync::oneshot;

use super::host::Runtime;
use super::services::{CLIENT, ECHO, FITS, Task, trips};
use crate::harness::{Column, Mismatch, Round};
use crate::machine::affinity::{Cores, Side};
use crate::machine::threads;

/// Creates a column of two services of one node, on two executors on two threads.
pub(crate) fn services(
    name: &'static str,
    [here, there]: [Runtime; 2],
    wait: WaitStrategy,
    cores: Cores,
) -> Column {
    Column::new(name, move |operations| {
        let task = Task::of(operations);
        let builder = trips(true, &task);
        // The channels pass the executor of the other thread to this one, and end that executor.
        let (give, given) = mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let (ran, _) = threads::both(
            &cores,
            move || {
                let other: Arc<dyn Executor> =
                    given.recv().map_err(|_| Mismatch::new(name, "the other executor failed"))?;
                let node = builder
                    .executor("there", other)
                    .execution(CLIENT, Execution::shared().wait(wait))
                    .execution(ECHO, Execution::shared().on("there").wait(wait))
                    .build()
                    .expect(FITS);
                let ran = here.run_node(name, node);
                let _ = end.send(());
                ran
            },
            move || {
                there.run(async move |executor| {
                    let _ = give.send(executor);
                    ended.await.is_ok()
                })
            },
        );
        ran?;
        task.checked(name).map(|found| Round::Each(found.times))
    })
}

/// Creates a column of two services on their own threads, each pinned to a core, that never sleep.
pub(crate) fn pinned(name: &'static str, cores: Cores) -> Column {
    Column::new(name, move |operations| {
        let task = Task::of(operations);
        let [client, echo] = [Side::Writer, Side::Reader].map(|side| {
            let core = cores.of(side);
            core.map_or_else(Execution::dedicated, |core| Execution::pinned([core]))
                .wait(WaitStrategy::Spin)
        });
        let node =
            trips(true, &task).execution(CLIENT, client).execution(ECHO, echo).build().expect(FITS);
        Runtime::Tokio.run_node(name, node)?;
        task.checked(name).map(|found| Round::Each(found.times))
    })
}
