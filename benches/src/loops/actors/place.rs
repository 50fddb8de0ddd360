//! Where the caller and its actors run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::library::{Library, Threads};
use super::state::Plan;
use crate::affinity::Cores;
use crate::threads;

/// The threads of the caller and of an actor.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Tasks of one runtime.
    Together(Threads),
    /// Each in a runtime of one thread, on a core.
    Apart(Cores),
}

impl Place {
    /// Runs `body` with the address of an actor, and returns its result.
    pub(super) fn run<L: Library, T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        plan: Plan,
        body: impl FnOnce(L::Counter) -> F + Send + 'static,
    ) -> Option<T> {
        match self {
            Place::Together(threads) => L::run(threads.clone(), move |world| async move {
                let counter = L::spawn(&world, plan).await?;
                Some(body(counter).await)
            })
            .flatten(),
            Place::Apart(cores) => {
                let (give, given) = mpsc::channel();
                let (end, ended) = oneshot::channel::<()>();
                let (result, _) = threads::both(
                    cores,
                    move || {
                        let counter = given.recv().ok().flatten()?;
                        let result = L::run(Threads::One, move |_| body(counter));
                        let _ = end.send(());
                        result
                    },
                    move || {
                        L::run(Threads::One, move |world| async move {
                            let _ = give.send(L::spawn(&world, plan).await);
                            let _ = ended.await;
                        })
                    },
                );
                result
            }
        }
    }
}

/// Runs `body` as a task of tokio.
pub(crate) fn on_tokio<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    threads: Threads,
    body: impl FnOnce() -> F + Send + 'static,
) -> Option<T> {
    let runtime = match threads {
        Threads::One => Builder::new_current_thread().enable_all().build(),
        Threads::Workers(cores) => {
            let started = Arc::new(AtomicUsize::new(0));
            Builder::new_multi_thread()
                .worker_threads(2)
                .on_thread_start(move || {
                    cores.pin_in_turn(started.fetch_add(1, Ordering::Relaxed));
                })
                .enable_all()
                .build()
        }
    };
    let runtime = runtime.expect("the process may make a runtime");
    runtime.block_on(async { tokio::spawn(async move { body().await }).await.ok() })
}
