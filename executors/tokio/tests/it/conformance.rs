//! The laws of executors on both kinds of runtime and on a dedicated thread.

use std::sync::Arc;

use mycelium_executor::MakeDedicated;
use mycelium_executor::conformance::{Dedicated, Paused, Subject};
use mycelium_tokio::Tokio;

/// One thread, with local tasks.
struct CurrentThread;

impl Subject for CurrentThread {
    const NAME: &'static str = "tokio, current thread";

    fn run(body: MakeDedicated) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let body = |executor: Tokio| body(Arc::new(executor));
        runtime.block_on(mycelium_tokio::local(body)).unwrap();
        runtime.shutdown_background();
    }
}

/// Two threads that steal tasks from each other.
struct MultiThread;

impl Subject for MultiThread {
    const NAME: &'static str = "tokio, multi-thread";

    fn run(body: MakeDedicated) {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { body(Arc::new(Tokio::current().unwrap())).await });
        runtime.shutdown_background();
    }
}

mycelium_executor::conformance! {
    mod current_thread: CurrentThread,
    mod multi_thread: MultiThread,
    mod dedicated: Dedicated<MultiThread>,
    mod paused_time: Paused<CurrentThread>,
}
