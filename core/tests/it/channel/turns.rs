//! Senders that wait for room get their turn: while a sender waits that was woken and found no room,
//! each other sender takes the last slot at most twice, whatever they do and in whichever order they
//! are polled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use mycelium_core::channel::{mpmc, mpsc};
use proptest::prelude::*;

use super::wakers::counter;
use crate::cases::cases;
use crate::doorbell::does;

/// Tasks of one thread that run in the order in which they were woken; the receiver empties the
/// channel, then the first sender fills it. Before senders had turns, one of them sent everything.
#[test]
fn senders_of_one_thread_send_in_turn() {
    let (sender, mut receiver) = mpmc::bounded(16).unwrap();
    let awake = Arc::new(Mutex::new(VecDeque::from([0, 1, 2, 3])));
    let mut senders: [_; SENDERS] = std::array::from_fn(|index| {
        let awake = awake.clone();
        (sender.clone(), Waker::from(does(move |_| awake.lock().unwrap().push_back(index))), 0)
    });
    let (rounds, next) = (40, || awake.lock().unwrap().pop_front());
    for _ in 0..rounds {
        while let Some(index) = next() {
            let (sender, waker, sent) = &mut senders[index];
            while sender.poll_send(&mut Context::from_waker(waker), &mut Some(())).is_ready() {
                *sent += 1;
            }
        }
        while receiver.try_recv().is_ok() {}
    }
    let sent = senders.map(|(_, _, sent)| sent);
    assert!(sent.iter().all(|sent| *sent >= rounds * 16 / SENDERS / 2), "{sent:?}");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Polls a send, which begins if the sender does not wait; also without a wake.
    Poll(usize),
    TrySend(usize),
    Cancel(usize),
    Receive(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..SENDERS).prop_map(Step::Poll),
        2 => (0..SENDERS).prop_map(Step::TrySend),
        1 => (0..SENDERS).prop_map(Step::Cancel),
        4 => (1..4usize).prop_map(Step::Receive),
    ]
}

const SENDERS: usize = 4;

/// The wait of a sender.
#[derive(Default)]
struct Wait {
    item: Option<usize>,
    /// How often each other sender took the last slot since this one was polled in its wait and
    /// found no room; `None` before.
    passed_by: Option<[usize; SENDERS]>,
}

/// Runs the steps over one kind of channel. A macro, because the kinds differ in their types.
macro_rules! run {
    ($channel:ident, $capacity:expr, $idle:expr, $steps:expr) => {{
        let (sender, mut receiver) = $channel::bounded::<usize>($capacity).unwrap();
        let _idle = vec![sender.clone(); $idle];
        let mut senders = vec![sender; SENDERS];
        let mut waits: [Wait; SENDERS] = Default::default();
        let wakers: [_; SENDERS] = std::array::from_fn(|_| counter());
        // Notes a success, and that it passed those that starve, if it took the last slot.
        let passes = |waits: &mut [Wait; SENDERS], by: usize, len: usize| {
            waits[by] = Wait::default();
            for counts in waits.iter_mut().filter_map(|wait| wait.passed_by.as_mut()) {
                counts[by] += usize::from(len == $capacity);
                prop_assert!(counts[by] <= 2, "passed too often: {:?}", counts);
            }
            Ok(())
        };
        for step in $steps {
            match step {
                Step::Poll(index) => {
                    let (sender, wait) = (&mut senders[index], &mut waits[index]);
                    let waited = wait.item.is_some();
                    let item = wait.item.get_or_insert(index);
                    let mut context = Context::from_waker(&wakers[index].1);
                    let mut offered = Some(*item);
                    match sender.poll_send(&mut context, &mut offered) {
                        Poll::Ready(sent) => {
                            prop_assert!(sent.is_ok());
                            passes(&mut waits, index, receiver.len())?;
                        }
                        Poll::Pending if waited => _ = wait.passed_by.get_or_insert_default(),
                        Poll::Pending => {}
                    }
                }
                Step::TrySend(index) if waits[index].item.is_none() => {
                    if senders[index].try_send(index).is_ok() {
                        passes(&mut waits, index, receiver.len())?;
                    }
                }
                Step::TrySend(_) => {}
                Step::Cancel(index) => {
                    // A wait ends with its future; a new future that is dropped ends it, too.
                    drop(senders[index].send(index));
                    waits[index] = Wait::default();
                }
                Step::Receive(count) => (0..count).for_each(|_| _ = receiver.try_recv()),
            }
        }
        // The senders that wait are polled when they are woken, and all are, if there is room.
        let mut seen = wakers.each_ref().map(|_| 0);
        while waits.iter().any(|wait| wait.item.is_some()) {
            let ready = |index: &usize| {
                waits[*index].item.is_some() && wakers[*index].0.times() > seen[*index]
            };
            let Some(index) = (0..SENDERS).find(ready) else {
                prop_assert!(receiver.try_recv().is_ok(), "a wake was lost");
                continue;
            };
            seen[index] = wakers[index].0.times();
            let mut context = Context::from_waker(&wakers[index].1);
            if senders[index].poll_send(&mut context, &mut Some(index)).is_ready() {
                passes(&mut waits, index, receiver.len())?;
            }
        }
    }};
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn nobody_passes_a_starving_sender_for_ever(
        steps in prop::collection::vec(step(), 1..if cfg!(miri) { 30 } else { 200 }),
        of_one_reader: bool,
        capacity in prop_oneof![Just(2usize), Just(4)],
        // With 13 of them the places in `mpmc` are in two blocks.
        idle in prop_oneof![Just(0usize), Just(13)],
    ) {
        if of_one_reader {
            run!(mpsc, capacity, idle, steps);
        } else {
            run!(mpmc, capacity, idle, steps);
        }
    }
}

/// The last slot is kept for a sender that was passed, and only that one; a leaving sender leaves
/// its turn.
#[test]
fn the_last_slot_is_kept_for_the_first_that_starves() {
    let (mut first, mut receiver) = mpmc::bounded(2).unwrap();
    let (mut other, mut third) = (first.clone(), first.clone());
    (0..2).for_each(|item| first.try_send(item).unwrap());
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        assert!(first.poll_send(&mut context, &mut Some(2)).is_pending());
    }
    assert_eq!(receiver.try_recv(), Ok(0));
    assert!(other.try_send(3).is_err(), "one slot is free, and kept");
    assert_eq!(receiver.try_recv(), Ok(1));
    other.try_send(3).expect("two slots are free");
    let (woken, waker) = counter();
    assert!(third.poll_send(&mut Context::from_waker(&waker), &mut Some(4)).is_pending());
    drop(first);
    assert_eq!(woken.times(), 1, "it waited only because of the first one");
    third.try_send(4).expect("nobody starves any more");
}
