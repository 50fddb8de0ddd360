//! Kills, stops and restarts the nodes of a pipeline at random under load, and says whether anything was lost.
//!
//! ```sh
//! cargo run --release --example torture -- --kills 1000 --seed 7
//! ```
//!
//! Three processes, a source, a relay and a sink, exchange messages of four topics. Each writes down what it emitted, what
//! it received and what it is doing. Kills are aimed at the step (`Emit`, `Receive`, `InHand`, ...) that was hit least so
//! far; how often each was hit is printed. At the end the records of both sides are compared:
//!
//! - *lost*: messages that are missing, and of which nobody was told. Must be 0.
//! - *hung*: times that no new message came for half a minute although both sides were up. Must be 0.
//! - *repeated*: messages that came to the process after a killed one, too. Each is marked as redelivered.
//! - *told*: messages of which a gap says that they are missing: of topics that are delivered at most once, and of
//!   `drop-oldest` readers.
//!
//! A seed makes the same choices again; the scheduler does not. Without `--seed` it is another one each time. The harness is
//! that of `tests/crashes`, where the laws are written down.

#[cfg(target_os = "linux")]
#[path = "../tests/crashes/chaos.rs"]
mod chaos;
#[cfg(target_os = "linux")]
#[path = "../tests/crashes/checker.rs"]
mod checker;
#[cfg(target_os = "linux")]
#[path = "../tests/crashes/history.rs"]
mod history;
#[cfg(target_os = "linux")]
#[path = "../tests/crashes/launch.rs"]
mod launch;
#[cfg(target_os = "linux")]
#[path = "../tests/crashes/lives.rs"]
mod lives;
#[cfg(target_os = "linux")]
#[path = "../tests/crashes/marks.rs"]
mod marks;
#[cfg(target_os = "linux")]
#[path = "../tests/crashes/records.rs"]
mod records;
#[cfg(target_os = "linux")]
#[path = "../tests/crashes/roles.rs"]
mod roles;

/// Kills of one run of the pipeline, before its records are compared.
#[cfg(target_os = "linux")]
const PART: u64 = 50;

#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() -> std::process::ExitCode {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::ExitCode;

    use chaos::{HANGS, Summary, Until};

    // This very program is each of the members, too.
    roles::enter();
    let (mut kills, mut seed) = (1000, fastrand::u64(..1 << 32));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (&*argument, value) {
            ("--kills", Some(value)) => kills = value,
            ("--seed", Some(value)) => seed = value,
            _ => {
                println!("usage: torture [--kills <number>] [--seed <number>]");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("torture: {kills} kills, seed {seed}");
    let (mut sum, mut lost, mut hung) = (Summary::default(), 0, 0);
    let mut part = 0;
    while sum.kills < kills && lost + hung == 0 {
        let (until, hits) = (Until::Kills(PART.min(kills - sum.kills)), sum.hits.clone());
        // The parts of one seed are other ones than those of the next.
        let part_seed = seed.wrapping_mul(1 << 20).wrapping_add(part);
        part += 1;
        match catch_unwind(AssertUnwindSafe(|| chaos::run(part_seed, until, &hits))) {
            Ok(summary) => {
                sum += summary;
                println!("{} of {kills} kills", sum.kills);
            }
            Err(error) => {
                let text = error.downcast_ref::<String>().map_or("", |text| text);
                // Whatever else is wrong has been printed, and counts as a loss.
                if text.contains(HANGS) { hung += 1 } else { lost += 1 }
            }
        }
    }
    println!("hits: {:?}", sum.hits);
    let Summary { kills, restarts, pauses, tally, .. } = sum;
    println!(
        "torture: seed {seed}: {kills} kills, {restarts} restarts, {pauses} pauses; {} received, \
         {lost} lost untold, {} repeated (at most {} after one death), {} marked, {} told, \
         {} in hand of killed or left by ended observing readers, {hung} hung",
        tally.received,
        tally.repeated,
        tally.most_repeated,
        tally.marked,
        tally.told,
        tally.unknown
    );
    if lost + hung == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
