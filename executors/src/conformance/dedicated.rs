//! Laws of dedicated threads and their executors.

use std::fs;
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};

use super::subject::{Subject, hold, inside, soon, spawned, until};
use crate::wait::yield_now;
use crate::{
    Executor, GrantedPlacement, MakeDedicated, MakeLocal, SpawnError, Thread, ThreadError,
    allowed_cores,
};

/// Returns a request for a thread with a unique name.
fn unique_thread() -> Thread {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("own-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Thread { name, ..Thread::default() }
}

/// Returns whether this process has a thread with this name. Returns `None` if the system does not
/// report it.
fn thread_exists(name: &str) -> Option<bool> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let names =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    Some(names.into_iter().any(|found| found.trim_end() == name))
}

/// Runs `work` on a dedicated thread. Returns its output and the placement that the thread was
/// granted.
async fn dedicated<T: Send + 'static>(
    executor: &Arc<dyn Executor>,
    thread: Thread,
    work: impl AsyncFnOnce(Arc<dyn Executor>) -> T + Send + 'static,
) -> (T, GrantedPlacement) {
    let (done, finished) = oneshot::channel();
    let make: MakeDedicated = Box::new(move |there| {
        Box::pin(async move {
            let _ = done.send(work(there).await);
        })
    });
    let granted = executor.dedicate(thread, make).expect("started");
    (soon(executor, finished).await.expect("it reports"), granted)
}

/// The thread has the requested name and core, according to the system.
pub fn a_dedicated_thread_has_its_name_and_its_core<S: Subject>() {
    inside::<S>(async |executor| {
        let unpinned = unique_thread();
        let name = unpinned.name.clone();
        let work = async |_| (thread::current().name().map(str::to_owned), allowed_cores());
        let ((found, cores), granted) = dedicated(&executor, unpinned, work).await;
        assert_eq!(found, Some(name));
        assert_eq!(cores, allowed_cores(), "all of the process");
        assert_eq!(granted.refused, []);

        let Some(core) = allowed_cores().and_then(|cores| cores.last().copied()) else { return };
        let pinned = Thread { cores: vec![core], ..unique_thread() };
        let (cores, granted) = dedicated(&executor, pinned, async |_| allowed_cores()).await;
        assert_eq!((cores, granted.cores), (Some(vec![core]), vec![core]));
        assert_ne!(allowed_cores(), Some(vec![]), "this thread has not been pinned");
    });
}

/// The request fails with an error that names the core. The work is dropped and its thread ends.
pub fn an_unknown_core_is_refused_and_leaves_no_thread<S: Subject>() {
    inside::<S>(async |executor| {
        let Some(allowed) = allowed_cores() else { return };
        let thread = Thread { cores: vec![allowed[0], 1_000_000], ..unique_thread() };
        let name = thread.name.clone();
        let kept = Arc::new(());
        let held = kept.clone();
        let make: MakeDedicated = Box::new(move |_| {
            Box::pin(async move { unreachable!("{held:?}: the thread was refused") })
        });
        let refused = executor.dedicate(thread, make);
        assert_eq!(refused, Err(ThreadError::Core { core: 1_000_000, allowed }));
        assert_eq!(Arc::strong_count(&kept), 1);
        // Only checks that the thread ends: the system lists a thread for a moment after it was
        // joined. The tests of `Thread::start` check the join.
        until(&executor, || thread_exists(&name) != Some(true)).await;
    });
}

