//! The watchdog reports services that block their thread, on every executor.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::{Context, Event, Execution, Node, Result, StartError, service};
use mycelium_tokio::Tokio;

use crate::execution::services::{Hanging, Idle, LONG, end, start, topology, within};

const LIMIT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_hanging_poll_is_reported_once_and_again_when_it_ends() {
    let (told, events) = channel();
    let (release, released) = channel();
    let mut released = Some(released);
    let node = Node::builder("main")
        .topology(topology("[node.main]\nwatchdog = \"20ms\"\n"))
        .service(move || Hanging(released.take()))
        .service(|| Idle)
        .execution("Hanging", Execution::dedicated())
        .observe(move |event| match event {
            Event::PollHangs { service, limit } => {
                told.send(((*service).to_owned(), *limit, None)).unwrap()
            }
            Event::PollEnded { service, lasted } => {
                told.send(((*service).to_owned(), LIMIT, Some(*lasted))).unwrap()
            }
            _ => {}
        });
    let running = start(node);
    assert_eq!(events.recv_timeout(LONG).unwrap(), ("Hanging".to_owned(), LIMIT, None));
    // It is reported once, although it lasts for several limits.
    assert!(events.recv_timeout(5 * LIMIT).is_err());
    release.send(()).unwrap();
    let (service, _, lasted) = events.recv_timeout(LONG).unwrap();
    assert_eq!(service, "Hanging");
    assert!(lasted.unwrap() >= 5 * LIMIT, "{lasted:?}");
    let counters = running.counters();
    let long_polls = |name| {
        let mut lines = counters.iter().filter(|line| line.kind == Kind::Watchdog);
        lines.find(|line| line.label("service") == name).unwrap().value("long_polls")
    };
    assert_eq!((long_polls("Hanging"), long_polls("Idle")), (1, 0));
    within(end(running)).await;
}

#[tokio::test]
async fn a_node_has_a_watchdog_unless_it_is_turned_off() {
    let (told, events) = channel();
    let (release, released) = channel();
    let mut released = Some(released);
    let node = Node::builder("main")
        .service(move || Hanging(released.take()))
        .execution("Hanging", Execution::dedicated())
        .observe(move |event| {
            if let Event::PollHangs { service, limit } = event {
                told.send(((*service).to_owned(), *limit)).unwrap();
            }
        });
    let running = start(node);
    let limit = Duration::from_millis(250);
    assert_eq!(events.recv_timeout(LONG).unwrap(), ("Hanging".to_owned(), limit));
    release.send(()).unwrap();
    within(end(running)).await;

    for node in [
        Node::builder("main").topology(topology("[node.main]\nwatchdog = \"0s\"\n")),
        Node::builder("main").watchdog(Duration::ZERO),
    ] {
        let running = start(node.service(|| Idle));
        assert!(running.counters().iter().all(|line| line.kind != Kind::Watchdog));
        within(end(running)).await;
    }
}

/// Spawns child tasks: many that end at once, and then, one after the other, some that block their
/// thread until they were reported.
struct Parent(Arc<Mutex<Receiver<()>>>);

