//! Tests of the laws themselves: transports with one fault each, and the law that must notice it.
//! `bad` is such a transport; the other modules have the faults.
#![cfg(all(unix, not(miri)))]

mod bad;
mod deliveries;
mod ends;
mod pressure;
mod wakes;

use std::future::poll_fn;
use std::panic::{self, Location};
use std::pin::pin;
use std::sync::Once;
use std::task::{Context, Waker};
use std::time::Duration;

use mycelium_transports::conformance::{TestExecutor, Threads, check, laws};

use bad::{Bad, Fault};

/// Checks that these laws fail because of the fault, each with its text in the message.
fn catches<F: Fault>(laws: impl IntoIterator<Item = (&'static str, &'static str)>) {
    silence_panics();
    laws.into_iter().for_each(|(law, text)| catches_one::<F>(law, text));
}

fn catches_one<F: Fault>(law: &str, text: &str) {
    let laws = laws::<Bad<F>>();
    let law = laws.iter().find(|known| known.name == law).expect("the law exists");
    let threads = TestExecutor::of::<Threads>();
    // A law that waits for a missing event takes the whole time limit, so start with a short one. A
    // busy machine may need more, and a lost wake needs a reader that is parked at that moment.
    let mut errors = Vec::new();
    for time_limit in [500, 1_000, 2_000, 60_000] {
        match check(law, &threads, &threads, Duration::from_millis(time_limit)) {
            Err(error) if error.contains(text) => return,
            outcome => errors.push(outcome.err()),
        }
    }
    panic!("expected an error with `{text}`, found {errors:?}");
}

/// Silences panics of the laws' threads: the tests read the messages of the laws.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let is_of_a_law = |place: &Location| place.file().contains("conformance");
            if !panic.location().is_some_and(is_of_a_law) {
                print(panic);
            }
        }));
    });
}

/// True at every fifth call.
fn every_fifth(count: &mut u32) -> bool {
    *count += 1;
    count.is_multiple_of(5)
}

/// Polls a future with a waker that does nothing.
async fn without_wakes<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|_| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))).await
}

#[derive(Default)]
struct Nothing;

impl Fault for Nothing {}

#[test]
fn a_correct_transport_keeps_all_laws() {
    let threads = TestExecutor::of::<Threads>();
    for law in laws::<Bad<Nothing>>() {
        check(&law, &threads, &threads, Duration::from_secs(60)).unwrap();
    }
}
