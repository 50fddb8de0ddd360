//! The laws of executors on smol: several threads, local tasks, run by its user, and dedicated.

use std::sync::Arc;

use mycelium_executor::MakeDedicated;
use mycelium_executor::conformance::{Dedicated, Paused, Subject};
use mycelium_smol::Smol;

/// Two threads that steal tasks from each other.
struct Threads;

impl Subject for Threads {
    const NAME: &'static str = "smol, 2 threads";

    fn run(body: MakeDedicated) {
        mycelium_smol::run(2, |executor| body(Arc::new(executor))).unwrap();
    }
}

/// One thread, with local tasks.
struct Local;

impl Subject for Local {
    const NAME: &'static str = "smol, local";

    fn run(body: MakeDedicated) {
        async_io::block_on(mycelium_smol::local(|executor| body(Arc::new(executor))));
    }
}

/// An executor that its user runs and drops.
struct RunByUser;

impl Subject for RunByUser {
    const NAME: &'static str = "smol, run by its user";

    fn run(body: MakeDedicated) {
        let tasks = Arc::new(async_executor::Executor::new());
        let executor = Smol::new(&tasks);
        async_io::block_on(tasks.run(async { body(Arc::new(executor)).await }));
    }
}

mycelium_executor::conformance! {
    mod threads: Threads,
    mod local: Local,
    mod run_by_user: RunByUser,
    mod dedicated: Dedicated<Threads>,
    mod paused_time: Paused<Threads>,
}
