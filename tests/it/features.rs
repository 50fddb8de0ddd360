//! Promises that do not depend on the features `metrics`, `tracing` and `topology`: services run,
//! missing messages are reported, and a node reports its services. The job `features` runs these
//! tests without the features.

use std::env;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};

use mycelium::observe::Outcome;
use mycelium::subscribe::GapReason;
use mycelium::testing::ServiceTest;
use mycelium::{Builder, Context, Delivery, Node, Policy, Result, message, service};

use crate::running::run;

#[message(topic = "numbers", id = 1)]
struct Number {
    value: u64,
}

/// Fails once, and then emits numbers.
struct Source {
    has_failed: bool,
}

#[service(emits(Number))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut starts = ctx.metrics().counter("starts")?;
        starts.increment();
        if !std::mem::replace(&mut self.has_failed, true) {
            ctx.info("nobody sees this", "without a subscriber");
            return Err(std::io::Error::other("no luck").into());
        }
        for value in 0..5000 {
            // Emits without waiting where it can, so that an observing reader misses some.
            if ctx.try_emit(Number { value }).is_err() {
                ctx.emit(Number { value }).await?;
            }
        }
        Ok(())
    }
}

/// Reports the number of received messages, of missed ones, and the sum of both.
struct Sink(Sender<(u64, u64)>);

#[service(reads(Number))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        let (mut taken, mut missed) = (0, 0);
        while let Some(delivery) = numbers.recv().await {
            match delivery {
                Delivery::Msg(number) => {
                    assert_eq!(number.value, taken + missed, "missing messages are reported");
                    taken += 1;
                }
                Delivery::Gap(gap) => {
                    assert_eq!((gap.exact(), gap.reason), (true, GapReason::Overwritten));
                    missed += gap.count;
                }
            }
        }
        self.0.send((taken, missed))?;
        Ok(())
    }
}

fn node(policy: Policy, sender: Sender<(u64, u64)>) -> Builder {
    Node::builder("main")
        .service(|| Source { has_failed: false })
        .service(move || Sink(sender.clone()))
        .subscription("Sink", "numbers", policy)
}

#[tokio::test]
async fn a_node_runs_and_reports_its_services() {
    let (sender, seen) = channel();
    let report = run(node(Policy::Block, sender)).await;
    assert_eq!(seen.try_recv(), Ok((5000, 0)));
    let [sink, source] = &*report.services else { panic!("two services") };
    assert_eq!((&*sink.name, sink.starts, sink.errors, sink.panics), ("Sink", 1, 0, 0));
    assert_eq!((&*source.name, source.starts, source.errors, source.panics), ("Source", 2, 1, 0));
    assert!(matches!((&sink.outcome, &source.outcome), (Outcome::Completed, Outcome::Completed)));
}

#[tokio::test]
async fn l1_missing_messages_are_reported_and_counted_if_counters_are_on() {
    let (sender, seen) = channel();
    let report = run(node(Policy::DropOldest, sender)).await;
    let (taken, missed) = seen.try_recv().unwrap();
    assert_eq!(taken + missed, 5000);
    assert!(missed > 0, "the source does not wait for the sink");
    let value = |reader: &str, name: &str| {
        let lines = report.counters.iter().filter(|line| line.label("reader") == reader);
        lines.map(|line| line.value(name)).sum::<u64>()
    };
    let counted = (value("Sink", "taken"), value("Sink", "overwritten"));
    assert_eq!(counted, if cfg!(feature = "metrics") { (taken, missed) } else { (0, 0) });
    let metrics = mycelium::counters::Metric::of(&report.counters);
    assert_eq!(metrics.len(), usize::from(cfg!(feature = "metrics")));
    assert_eq!(report.counters.is_empty(), !cfg!(feature = "metrics"));
}

#[test]
fn a_service_is_tested() {
    let (sender, seen) = channel();
    let mut test = ServiceTest::new(move || Sink(sender.clone()));
    test.send_all((0..3).map(|value| Number { value }));
    test.finish().unwrap();
    assert_eq!(seen.try_recv(), Ok((3, 0)));
}

#[tokio::test]
#[ignore = "not a test: the program that `warnings_are_printed` starts"]
async fn program() {
    let (sender, _seen) = channel();
    run(node(Policy::Block, sender)).await;
}

#[test]
fn warnings_are_printed() {
    let mut program = Command::new(env::current_exe().unwrap());
    program.args(["--exact", "features::program", "--ignored", "--nocapture"]);
    let output = program.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("mycelium:")).collect();
    let [line] = &*lines else { panic!("{text}") };
    assert!(line.starts_with("mycelium: warning: service `Source` failed and will be"), "{line}");
    assert!(line.ends_with("): no luck [M0054]"), "{line}");
}
