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
            let push = || loop {
                if let Some(mut end) = Spsc::producer(&ring) {
                    let next = pushed.load(Relaxed);
                    if next == COUNT {
                        return;
                    }
                    if end.try_push(Box::new(next)).is_ok() {
                        pushed.store(next + 1, Relaxed);
                    }
                }
                yield_now();
            };
            let take = || loop {
                if let Some(mut end) = Spsc::consumer(&ring) {
                    let next = taken.load(Relaxed);
                    if next == COUNT {
                        return;
                    }
                    if let Ok(item) = end.try_pop() {
                        assert_eq!(*item, next);
                        taken.store(next + 1, Relaxed);
                    }
                }
                yield_now();
            };
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(push);
                    scope.spawn(take);
                }
            });
        }
    )*};
}

handed_over! {
    spsc_ends_are_handed_over_between_threads: spsc,
    stamped_ends_are_handed_over_between_threads: stamped
}
