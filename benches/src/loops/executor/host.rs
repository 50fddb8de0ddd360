//! Executors of one thread, run on the thread that calls.

use std::sync::Arc;

use futures_util::future::join;
use mycelium::Node;
use mycelium_executor::Executor;
use mycelium_glommio::Settings;
use mycelium_tokio::Tokio;
use tokio::runtime::Builder;

use crate::harness::Mismatch;

/// The kinds of executors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
    Glommio,
}

impl Runtime {
    /// Returns the kinds that the machine supports.
    pub(crate) fn all() -> Vec<Runtime> {
        let tried =
            std::thread::spawn(|| mycelium_glommio::run(&Settings::default(), async |_| ()));
        let glommio = tried.join().is_ok_and(|ran| ran.is_ok()).then_some(Runtime::Glommio);
        [Runtime::Tokio, Runtime::Smol].into_iter().chain(glommio).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        ["tokio", "smol", "glommio"][self as usize]
    }

    /// Runs `body` inside an executor on this thread, and returns its result.
    pub(crate) fn run<T: 'static>(
        self,
        body: impl AsyncFnOnce(Arc<dyn Executor>) -> T + 'static,
    ) -> T {
        match self {
            Runtime::Tokio => {
                let runtime = Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("the process may make a runtime");
                let executor = || Tokio::current().expect("inside a runtime");
                runtime.block_on(async { body(Arc::new(executor())).await })
            }
            Runtime::Smol => async_io::block_on(mycelium_smol::local(async |executor| {
                body(Arc::new(executor)).await
            })),
            Runtime::Glommio => {
                let body = async move |executor| body(Arc::new(executor)).await;
                mycelium_glommio::run(&Settings::default(), body).expect("the machine supports it")
            }
        }
    }

    /// Runs a node until its services end.
    pub(crate) fn run_node(self, name: &'static str, node: Node) -> Result<(), Mismatch> {
        let ended = self.run(async move |executor| {
            node.start(executor).expect("the node has all it needs").join().await.is_ok()
        });
        ended.then_some(()).ok_or_else(|| Mismatch::new(name, "the node failed"))
    }
}

/// Runs two tasks of an executor to their ends.
pub(crate) async fn both<A: Send + 'static, B: Send + 'static>(
    executor: &impl Executor,
    first: impl Future<Output = A> + Send + 'static,
    second: impl Future<Output = B> + Send + 'static,
) -> Option<(A, B)> {
    let (first, second) = (task(executor, first), task(executor, second));
    let (first, second) = join(first, second).await;
    first.zip(second)
}

/// Spawns a task. Its result is `None` if it panicked.
pub(crate) fn task<E: Executor, W: Future<Output: Send + 'static> + Send + 'static>(
    executor: &E,
    work: W,
) -> impl Future<Output = Option<W::Output>> + use<E, W> {
    let (done, ended) = tokio::sync::oneshot::channel();
    // Boxed first: a future that moves another one into its `await` would have room for it twice.
    let work = Box::pin(work);
    let spawned = executor.spawn(Box::pin(async { _ = done.send(work.await) }));
    async move {
        spawned.ok()?;
        ended.await.ok()
    }
}
