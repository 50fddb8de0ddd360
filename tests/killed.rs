//! Processes that share memory are killed at random instants under load: no message is torn,
//! invented, or missing without a report, and nothing of a dead process is left behind.
//!
//! `KILLS=1000 SEED=7 cargo test --test killed -- --nocapture` runs for longer;
//! `examples/torture.rs --memory` is the same as a command.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![cfg(feature = "topology")]

use std::sync::{Mutex, PoisonError};

#[path = "killed/child.rs"]
mod child;
#[path = "killed/ends.rs"]
mod ends;
#[path = "killed/hostile.rs"]
mod hostile;
#[path = "killed/torture.rs"]
mod torture;

/// Runs in a child: does nothing in the test itself.
#[test]
fn process() {
    child::enter();
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// Each test counts what the whole process has open.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn hostile_peers_in_memory_harm_nobody() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    hostile::run(number("HOSTILE_SECONDS").unwrap_or(4));
}

#[test]
fn strangers_a_reader_with_garbage_in_its_memory_is_let_go() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    hostile::run_reader_alone();
}

#[test]
fn no_kill_tears_loses_or_invents_messages() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let kills = number("KILLS").unwrap_or(60);
    torture::run_all(seed, kills).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}
