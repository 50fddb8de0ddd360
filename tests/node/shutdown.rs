//! How nodes end: accepted messages are drained, pauses and sleeps are cut short, and services that
//! hang are named and abandoned.

use std::sync::mpsc::channel;
use std::time::Duration;

use mycelium::{Context, Error, Kept, Node, Outcome, Result, Topology, service};

use crate::services::{
    Endless, Number, Sink, Source, Square, Squarer, Undertaker, conserved, pipeline, run, squares,
    start,
};

#[tokio::test]
async fn shutdown_drains_what_was_accepted_and_a_tight_loop_starves_nobody() {
    let (sender, received) = channel();
    let running = start(
        Node::builder("main")
            .service(|| Endless)
            .service(|| Squarer { fault: |_: &_, _| Ok(()) })
            .service(move || Sink(sender.clone())),
    );
    let first = loop {
        match received.try_recv() {
            Ok(first) => break first,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    running.shutdown();
    running.shutdown();
    let report = running.join().await.unwrap();
    let rest: Vec<_> = received.iter().collect();
    assert_eq!([vec![first], rest.clone()].concat(), squares(rest.len() as u64 + 1));
    conserved(&report.counters);
    let sent = report.counters.iter().find(|line| line.label("topic") == "numbers").unwrap();
    assert_eq!(sent.value("sent"), rest.len() as u64 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ignores_the_shutdown_is_abandoned_by_name() {
    struct Deaf;
    #[service()]
    impl Deaf {
        async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
            std::future::pending().await
        }
    }
    let running = start(Node::builder("main").service(|| Deaf));
    running.shutdown();
    let error = running.join().await.unwrap_err();
    let expected = "abandoned at the shutdown deadline of 10s: Deaf; ";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[tokio::test(start_paused = true)]
async fn sleep_is_cut_short_by_a_shutdown_that_came_before_or_comes_after() {
    struct Sleeper(bool);
    #[service()]
    impl Sleeper {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            if self.0 {
                ctx.shutdown();
            }
            ctx.sleep(Duration::from_secs(3600)).await?;
            panic!("woke up as if nothing had happened");
        }
    }
    for before in [true, false] {
        let begin = tokio::time::Instant::now();
        let running = start(Node::builder("main").service(move || Sleeper(before)));
        tokio::task::yield_now().await;
        running.shutdown();
        running.join().await.unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_cuts_the_pause_of_a_source_which_then_ends_well() {
    let runs = Kept::new(0);
    let factory_runs = runs.clone();
    let builder = Node::builder("main").topology(slow("Fickle"));
    let running = start(builder.service(move || Fickle::<false>(factory_runs.clone())));
    while runs.read(|runs| *runs) == 0 {
        tokio::task::yield_now().await;
    }
    running.shutdown();
    let report = running.join().await.unwrap();
    assert_eq!(report.services[0].outcome, Outcome::Completed);
    assert_eq!(runs.read(|runs| *runs), 1, "no other try");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_cuts_the_pause_of_a_reader_which_then_drains() {
    let runs = Kept::new(0);
    let factory_runs = runs.clone();
    let builder = Node::builder("main").topology(slow("Fickle"));
    let builder = builder.service(|| Source { count: 10 });
    let running = start(builder.service(move || Fickle::<true>(factory_runs.clone())));
    while runs.read(|runs| *runs) == 0 {
        tokio::task::yield_now().await;
    }
    running.shutdown();
    let report = running.join().await.unwrap();
    let feed = report.counters.iter().find(|line| line.label("reader") == "Fickle").unwrap();
    assert_eq!((feed.value("taken"), feed.value("left")), (10, 0));
}

#[tokio::test]
async fn dead_letters_are_read_to_the_end_of_a_shutdown() {
    let (sender, letters) = channel();
    let (builder, _received) = pipeline(0, |_, _| Err(Error::msg("cannot square anything")));
    let running = start(builder.service(move || Undertaker(sender.clone())));
    let mut numbers = running.publisher::<Number>("outside").unwrap();
    for value in 0..3 {
        numbers.try_emit(Number { value }).unwrap();
    }
    running.shutdown();
    running.join().await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [0, 1, 2]);
}

/// Fails at its first run.
struct Fickle<const READS: bool>(Kept<u32>);

#[service(emits(Square))]
impl Fickle<false> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.0.commit(|runs| *runs += 1);
        ctx.try_emit(Square { value: 1 })?;
        Err(Error::msg("no luck"))
    }
}

#[service(reads(Number))]
impl Fickle<true> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        if self.0.commit(|runs| {
            *runs += 1;
            *runs
        }) == 1
        {
            return Err(Error::msg("no luck"));
        }
        let mut numbers = ctx.subscribe::<Number>()?;
        while numbers.recv().await.is_some() {}
        Ok(())
    }
}

/// The pause after a failure, longer than the shutdown's deadline.
fn slow(service: &str) -> Topology {
    let text = format!("[service.{service}]\nbackoff = \"1h\"\nmax_backoff = \"1h\"\n");
    Topology::parse("slow.toml", &text).unwrap()
}

#[tokio::test]
async fn stop_hooks_run_in_reverse_order_after_the_services_and_despite_a_panic() {
    let (sender, events) = channel();
    let (first, second, sink) = (sender.clone(), sender.clone(), sender);
    let builder = Node::builder("main")
        .on_stop(|| async move { first.send(1_000_001).unwrap() })
        .on_stop(|| async { panic!("in a hook") })
        .on_stop(|| async move { second.send(1_000_002).unwrap() })
        .service(|| Source { count: 3 })
        .service(|| Squarer { fault: |_: &_, _| Ok(()) })
        .service(move || Sink(sink.clone()));
    run(builder).await;
    assert_eq!(events.iter().collect::<Vec<_>>(), [0, 1, 4, 1_000_002, 1_000_001]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_hook_that_hangs_is_left_at_the_deadline() {
    let begin = tokio::time::Instant::now();
    let builder = Node::builder("main").on_stop(std::future::pending::<()>);
    run(builder.service(|| Source { count: 1 })).await;
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[test]
fn a_runtime_that_ends_first_is_an_error_that_names_the_services() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let running = runtime.block_on(async { start(Node::builder("main").service(|| Endless)) });
    drop(runtime);
    let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = waiting.block_on(running.join()).unwrap_err().to_string();
    assert_eq!(error, "the executor ended before these services had: Endless");
}
