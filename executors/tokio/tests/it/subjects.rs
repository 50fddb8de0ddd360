//! The runtimes that run the laws, here and in `tests/conformance.rs` of the workspace.

use std::sync::Arc;

use mycelium_executor::MakeDedicated;
use mycelium_executor::conformance::Subject;
use mycelium_tokio::Tokio;
use tokio::runtime::Builder;

/// One thread, with local tasks.
pub(crate) struct TokioOne;

impl Subject for TokioOne {
    const NAME: &'static str = "tokio-1";

    fn run(body: MakeDedicated) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let body = |executor: Tokio| body(Arc::new(executor));
        runtime.block_on(mycelium_tokio::local(body)).unwrap();
    }
}

/// Two threads with work stealing.
pub(crate) struct TokioMany;

impl Subject for TokioMany {
    const NAME: &'static str = "tokio-2";

    fn run(body: MakeDedicated) {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { body(Arc::new(Tokio::current().unwrap())).await });
    }
}
