//! Requests that the system or an executor refuses: either no service runs, or the report lists
//! what was refused.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use mycelium::Node;
use mycelium::error::{Code, StartError, ThreadError};
use mycelium::execution::{Class, Execution, PlacementFallback};
use mycelium_executor::{Executor, SendFuture, SpawnError};
use mycelium_tokio::Tokio;

use crate::execution::services::{Idle, end, within};
use crate::running::{Says, main_with};

/// An executor with only the required methods, which calls a function before each task.
struct Plain<F>(Tokio, F);

impl<F: Fn() + Send + Sync + 'static> Executor for Plain<F> {
    fn name(&self) -> String {
        "plain".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        (self.1)();
        self.0.spawn(task)
    }

    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        self.0.sleep_until(deadline)
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_unknown_core_lets_nothing_run_and_leaves_no_thread() {
    use crate::execution::services::thread_goes;

    let (make, made) = channel();
    let (see, seen) = channel();
    let made = Mutex::new(made);
    // Gives the first service time to run, which it must not use.
    let between = move || {
        let has_run = made.lock().unwrap().recv_timeout(Duration::from_millis(100)).is_ok();
        see.send(has_run).unwrap();
    };
    let node = main_with("[service.Second]\nrun = \"pinned(100000)\"\n")
        .named_service("First", move || {
            make.send(()).unwrap();
            Idle
        })
        .named_service("Between", || Idle)
        .named_service("Second", || Idle)
        .executor("plain", Plain(Tokio::current().unwrap(), between))
        .execution("Between", Execution::shared().on("plain"))
        .execution("First", Execution::dedicated().thread("first-of-two"))
        .observe(|event| assert!(format!("{event:?}").contains("Thread"), "{event:?}"))
        .watchdog(Duration::from_secs(1))
        .build()
        .unwrap();
    let error = node.start(Tokio::current().unwrap()).unwrap_err();
    let StartError::Thread { service, error: ThreadError::Core { core: 100_000, .. }, .. } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(service, "Second");
    let text = error.to_string();
    assert!(text.contains("`Second`") && text.contains("choose from [0"), "{text}");
    assert_eq!(seen.recv(), Ok(false), "the first one has not run");
    thread_goes("first-of-two").await;
}

#[tokio::test]
async fn with_warn_the_placement_lists_what_was_refused() {
    let asked = Execution::pinned([100_000]).if_refused(PlacementFallback::Warn);
    let node =
        Node::builder("main").service(|| Idle).execution("Idle", asked.clone()).build().unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let placement = &running.start_report().placements[0];
    assert_eq!((&placement.asked, placement.refused.len()), (&asked, 1));
    placement.mentions("refused: ");
    within(end(running)).await;
}

#[test]
fn executions_that_make_no_sense_are_refused_when_the_node_is_built() {
    let build = |service, execution| {
        Node::builder("main").service(|| Idle).execution(service, execution).build()
    };
    for (execution, expected) in [
        (Execution::shared().thread("x"), "`thread` needs a thread of the service's own"),
        (Execution::shared().class(Class::Fifo(1)), "`class` needs a thread"),
        (Execution::shared().if_refused(PlacementFallback::Warn), "`if_refused` needs a thread"),
        (Execution::pinned([]), "invalid list of cores"),
        (Execution::pinned([1, 1]), "core 1 is listed twice"),
        (Execution::dedicated().class(Class::Fifo(0)), "invalid priority 0"),
        (Execution::dedicated().class(Class::Fifo(100)), "invalid priority 100"),
        (Execution::dedicated().thread("a\0b"), "invalid thread name `a\\0b`"),
        (Execution::shared().budget(0), "invalid budget 0"),
    ] {
        let error = build("Idle", execution.clone()).unwrap_err();
        assert!(error.to_string().contains(expected), "{execution}: {error}");
    }
    let unknown = build("Idol", Execution::shared()).unwrap_err();
    assert_eq!(unknown.code(), Code::EXECUTION_OF_UNKNOWN);
    unknown.mentions("names an unknown service `Idol`: ");
}

#[tokio::test]
async fn an_executor_without_threads_says_so() {
    let start = |refused| {
        let execution = Execution::dedicated().if_refused(refused);
        let builder = Node::builder("main").service(|| Idle).execution("Idle", execution);
        builder.build().unwrap().start(Plain(Tokio::current().unwrap(), || {}))
    };
    // This executor has no threads to give, on any system.
    for refused in [PlacementFallback::Fail, PlacementFallback::Warn] {
        start(refused).unwrap_err().says(
            "service `Idle` cannot have its thread: plain cannot give a service a thread of its own; \
             let it share (`Execution::shared()`), or give it another executor [M0078]",
        );
    }
}
