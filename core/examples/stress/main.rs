//! Stress on real threads: ends that are dropped, taken again, slow, asleep, or panic during a
//! call.
//!
//! ```text
//! cargo run --release -p mycelium-core --features alloc --example stress -- --seconds 60
//!     --ring spsc        only rings whose name begins so, instead of all in turn
//!     --seed 7           the same choices as another run with this seed
//!     --seconds 60       how long
//! cargo run --release -p mycelium-core --features alloc --example stress -- \
//!         two-by-two --count 1000000000
//!     --ring mpmc        the ring with many writers and readers
//!     --wait spin        when a thread finds the ring full or empty: yield (default), spin;
//!                        with more threads than processors, spinning threads block the others
//! ```
//!
//! The first command runs rounds of a fraction of a second. A seed decides the number of threads,
//! the size of the ring and the operations of each thread; the scheduler decides the rest, so the
//! same seed does not always reproduce a failure. At the end of each round every item must have
//! been dropped exactly once, the items that were taken must be those that were pushed, and each
//! reader must have seen each writer's items in order. The second command is a plain run of two
//! writers and two readers, which a queue with a livelock does not finish.
//!
//! Threads on x86 do not show an ordering that is too weak: use loom, Miri and ThreadSanitizer for
//! that. This program finds lost, doubled or exchanged items, lost wakes, livelocks and leaks, in
//! random combinations of operations.
//!
//! `--ring probe-loses` and the other probes are queues with a fault, which must be found
//! (`.ci/run stress`).

// A program for the terminal. Its counters are not shared memory of the core.
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
