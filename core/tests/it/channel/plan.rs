//! Plans: everything that senders and receivers may do with their futures, and what must hold after
//! each.
//!
//! Futures are dropped at their first, second, third, … poll; then no accepted item may be missing
//! or be received twice. If the first end of each side deserts (it stays idle), the others must be
//! woken for what it leaves.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use mycelium_core::channel::{Receiver, Reserve, Sender, Sides};
use mycelium_core::ring::Consumer;
use mycelium_core::wait::WaitStrategy;

use super::scheduler::{Scheduler, Task, cut, yield_now};

/// Calls `run` with each plan and its capacity. With `deserters`, all plans have them.
pub(crate) fn every_plan(deserters: bool, mut run: impl FnMut(usize, Plan)) {
    // Miri needs only a few plans to find invalid accesses.
    let (seeds, most, cuts) = if cfg!(miri) { (1, 2, 2) } else { (2, 5, 6) };
    // A deserter leaves early, while the others have much to do.
    let (seeds, cuts) = if deserters { (10 * seeds, 2) } else { (seeds, cuts) };
    for capacity in if cfg!(miri) { &[2][..] } else { &[2, 4] } {
        let capacity = *capacity;
        for sending in [Sending::Send, Sending::Reserve, Sending::ReserveInVain, Sending::Many] {
            for receiving in [Receiving::One, Receiving::Many] {
                for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark(1), WaitStrategy::Spin]
                {
                    // An end that spins for what a deserter holds would spin for ever.
                    if wait != WaitStrategy::Park && cfg!(miri)
                        || wait == WaitStrategy::Spin && deserters
                    {
                        continue;
                    }
                    for polls in 1..=most {
                        for seed in 0..seeds {
                            let plan =
                                Plan { sending, receiving, polls, cuts, wait, deserters, seed };
                            run(capacity, plan);
                        }
                    }
                }
            }
        }
    }
}

/// The actions of each sender and receiver of a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    sending: Sending,
    receiving: Receiving,
    /// The poll at which a future is dropped, for the first few futures of each task.
    polls: usize,
    /// How many such futures of a task are dropped.
    cuts: usize,
    wait: WaitStrategy,
    /// The first sender and the first receiver stay idle, with their handles, after the last future
    /// that they dropped.
    deserters: bool,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Sending {
    Send,
    Reserve,
    /// Reserves, and aborts every other slot.
    ReserveInVain,
    Many,
}

#[derive(Clone, Copy, Debug)]
enum Receiving {
    One,
    Many,
}

/// Runs the plan, and compares the received items with the accepted ones.
pub(crate) fn nothing_is_lost<P, C, L>(
    senders: Vec<Sender<P, L>>,
    receivers: Vec<Receiver<C, L>>,
    plan: Plan,
) where
    P: Reserve<Item = u32>,
    C: Consumer<Item = u32>,
    L: Deref<Target: Sides>,
{
    let (count, accepted): (usize, Rc<RefCell<Vec<u32>>>) = (senders.len(), Rc::default());
    let received: Vec<Rc<RefCell<Vec<u32>>>> = receivers.iter().map(|_| Rc::default()).collect();
    let mut scheduler = Scheduler { random: plan.seed, ..Scheduler::default() };
    for (index, sender) in senders.into_iter().enumerate() {
        let deserts = plan.deserters && index == 0;
        let first = index as u32 * 1_000;
        scheduler.spawn(send_all(sender, plan, first, deserts, Rc::clone(&accepted)));
    }
    for (index, receiver) in receivers.into_iter().enumerate() {
        let deserts = plan.deserters && index == 0;
        scheduler.spawn(receive_all(receiver, plan, deserts, received[index].clone()));
    }
    // No spurious polls: they would hide a lost wake.
    let spurious = if plan.deserters { 0 } else { 60 };
    let left = scheduler.run(if cfg!(miri) { spurious / 6 } else { spurious });
    if plan.deserters {
        // The first sender and the first receiver still exist. What they do not take is for the
        // others.
        let unfinished = |task: &Task<'_>| task.future.is_some();
        let waits = scheduler.tasks[1..count].iter().any(unfinished);
        assert!(!waits, "a wake was lost, there is room: {plan:?}");
        let taken: usize = received.iter().map(|received| received.borrow().len()).sum();
        assert_eq!(accepted.borrow().len(), taken, "a wake was lost, there are items: {plan:?}");
        // When they are dropped, all others end.
        for deserter in [0, count] {
            scheduler.tasks[deserter].future = None;
        }
        assert_eq!(scheduler.run(0), 0, "a wake was lost at the end: {plan:?}");
    } else {
        assert_eq!(left, 0, "a wake was lost: {plan:?}");
    }
    for received in &received {
        let received = received.borrow();
        for sender in 0..4 {
            let of_one: Vec<_> = received.iter().filter(|&&item| item / 1_000 == sender).collect();
            assert!(of_one.is_sorted(), "{of_one:?} out of order: {plan:?}");
        }
    }
    let mut accepted = accepted.take();
    let mut all: Vec<_> = received.iter().flat_map(|received| received.take()).collect();
    accepted.sort_unstable();
    all.sort_unstable();
    assert_eq!(accepted, all, "{plan:?}");
}

