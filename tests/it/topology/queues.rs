//! The task queues of glommio, as the file sets them for a node and for its services.
#![cfg(all(target_os = "linux", not(miri)))]

use mycelium::{Context, Node, Result, StartReport, Topology, message, service};
use mycelium_glommio::{Glommio, Settings};

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for price in 0..100 {
            ctx.emit(Tick { price }).await?;
        }
        Ok(())
    }
}

/// Must stay on its thread.
struct Sum(std::rc::Rc<u64>);

#[service(reads(Tick))]
impl Sum {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        let mut next = *self.0;
        while let Some(tick) = ticks.recv().await {
            assert_eq!(tick.message().map(|tick| tick.price), Some(next));
            next += 1;
        }
        assert_eq!(next, 100, "all have arrived");
        Ok(())
    }
}

/// Runs both services to their end on glommio. `None` if this machine has none.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn run(text: &'static str) -> Option<StartReport> {
    if let Err(missing) = mycelium_glommio::check() {
        println!("SKIPPED: glommio: {missing}");
        return None;
    }
    let report = mycelium_glommio::run(&Settings::default(), async |glommio: Glommio| {
        let topology = Topology::parse("t.toml", text).unwrap();
        let node = Node::builder("main").topology(topology);
        let node = node.service(|| Feed).service(|| Sum(std::rc::Rc::new(0))).build().unwrap();
        let running = node.start(glommio).unwrap();
        let report = running.start_report().clone();
        running.join().await.unwrap();
        report
    });
    Some(report.unwrap())
}

/// The executor of each service, and what it has asked for.
#[test]
fn services_have_task_queues_with_their_shares_and_latency_or_those_of_their_node() {
    for (text, executors, asked) in [
        (
            "[service.Feed]\nshares = 100\nlatency = \"250us\"\n[service.Sum]\nshares = 900\n",
            [
                ", one thread, shares = 100, latency = \"250µs\"",
                ", one thread, shares = 900, latency = \"1ms\"",
            ],
            "run = \"shared\", shares = 900",
        ),
        (
            "[node.main]\nlatency = \"100us\"\nshares = 10\n[service.Sum]\nshares = 900\n",
            [
                ", one thread, shares = 10, latency = \"100µs\"",
                ", one thread, shares = 900, latency = \"100µs\"",
            ],
            "run = \"shared\", shares = 900",
        ),
        (
            "[service.Sum]\nrun = \"dedicated\"\nlatency = \"250us\"\n",
            [", one thread", ""],
            "run = \"dedicated\", latency = \"250µs\"",
        ),
    ] {
        let Some(report) = run(text) else { return };
        let found = report.placements.iter().map(|placement| &*placement.executor);
        let expected = executors.map(|executor| format!("glommio{executor}"));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{text}");
        assert_eq!(report.placements[1].asked.to_string(), asked, "{text}");
    }
}
