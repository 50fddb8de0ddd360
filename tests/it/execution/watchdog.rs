//! The watchdog reports services that block their thread, on every executor.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::error::StartError;
use mycelium::execution::Execution;
use mycelium::observe::Event;
use mycelium::{Context, Node, Result, Running, service};
use mycelium_tokio::Tokio;

use crate::execution::services::{Hanging, Idle, LONG, Number, Source, end, start, within};
use crate::running::main_with;

const LIMIT: Duration = Duration::from_millis(20);

fn has_long_polls(running: &Running, expected: [(&str, u64); 2]) {
    let counters = running.counters();
    let lines = counters.iter().filter(|line| line.kind == Kind::Watchdog);
    let found: Vec<_> = lines.map(|it| (it.label("service"), it.value("long_polls"))).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_hanging_poll_is_reported_once_and_again_when_it_ends() {
    // A limit from the file, and the default.
    for (text, limit) in
        [("[node.main]\nwatchdog = \"20ms\"\n", LIMIT), ("", Duration::from_millis(250))]
    {
        let (told, events) = channel();
        let (release, released) = channel();
        let mut released = Some(released);
        let node = main_with(text)
            .service(move || Hanging(released.take()))
            .service(|| Idle)
            .execution("Hanging", Execution::dedicated())
            .observe(move |event| match event {
                Event::PollHangs { service, limit } => {
                    told.send(((*service).to_owned(), *limit, false)).unwrap()
                }
                Event::PollEnded { service, lasted } => {
                    told.send(((*service).to_owned(), *lasted, true)).unwrap()
                }
                _ => {}
            });
        let running = start(node);
        assert_eq!(events.recv_timeout(LONG).unwrap(), ("Hanging".to_owned(), limit, false));
        // A hanging poll is reported once, even if it lasts for several limits.
        assert!(events.recv_timeout(5 * LIMIT).is_err());
        release.send(()).unwrap();
        let (service, lasted, has_ended) = events.recv_timeout(LONG).unwrap();
        assert_eq!((&*service, has_ended), ("Hanging", true));
        assert!(lasted >= 5 * LIMIT, "{lasted:?}");
        has_long_polls(&running, [("Hanging", 1), ("Idle", 0)]);
        within(end(running)).await;
    }
}

#[tokio::test]
async fn a_node_has_no_watchdog_if_it_is_turned_off() {
    let by_file = main_with("[node.main]\nwatchdog = \"0s\"\n");
    for node in [by_file, Node::builder("main").watchdog(Duration::ZERO)] {
        let running = start(node.service(|| Idle));
        assert!(running.counters().iter().all(|line| line.kind != Kind::Watchdog));
        within(end(running)).await;
    }
}

/// Spawns many child tasks that end at once, and then, one after another, some that block their
/// thread until they have been reported.
struct Parent(Arc<Mutex<Receiver<()>>>);

#[service()]
impl Parent {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..100u64 {
            assert_eq!(ctx.spawn(async move { number }).await?, number);
        }
        for hang in 0..20 {
            // A random pause, in which the watchdog may fall asleep.
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
        // Long polls of child tasks are counted at their service.
        has_long_polls(&running, [("Parent", 20), ("Idle", 0)]);
        running.shutdown();
        let report = within(running.join()).await.unwrap();
        assert!(report.services.iter().all(|service| service.panics + service.errors == 0));
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
    crate::running::until(|| has_started.try_recv().is_ok()).await;
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
            // Three hundred limits. Only time can show that the watchdog does not wake.
            tokio::time::sleep(Duration::from_millis(300)).await;
            if wakes() == before {
                break;
            }
        }
    })
    .await;
    within(end(running)).await;
}

/// A service blocks the only thread of the runtime, so only the watchdog can end the node.
#[tokio::test]
async fn a_hanging_poll_does_not_hold_up_the_end_of_the_node() {
    let ((release, released), (told, hangs), (give, given)) = (channel(), channel(), channel());
    let mut released = Some(released);
    let node = main_with("[node.main]\nshutdown = \"100ms\"\nwatchdog = \"20ms\"\n")
        .service(move || Hanging(released.take()))
        .observe(move |event| {
            if let Event::PollHangs { .. } = event {
                told.send(()).unwrap();
            }
        });
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            give.send(start(node)).unwrap();
            // The service blocks this poll until it is released.
            tokio::task::yield_now().await;
        });
    });
    hangs.recv_timeout(LONG).unwrap();
    let running = given.recv().unwrap();
    running.shutdown();
    let error = within(running.join()).await.unwrap_err();
    let StartError::Abandoned { services, .. } = &error else { panic!("{error}") };
    assert_eq!(services, &["Hanging"]);
    release.send(()).unwrap();
    runtime.join().unwrap();
}

/// The handler blocks in an emit of a service, and in an emit outside the services.
#[tokio::test]
async fn a_fast_handler_that_blocks_is_named() {
    let (told, events) = channel();
    let (name, named) = channel();
    let named = Mutex::new(named);
    let node = Node::builder("main")
        .service(|| Source::of(2))
        .execution("Source", Execution::dedicated())
        .watchdog(LIMIT)
        .fast_handler("first", |_: &Number| Ok(()))
        .fast_handler("blocks", move |number: &Number| {
            // Blocks until the watchdog has named this handler.
            let is_named = number.value == 0 || named.lock().unwrap().recv_timeout(LONG).is_ok();
            is_named.then_some(()).ok_or_else(|| mycelium::Error::msg("it was not named"))
        })
        .observe(move |event| match event {
            Event::FastHandlerHangs { handler, topic, publisher, limit } => {
                assert_eq!(*limit, LIMIT);
                told.send([*handler, *topic, *publisher].map(str::to_owned)).unwrap();
                name.send(()).unwrap();
            }
            Event::PollHangs { service, .. } => assert_eq!(*service, "Source"),
            _ => {}
        })
        .build()
        .unwrap();
    let mut publisher = node.publisher::<Number>("outside").unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    assert_eq!(events.recv_timeout(LONG).unwrap(), ["blocks", "numbers", "Source"]);
    let outside = std::thread::spawn(move || {
        publisher.try_emit(Number { value: 2 }).unwrap();
    });
    assert_eq!(events.recv_timeout(LONG).unwrap(), ["blocks", "numbers", "outside"]);
    outside.join().unwrap();
    let report = within(running.join()).await.unwrap();
    assert_eq!(report.services[0].errors, 0);
}
