//! The executors that bandit runs on. No other module knows them.

use std::{sync::Arc, thread::available_parallelism};

use clap::ValueEnum;
use mycelium::Result;
use mycelium_executor::Executor;

/// An executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecutorKind {
    /// tokio, a thread for each core.
    #[default]
    Tokio,
    /// smol, a thread for each core.
    Smol,
    /// glommio, one thread (Linux, built with `--features glommio`).
    Glommio,
}

/// Runs `body` on an executor of this kind.
pub(crate) fn run<T: 'static>(
    kind: ExecutorKind,
    body: impl AsyncFnOnce(Arc<dyn Executor>) -> T + 'static,
) -> Result<T> {
    match kind {
        ExecutorKind::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let executor = || mycelium_tokio::Tokio::current();
            let done = runtime.block_on(async { Ok(body(Arc::new(executor()?)).await) });
            // Do not wait for abandoned blocking work, such as a write to a pipe without a reader.
            runtime.shutdown_background();
            done
        }
        ExecutorKind::Smol => {
            let threads = available_parallelism().map_or(1, |threads| threads.get());
            Ok(mycelium_smol::run(threads, async |executor| body(Arc::new(executor)).await)?)
        }
        #[cfg(all(target_os = "linux", feature = "glommio"))]
        ExecutorKind::Glommio => {
            let settings = mycelium_glommio::Settings::default();
            let body = async move |executor| body(Arc::new(executor)).await;
            Ok(mycelium_glommio::run(&settings, body)?)
        }
        #[cfg(not(all(target_os = "linux", feature = "glommio")))]
        ExecutorKind::Glommio => Err(mycelium::Error::msg(
            "this program was built without glommio; build it on Linux with `--features glommio`",
        )),
    }
}
