//! Tasks that stay on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use async_executor::{Executor, LocalExecutor};
use mycelium_executor::{MakeLocal, SpawnError, contain};

use crate::{Shape, Smol};

thread_local! {
    /// Those that run on this thread: seldom more than one.
    static LOCAL: RefCell<Vec<(u64, Rc<LocalExecutor<'static>>)>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` with an executor that takes local tasks as well, on the calling thread. Its tasks make progress while
/// this is awaited, and end with it. What awaits it drives timers and sockets best if it is
/// [`async_io::block_on`], but may be any executor.
///
/// ```
/// use std::rc::Rc;
///
/// use mycelium_executor::Executor;
/// use mycelium_smol::{Smol, local};
///
/// async_io::block_on(local(async |executor: Smol| {
///     let (done, finished) = std::sync::mpsc::channel();
///     let make = move || {
///         let shared = Rc::new(7);
///         Box::pin(async move { done.send(*shared).unwrap() }) as mycelium_executor::LocalFuture<()>
///     };
///     executor.spawn_local(Box::new(make)).unwrap();
///     executor.sleep_until(executor.now() + std::time::Duration::from_millis(1)).await;
///     assert_eq!(finished.recv(), Ok(7));
/// }));
/// ```
pub async fn local<F: Future>(body: impl FnOnce(Smol) -> F) -> F::Output {
    let tasks = Arc::new(Executor::new());
    let stay = Stay::begin();
    let executor = Smol::shaped(&tasks, Shape::Local(stay.home));
    stay.tasks.run(tasks.run(body(executor))).await
}

/// Where local tasks run, for whoever may be on another thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    thread: ThreadId,
    key: u64,
}

impl Home {
    pub(crate) fn spawn(self, make: MakeLocal) -> Result<(), SpawnError> {
        if self.thread != thread::current().id() {
            return Err(SpawnError::WrongThread);
        }
        let is_it = |(key, _): &&(u64, _)| *key == self.key;
        let found =
            LOCAL.try_with(|local| local.borrow().iter().find(is_it).map(|(_, it)| it.clone()));
        // While the thread ends, it has no executor any more.
        let tasks = found.ok().flatten().ok_or(SpawnError::Ended)?;
        tasks.spawn(contain(make())).detach();
        Ok(())
    }
}

/// As long as this is, local tasks can be spawned here.
struct Stay {
    home: Home,
    tasks: Rc<LocalExecutor<'static>>,
}

impl Stay {
    fn begin() -> Stay {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        let tasks = Rc::new(LocalExecutor::new());
        LOCAL.with(|local| local.borrow_mut().push((key, tasks.clone())));
        Stay { home: Home { thread: thread::current().id(), key }, tasks }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        // The tasks are dropped after this, and find that they cannot spawn.
        let _ = LOCAL.try_with(|local| local.borrow_mut().retain(|(key, _)| *key != self.home.key));
    }
}
