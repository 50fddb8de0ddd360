//! One node on several executors: its services exchange messages as if they ran on one executor.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use mycelium::execution::Execution;
use mycelium::{Node, Topology};
use mycelium_executor::{Executor, LocalFuture};
use mycelium_tokio::Tokio;
use mycelium_transports::conformance::TestExecutor;
use tokio::sync::oneshot;

use crate::execution::services::{Idle, LocalSquarer, Source, sink, squares, within};
use crate::running::{Says, main_with};
use crate::subjects;

/// An executor on its own thread, which ends on drop.
struct Elsewhere {
    executor: Arc<dyn Executor>,
    done: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Elsewhere {
    fn new(of: TestExecutor) -> Elsewhere {
        let ((give, given), (done, ended)) = (mpsc::channel(), oneshot::channel());
        let body = move |executor| -> LocalFuture<()> {
            Box::pin(async move {
                give.send(executor).unwrap();
                let _ = ended.await;
            })
        };
        let thread = Some(thread::spawn(move || of.run(body)));
        Elsewhere { executor: given.recv().expect("it runs here"), done: Some(done), thread }
    }

    fn on_tokio() -> Elsewhere {
        Elsewhere::new(subjects::adapters()[1])
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.done.take();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// Messages pass from the executor `other`, over an executor of the same kind on another thread, to
/// the node's own executor.
#[tokio::test]
async fn services_on_any_two_executors_are_those_of_one_node() {
    let text = "[topic.numbers]\ncapacity = 8\n[service.Source]\nexecutor = \"other\"\n\
                [service.LocalSquarer]\nexecutor = \"other\"\nrun = \"dedicated\"\n";
    let all = subjects::adapters();
    for (other, own) in all.iter().flat_map(|other| all.iter().map(move |own| (*other, *own))) {
        let (other, own) = (Elsewhere::new(other), Elsewhere::new(own));
        let (sender, received) = mpsc::channel();
        let node = main_with(text)
            .executor("other", other.executor.clone())
            .service(|| Source::of(2_000))
            .service(|| LocalSquarer)
            .named_service("Sink", move || sink(&sender));
        let running = node.build().unwrap().start(own.executor.clone()).unwrap();
        within(running.join()).await.unwrap();
        assert_eq!(received.iter().collect::<Vec<_>>(), squares(2_000));
    }
}

#[tokio::test]
async fn an_executor_that_is_not_there_is_an_error_that_says_which_are() {
    let other = Elsewhere::on_tokio();
    let node = || Node::builder("main").service(|| Idle).executor("other", other.executor.clone());
    let start = |builder: mycelium::Builder| {
        builder.build().unwrap().start(Tokio::current().unwrap()).unwrap_err()
    };
    let text = "[service.Idle]\nexecutor = \"smol\"\n";
    let topology = Topology::parse("t.toml", text).unwrap();
    let by_file = start(node().topology(topology));
    let expected = "unknown executor `smol`: expected one of: other, tokio";
    let hint = "; add it with `Builder::executor(\"smol\", ..)`";
    by_file.says(&format!("t.toml:2:12: {expected}{hint} [M0105]"));
    let by_code = start(node().execution("Idle", Execution::shared().on("smol")));
    by_code.begins("service `Idle` cannot be executed as the program says");
    by_code.ends(&format!("{expected} [M0011]"));
    let twice = node().executor("other", other.executor.clone()).build().unwrap_err();
    twice.says(
        "two executors are called `other`: give one of them another name (`Builder::executor`) \
         [M0021]",
    );
}

#[tokio::test]
async fn an_executor_that_has_ended_is_an_error_at_start_and_one_that_ends_names_its_services() {
    let other = Elsewhere::on_tokio();
    let executor = other.executor.clone();
    let start = || {
        let builder = Node::builder("main").service(|| Idle).executor("other", executor.clone());
        let node = builder.execution("Idle", Execution::shared().on("other")).build().unwrap();
        node.start(Tokio::current().unwrap())
    };
    let running = start().unwrap();
    drop(other);
    let error = within(running.join()).await.unwrap_err();
    error.says("the executor ended before these services had: Idle [M0055]");
    start().unwrap_err().says("service `Idle` did not start: the executor has ended [M0070]");
}
