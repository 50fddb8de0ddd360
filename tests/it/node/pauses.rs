//! Pauses at the end of a node: a shutdown cuts sleeps and the pauses of restarts short.

use std::time::Duration;

use mycelium::{Context, Error, Kept, Node, Outcome, Result, Topology, service};

use crate::node::services::{Number, Source, Square, end, start};
use crate::running::until;

#[tokio::test(start_paused = true)]
async fn h2_sleep_is_cut_short_by_a_shutdown_that_came_before_or_comes_after() {
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
        end(running).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_cuts_the_pause_of_a_source_which_then_ends_well() {
    let runs = Kept::new(0);
    let factory_runs = runs.clone();
    let builder = Node::builder("main").topology(slow("Fickle"));
    let running = start(builder.service(move || Fickle::<false>(factory_runs.clone())));
    until(|| runs.read(|runs| *runs) > 0).await;
    let report = end(running).await;
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
    until(|| runs.read(|runs| *runs) > 0).await;
    let report = end(running).await;
    let feed = report.counters.iter().find(|line| line.label("reader") == "Fickle").unwrap();
    assert_eq!((feed.value("taken"), feed.value("left")), (10, 0));
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
