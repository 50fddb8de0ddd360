//! Stress on real threads: ends that are dropped, taken again, slow, asleep, or panic in the midst of a call.
//!
//! ```text
//! cargo run --release -p mycelium-core --features alloc --example stress -- --seconds 60
//!     --ring spsc        one ring (or its beginning), again and again, instead of all in turn
//!     --seed 7           the same choices as another run with this seed
//!     --seconds 60       how long
//! cargo run --release -p mycelium-core --features alloc --example stress -- two-by-two --count 1000000000
//!     --ring mpmc        the ring with many writers and readers
//!     --wait spin        what a thread does that finds the ring full or empty: yield (default), spin; with more threads
//!                        than processors, spinning threads keep the others from their work
//! ```
//!
//! The first runs rounds of a fraction of a second. A seed decides how many threads there are, how large the ring is
//! and what each thread does next; the scheduler decides the rest, so a seed leads near a failure and not always to
//! it. At the end of each round every item must have been dropped exactly once, what was taken must be what was
//! pushed, and each reader must have seen each writer's items in order. The second is the plain run of two writers
//! and two readers that a queue with a livelock does not finish.
//!
//! Threads on x86 do not show an ordering that is too weak: that is for loom, Miri and ThreadSanitizer. What this
//! shows are lost, doubled or exchanged items, lost wakes, livelocks and leaks, in mixtures that nobody thought of.
//!
//! `--ring probe-loses` and its like are queues with a fault, which must be found (`.ci/run stress`).

// A program for the terminal. What it counts with is no shared memory of the core.
#![allow(clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod dice;
mod item;
mod kinds;
mod options;
mod probes;
mod readers;
mod round;
mod rounds;
mod two_by_two;
mod watchdog;
mod writers;

use std::process::exit;

use options::{Command, Options};

fn main() {
    let options = Options::parse(std::env::args().skip(1)).unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        exit(2);
    });
    let outcome = match options.command {
        Command::Chaos => rounds::run_all(&options),
        Command::TwoByTwo => two_by_two::run(&options),
    };
    if let Err(problem) = outcome {
        eprintln!("error: {problem}");
        exit(1);
    }
}
