//! The end of services that form a cycle: gating subscriptions lose nothing, and each cycle ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mycelium::counters::{Kind, Reading};
use mycelium::observe::Outcome;
use mycelium::{Builder, Context, Delivery, Node, Result, Topology, service};

use crate::conserved::sent_to;
use crate::node::services::{Number, Square, Squarer, end, run, start};
use crate::running::until;

/// Emits a number, shuts the node down, and after a pause emits `last` more by a publisher that it
/// has kept. Then it stays until the service that `seen` counts has received one of them, or has
/// ended.
struct Parting {
    last: u64,
    seen: Arc<Seen>,
}

/// What a service has received.
#[derive(Default)]
struct Seen {
    count: AtomicU64,
    has_ended: AtomicBool,
}

impl Seen {
    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[service(emits(Number))]
impl Parting {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut kept = ctx.publisher::<Number>()?;
        ctx.emit(Number { value: 0 }).await?;
        ctx.shutdown();
        for _ in 0..PAUSE {
            ctx.yield_now().await;
        }
        let before = self.seen.count();
        for _ in 0..self.last {
            kept.emit(Number { value: 0 }).await?;
        }
        while self.seen.count() == before && !self.seen.has_ended.load(Ordering::Relaxed) {
            ctx.yield_now().await;
        }
        Ok(())
    }
}

/// Yields this many times, which gives all other services time to make progress.
const PAUSE: usize = 1_000;

/// Passes each number on to both of its outputs, until the number has passed four services.
struct Pass(Arc<Seen>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }
}

#[service(reads(Number as input), emits(Number as left, Number as right))]
impl Pass {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe_on(Self::input)?;
        while let Some(delivery) = numbers.recv().await {
            let Delivery::Msg(number) = delivery else { continue };
            self.0.count.fetch_add(1, Ordering::Relaxed);
            if number.value < 4 {
                let next = number.value + 1;
                ctx.on(Self::left).emit(Number { value: next }).await?;
                ctx.on(Self::right).emit(Number { value: next }).await?;
            }
        }
        Ok(())
    }
}

/// Returns a node of services `Pass`: the name, the input and the outputs of each, and whether its
/// input drops messages.
fn passes(services: &[(&str, &str, [&str; 2], bool)], last: &Arc<Seen>) -> Builder {
    let dropped = services.iter().filter(|it| it.3).map(|it| format!("{}.input", it.0));
    let mut builder = Node::builder("main").topology(dropping(dropped));
    for &(name, input, [left, right], _) in services {
        let seen = if name == "Last" { last.clone() } else { Arc::default() };
        builder = builder.named_service(name, move || Pass(seen.clone()));
        builder = builder.bind(name, "input", input);
        builder = builder.bind(name, "left", left).bind(name, "right", right);
    }
    builder
}

/// Checks that these gating subscriptions have received every message that was sent to them.
fn received_all(counters: &[Reading], readers: &[&str]) {
    let feeds = counters.iter().filter(|line| line.kind == Kind::Edge);
    for feed in feeds.filter(|line| readers.contains(&line.label("reader"))) {
        assert_eq!(sent_to(counters, feed), feed.value("taken"), "{}", feed.label);
    }
}

/// The cycles; how many messages come last; the readers that lose nothing; the least number of
/// messages that the service `Last` receives.
type Case<'a> = (&'a [(&'a str, &'a str, [&'a str; 2], bool)], u64, &'a [&'a str], u64);

#[tokio::test]
async fn circles_end_without_loss_at_gating_readers() {
    let cases: [Case<'_>; 3] = [
        // The source does not publish the topic that `Last` reads, so `Last` stays while services
        // outside the cycle run. It gets what follows from the number before the shutdown, and from
        // the last ones.
        (
            &[
                ("First", "numbers", ["there", "unread"], false),
                ("Last", "there", ["numbers", "unread.too"], true),
            ],
            3,
            &["First.input"],
            3,
        ),
        // Cycles in a chain end one after another.
        (
            &[
                ("A", "numbers", ["a.b", "a.c"], false),
                ("B", "a.b", ["numbers", "unread"], true),
                ("C", "a.c", ["c.d", "c.last"], false),
                ("D", "c.d", ["a.c", "unread.too"], true),
                ("Last", "c.last", ["unread.three", "unread.four"], false),
            ],
            500,
            &["A.input", "C.input", "Last.input"],
            501,
        ),
        // Two cycles that share a service: A -> B -> C -> A, and B -> Last -> B.
        (
            &[
                ("A", "numbers", ["a.b", "unread"], false),
                ("B", "a.b", ["b.c", "b.last"], false),
                ("C", "b.c", ["numbers", "unread.too"], true),
                ("Last", "b.last", ["a.b", "unread.three"], true),
            ],
            500,
            &["A.input", "B.input"],
            0,
        ),
    ];
    for (circles, last, gating, least) in cases {
        let seen = Arc::<Seen>::default();
        let parting = seen.clone();
        let builder =
            passes(circles, &seen).service(move || Parting { last, seen: parting.clone() });
        let report = run(builder).await;
        assert!(report.services.iter().all(|service| service.outcome == Outcome::Completed));
        received_all(&report.counters, gating);
        assert!(seen.count() >= least, "{}", seen.count());
    }
}

/// Emits `first` numbers at its start, and `gain` numbers for each square.
struct Back {
    first: u64,
    gain: u64,
    leaves: bool,
    seen: Arc<Seen>,
}

#[service(reads(Square), emits(Number))]
impl Back {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut squares = ctx.subscribe::<Square>()?;
        for _ in 0..self.first {
            ctx.emit(Number { value: 1 }).await?;
        }
        while let Some(delivery) = squares.recv().await {
            let Delivery::Msg(_) = delivery else { continue };
            self.seen.count.fetch_add(1, Ordering::Relaxed);
            for _ in 0..self.gain {
                ctx.emit(Number { value: 1 }).await?;
            }
            if self.leaves {
                break;
            }
        }
        Ok(())
    }
}

/// Returns a topology in which these subscriptions drop the oldest message.
fn dropping(subscriptions: impl IntoIterator<Item = String>) -> Topology {
    let section = |name| format!("[subscription.\"{name}\"]\npolicy = \"drop-oldest\"\n");
    let text: String = subscriptions.into_iter().map(section).collect();
    Topology::parse("circle.toml", &text).unwrap()
}

/// A cycle that never empties, and cycles with a publisher outside the services.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn circles_that_others_fill_end() {
    for (first, gain, leaves) in [(100, 2, false), (0, 1, false), (0, 1, true)] {
        let builder = Node::builder("main").topology(dropping(["Back.squares".to_owned()]));
        let builder = builder.service(|| Squarer { fault: |_: &_, _| Ok(()) });
        let seen = Arc::<Seen>::default();
        let own = seen.clone();
        let back = move || Back { first, gain, leaves, seen: own.clone() };
        let running = start(builder.service(back));
        let mut outside = (first == 0).then(|| running.publisher::<Number>("outside").unwrap());
        let enough = if first == 0 { 1 } else { 10_000 };
        until(|| {
            let _ = outside.as_mut().map(|outside| outside.try_emit(Number { value: 1 }));
            seen.count() >= enough
        })
        .await;
        let report = end(running).await;
        assert!(report.services.iter().all(|service| service.outcome == Outcome::Completed));
        received_all(&report.counters, &["Squarer"]);
    }
}
