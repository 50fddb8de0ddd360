//! Executors of one thread, run on the thread that calls: `Host` where the kind is a type,
//! `Runtime` where it is a value.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join;
use mycelium::Node;
use mycelium_executor::{Executor, LocalFuture};
use mycelium_glommio::{Glommio, Settings};
use mycelium_smol::Smol;
use mycelium_tokio::Tokio;
use tokio::runtime::Builder;

use crate::harness::Mismatch;

/// An executor of one thread.
pub(crate) trait Host: Send + 'static {
    type Executor: Executor + Clone;

    /// Runs `body` to its end inside one, on this thread.
    fn run(body: impl FnOnce(Self::Executor) -> LocalFuture<()> + 'static);
}

pub(crate) struct OnTokio;

impl Host for OnTokio {
    type Executor = Tokio;

    fn run(body: impl FnOnce(Tokio) -> LocalFuture<()> + 'static) {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the process may make a runtime");
        runtime.block_on(async {
            body(Tokio::current().expect("inside a runtime")).await;
        });
    }
}

pub(crate) struct OnSmol;

impl Host for OnSmol {
    type Executor = Smol;

    fn run(body: impl FnOnce(Smol) -> LocalFuture<()> + 'static) {
        async_io::block_on(mycelium_smol::local(body));
    }
}

pub(crate) struct OnGlommio;

impl OnGlommio {
    /// Whether the machine supports it.
    pub(crate) fn runs() -> bool {
        let tried =
            std::thread::spawn(|| mycelium_glommio::run(&Settings::default(), async |_| ()));
        tried.join().is_ok_and(|ran| ran.is_ok())
    }
}

impl Host for OnGlommio {
    type Executor = Glommio;

    fn run(body: impl FnOnce(Glommio) -> LocalFuture<()> + 'static) {
        mycelium_glommio::run(&Settings::default(), body).expect("`runs` was true");
    }
}

/// Runs `body` inside an executor on this thread, and returns its result.
pub(crate) fn inside<H: Host, T: 'static>(
    body: impl AsyncFnOnce(H::Executor) -> T + 'static,
) -> Option<T> {
    let result = Arc::new(Mutex::new(None));
    let slot = result.clone();
    H::run(move |executor| {
        Box::pin(async move {
            let value = body(executor).await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        })
    });
    result.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The kinds of executors, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
    Glommio,
}

impl Runtime {
    /// Those other than tokio that the machine supports.
    pub(crate) fn others() -> impl Iterator<Item = Runtime> {
        [Runtime::Smol].into_iter().chain(OnGlommio::runs().then_some(Runtime::Glommio))
    }

    /// Runs `body` inside one on this thread, and returns its result.
    pub(crate) fn run<T: 'static>(
        self,
        body: impl AsyncFnOnce(Arc<dyn Executor>) -> T + 'static,
    ) -> T {
        fn on<H: Host, T: 'static>(
            body: impl AsyncFnOnce(Arc<dyn Executor>) -> T + 'static,
        ) -> Option<T> {
            inside::<H, _>(async move |executor| body(Arc::new(executor)).await)
        }
        let result = match self {
            Runtime::Tokio => on::<OnTokio, _>(body),
            Runtime::Smol => on::<OnSmol, _>(body),
            Runtime::Glommio => on::<OnGlommio, _>(body),
        };
        result.expect("an executor runs its body to the end")
    }
}

/// Runs a node until its services end.
pub(crate) fn run_node<H: Host>(name: &'static str, node: Node) -> Result<(), Mismatch> {
    let ended = inside::<H, _>(async move |executor| {
        node.start(executor).expect("the node has all it needs").join().await.is_ok()
    });
    ended.filter(|ended| *ended).map(|_| ()).ok_or_else(|| Mismatch::new(name, "the node failed"))
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
    // Boxed first: a future that moves another one into its `await` has room for it twice.
    let work = Box::pin(work);
    let spawned = executor.spawn(Box::pin(async { _ = done.send(work.await) }));
    async move {
        spawned.ok()?;
        ended.await.ok()
    }
}
