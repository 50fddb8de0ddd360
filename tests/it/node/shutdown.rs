//! How nodes end: accepted messages are drained, services that hang are named and abandoned, and
//! stop hooks run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium::emit::Refusal;
use mycelium::error::ShuttingDown;
use mycelium::observe::Outcome;
use mycelium::supervision::Kept;
use mycelium::{Context, Error, Node, Result, service};

use crate::lines::Lines;
use crate::node::asks::{Answerer, Ask, ask};
use crate::node::services::{
    Deaf, ENDLESS, Number, Source, Square, Squarer, conserved, end, patient, pipeline, run, sink,
    squares, start, taker,
};
use crate::running::{Says, main_with, next, until};

#[tokio::test]
async fn h10_shutdown_drains_what_was_accepted_and_a_tight_loop_starves_nobody() {
    let (sender, received) = channel();
    // The services in the middle wait for room, even during the shutdown.
    let running = start(
        main_with("[topic.squares]\ncapacity = 2")
            .service(|| ENDLESS)
            .service(|| Squarer { fault: |_: &_, _| Ok(()) })
            .named_service("Sink", move || sink(&sender)),
    );
    let first = next(&received).await;
    running.shutdown();
    let report = end(running).await;
    let rest: Vec<_> = received.iter().collect();
    assert_eq!([vec![first], rest.clone()].concat(), squares(rest.len() as u64 + 1));
    conserved(&report.counters);
    let sent = report.counters.iter().find(|line| line.label("topic") == "numbers").unwrap();
    assert_eq!(sent.value("sent"), rest.len() as u64 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_shutdown_logs_what_it_waits_for() {
    let lines = Lines::default();
    let _capture = lines.capture();
    let hook = || tokio::time::sleep(Duration::from_secs(7));
    let running = start(Node::builder("main").service(|| Deaf).on_stop(hook));
    running.shutdown();
    running.join().await.unwrap_err();
    let lines = lines.take();
    let slow = lines.iter().filter(|line| line.contains("the shutdown is not complete"));
    let slow: Vec<_> = slow.map(|line| line.split_once("taken=").unwrap().1.trim()).collect();
    let each =
        ["1s", "2s", "4s", "8s"].map(|taken| format!(r#"{taken} waits_for="services Deaf""#));
    assert_eq!(slow, [&each[..], &[r#"16s waits_for="stop hooks""#.into()]].concat());
}

#[tokio::test]
async fn after_a_shutdown_each_way_to_emit_of_a_source_fails_but_a_kept_publisher_works() {
    struct Last(Sender<String>);
    #[service(emits(Number, Square as squares))]
    impl Last {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut kept = ctx.publisher::<Number>()?;
            ctx.emit(Number { value: 1 }).await?;
            ctx.shutdown();
            let square = Square { value: 1 };
            let errors = [
                ctx.emit(Number { value: 2 }).await.unwrap_err().to_string(),
                ctx.try_emit(Number { value: 2 }).unwrap_err().to_string(),
                ctx.on(Self::squares).emit(square).await.unwrap_err().to_string(),
                ctx.on(Self::squares).try_emit(square).unwrap_err().to_string(),
                ctx.publisher::<Number>().unwrap_err().to_string(),
                ctx.on(Self::squares).publisher().unwrap_err().to_string(),
            ];
            errors.into_iter().try_for_each(|error| self.0.send(error))?;
            kept.emit(Number { value: 3 }).await?;
            let error = ctx.emit(Number { value: 4 }).await.unwrap_err();
            assert_eq!(error.refusal, Refusal::ShuttingDown);
            assert_eq!(error.message.value, 4, "the message comes back");
            Err(error.into())
        }
    }
    let (errors, said) = channel();
    let (numbers, received) = channel();
    let builder = Node::builder("main").service(move || Last(errors.clone()));
    let builder = builder.bind("Last", "squares", "squares.last");
    let report = run(builder.service(move || taker(&numbers))).await;
    assert!(report.services.iter().all(|service| service.outcome == Outcome::Completed));
    assert!(received.iter().eq([1, 3]));
    let said: Vec<String> = said.iter().collect();
    let topic = |topic: &str| {
        format!("a message for topic `{topic}` was not sent: the node is shutting down [M0223]")
    };
    let down = || "the node is shutting down [M0223]".to_owned();
    let (numbers, squares) = (|| topic("numbers"), || topic("squares.last"));
    assert_eq!(said, [numbers(), numbers(), squares(), squares(), down(), down()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_child_tasks_sent_is_received_and_they_send_nothing_after_the_run() {
    struct Parent(Arc<AtomicU64>);
    #[service(emits(Number))]
    impl Parent {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let (mut numbers, accepted) = (ctx.publisher::<Number>()?, self.0.clone());
            ctx.spawn(async move {
                while numbers.emit(Number { value: 0 }).await.is_ok() {
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            });
            ctx.shutdown_requested().await;
            Ok(())
        }
    }
    for _ in 0..50 {
        let accepted = Arc::<AtomicU64>::default();
        let (numbers, received) = channel();
        let counted = accepted.clone();
        let builder = Node::builder("main").service(move || Parent(counted.clone()));
        let running = start(builder.service(move || taker(&numbers)));
        until(|| accepted.load(Ordering::Relaxed) >= 1000).await;
        end(running).await;
        let accepted = accepted.load(Ordering::Relaxed);
        assert_eq!(received.iter().count() as u64, accepted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_run_waits_for_a_task_that_is_in_a_poll() {
    type Flag = Arc<AtomicBool>;
    struct Parent(Flag, Flag);
    #[service(emits(Number))]
    impl Parent {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut numbers = ctx.publisher::<Number>()?;
            let (polled, reader_ended) = (self.0.clone(), self.1.clone());
            ctx.spawn(async move {
                polled.store(true, Ordering::Relaxed);
                // One long poll, in which the reader would end if nothing kept its topic open.
                for _ in 0..1_000_000 {
                    if reader_ended.load(Ordering::Relaxed) {
                        break;
                    }
                    std::hint::spin_loop();
                }
                numbers.try_emit(Number { value: 7 }).expect("room");
            });
            while !self.0.load(Ordering::Relaxed) {
                ctx.yield_now().await;
            }
            ctx.shutdown();
            Ok(())
        }
    }
    struct Reader(Flag, Sender<u64>);
    #[service(reads(Number))]
    impl Reader {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut numbers = ctx.subscribe::<Number>()?;
            while let Some(delivery) = numbers.recv().await {
                self.1.send(delivery.message().expect("no gap").value)?;
            }
            self.0.store(true, Ordering::Relaxed);
            Ok(())
        }
    }
    let (polled, ended) = (Flag::default(), Flag::default());
    let (sender, received) = channel();
    let reader_ended = ended.clone();
    let builder = Node::builder("main")
        .service(move || Parent(polled.clone(), ended.clone()))
        .service(move || Reader(reader_ended.clone(), sender.clone()));
    run(builder).await;
    assert!(received.iter().eq([7]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_ignores_the_shutdown_is_abandoned_and_the_node_ends() {
    struct Ignores;
    #[service(emits(Number))]
    impl Ignores {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            loop {
                let _ = ctx.emit(Number { value: 0 }).await;
            }
        }
    }
    let soon = "[node.main]\nservices = [\"Ignores\"]\nshutdown = \"50ms\"";
    let running = start(main_with(soon).service(|| Ignores));
    running.shutdown();
    running.join().await.unwrap_err().mentions("Ignores");
}

#[tokio::test]
async fn each_error_whose_cause_is_the_shutdown_ends_a_source_well() {
    struct Failing(u8);
    #[service(emits(Number), requests(Ask))]
    impl Failing {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            ctx.shutdown();
            match self.0 {
                0 => drop(ctx.publisher::<Number>()?),
                1 => ctx.emit(Number { value: 1 }).await.map_err(std::io::Error::other)?,
                2 => ctx.sleep(Duration::ZERO).await.map_err(std::io::Error::other)?,
                3 => drop(ctx.request(ask(1)).await?),
                4 => loop {
                    // The other future is always ready, so the emit may never be polled.
                    let (emit, ready) = (ctx.emit(Number { value: 0 }), std::future::ready(()));
                    if let Either::Left((sent, _)) = select(emit, ready).await {
                        sent?;
                    }
                },
                _ => ctx.try_emit(Number { value: 1 })?,
            }
            panic!("the node shuts down");
        }
    }
    let once = "[service.Failing]\nmax_restarts = 0";
    for way in 0..6 {
        let builder = main_with(once).service(|| Answerer(Arc::default()));
        let report = run(builder.service(move || Failing(way))).await;
        let mut services = report.services.iter();
        let service = services.find(|service| service.name == "Failing").unwrap();
        let found = (&service.outcome, service.errors, service.panics);
        assert_eq!(found, (&Outcome::Completed, 0, 0), "{way}");
    }
}

#[tokio::test]
async fn stop_hooks_run_in_reverse_order_after_the_services_and_despite_a_panic() {
    let (sender, events) = channel();
    let (first, second) = (sender.clone(), sender.clone());
    let builder = Node::builder("main")
        .on_stop(|| async move { first.send(1_000_001).unwrap() })
        .on_stop(|| async { panic!("in a hook") })
        .on_stop(|| async move { second.send(1_000_002).unwrap() })
        .service(|| Source::of(3))
        .service(|| Squarer { fault: |_: &_, _| Ok(()) })
        .named_service("Sink", move || sink(&sender));
    run(builder).await;
    assert_eq!(events.iter().collect::<Vec<_>>(), [0, 1, 4, 1_000_002, 1_000_001]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_hook_that_hangs_is_left_at_the_deadline() {
    let begin = tokio::time::Instant::now();
    let builder = Node::builder("main").on_stop(std::future::pending::<()>);
    run(builder.service(|| Source::of(1))).await;
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[test]
fn a_runtime_that_drops_the_end_of_the_node_is_an_error() {
    // This runtime has no timers, so it panics when the node makes one.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async {
        let hook_ran = Kept::new(false);
        let seen = hook_ran.clone();
        let (builder, _received) = pipeline(10, |_, _| Ok(()));
        let running =
            start(builder.on_stop(move || async move { hook_ran.commit(|ran| *ran = true) }));
        let error = running.join().await.unwrap_err();
        assert!(!seen.read(|ran| *ran));
        error
    });
    error.says(
        "the node's task panicked, or its executor ended, before its links were drained and its \
         stop hooks had run [M0055]",
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_at_its_end_is_an_error_with_its_text() {
    /// A source that fails for good.
    struct Flushes;
    #[service()]
    impl Flushes {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            ctx.shutdown_requested().await;
            Err(Error::msg("the disk is full").permanent())
        }
    }
    /// A reader that fails each time it ends.
    struct AtEnd;
    #[service(reads(Number))]
    impl AtEnd {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut numbers = ctx.subscribe::<Number>()?;
            while numbers.recv().await.is_some() {}
            Err(Error::msg("cannot close the file"))
        }
    }
    for (name, reason) in [("Flushes", "the disk is full"), ("AtEnd", "cannot close the file")] {
        let builder = Node::builder("main").service(|| ENDLESS);
        let running = start(match name {
            "Flushes" => builder.service(|| Flushes),
            _ => builder.service(|| AtEnd),
        });
        tokio::task::yield_now().await;
        running.shutdown();
        let error = running.join().await.unwrap_err();
        error.mentions(&format!("`{name}` failed permanently"));
        error.ends(&format!("{reason} [M0054]"));
    }
}

/// Fails once with a shutdown error, while its own node runs.
struct Confused(bool);

#[service()]
impl Confused {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        if std::mem::take(&mut self.0) {
            return Err(ShuttingDown.into());
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_error_of_a_shutdown_is_a_failure_while_the_node_runs() {
    let builder = Node::builder("main").topology(patient(&["Confused"]));
    let report = run(builder.service(|| Confused(true))).await;
    assert_eq!((report.services[0].starts, report.services[0].errors), (2, 1));
}
