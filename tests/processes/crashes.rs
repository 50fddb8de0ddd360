//! Nodes under load that are killed, paused and restarted at random: is each message received, or
//! reported as missing?
//!
//! A run has one seed, which decides the faults; the scheduler decides the rest. Three processes of
//! one topology (`roles`) run as a bundle (`launch`). They record what they emit and receive
//! (`records`), and which step they are at (`marks`). `chaos` kills, stops and restarts them,
//! `lives` records these faults, and `checker` compares all records at the end. `poison` is a
//! message that kills its reader. All processes end with the test, even if it fails.
//! `examples/torture.rs` runs the same from the command line.
//!
//! `SEEDS=100 SECONDS_PER_SEED=10 cargo test --test processes crashes` runs longer, `SEED=7` runs
//! that seed.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod chaos;
mod checker;
mod history;
mod launch;
mod lives;
mod marks;
mod poison;
mod records;
mod roles;
mod transport;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chaos::{Summary, Until};
use checker::Tally;
use transport::Transport;

use crate::support::number;
use crate::{certificates, loopback};

/// The nodes of one test use all processors.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn no_kill_loses_doubles_or_reorders_messages_silently() {
    weathers(Transport::Memory);
}

#[test]
fn no_kill_loses_doubles_or_reorders_messages_over_tcp() {
    weathers(Transport::Tcp);
}

#[test]
#[cfg(feature = "tls")]
fn no_kill_loses_doubles_or_reorders_messages_over_tls() {
    weathers(Transport::Tls);
}

#[expect(clippy::print_stdout, reason = "the seed is what one needs to see it again")]
fn weathers(transport: Transport) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds = number("SECONDS_PER_SEED").unwrap_or(2);
    // One seed is random, the rest are fixed.
    let fresh = fastrand::u64(..1 << 32);
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => (1..number("SEEDS").unwrap_or(2)).chain([fresh]).collect(),
    };
    let mut sum = Summary::default();
    for seed in &seeds {
        println!("{transport:?}: seed {seed}, {seconds} s");
        let hits = sum.hits.clone();
        sum += chaos::run(*seed, transport, Until::Time(Duration::from_secs(seconds)), &hits);
    }
    println!(
        "crashes over {transport:?}: {} seeds of {seconds} s, the last was {}: {sum:?}",
        seeds.len(),
        seeds[seeds.len() - 1]
    );
    // A run without faults proves nothing.
    assert!(sum.kills > 0 && sum.pauses > 0 && sum.tally.received > 0, "{sum:?}");
    if seeds.len() >= 10 {
        let Tally { told, repeated, marked, whole, .. } = sum.tally;
        let all = [sum.restarts, told, repeated, marked, whole];
        assert!(all.iter().all(|count| *count > 0), "{sum:?}");
    }
}
