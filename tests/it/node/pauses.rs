//! Pauses at the end of a node: a shutdown ends sleeps and the pauses before restarts early.

use std::time::Duration;

use mycelium::observe::Outcome;
use mycelium::supervision::Kept;
use mycelium::{Context, Error, Node, Result, service};

use crate::node::services::{Number, Source, Square, end, start};
use crate::running::{main_with, until};

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

/// The pauses are longer than the shutdown's deadline, yet the source ends well and the reader
/// drains.
#[tokio::test(start_paused = true)]
async fn a_shutdown_cuts_the_pauses_of_a_source_and_of_a_reader() {
    let runs = [(); 2].map(|()| Kept::new(0));
    let [of_source, of_reader] = runs.clone();
    let text = "[service.Fickle]\nbackoff = \"1h\"\nmax_backoff = \"1h\"\n";
    let text = format!("{text}{}", text.replace("Fickle", "Reads"));
    let builder = main_with(&text)
        .service(|| Source::of(10))
        .service(move || Fickle(of_source.clone()))
        .service(move || Reads(of_reader.clone()));
    let running = start(builder);
    until(|| runs.iter().all(|runs| runs.read(|runs| *runs) > 0)).await;
    let report = end(running).await;
    let source = report.services.iter().find(|service| service.name == "Fickle").unwrap();
    assert_eq!(source.outcome, Outcome::Completed);
    assert_eq!(runs[0].read(|runs| *runs), 1, "no other try");
    let feed = report.counters.iter().find(|line| line.label("reader") == "Reads").unwrap();
    assert_eq!((feed.value("taken"), feed.value("left")), (10, 0));
}

/// Fails at its first run.
struct Fickle(Kept<u32>);

#[service(emits(Square))]
impl Fickle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.0.commit(|runs| *runs += 1);
        ctx.try_emit(Square { value: 1 })?;
        Err(Error::msg("no luck"))
    }
}

/// Fails in its first run, and then takes all messages.
struct Reads(Kept<u32>);

#[service(reads(Number))]
impl Reads {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        if self.0.commit(|runs| std::mem::replace(runs, 1)) == 0 {
            return Err(Error::msg("no luck"));
        }
        let mut numbers = ctx.subscribe::<Number>()?;
        while numbers.recv().await.is_some() {}
        Ok(())
    }
}