/// Items are `sender * 1000 + number`.
const EACH: u32 = if cfg!(miri) { 4 } else { 12 };

async fn send_all<P: Reserve<Item = u32>, L: Deref<Target: Sides>>(
    mut sender: Sender<P, L>,
    plan: Plan,
    first: u32,
    deserts: bool,
    accepted: Rc<RefCell<Vec<u32>>>,
) {
    sender.set_wait_strategy(plan.wait);
    let (mut next, mut sent, mut cuts, mut vain) = (first, 0, 0, false);
    while sent < EACH {
        if deserts && cuts == plan.cuts {
            std::future::pending::<()>().await;
        }
        let polls = if cuts < plan.cuts { plan.polls } else { usize::MAX };
        let done = match plan.sending {
            Sending::Send => cut(sender.send(next), polls).await.map(|sent| {
                sent.unwrap();
                accepted.borrow_mut().push(next);
                1
            }),
            Sending::Reserve | Sending::ReserveInVain => {
                cut(sender.reserve(), polls).await.map(|permit| {
                    let permit = permit.unwrap();
                    vain = matches!(plan.sending, Sending::ReserveInVain) && !vain;
                    if vain {
                        drop(permit);
                        return 0;
                    }
                    permit.send(next);
                    accepted.borrow_mut().push(next);
                    1
                })
            }
            Sending::Many => {
                let mut items = next..next + 3;
                let done = cut(sender.send_many(&mut items), polls).await;
                let taken = items.start - next;
                accepted.borrow_mut().extend(next..items.start);
                sent += taken;
                next += taken;
                done.map(|count| assert_eq!(count.unwrap(), taken as usize)).map(|()| 0)
            }
        };
        sent += done.unwrap_or(0);
        // A number that was not sent is not used again.
        next += u32::from(!matches!(plan.sending, Sending::Many));
        if done.is_none() {
            cuts += 1;
            yield_now().await;
        }
    }
}

async fn receive_all<C: Consumer<Item = u32>, L: Deref<Target: Sides>>(
    mut receiver: Receiver<C, L>,
    plan: Plan,
    deserts: bool,
    received: Rc<RefCell<Vec<u32>>>,
) {
    receiver.set_wait_strategy(plan.wait);
    let mut cuts = 0;
    loop {
        if deserts && cuts == plan.cuts {
            std::future::pending::<()>().await;
        }
        let polls = if cuts < plan.cuts { plan.polls } else { usize::MAX };
        let mut buffer = Vec::new();
        let done = match plan.receiving {
            Receiving::One => cut(receiver.recv(), polls).await.map(|item| {
                buffer.extend(item);
                item.is_some()
            }),
            Receiving::Many => {
                cut(receiver.recv_many(&mut buffer, 3), polls).await.map(|count| count > 0)
            }
        };
        received.borrow_mut().append(&mut buffer);
        match done {
            Some(true) => {}
            Some(false) => return,
            None => {
                cuts += 1;
                yield_now().await;
            }
        }
    }
}
