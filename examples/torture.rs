//! Kills, stops and restarts the nodes of a pipeline at random under load, and reports whether
//! messages were lost.
//!
//! ```sh
//! cargo run --release --example torture -- --kills 1000 --seed 7
//! ```
//!
//! Three processes, a source, a processor and a sink, exchange messages of four topics. Each
//! records its emitted messages, its received messages and its current step. Kills are aimed at the
//! step (`Emit`, `Receive`, `InFlight`, ...) with the fewest hits so far; the hits of each step are
//! printed. At the end the records of both sides are compared:
//!
//! - *lost*: messages that are missing without a gap. Must be 0.
//! - *hung*: the number of times that no new message arrived for half a minute, although both sides
//!   were running. Must be 0.
//! - *repeated*: messages that the process after a killed one received again. Each is marked as
//!   redelivered.
//! - *reported*: messages that a gap reported as missing: of topics with delivery at most once, and
//!   of `drop-oldest` readers.
//!
//! `--memory` kills other processes, which share memory: a publisher, a gating and an observing
//! reader, of which some fork children that keep all descriptors. The process that survives checks
//! each message, and that nothing of the killed processes is left. It prints how long it takes to
//! notice a kill, and beside it how long that takes over Unix sockets. That harness is
//! `tests/processes/killed`.
//!
//! ```sh
//! cargo run --release --example torture -- --memory --kills 10000
//! ```
//!
//! `--transport` says what joins the nodes: `shm` (the default), `unix`, `tcp`, or, with
//! `--features tls`, `tls`.
//!
//! A seed repeats the same choices; the scheduler does not. Without `--seed` the seed is random.
//! The harness is in `tests/processes/crashes`, which documents the laws.

#[cfg(target_os = "linux")]
#[path = "../tests/processes/crashes"]
mod crashes {
    #[path = "../../certificates/mod.rs"]
    mod certificates;
    pub(super) mod chaos;
    mod checker;
    mod history;
    mod launch;
    mod lives;
    #[path = "../../loopback/mod.rs"]
    mod loopback;
    mod marks;
    mod records;
    pub(super) mod roles;
    pub(super) mod transport;
}

#[cfg(target_os = "linux")]
#[path = "../tests/processes/killed"]
mod killed {
    pub(super) mod child;
    pub(super) mod torture;
}

/// Kills of one run of the pipeline, before its records are compared.
#[cfg(target_os = "linux")]
const PART: u64 = 50;

#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "this is a command-line program")]
fn main() -> std::process::ExitCode {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::ExitCode;

    use crashes::chaos::{self, HANGS, Summary, Until};
    use crashes::{roles, transport::Transport};
    use killed::{child, torture};

    // This program also runs each of the members.
    roles::enter();
    child::enter();
    let (mut kills, mut seed, mut in_memory) = (1000, fastrand::u64(..1 << 32), false);
    let mut transport = Transport::Memory;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--memory" {
            in_memory = true;
            continue;
        }
        let value = arguments.next().unwrap_or_default();
        match (&*argument, value.parse(), value.parse()) {
            ("--kills", Ok(value), _) => kills = value,
            ("--seed", Ok(value), _) => seed = value,
            ("--transport", _, Ok(value)) => transport = value,
            _ => {
                print!("usage: torture [--memory | --transport <shm, unix, tcp or tls>] ");
                println!("[--kills <number>] [--seed <number>]");
                return ExitCode::FAILURE;
            }
        }
    }
    if in_memory {
        return match torture::run_all(seed, kills) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("torture: seed {seed}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    println!("torture over {transport:?}: {kills} kills, seed {seed}");
    let (mut sum, mut lost, mut hung) = (Summary::default(), 0, 0);
    let mut part = 0;
    while sum.kills < kills && lost + hung == 0 {
        let (until, hits) = (Until::Kills(PART.min(kills - sum.kills)), sum.hits.clone());
        // The parts of one seed differ from those of the next seed.
        let part_seed = seed.wrapping_mul(1 << 20).wrapping_add(part);
        part += 1;
        match catch_unwind(AssertUnwindSafe(|| chaos::run(part_seed, transport, until, &hits))) {
            Ok(summary) => {
                sum += summary;
                println!("{} of {kills} kills", sum.kills);
            }
            Err(error) => {
                let text = error.downcast_ref::<String>().map_or("", |text| text);
                // Any other failure has been printed, and counts as a loss.
                if text.contains(HANGS) { hung += 1 } else { lost += 1 }
            }
        }
    }
    println!("hits: {:?}", sum.hits);
    let Summary { kills, restarts, pauses, tally, .. } = sum;
    println!(
        "torture: seed {seed}: {kills} kills, {restarts} restarts, {pauses} pauses; {} received, \
         {lost} lost without a gap, {} repeated (at most {} after one death), {} marked, \
         {} reported, {} left by ended observing readers, {hung} hung",
        tally.received, tally.repeated, tally.most_repeated, tally.marked, tally.told, tally.left
    );
    if lost + hung == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
