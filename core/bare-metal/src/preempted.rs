//! Rings that an interrupt shares with the interrupted program. The interrupt occurs at
//! pseudo-random times, which are the same in every run, and often during the calls that are
//! tested.
//!
//! These tests need no compare-and-swap; those that do are in `sleeping`.

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use cortex_m::{asm::wfi, singleton};
use mycelium_core::ring::{PopError, spsc, stamped};

use crate::{
    Test,
    ticks::{self, Shared},
};

pub(crate) const TESTS: &[Test] = &[
    ("preempted::spsc_pushed_by_the_interrupt", spsc_pushed),
    ("preempted::stamped_taken_by_the_interrupt", stamped_taken),
];

pub(crate) const ITEMS: usize = 5_000;

/// A writer, and the item that it pushes next.
pub(crate) type Pushing = (spsc::Producer<&'static spsc::Inline<usize, 8>>, usize);

/// Pushes none, one or some, so that the program finds the ring empty, too.
pub(crate) fn push_some((writer, next): &mut Pushing) {
    for _ in 0..ticks::dice() % 4 {
        if *next == ITEMS || writer.try_push(*next).is_err() {
            break;
        }
        *next += 1;
    }
}

/// The interrupt pushes, the program takes.
fn spsc_pushed() {
    static END: Shared<Pushing> = Shared::new();

    let ring: &'static mut _ = singleton!(: spsc::Inline<usize, 8> = spsc::Inline::new()).unwrap();
    let (writer, mut reader) = ring.split().unwrap();
    END.put((writer, 0));
    let step = || END.with(push_some);
    ticks::during(step, || {
        for expected in 0..ITEMS {
            let item = loop {
                match ticks::inside(|| reader.try_pop()) {
                    Ok(item) => break item,
                    Err(error) => assert_eq!(error, PopError::Empty),
                }
            };
            assert_eq!(item, expected);
        }
    });
    END.take().0.close();
    assert_eq!(reader.try_pop(), Err(PopError::Closed));
}

/// The program pushes, two or one at a time, the interrupt takes.
fn stamped_taken() {
    static END: Shared<spsc::Consumer<&'static stamped::Inline<usize, 4>>> = Shared::new();
    static TAKEN: AtomicUsize = AtomicUsize::new(0);

    fn step() {
        END.with(|reader| {
            for _ in 0..ticks::dice() % 6 {
                let Ok(item) = reader.try_pop() else { break };
                assert_eq!(item, TAKEN.load(SeqCst));
                TAKEN.store(item + 1, SeqCst);
            }
        });
    }

    let ring: &'static mut _ =
        singleton!(: stamped::Inline<usize, 4> = stamped::Inline::new()).unwrap();
    let (mut writer, reader) = ring.split().unwrap();
    END.put(reader);
    ticks::during(step, || {
        let mut next = 0;
        while next < ITEMS {
            ticks::inside(|| {
                if let Ok(mut grant) = writer.grant(2) {
                    grant.push(next).unwrap();
                    grant.push(next + 1).unwrap();
                    next += grant.commit();
                } else if writer.try_push(next).is_ok() {
                    next += 1;
                }
            });
        }
        while TAKEN.load(SeqCst) < next {
            wfi();
        }
    });
}
