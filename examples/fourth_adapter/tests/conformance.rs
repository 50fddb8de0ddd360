//! The laws of executors on this adapter.
#![cfg(all(unix, not(miri)))]

use std::sync::Arc;

use fourth_adapter::Threads;
use mycelium_executor::MakeDedicated;
use mycelium_executor::conformance::{Dedicated, Subject};

struct ThreadPerTask;

impl Subject for ThreadPerTask {
    const NAME: &'static str = "threads, one per task";

    fn run(body: MakeDedicated) {
        fourth_adapter::run(|threads: Threads| body(Arc::new(threads)));
    }
}

mycelium_executor::conformance! {
    mod own: ThreadPerTask,
    mod dedicated: Dedicated<ThreadPerTask>,
}
