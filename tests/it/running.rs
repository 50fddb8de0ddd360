//! Functions with which tests run a node, and check the texts of errors.

use std::fmt::Display;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mycelium::counters::{Kind, Reading};
use mycelium::observe::Report;
use mycelium::{Builder, Running};
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use tokio::runtime::Runtime;

/// Returns a builder of the node `main` with this topology.
#[cfg(feature = "topology")]
pub(crate) fn main_with(topology: &str) -> Builder {
    let topology = mycelium::Topology::parse("t.toml", topology).unwrap();
    mycelium::Node::builder("main").topology(topology)
}

pub(crate) fn start(builder: Builder) -> Running {
    builder.build().unwrap().start(Tokio::current().unwrap()).unwrap()
}

/// Runs a node until its services have ended.
pub(crate) async fn run(builder: Builder) -> Report {
    start(builder).join().await.unwrap()
}

/// Returns a runtime with this many threads.
pub(crate) fn threads(count: usize) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(count).enable_all().build().unwrap()
}

/// Shuts a node down, and waits for its end.
pub(crate) async fn end(running: Running) -> Report {
    running.shutdown();
    running.join().await.unwrap()
}

/// Returns the sum of a value over all counters of a kind.
pub(crate) fn sum(counters: &[Reading], kind: Kind, value: &str) -> u64 {
    counters.iter().filter(|line| line.kind == kind).map(|line| line.value(value)).sum()
}

/// Returns the sum of a value over all links of a node.
pub(crate) fn of_links(running: &Running, value: &str) -> u64 {
    sum(&running.counters(), Kind::Link, value)
}

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Waits until `is_so` returns true, and panics after [`LONG`].
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits as [`until`] does, on any executor. `what` names the condition in the panic.
pub(crate) async fn until_on<W: Display>(
    executor: &dyn Executor,
    what: impl Fn() -> W,
    mut is_so: impl FnMut() -> bool,
) {
    let limit = executor.now() + LONG;
    while !is_so() {
        assert!(executor.now() < limit, "{}", what());
        executor.sleep_until(executor.now() + Duration::from_millis(1)).await;
    }
}

/// Returns the next value of a channel into which other tasks send.
pub(crate) async fn next<T>(values: &Receiver<T>) -> T {
    let mut value = None;
    until(|| {
        value = values.try_recv().ok();
        value.is_some()
    })
    .await;
    value.unwrap()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("it takes too long")
}

/// Checks the text of an error.
pub(crate) trait Says: Display {
    #[track_caller]
    fn says(&self, expected: &str) {
        assert_eq!(self.to_string(), expected);
    }

    #[track_caller]
    fn begins(&self, expected: &str) {
        let text = self.to_string();
        assert!(text.starts_with(expected), "{text}\ninstead of\n{expected}");
    }

    #[track_caller]
    fn ends(&self, expected: &str) {
        let text = self.to_string();
        assert!(text.ends_with(expected), "{text}\ninstead of\n{expected}");
    }

    #[track_caller]
    fn mentions(&self, expected: &str) {
        let text = self.to_string();
        assert!(text.contains(expected), "{text}\ninstead of\n{expected}");
    }
}

impl<T: Display + ?Sized> Says for T {}