/// A dedicated executor has tasks, local tasks, timers, blocking work and streams.
pub fn a_dedicated_executor_is_a_full_executor<S: Subject>() {
    inside::<S>(async |executor| {
        let kind =
            |executor: &Arc<dyn Executor>| executor.name().split(',').next().map(str::to_owned);
        let expected = kind(&executor);
        let (outer, outer_thread) = (executor.clone(), thread::current().id());
        let work = async move |there: Arc<dyn Executor>| {
            assert_ne!(thread::current().id(), outer_thread);
            assert_eq!(kind(&there), expected);
            assert!(there.runs_local(), "{}", there.name());

            let (done, finished) = oneshot::channel();
            let make: MakeLocal = Box::new(|| {
                Box::pin(async move { done.send(thread::current().id()).expect("the law waits") })
            });
            there.spawn_local(make).expect("spawned");
            assert_eq!(soon(&there, finished).await, Ok(thread::current().id()));

            soon(&there, spawned(&there, async {})).await.expect("it ran");
            let (done, finished) = oneshot::channel();
            there.blocking(Box::new(|| done.send(()).expect("the law waits"))).expect("spawned");
            soon(&there, finished).await.expect("it ran");

            let (one, two) = UnixStream::pair().expect("a pair");
            let [mut one, mut two] = [one, two].map(|end| there.unix_stream(end).expect("adopted"));
            let mut said = [0; 5];
            soon(&there, one.write_all(b"hello")).await.expect("written");
            soon(&there, two.read_exact(&mut said)).await.expect("read");
            assert_eq!(&said, b"hello");

            // A task that is spawned on `outer`, the executor that dedicated this thread, does not
            // run on this thread.
            let task = spawned(&outer, async { thread::current().id() });
            let of_task = soon(&there, task).await.expect("it ran");
            assert_ne!(of_task, thread::current().id());
        };
        dedicated(&executor, unique_thread(), work).await;
    });
}

/// Tasks are dropped even if they still wait. The executor then refuses new ones.
pub fn a_dedicated_thread_and_its_tasks_end_with_its_future<S: Subject>() {
    inside::<S>(async |executor| {
        let thread = unique_thread();
        let name = thread.name.clone();
        let kept = Arc::new(());
        let held = kept.clone();
        let work = async move |there: Arc<dyn Executor>| {
            there.spawn(Box::pin(hold(held.clone()))).expect("spawned");
            there.spawn_local(Box::new(move || Box::pin(hold(held)))).expect("spawned");
            yield_now().await;
            there
        };
        let (there, _) = dedicated(&executor, thread, work).await;
        until(&executor, || Arc::strong_count(&kept) == 1).await;
        until(&executor, || thread_exists(&name) != Some(true)).await;
        assert_eq!(there.spawn(Box::pin(async {})), Err(SpawnError::Ended));
        assert!(there.spawn_local(Box::new(|| Box::pin(async {}))).is_err());
    });
}

/// The thread ends and its tasks are dropped. Everything else continues.
pub fn a_panic_ends_its_dedicated_thread_only<S: Subject>() {
    inside::<S>(async |executor| {
        let thread = unique_thread();
        let name = thread.name.clone();
        let kept = Arc::new(());
        let held = kept.clone();
        let make: MakeDedicated = Box::new(move |there| {
            Box::pin(async move {
                there.spawn(Box::pin(hold(held))).expect("spawned");
                yield_now().await;
                resume_unwind(Box::new("this thread only"));
            })
        });
        executor.dedicate(thread, make).expect("started");
        until(&executor, || Arc::strong_count(&kept) == 1).await;
        until(&executor, || thread_exists(&name) != Some(true)).await;
        dedicated(&executor, unique_thread(), async |_| ()).await;
    });
}

/// The executor of a dedicated thread dedicates further threads.
pub fn a_dedicated_executor_can_dedicate_threads<S: Subject>() {
    inside::<S>(async |executor| {
        let work = async |there: Arc<dyn Executor>| {
            let sleep = async |inner: Arc<dyn Executor>| {
                inner.sleep_until(inner.now() + Duration::from_millis(1)).await;
                thread::current().id()
            };
            let (inner, _) = dedicated(&there, unique_thread(), sleep).await;
            (inner, thread::current().id())
        };
        let ((inner, outer), _) = dedicated(&executor, unique_thread(), work).await;
        assert_ne!(inner, outer);
    });
}

/// A thread for blocking work would otherwise inherit the core and the class of the thread that
/// started it.
pub fn blocking_work_does_not_inherit_the_core_of_a_dedicated_thread<S: Subject>() {
    inside::<S>(async |executor| {
        let Some(allowed) = allowed_cores().filter(|cores| cores.len() > 1) else { return };
        let work = async |there: Arc<dyn Executor>| {
            let (done, finished) = oneshot::channel();
            let work = move || done.send(allowed_cores()).expect("the law waits");
            there.blocking(Box::new(work)).expect("spawned");
            soon(&there, finished).await.expect("it reports")
        };
        let pinned = Thread { cores: vec![allowed[0]], ..unique_thread() };
        let (cores, _) = dedicated(&executor, pinned, work).await;
        assert_eq!(cores, Some(allowed));
    });
}
