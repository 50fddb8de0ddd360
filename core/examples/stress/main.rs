//! Stress on real threads: ends that are dropped, taken again, slow, asleep, or panic during a
//! call.
//!
//! ```text
//! cargo run --release -p mycelium-bus-core --features alloc --example stress -- --seconds 60
//!     --ring spsc        only rings whose name begins so, instead of all in turn
//!     --seed 7           the same choices as another run with this seed
//!     --seconds 60       how long
//! ```
//!
//! A round takes a fraction of a second. A seed decides the number of threads, the size of the ring
//! and the operations of each thread; the scheduler decides the rest, so the same seed does not
//! always reproduce a failure. At the end of each round every item must have been dropped exactly
//! once, the items that were taken must be those that were pushed, and each reader must have seen
//! each writer's items in order.
//!
//! Threads on x86 do not show an ordering that is too weak: use loom, Miri and ThreadSanitizer for
//! that. This program finds lost, doubled or exchanged items, lost wakes, livelocks and leaks, in
//! random combinations of operations.
//!
//! `--ring probe-loses` and the other probes are queues with a fault, which must be found
//! (`.ci/run stress`).

// This is a program for the terminal, and its counters are not shared memory of the core.
#![allow(clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod item;
mod kinds;
mod probes;
mod readers;
mod round;
mod rounds;
#[path = "../../tests/it/sides.rs"]
mod sides;
mod watchdog;
mod writers;

use std::process::exit;
use std::time::{Duration, SystemTime};

fn main() {
    if let Err(problem) = run() {
        eprintln!("error: {problem}");
        exit(1);
    }
}

fn run() -> Result<(), String> {
    let since = SystemTime::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?;
    let (mut ring, mut seed, mut seconds) = (String::new(), since.as_nanos() as u64, 10);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{name} {value}: not a number"));
        match name.as_str() {
            "--ring" => ring = value,
            "--seed" => seed = number()?,
            "--seconds" => seconds = number()?,
            _ => return Err(format!("unknown {name}: see core/examples/stress/main.rs")),
        }
    }
    rounds::run_all(&ring, seed, Duration::from_secs(seconds))
}
