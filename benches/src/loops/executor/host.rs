//! The executors, each on the thread that calls for it.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join;
use mycelium_executor::{Executor, LocalFuture, Thread};
use mycelium_glommio::{Glommio, Settings};
use mycelium_smol::Smol;
use mycelium_tokio::Tokio;
use tokio::runtime::Builder;

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
        let runtime = runtime.expect("the system gives a selector");
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
    /// Whether the machine has what it needs.
    pub(crate) fn runs() -> bool {
        let tried =
            std::thread::spawn(|| mycelium_glommio::run(&Settings::default(), async |_| ()));
        tried.join().is_ok_and(|ran| ran.is_ok())
    }
}

impl Host for OnGlommio {
    type Executor = Glommio;

    fn run(body: impl FnOnce(Glommio) -> LocalFuture<()> + 'static) {
        mycelium_glommio::run(&Settings::default(), body).expect("it was tried before");
    }
}

/// Runs `body` inside an executor on this thread, and hands out what it returned.
pub(crate) fn inside<H: Host, T: 'static>(
    body: impl AsyncFnOnce(H::Executor) -> T + 'static,
) -> Option<T> {
    let result = Arc::new(Mutex::new(None));
    let told = result.clone();
    H::run(move |executor| {
        Box::pin(async move {
            let value = body(executor).await;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        })
    });
    result.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Runs two tasks of an executor to their ends.
pub(crate) async fn both<A: Send + 'static, B: Send + 'static>(
    executor: &impl Executor,
    first: impl Future<Output = A> + Send + 'static,
    second: impl Future<Output = B> + Send + 'static,
) -> Option<(A, B)> {
    fn task<T: Send + 'static>(
        executor: &impl Executor,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Option<T>> {
        let (done, ended) = tokio::sync::oneshot::channel();
        let spawned = executor.spawn(Box::pin(async { _ = done.send(work.await) }));
        async move {
            spawned.ok()?;
            ended.await.ok()
        }
    }
    let (first, second) = (task(executor, first), task(executor, second));
    let (first, second) = join(first, second).await;
    first.zip(second)
}

/// Lets a thread that is pinned start others that are not: what the process may use is known before any is.
pub(crate) fn look_at_cores() {
    // Nothing is asked that could be refused.
    let _ = Thread::default().apply_to_current();
}
