//! Where services run, and how they wait.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use mycelium::{Class, Context, Execution, Node, Result, StartError, WaitStrategy, service};
use mycelium_tokio::Tokio;

use crate::execution::services::{
    Idle, LONG, LocalSquarer, Sink, Source, end, run, squares, start, topology, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_service_has_a_thread_of_its_own_beside_a_work_stealing_runtime() {
    let (sender, received) = channel();
    let node = Node::builder("main")
        .topology(topology("[service.LocalSquarer]\nrun = \"dedicated\"\n"))
        .service(|| Source { count: 10_000 })
        .service(|| LocalSquarer)
        .service(move || Sink(sender.clone()));
    let running = start(node);
    let placed: Vec<_> = running
        .start_report()
        .placements
        .iter()
        .map(|placement| (placement.service.clone(), placement.thread.clone()))
        .collect();
    let own = Some("LocalSquarer".to_owned());
    let expected = [("Source", None), ("LocalSquarer", own), ("Sink", None)];
    assert_eq!(placed, expected.map(|(service, thread)| (service.to_owned(), thread)));
    assert_eq!(running.start_report().placements[0].executor, "tokio, 2 workers");
    within(running.join()).await.unwrap();
    assert_eq!(received.iter().collect::<Vec<_>>(), squares(10_000));
}

/// All that a service starts runs on its own thread.
struct Homely(Sender<String>);

#[service()]
impl Homely {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let here = thread::current().id();
        let before = ctx.now();
        ctx.sleep(Duration::from_millis(2)).await?;
        assert!(ctx.now() - before >= Duration::from_millis(2));
        assert_eq!(thread::current().id(), here, "after a sleep");
        let task = ctx.spawn(async { thread::current().id() });
        assert_eq!(task.await?, here, "in a task");
        assert_ne!(ctx.blocking(|| thread::current().id()).await?, here, "blocking work");
        let mut listener = ctx.listen("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (accepted, connected) =
            futures_util::future::join(listener.accept(), ctx.connect(&address)).await;
        accepted.and(connected)?;
        self.0.send(thread::current().name().unwrap_or_default().to_owned())?;
        Ok(())
    }
}

#[tokio::test]
async fn time_tasks_and_the_network_are_those_of_the_services_own_thread() {
    let (sender, name) = channel();
    let node = Node::builder("main")
        .service(move || Homely(sender.clone()))
        .execution("Homely", Execution::dedicated().thread("home"));
    within(run(node)).await;
    assert_eq!(name.recv().unwrap(), "home");
}

#[tokio::test]
async fn all_services_may_have_threads_and_the_topology_wins_over_the_program() {
    let (sender, received) = channel();
    let text = "[service.Source]\nrun = \"dedicated\"\nwait = \"spin-then-park(100)\"\n\
                [service.LocalSquarer]\nwait = \"spin-then-park(3000)\"\nthread = \"file\"\n\
                [service.Sink]\nrun = \"shared\"\n";
    let node = Node::builder("main")
        .topology(topology(text))
        .service(|| Source { count: 3_000 })
        .service(|| LocalSquarer)
        .service(move || Sink(sender.clone()))
        .execution("LocalSquarer", Execution::dedicated().thread("program").budget(7))
        .execution("Sink", Execution::pinned([100_000]).thread("nowhere"));
    let running = start(node);
    let squarer = &running.start_report().placements[1];
    let asked =
        Execution::dedicated().thread("file").budget(7).wait(WaitStrategy::SpinThenPark(3_000));
    assert_eq!((&squarer.asked, squarer.thread.as_deref()), (&asked, Some("file")));
    assert_eq!(running.start_report().placements[2].asked, Execution::shared());
    within(running.join()).await.unwrap();
    assert_eq!(received.iter().collect::<Vec<_>>(), squares(3_000));
}

/// Reports the cores on which it runs.
#[cfg(target_os = "linux")]
struct Surveyor(Sender<Vec<usize>>);

#[cfg(target_os = "linux")]
#[service()]
impl Surveyor {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        self.0.send(mycelium_executor::allowed_cores().unwrap())?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_pinned_service_keeps_to_its_core() {
    let core = mycelium_executor::allowed_cores().unwrap()[0];
    let (sender, cores) = channel();
    let node = Node::builder("main")
        .service(move || Surveyor(sender.clone()))
        .execution("Surveyor", Execution::pinned([core]));
    let running = start(node);
    let placement = running.start_report().placements[0].clone();
    assert_eq!((placement.cores, placement.class), (vec![core], Class::Normal));
    within(running.join()).await.unwrap();
    assert_eq!(cores.recv().unwrap(), [core]);
}

#[tokio::test]
async fn spinning_and_parking_services_feed_each_other() {
    let waits = ["park", "spin", "spin-then-park(50)", "spin-then-park(5000)"];
    for (number, wait) in waits.iter().cycle().skip(1).zip(waits).enumerate() {
        let (sender, received) = channel();
        let (first, second) = wait;
        // On one thread, and on three. The ring is always full.
        let place = ["shared", "dedicated"][number % 2];
        let text = format!(
            "[topic.numbers]\ncapacity = 4\n[topic.squares]\ncapacity = 4\n[service.Source]\nwait = \"{first}\"\n\
             run = \"{place}\"\n[service.LocalSquarer]\nwait = \"{second}\"\nrun = \"dedicated\"\n\
             [service.Sink]\nwait = \"{first}\"\n"
        );
        let node = Node::builder("main")
            .topology(topology(&text))
            .service(|| Source { count: 1_000 })
            .service(|| LocalSquarer)
            .service(move || Sink(sender.clone()));
        within(run(node)).await;
        assert_eq!(
            received.iter().collect::<Vec<_>>(),
            squares(1_000),
            "{first}, {second}, {place}"
        );
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_thread_outlives_the_node() {
    use crate::execution::services::{has_thread, thread_goes};

    let node = Node::builder("main")
        .service(|| Idle)
        .execution("Idle", Execution::dedicated().thread("outlive-not"));
    let running = start(node);
    assert!(has_thread("outlive-not"));
    within(end(running)).await;
    thread_goes("outlive-not").await;
}

#[cfg(target_os = "linux")]
#[test]
fn a_runtime_that_ends_first_takes_the_threads_of_its_services_along() {
    use crate::execution::services::thread_goes;

    let node = Node::builder("main")
        .service(|| Idle)
        .execution("Idle", Execution::dedicated().thread("taken-along"))
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let running = runtime.block_on(async { node.start(Tokio::current().unwrap()).unwrap() });
    drop(runtime);
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = waiting.block_on(within(running.join())).unwrap_err();
    assert_eq!(error.to_string(), "the executor ended before these services had: Idle [M0055]");
    waiting.block_on(thread_goes("taken-along"));
}

/// Leaves a task on its thread that ends late.
struct Littering(Option<Receiver<()>>);

struct Litter(Option<Receiver<()>>);

impl Drop for Litter {
    fn drop(&mut self) {
        _ = self.0.take().map(|gone| gone.recv_timeout(LONG));
    }
}

#[service()]
impl Littering {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        thread_local! {
            static LITTER: RefCell<Litter> = const { RefCell::new(Litter(None)) };
        }
        LITTER.with_borrow_mut(|litter| litter.0 = self.0.take());
        Ok(())
    }
}

#[tokio::test]
async fn a_thread_that_does_not_end_is_named() {
    let (release, released) = channel();
    let mut released = Some(released);
    let node = Node::builder("main")
        .topology(topology("[node.main]\nshutdown = \"50ms\"\n"))
        .service(move || Littering(released.take()))
        .execution("Littering", Execution::dedicated().thread("full"))
        .build()
        .unwrap();
    let error = within(node.run(Tokio::current().unwrap())).await.unwrap_err();
    assert!(matches!(&error, StartError::Threads { threads } if threads == &["full"]), "{error}");
    release.send(()).unwrap();
}
