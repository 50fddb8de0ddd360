//! Doorbells, and rings with more than two ends, which an interrupt shares with the interrupted
//! program. They need compare-and-swap; tests that do not are in `preempted`.

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use cortex_m::{asm::wfi, singleton};
use mycelium_core::{
    doorbell::{Doorbell, announce},
    ring::{
        PopError,
        broadcast::{self, Broadcast, Layout, Peek},
        mpmc::{self, Mpmc},
        spsc::{self, Spsc},
    },
};

use crate::{
    Test,
    bodies::waker::Count,
    preempted::{ITEMS, Pushing, push_some},
    ticks::{self, Shared},
};

pub(crate) const TESTS: &[Test] = &[
    ("sleeping::until_the_interrupt_pushes", pushed_by_the_interrupt),
    ("sleeping::both_push_and_nothing_is_lost", pushed_by_both),
    ("sleeping::readers_of_what_an_interrupt_publishes", published_by_the_interrupt),
];

/// Sleeps until the bell's waker was woken once more. `waiting` returns whether there is something
/// to wake up for. If there is, the bell was rung before, so the waker must have been woken
/// already.
fn sleep(woken: &Count, before: usize, waiting: impl Fn() -> bool) {
    loop {
        let late = waiting();
        if woken.times() != before {
            return;
        }
        assert!(!late, "a wake was lost");
        wfi();
    }
}

/// The interrupt pushes and rings, the program takes and sleeps.
fn pushed_by_the_interrupt() {
    static RING: spsc::Inline<usize, 8> = spsc::Inline::new();
    static BELL: Doorbell = Doorbell::new();
    static WOKEN: Count = Count::new();
    static END: Shared<Pushing> = Shared::new();

    fn step() {
        END.with(push_some);
        announce();
        BELL.ring();
    }

    END.put((Spsc::producer(&RING).unwrap(), 0));
    let mut reader = Spsc::consumer(&RING).unwrap();
    let waker = WOKEN.waker();
    let mut sleeps = 0;
    ticks::during(step, || {
        for expected in 0..ITEMS {
            let item = loop {
                if let Ok(item) = ticks::inside(|| reader.try_pop()) {
                    break item;
                }
                let before = WOKEN.times();
                ticks::inside(|| BELL.park(&waker));
                #[cfg(not(feature = "probe-lost-wake"))]
                if let Ok(item) = ticks::inside(|| reader.try_pop()) {
                    BELL.unpark();
                    break item;
                }
                sleeps += 1;
                sleep(&WOKEN, before, || !RING.is_empty());
            };
            assert_eq!(item, expected);
        }
    });
    assert!(sleeps > 100, "{sleeps} sleeps");
    assert_eq!(reader.try_pop(), Err(PopError::Empty));
    END.take().0.close();
    assert_eq!(reader.try_pop(), Err(PopError::Closed));
}

/// The interrupt and the program push into one ring, and both take from it.
fn pushed_by_both() {
    type Ring = mpmc::Inline<(usize, usize), 4>;
    type Ends = (mpmc::Producer<&'static Ring>, mpmc::Consumer<&'static Ring>);
    static RING: Ring = mpmc::Inline::new();
    static ENDS: Shared<Ends> = Shared::new();
    static PUSHED: AtomicUsize = AtomicUsize::new(0);
    static SUMS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

    fn count((writer, number): (usize, usize)) {
        // No addition is lost: the interrupt ends before the program continues.
        SUMS[writer].fetch_add(number, SeqCst);
    }

    fn step() {
        ENDS.with(|(writer, reader)| {
            let next = PUSHED.load(SeqCst) + 1;
            if next <= ITEMS && writer.try_push((0, next)).is_ok() {
                PUSHED.store(next, SeqCst);
            }
            if ticks::dice().is_multiple_of(2)
                && let Ok(item) = reader.try_pop()
            {
                count(item);
            }
        });
    }

    ENDS.put((Mpmc::producer(&RING), Mpmc::consumer(&RING)));
    let mut writer = Mpmc::producer(&RING);
    let mut reader = Mpmc::consumer(&RING);
    let mut next = 1;
    ticks::during(step, || {
        while next <= ITEMS || PUSHED.load(SeqCst) < ITEMS {
            if next <= ITEMS && ticks::inside(|| writer.try_push((1, next))).is_ok() {
                next += 1;
            }
            if let Ok(item) = ticks::inside(|| reader.try_pop()) {
                count(item);
            }
        }
    });
    while let Ok(item) = reader.try_pop() {
        count(item);
    }
    let sums = SUMS.each_ref().map(|sum| sum.load(SeqCst));
    assert_eq!(sums, [ITEMS * (ITEMS + 1) / 2; 2], "each item once");
}

/// The interrupt publishes. A gating reader gets everything; an observer gets whole messages and
/// exact gaps.
fn published_by_the_interrupt() {
    const BYTES: usize = 3 * size_of::<usize>();
    const LAYOUT: Layout = Layout::exact(4, BYTES);
    type Ring = Broadcast<broadcast::InlineStorage<{ LAYOUT.words() }, 1>>;
    static END: Shared<broadcast::Producer<&'static Ring>> = Shared::new();

    fn content(sequence: usize) -> [usize; 3] {
        [sequence, !sequence, sequence.wrapping_mul(31)]
    }

    fn step() {
        END.with(|writer| {
            for _ in 0..ticks::dice() % 8 {
                let next = writer.sequence();
                if next == ITEMS || writer.try_push(&content(next), BYTES).is_err() {
                    break;
                }
            }
        });
    }

    let ring = Broadcast::new(broadcast::InlineStorage::new(), LAYOUT).unwrap();
    let ring: &'static Ring = singleton!(RING: Ring = ring).unwrap();
    END.put(Broadcast::producer(ring).unwrap());
    let mut gating = Broadcast::gating(ring);
    let mut observer = Broadcast::observing(ring);
    let (mut next, mut taken, mut missed) = (0, 0, 0);
    ticks::during(step, || {
        let mut words = [0; 3];
        while next < ITEMS || taken + missed < ITEMS {
            if let Some(reader) = &mut gating
                && let Peek::Message { sequence, .. } = ticks::inside(|| reader.peek(&mut words))
            {
                assert_eq!((sequence, words), (next, content(next)));
                assert!(reader.advance());
                next += 1;
                // After the gating reader has left, the writer overwrites what the observer has not
                // read.
                if next == ITEMS / 2 {
                    gating = None;
                    next = ITEMS;
                }
            }
            match ticks::inside(|| observer.peek(&mut words)) {
                Peek::Message { sequence, .. } => {
                    assert_eq!((sequence, words), (taken + missed, content(sequence)));
                    assert!(observer.advance());
                    taken += 1;
                }
                Peek::Gap { missed: gap } => missed += gap,
                Peek::Empty | Peek::Closed | Peek::Evicted => {}
            }
        }
    });
    assert!(missed > 0 && taken > 0, "{taken} taken, {missed} missed");
}