#[service()]
impl Parent {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..100u64 {
            assert_eq!(ctx.spawn(async move { number }).await?, number);
        }
        for hang in 0..20 {
            // The watchdog may have fallen asleep.
            let pause = Duration::from_micros(ctx.random() % 3000);
            ctx.sleep(pause).await?;
            let (named, clock) = (self.0.clone(), ctx.clock());
            let child = ctx.spawn(async move {
                let _ = clock.sleep(Duration::from_micros(1)).await;
                named.lock().unwrap().recv_timeout(LONG).is_ok()
            });
            assert!(child.await?, "hang {hang} was missed");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_task_that_blocks_its_thread_is_reported_under_its_service() {
    for execution in [Execution::shared(), Execution::dedicated()] {
        let ((name, named), (end, ended)) = (channel(), channel());
        let named = Arc::new(Mutex::new(named));
        let node = Node::builder("main")
            .service(move || Parent(named.clone()))
            .service(|| Idle)
            .execution("Parent", execution)
            .watchdog(Duration::from_millis(5))
            .observe(move |event| match event {
                Event::PollHangs { service, .. } => {
                    assert_eq!(*service, "Parent");
                    name.send(()).unwrap();
                }
                Event::PollEnded { service, .. } => {
                    assert_eq!(*service, "Parent");
                    end.send(()).unwrap();
                }
                _ => {}
            });
        let running = start(node);
        for _ in 0..20 {
            ended.recv_timeout(LONG).unwrap();
        }
        let counters = running.counters();
        let lines = counters.iter().filter(|line| line.kind == Kind::Watchdog);
        let lines: Vec<_> =
            lines.map(|line| (line.label("service"), line.value("long_polls"))).collect();
        assert_eq!(lines, [("Parent", 20), ("Idle", 0)], "children count at their service");
        running.shutdown();
        let report = within(running.join()).await.unwrap();
        assert!(report.services.iter().all(|service| service.panics + service.errors == 0));
    }
}

/// Sleeps for a random time, then blocks its thread until it was reported, and so on.
struct Tease {
    tries: u32,
    named: Arc<Mutex<Receiver<()>>>,
}

#[service()]
impl Tease {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..self.tries {
            let pause = Duration::from_nanos(ctx.random() % 3_000_000);
            ctx.sleep(pause).await?;
            let named = self.named.lock().unwrap().recv_timeout(LONG);
            assert!(named.is_ok(), "hang {number}, after {pause:?}, was missed");
        }
        Ok(())
    }
}

/// The watchdog reports a poll that does not end, in every state that the watchdog has when the
/// poll begins, above all while it is about to park.
#[tokio::test]
async fn no_hang_is_missed() {
    let (name, named) = channel();
    let named = Arc::new(Mutex::new(named));
    let node = Node::builder("main")
        .service(move || Tease { tries: 200, named: named.clone() })
        .execution("Tease", Execution::dedicated())
        // A second service is polled often, so that the watchdog is woken at all times.
        .service(|| Busy)
        .watchdog(Duration::from_millis(1))
        .observe(move |event| {
            if matches!(event, Event::PollHangs { service: "Tease", .. }) {
                name.send(()).unwrap();
            }
        });
    let running = start(node);
    let report = within(running.join()).await.unwrap();
    let tease = report.services.iter().find(|service| service.name == "Tease").unwrap();
    assert_eq!(tease.panics, 0);
}

/// Is polled a thousand times a second, for half a second.
struct Busy;

#[service()]
impl Busy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for _ in 0..500 {
            ctx.sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_threads_of_an_idle_node_sleep() {
    use crate::execution::services::thread_directory;

    let (started, has_started) = channel();
    let node = Node::builder("idle")
        .service(|| Idle)
        .execution("Idle", Execution::dedicated().thread("idle-own"))
        .watchdog(Duration::from_millis(1))
        .observe(move |event| {
            if let Event::NodeReady { .. } = event {
                started.send(std::thread::current().id()).unwrap();
            }
        });
    let running = start(node);
    within(async {
        while has_started.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let wakes_of = |thread| {
        let directory = thread_directory(thread).unwrap();
        let status = std::fs::read_to_string(directory.join("status")).unwrap();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    let wakes = || ["watch-idle", "idle-own"].map(wakes_of);
    within(async {
        loop {
            let before = wakes();
            // Three hundred limits. Only time can show that nothing is reported.
            tokio::time::sleep(Duration::from_millis(300)).await;
            if wakes() == before {
                break;
            }
        }
    })
    .await;
    within(end(running)).await;
}

#[tokio::test]
async fn a_hanging_poll_does_not_hold_up_the_end_of_the_node() {
    let (release, released) = channel();
    // The node's own thread hangs: only the watchdog can end the node.
    let (running, runtime) = start_and_hang(released);
    running.shutdown();
    let error = within(running.join()).await.unwrap_err();
    let StartError::Abandoned { services, .. } = &error else { panic!("{error}") };
    assert_eq!(services, &["Hanging"]);
    release.send(()).unwrap();
    runtime.join().unwrap();
}

/// A node on a runtime with one thread, which a service of the node blocks.
fn start_and_hang(released: Receiver<()>) -> (mycelium::Running, std::thread::JoinHandle<()>) {
    let (told, hangs): (Sender<()>, _) = channel();
    let mut released = Some(released);
    let node = Node::builder("main")
        .topology(topology("[node.main]\nshutdown = \"100ms\"\nwatchdog = \"20ms\"\n"))
        .service(move || Hanging(released.take()))
        .observe(move |event| {
            if let Event::PollHangs { .. } = event {
                told.send(()).unwrap();
            }
        })
        .build()
        .unwrap();
    let (give, given) = channel();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            give.send(node.start(Tokio::current().unwrap()).unwrap()).unwrap();
            // Until the service is released.
            tokio::task::yield_now().await;
        });
    });
    hangs.recv_timeout(LONG).unwrap();
    (given.recv().unwrap(), runtime)
}

#[mycelium::message(topic = "blocking", id = 61)]
struct Blocking {
    number: u64,
}

struct Emits;

#[service(emits(Blocking))]
impl Emits {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Blocking { number: 0 }).await?;
        Ok(ctx.emit(Blocking { number: 1 }).await?)
    }
}

/// In a service, and outside of all of them.
#[tokio::test]
async fn a_fast_handler_that_blocks_is_named() {
    let (told, events) = channel();
    let (name, named) = channel();
    let named = Mutex::new(named);
    let node = Node::builder("main")
        .service(|| Emits)
        .execution("Emits", Execution::dedicated())
        .watchdog(LIMIT)
        .fast_handler("first", |_: &Blocking| Ok(()))
        .fast_handler("blocks", move |message: &Blocking| {
            // Until it was named.
            let is_named = message.number == 0 || named.lock().unwrap().recv_timeout(LONG).is_ok();
            is_named.then_some(()).ok_or_else(|| mycelium::Error::msg("it was not named"))
        })
        .observe(move |event| match event {
            Event::FastHandlerHangs { handler, topic, publisher, limit } => {
                assert_eq!(*limit, LIMIT);
                told.send([*handler, *topic, *publisher].map(str::to_owned)).unwrap();
                name.send(()).unwrap();
            }
            Event::PollHangs { service, .. } => assert_eq!(*service, "Emits"),
            _ => {}
        })
        .build()
        .unwrap();
    let mut publisher = node.publisher::<Blocking>("outside").unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    assert_eq!(events.recv_timeout(LONG).unwrap(), ["blocks", "blocking", "Emits"]);
    let outside = std::thread::spawn(move || {
        publisher.try_emit(Blocking { number: 2 }).unwrap();
    });
    assert_eq!(events.recv_timeout(LONG).unwrap(), ["blocks", "blocking", "outside"]);
    outside.join().unwrap();
    let report = within(running.join()).await.unwrap();
    assert_eq!(report.services[0].errors, 0);
}
