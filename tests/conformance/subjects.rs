//! The executors that the laws are tried on.

use std::sync::Arc;

use mycelium_executor::conformance::Subject;
use mycelium_executor::{Executor, LocalFuture};
use mycelium_tokio::Tokio;
use mycelium_transports::conformance::Ground;
use tokio::runtime::Builder;

/// All of them.
pub(crate) fn all() -> Vec<Ground> {
    vec![Ground::of::<CurrentThread>(), Ground::of::<MultiThread>()]
}

/// One thread, local tasks included.
struct CurrentThread;

impl Subject for CurrentThread {
    const NAME: &'static str = "tokio";

    fn run(body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let body = |executor: Tokio| body(Arc::new(executor));
        runtime.block_on(mycelium_tokio::local(body)).unwrap();
    }
}

/// Threads that take each other's tasks.
struct MultiThread;

impl Subject for MultiThread {
    const NAME: &'static str = "tokio-mt";

    fn run(body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static) {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { body(Arc::new(Tokio::current().unwrap())).await });
    }
}
