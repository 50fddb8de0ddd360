//! Processes that share memory are killed at random moments under load: no message is torn,
//! invented, or missing without a report, and a dead process leaves nothing behind.
//!
//! `KILLS=1000 SEED=7 cargo test --test processes killed -- --nocapture` runs for longer;
//! `examples/torture.rs --memory` runs the same from the command line.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![cfg(feature = "topology")]

use crate::alone;
use crate::support::number;

mod child;
mod ends;
mod hostile;
mod torture;

/// Plays its role in a child process; returns at once in the test run itself.
#[test]
fn process() {
    child::enter();
}

#[test]
fn hostile_peers_in_memory_harm_nobody() {
    let seconds = number("HOSTILE_SECONDS").unwrap_or(4);
    alone("killed::hostile_peers_in_memory_harm_nobody", || hostile::run(seconds));
}

#[test]
fn strangers_a_reader_with_garbage_in_its_memory_is_let_go() {
    const NAME: &str = "killed::strangers_a_reader_with_garbage_in_its_memory_is_let_go";

    alone(NAME, hostile::run_reader_alone);
}

#[test]
fn no_kill_tears_loses_or_invents_messages() {
    alone("killed::no_kill_tears_loses_or_invents_messages", || {
        let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
        let kills = number("KILLS").unwrap_or(60);
        torture::run_all(seed, kills).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    });
}
