//! Refusals of the system or the executor: either no service runs, or the report lists what was
//! refused.

use std::sync::mpsc::channel;
use std::time::Duration;

use mycelium::{BuildError, Class, Execution, Node, PlacementFallback, StartError, ThreadError};
use mycelium_tokio::Tokio;

use crate::execution::services::{Idle, end, topology, within};

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_unknown_core_lets_nothing_run_and_leaves_no_thread() {
    use crate::execution::services::thread_goes;

    let (make, made) = channel();
    let node = Node::builder("main")
        .topology(topology("[service.Second]\nrun = \"pinned(100000)\"\n"))
        .named_service("First", move || {
            make.send(()).unwrap();
            Idle
        })
        .execution("First", Execution::dedicated().thread("first-of-two"));
    // Their threads give the first service time in which it must not run.
    let between = (0..50).map(|number| format!("Between{number}"));
    let node = between.fold(node, |node, name| {
        node.named_service(&name, || Idle).execution(&name, Execution::dedicated())
    });
    let node = node
        .named_service("Second", || Idle)
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
    thread_goes("first-of-two").await;
    assert!(made.recv().is_err(), "the first one has not run");
}

#[tokio::test]
async fn with_warn_the_placement_lists_what_was_refused() {
    let asked = Execution::pinned([100_000]).if_refused(PlacementFallback::Warn);
    let node =
        Node::builder("main").service(|| Idle).execution("Idle", asked.clone()).build().unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let placement = &running.start_report().placements[0];
    assert_eq!((&placement.asked, placement.refused.len()), (&asked, 1));
    assert!(placement.to_string().contains("refused: "), "{placement}");
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
    let unknown = build("Idol", Execution::shared());
    assert!(
        matches!(&unknown, Err(BuildError::ExecutionOfUnknown { service, .. }) if service == "Idol")
    );
}

#[cfg(unix)]
#[test]
fn an_executor_without_threads_says_so() {
    // This does not depend on the system.
    for refused in [PlacementFallback::Fail, PlacementFallback::Warn] {
        let execution = Execution::dedicated().if_refused(refused);
        let builder = Node::builder("main").service(|| Idle).execution("Idle", execution);
        let executor = crate::subjects::own_loop::OwnLoop::new();
        let error = builder.build().unwrap().start(executor).unwrap_err();
        assert_eq!(
            error.to_string(),
            "service `Idle` cannot have its thread: own loop cannot give a service a thread of its own; \
             let it share (`Execution::shared()`), or give it another executor [M0078]"
        );
    }
}
