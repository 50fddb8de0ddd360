//! The bits of ready sources under loom: no message is lost, and no wake, in any order.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use mycelium_core::doorbell::{Doorbell, ReadyWord, announce};
use mycelium_loom_tests::{Woken, beside};

/// The shared state of a source and its reader: the reader's bell and bits, and how much was
/// published.
#[derive(Default)]
struct Shared {
    bell: Doorbell,
    ready: ReadyWord,
    published: AtomicUsize,
}

impl Shared {
    /// Source: publishes numbers up to `number`.
    fn publish(&self, number: usize) {
        self.published.store(number, Relaxed);
        announce();
        if self.ready.set(1) {
            announce();
        }
        self.bell.ring();
    }

    /// Reader: checks the source if its bit is set.
    fn look(&self, seen: &mut usize) {
        if self.ready.take() == 1 {
            *seen = self.published.load(Relaxed);
        }
    }
}

/// The reader checks `looks` times while it is awake, parks, checks again, and sleeps if something
/// is missing. Then it must be woken, and find what was missing.
fn nothing_is_lost(messages: usize, looks: usize) {
    let shared = Arc::new(Shared::default());
    let source =
        beside(&shared, move |shared| (1..=messages).for_each(|number| shared.publish(number)));
    let (mut seen, woken) = (0, Woken::new());
    (0..looks).for_each(|_| shared.look(&mut seen));
    shared.bell.park(&woken.waker());
    shared.look(&mut seen);
    source.join().unwrap();
    if seen < messages {
        assert!(woken.get(), "a wake was lost");
        shared.look(&mut seen);
    }
    assert_eq!(seen, messages, "a message was lost");
}

mycelium_loom_tests::models! {
    the_reader_sleeps_at_once [3] = nothing_is_lost(1, 0) {
        fails_without_the_sources_fence: "doorbell.announce",
        fails_without_the_readers_fence_at_the_bell: "doorbell.park",
    }
    the_reader_sleeps_between_two_messages [3] = nothing_is_lost(2, 0) {
        fails_without_the_sources_fence: "doorbell.announce",
        fails_without_the_fence_after_the_take: "ready.take",
    }
    the_reader_looks_between_two_messages [3] = nothing_is_lost(2, 1) {
        fails_without_the_sources_fence: "doorbell.announce",
        fails_without_the_fence_after_the_take: "ready.take",
    }
}
