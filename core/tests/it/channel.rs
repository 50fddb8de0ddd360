//! Channels over every ring, on one thread, with any sequence of polls, drops and wakes.
//!
//! This file has the tests with one sender and one receiver, the same for each ring, and the plans
//! with several of them. `channel/plan.rs` defines a plan; `channel/waiters.rs`,
//! `channel/notified.rs` and `channel/faults.rs` have the tests that need no plan.
// The counters of a test are not shared memory of the core.
#![allow(clippy::disallowed_types)]

mod faults;
mod notified;
mod plan;
mod scheduler;
mod turns;
mod waiters;
pub(crate) mod wakers;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::channel::{SendError, mpmc as several};
use mycelium_core::ring::PushError;
use mycelium_core::wait::WaitStrategy;

use plan::{every_plan, nothing_is_lost};
use wakers::{blocking, counter, now};

macro_rules! for_each_ring {
    ($($ring:ident)*) => {$(
        mod $ring {
            use mycelium_core::channel::$ring;

            use super::*;

            #[test]
            fn dropping_any_future_loses_nothing() {
                every_plan(false, |capacity, plan| {
                    let (sender, receiver) = $ring::bounded(capacity).unwrap();
                    nothing_is_lost(vec![sender], vec![receiver], plan);
                });
            }

            #[test]
            fn slots_and_batches_are_refused_after_the_receivers() {
                let (mut sender, receiver) = $ring::bounded(4).unwrap();
                receiver.close();
                assert!(matches!(now(sender.reserve()), Poll::Ready(Err(SendError(())))));
                let many = now(sender.send_many(&mut [String::new()].into_iter()));
                assert_eq!(many, Poll::Ready(Err(SendError(0))));
            }

            #[test]
            fn spin_then_park_does_both() {
                let (mut sender, mut receiver) = $ring::bounded::<u8>(2).unwrap();
                let (count, waker) = counter();
                let mut context = Context::from_waker(&waker);
                receiver.set_wait_strategy(WaitStrategy::SpinThenPark(3 * WaitStrategy::SPINS));
                let mut recv = pin!(receiver.recv());
                for woken in [1, 2, 2, 2] {
                    assert!(recv.as_mut().poll(&mut context).is_pending());
                    assert_eq!(count.times(), woken, "after 3 polls it sleeps");
                }
                sender.try_send(1).unwrap();
                assert_eq!(count.times(), 3);
                assert_eq!(recv.poll(&mut context), Poll::Ready(Some(1)));
            }

            #[test]
            fn on_threads() {
                let count = if cfg!(miri) { 20 } else { 20_000 };
                let (mut sender, mut receiver) = $ring::bounded(4).unwrap();
                let thread = std::thread::spawn(move || {
                    for number in 0..count {
                        blocking(sender.send(number)).unwrap();
                    }
                });
                for number in 0..count {
                    assert_eq!(blocking(receiver.recv()), Some(number));
                }
                assert_eq!(blocking(receiver.recv()), None);
                thread.join().unwrap();
            }
        }
    )*};
}

for_each_ring!(spsc stamped mpmc);

/// Those in front of a slot that another sender holds, and those behind it.
#[test]
fn items_around_a_held_slot_are_dropped_with_the_last_receiver() {
    for fills in [true, false] {
        let (mut sender, receiver) = several::bounded(8).unwrap();
        let mut other = sender.clone();
        let (kept, held) = (Arc::new(()), Arc::new(()));
        sender.try_send(kept.clone()).unwrap();
        let Poll::Ready(Ok(permit)) = now(other.reserve()) else { panic!("there is room") };
        sender.try_send(kept.clone()).unwrap();
        sender.try_send(kept.clone()).unwrap();
        drop(receiver.clone());
        assert_eq!(Arc::strong_count(&kept), 4);
        drop(receiver);
        assert_eq!(Arc::strong_count(&kept), 1);
        assert_eq!(sender.try_send(kept.clone()), Err(PushError::Closed(kept.clone())));
        match fills {
            true => permit.send(held.clone()),
            false => drop(permit),
        }
        drop((sender, other));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

/// Nothing is lost, and a wake for an end that stopped waiting is passed on to one that waits.
#[test]
#[cfg_attr(miri, ignore = "takes too long, and reaches nothing that the tests of one pair do not")]
fn futures_of_several_ends_are_dropped() {
    for (deserters, receivers) in [(false, 2), (true, 3)] {
        every_plan(deserters, |capacity, plan| {
            let (sender, receiver) = several::bounded(capacity).unwrap();
            nothing_is_lost(vec![sender; 3], vec![receiver; receivers], plan);
        });
    }
}
