//! Ends of rings that move between threads. Short runs, for Miri (with many seeds), ThreadSanitizer
//! and AddressSanitizer; the `stress` example has long ones.

// The counters of a test are not shared memory of the core.
#![allow(clippy::disallowed_types)]

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread::{self, yield_now},
};

use mycelium_core::ring::{
    spsc::{self, Spsc},
    stamped,
};

const COUNT: usize = if cfg!(miri) { 40 } else { 20_000 };

/// Each end continues where the previous one stopped. Only the ring orders the turns of two
/// threads: their counters are relaxed, so a missing order appears as a stale number, or as a race
/// in Miri and ThreadSanitizer.
macro_rules! handed_over {
    ($($name:ident: $layout:ident),*) => {$(
        #[test]
        fn $name() {
            let ring = $layout::Inline::<Box<usize>, 4>::new();
            let (pushed, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let push = || {
                let mut end = Spsc::producer(&ring)?;
                let next = pushed.load(Relaxed);
                if next < COUNT {
                    end.try_push(Box::new(next)).ok()?;
                    pushed.store(next + 1, Relaxed);
                }
                Some(next < COUNT)
            };
            let take = || {
                let mut end = Spsc::consumer(&ring)?;
                let next = taken.load(Relaxed);
                if next < COUNT {
                    assert_eq!(*end.try_pop().ok()?, next);
                    taken.store(next + 1, Relaxed);
                }
                Some(next < COUNT)
            };
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| turns(push));
                    scope.spawn(|| turns(take));
                }
            });
        }
    )*};
}

/// Takes turns until one returns false. Outside Miri, a thread does not yield after each of them:
/// it would wait for the time slices of everything else on the machine.
fn turns(turn: impl Fn() -> Option<bool>) {
    let mut failed = 0;
    loop {
        match turn() {
            Some(true) => failed = 0,
            Some(false) => return,
            None => failed += 1,
        }
        if cfg!(miri) || failed > 1000 {
            failed = 0;
            yield_now();
        }
    }
}

handed_over! {
    spsc_ends_are_handed_over_between_threads: spsc,
    stamped_ends_are_handed_over_between_threads: stamped
}
