//! Services that the tests of executions share.

use std::sync::mpsc::Receiver;
use std::thread;

use mycelium::{Context, Delivery, Result, service};

pub(crate) use crate::node::services::{Number, Source, Square, sink, squares};
pub(crate) use crate::running::{LONG, end, start, within};
use crate::support::idle_services;

/// Squares numbers. Its future is not `Send`, because it holds an `Rc` across an await.
pub(crate) struct LocalSquarer;

#[service(reads(Number), emits(Square))]
impl LocalSquarer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let here = std::rc::Rc::new(thread::current().id());
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Delivery::Msg(number) = delivery else { panic!("no gaps at a block subscription") };
            assert_eq!(*here, thread::current().id());
            ctx.emit(Square { value: number.value * number.value }).await?;
        }
        Ok(())
    }
}

idle_services! {
    Idle();
}

/// Blocks its thread until the test releases it, then waits for the shutdown.
pub(crate) struct Hanging(pub(crate) Option<Receiver<()>>);

#[service()]
impl Hanging {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        if let Some(release) = self.0.take() {
            let _ = release.recv_timeout(LONG);
        }
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// Returns the `/proc` directory of this process's thread with that name, as the system truncates
/// it.
#[cfg(target_os = "linux")]
pub(crate) fn thread_directory(name: &str) -> Option<std::path::PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
    tasks.find(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
    })
}

/// Waits until a thread that has ended is gone; the system takes a moment to remove it.
#[cfg(target_os = "linux")]
pub(crate) async fn thread_goes(name: &str) {
    crate::running::until(|| thread_directory(name).is_none()).await;
}
