//! Processes that share memory are killed at random instants under load: no message is torn,
//! invented, or missing without a report, and nothing of a dead process is left behind.
//!
//! `KILLS=1000 SEED=7 cargo test --test killed -- --nocapture` runs for longer;
//! `examples/torture.rs --memory` is the same as a command.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

#[path = "killed/child.rs"]
mod child;
#[path = "killed/hostile.rs"]
mod hostile;
#[path = "killed/torture.rs"]
mod torture;

use torture::{Plan, run};

/// Runs in a child: does nothing in the test itself.
#[test]
fn process() {
    child::enter();
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed is what one needs to see it again")]
fn no_kill_tears_loses_or_invents_messages() {
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let kills = number("KILLS").unwrap_or(20);
    for (in_memory, forks) in [(true, false), (true, true), (false, false)] {
        let plan = Plan { seed, kills, in_memory, forks };
        println!("{plan:?}");
        let figures = run(plan).unwrap_or_else(|error| panic!("{plan:?}: {error}"));
        let [p50, p99, most] = [500, 990, 1000].map(|of| figures.told(of));
        println!(
            "killed: {} kills, {} stops, {} received, {} on the socket of dead publishers, {} \
             again; told after {p50:?} (p50), {p99:?} (p99), {most:?} (max)",
            figures.kills, figures.stops, figures.received, figures.gone, figures.again
        );
    }
}
