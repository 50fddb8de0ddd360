//! The task queues of glommio, as a file sets them for a node and for its services.
#![cfg(all(target_os = "linux", not(miri)))]

use mycelium::execution::StartReport;
use mycelium_glommio::{Glommio, Settings};

use crate::execution::services::{LocalSquarer, Source};
use crate::running::main_with;

/// Runs two services to their end on glommio. Returns `None` if this machine does not support it.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn run(text: &'static str) -> Option<StartReport> {
    if let Err(missing) = mycelium_glommio::check() {
        println!("SKIPPED: glommio: {missing}");
        return None;
    }
    let report = mycelium_glommio::run(&Settings::default(), async |glommio: Glommio| {
        let node = main_with(text).service(|| Source::of(100)).service(|| LocalSquarer);
        let running = node.build().unwrap().start(glommio).unwrap();
        let report = running.start_report().clone();
        running.join().await.unwrap();
        report
    });
    Some(report.unwrap())
}

/// Compares the executor of each service with what the file asks for.
#[test]
fn services_have_task_queues_with_their_shares_and_latency_or_those_of_their_node() {
    for (text, executors, asked) in [
        (
            "[service.Source]\nshares = 100\nlatency = \"250us\"\n[service.LocalSquarer]\nshares = 900\n",
            [
                ", one thread, shares = 100, latency = \"250µs\"",
                ", one thread, shares = 900, latency = \"1ms\"",
            ],
            "run = \"shared\", shares = 900",
        ),
        (
            "[node.main]\nlatency = \"100us\"\nshares = 10\n[service.LocalSquarer]\nshares = 900\n",
            [
                ", one thread, shares = 10, latency = \"100µs\"",
                ", one thread, shares = 900, latency = \"100µs\"",
            ],
            "run = \"shared\", shares = 900",
        ),
        (
            "[service.LocalSquarer]\nrun = \"dedicated\"\nlatency = \"250us\"\n",
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
