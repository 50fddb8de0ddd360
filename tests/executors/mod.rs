//! Runs a test on each executor, one after another.

use std::sync::Arc;

use mycelium_executor::Executor;
use mycelium_tokio::Tokio;

/// Runs `body` on tokio with two threads, on smol, and on glommio where it is supported. `body`
/// also gets the name of the executor.
pub(crate) fn on_each_executor(body: impl AsyncFn(Arc<dyn Executor>, &'static str) + 'static) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    tokio.unwrap().block_on(async {
        let executor = Tokio::current().unwrap();
        body(Arc::new(executor), "tokio").await;
    });
    mycelium_smol::run(1, async |smol| body(Arc::new(smol), "smol").await).unwrap();
    #[cfg(target_os = "linux")]
    mycelium_glommio::run(
        &mycelium_glommio::Settings::default(),
        async move |glommio: mycelium_glommio::Glommio| body(Arc::new(glommio), "glommio").await,
    )
    .unwrap();
}
