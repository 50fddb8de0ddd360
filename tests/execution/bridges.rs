//! One node, several executors: services on different ones reach each other as those on one do.

use std::sync::mpsc::channel;

use mycelium::{BuildError, Execution, Node, StartError};
use mycelium_executor::Executor;
use mycelium_smol::Smol;
use mycelium_tokio::Tokio;

use crate::services::{Idle, LocalSquarer, Sink, Source, squares, topology, within};

/// A tokio runtime with a thread of its own, and how it is used from elsewhere.
fn elsewhere() -> (tokio::runtime::Runtime, Tokio) {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let executor = {
        let _inside = runtime.enter();
        Tokio::current().unwrap()
    };
    (runtime, executor)
}

async fn crosses(name: &str, other: impl Executor) {
    let (sender, received) = channel();
    let text = format!(
        "[topic.numbers]\ncapacity = 8\n[service.Source]\nexecutor = \"{name}\"\n\
         [service.LocalSquarer]\nexecutor = \"{name}\"\nrun = \"dedicated\"\n[service.Sink]\nexecutor = \"tokio\"\n"
    );
    let node = Node::builder("main")
        .topology(topology(&text))
        .executor(name, other)
        .service(|| Source { count: 5_000 })
        .service(|| LocalSquarer)
        .service(move || Sink(sender.clone()))
        .build()
        .unwrap();
    within(node.run(Tokio::current().unwrap())).await.unwrap();
    assert_eq!(received.iter().collect::<Vec<_>>(), squares(5_000));
}

#[tokio::test]
async fn two_runtimes_of_one_kind_run_the_services_of_one_node() {
    let (runtime, executor) = elsewhere();
    crosses("other", executor).await;
    runtime.shutdown_background();
}

#[tokio::test]
async fn tokio_and_smol_run_the_services_of_one_node() {
    let (give, given) = tokio::sync::oneshot::channel::<Smol>();
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let smol = std::thread::spawn(move || {
        mycelium_smol::run(1, async |executor: Smol| {
            let _ = give.send(executor);
            let _ = ended.await;
        })
    });
    crosses("smol", given.await.unwrap()).await;
    drop(done);
    smol.join().unwrap().unwrap();
}

#[tokio::test]
async fn an_executor_that_is_not_there_is_an_error_that_says_which_are() {
    let (runtime, executor) = elsewhere();
    let node = || Node::builder("main").service(|| Idle).executor("other", executor.clone());
    let start = |builder: mycelium::Builder| {
        builder.build().unwrap().start(Tokio::current().unwrap()).unwrap_err()
    };
    let by_file = start(node().topology(topology("[service.Idle]\nexecutor = \"glommio\"\n")));
    assert_eq!(
        by_file.to_string(),
        "t.toml:2:12: there is no executor `glommio`; expected one of: other, tokio"
    );
    let by_code = start(node().execution("Idle", Execution::shared().on("glommio")));
    assert!(
        matches!(&by_code, StartError::Build(BuildError::Execution { service, .. }) if service == "Idle")
    );
    assert!(
        by_code
            .to_string()
            .ends_with("there is no executor `glommio`; expected one of: other, tokio")
    );
    let twice = node().executor("other", executor.clone()).build().unwrap_err();
    assert_eq!(twice.to_string(), "two executors are called `other`");
    runtime.shutdown_background();
}

#[tokio::test]
async fn an_executor_that_has_ended_is_an_error_at_start_and_one_that_ends_names_its_services() {
    let start = |executor| {
        let builder = Node::builder("main").service(|| Idle).executor("other", executor);
        let node = builder.execution("Idle", Execution::shared().on("other")).build().unwrap();
        node.start(Tokio::current().unwrap())
    };
    let (runtime, executor) = elsewhere();
    let running = start(executor.clone()).unwrap();
    // A runtime waits for its threads as it is dropped, which is nothing for a task.
    let drop_runtime = move || drop(runtime);
    tokio::task::spawn_blocking(drop_runtime).await.unwrap();
    let error = within(running.join()).await.unwrap_err();
    assert_eq!(error.to_string(), "the executor ended before these services had: Idle");
    let error = start(executor).unwrap_err();
    assert_eq!(error.to_string(), "service `Idle` did not start: the executor has ended");
}
