//! The laws of executors on smol: several threads, local tasks, run by its user, and dedicated.

use std::sync::Arc;

use mycelium_executor::MakeDedicated;
use mycelium_executor::conformance::{Dedicated, Paused, Subject};
use mycelium_smol::Smol;

use crate::subjects::{SmolMany, SmolOne};

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
    mod threads: SmolMany,
    mod local: SmolOne,
    mod run_by_user: RunByUser,
    mod dedicated: Dedicated<SmolMany>,
    mod paused_time: Paused<SmolMany>,
}
