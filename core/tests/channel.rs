//! Channels over every ring, on one thread: what any sequence of polls, drops and wakes may do to them.
//!
//! A scheduler made of a few lines polls a task only when it was woken, so a wake that is lost leaves it with nothing to
//! do before the work is done. Futures are dropped at their first, second, third, … poll; then nothing that was accepted
//! may be missing, and nothing may come twice.
#![cfg(feature = "alloc")]
// What a test counts with is no shared memory of the core.
#![allow(clippy::disallowed_types)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use mycelium_core::channel::{Receiver, Reserve, SendError, Sender, Sides};
use mycelium_core::ring::{CapacityError, Consumer, PopError, PushError};
use mycelium_core::wait::Wait;

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

struct Task<'a> {
    woken: Arc<Woken>,
    /// `None` once it has ended.
    future: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
}

#[derive(Default)]
struct Scheduler<'a> {
    tasks: Vec<Task<'a>>,
    random: u64,
}

impl<'a> Scheduler<'a> {
    fn spawn(&mut self, task: impl Future<Output = ()> + 'a) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.tasks.push(Task { woken, future: Some(Box::pin(task)) });
    }

    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % below
    }

    /// Polls tasks in any order until none is awake; for the first `spurious` polls, sleeping ones as well. Returns how
    /// many never ended.
    fn run(&mut self, spurious: usize) -> usize {
        for step in 0.. {
            assert!(step < 100_000, "they keep each other awake and get nowhere");
            let awake = |task: &Task<'_>| {
                task.future.is_some() && (step < spurious || task.woken.0.load(Relaxed))
            };
            let ready: Vec<_> = (0..self.tasks.len()).filter(|&i| awake(&self.tasks[i])).collect();
            if ready.is_empty() {
                break;
            }
            let next = ready[self.random(ready.len())];
            let Task { woken, future } = &mut self.tasks[next];
            woken.0.store(false, Relaxed);
            let waker = Waker::from(woken.clone());
            let polled = future.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                *future = None;
            }
        }
        self.tasks.iter().filter(|task| task.future.is_some()).count()
    }
}

/// Polls a future so often, and drops it then.
async fn cut<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[derive(Clone, Copy, Debug)]
enum Sending {
    Send,
    Reserve,
    /// Reserves, and gives every other slot back.
    ReserveInVain,
    Many,
}

#[derive(Clone, Copy, Debug)]
enum Receiving {
    One,
    Many,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    sending: Sending,
    receiving: Receiving,
    /// At which poll a future is dropped, for the first few futures of each task.
    polls: usize,
    wait: Wait,
    /// The first sender and the first receiver stay idle, with their handles, after the last future that they dropped.
    deserters: bool,
    seed: u64,
}

/// Items are `sender * 1000 + number`.
const EACH: u32 = 12;
const CUTS: usize = 6;

async fn send_all<P: Reserve<Item = u32>, L: Deref<Target: Sides>>(
    mut sender: Sender<P, L>,
    plan: Plan,
    first: u32,
    deserts: bool,
    accepted: Rc<RefCell<Vec<u32>>>,
) {
    sender.wait_by(plan.wait);
    let (mut next, mut sent, mut cuts, mut vain) = (first, 0, 0, false);
    while sent < EACH {
        if cuts == CUTS && deserts {
            std::future::pending::<()>().await;
        }
        let polls = if cuts < CUTS { plan.polls } else { usize::MAX };
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
    receiver.wait_by(plan.wait);
    let mut cuts = 0;
    loop {
        if cuts == CUTS && deserts {
            std::future::pending::<()>().await;
        }
        let polls = if cuts < CUTS { plan.polls } else { usize::MAX };
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

fn nothing_is_lost<P, C, L>(senders: Vec<Sender<P, L>>, receivers: Vec<Receiver<C, L>>, plan: Plan)
where
    P: Reserve<Item = u32>,
    C: Consumer<Item = u32>,
    L: Deref<Target: Sides>,
{
    let accepted = Rc::default();
    let received: Vec<Rc<RefCell<Vec<u32>>>> = receivers.iter().map(|_| Rc::default()).collect();
    let deserters = if plan.deserters { 2 } else { 0 };
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
    let left = scheduler.run(60);
    // With a deserter among the senders the channel stays open, and all receivers wait.
    assert!(left == 0 || deserters > 0, "a wake was lost: {plan:?}");
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

fn every_plan(deserters: bool, mut run: impl FnMut(usize, Plan)) {
    // The interpreter looks for invalid accesses, and sees those in a few of them.
    let (seeds, most) = if cfg!(miri) { (1, 2) } else { (2, 5) };
    for capacity in if cfg!(miri) { &[2][..] } else { &[2, 4] } {
        let capacity = *capacity;
        for sending in [Sending::Send, Sending::Reserve, Sending::ReserveInVain, Sending::Many] {
            for receiving in [Receiving::One, Receiving::Many] {
                for wait in [Wait::Park, Wait::SpinThenPark(1), Wait::Spin] {
                    // Who spins for what a deserter keeps back spins for ever.
                    if wait != Wait::Park && cfg!(miri) || wait == Wait::Spin && deserters {
                        continue;
                    }
                    for polls in 1..=most {
                        for seed in 0..seeds {
                            let plan = Plan { sending, receiving, polls, wait, deserters, seed };
                            run(capacity, plan);
                        }
                    }
                }
            }
        }
    }
}

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
            fn an_accepted_item_comes_out_once_and_in_order() {
                let (mut sender, mut receiver) = $ring::bounded(4).unwrap();
                assert_eq!(receiver.try_recv(), Err(PopError::Empty));
                for number in 0..4 {
                    sender.try_send(number).unwrap();
                }
                assert_eq!(sender.try_send(4), Err(PushError::Full(4)));
                assert_eq!((sender.len(), receiver.len(), sender.capacity()), (4, 4, 4));
                let mut all = Vec::new();
                while let Ok(number) = receiver.try_recv() {
                    all.push(number);
                }
                assert_eq!(all, [0, 1, 2, 3]);
                assert!(sender.is_empty() && receiver.is_empty());
            }

            #[test]
            fn receivers_get_what_is_left_after_the_senders_went() {
                let (mut sender, mut receiver) = $ring::bounded(4).unwrap();
                sender.try_send(1).unwrap();
                sender.close();
                assert_eq!(now(receiver.recv()), Poll::Ready(Some(1)));
                assert_eq!(now(receiver.recv()), Poll::Ready(None));
                assert_eq!(now(receiver.recv_many(&mut Vec::new(), 9)), Poll::Ready(0));
                assert_eq!(receiver.try_recv(), Err(PopError::Closed));
            }

            #[test]
            fn senders_get_their_items_back_after_the_receivers_went() {
                let (mut sender, receiver) = $ring::bounded(4).unwrap();
                sender.try_send(String::from("a")).unwrap();
                assert!(!sender.is_closed());
                receiver.close();
                assert!(sender.is_closed());
                let refused = now(sender.send(String::from("b")));
                assert_eq!(refused, Poll::Ready(Err(SendError(String::from("b")))));
                assert!(matches!(now(sender.reserve()), Poll::Ready(Err(SendError(())))));
                let many = now(sender.send_many(&mut [String::new()].into_iter()));
                assert_eq!(many, Poll::Ready(Err(SendError(0))));
            }

            #[test]
            fn what_nobody_will_read_is_dropped_with_the_last_receiver() {
                let (mut sender, receiver) = $ring::bounded(4).unwrap();
                let kept = Arc::new(());
                sender.try_send(kept.clone()).unwrap();
                sender.try_send(kept.clone()).unwrap();
                drop(receiver);
                assert_eq!(Arc::strong_count(&kept), 1);
            }

            #[test]
            fn a_parked_end_is_woken_by_the_close_of_the_other() {
                let (sender, mut receiver) = $ring::bounded::<u8>(2).unwrap();
                let (woken, waker) = flag();
                let mut context = Context::from_waker(&waker);
                let mut recv = pin!(receiver.recv());
                assert!(recv.as_mut().poll(&mut context).is_pending());
                drop(sender);
                assert!(woken.0.load(Relaxed));
                assert_eq!(recv.poll(&mut context), Poll::Ready(None));

                let (mut sender, receiver) = $ring::bounded::<u8>(2).unwrap();
                sender.try_send(1).unwrap();
                sender.try_send(2).unwrap();
                let (woken, waker) = flag();
                let mut context = Context::from_waker(&waker);
                let mut send = pin!(sender.send(3));
                assert!(send.as_mut().poll(&mut context).is_pending());
                drop(receiver);
                assert!(woken.0.load(Relaxed));
                assert_eq!(send.poll(&mut context), Poll::Ready(Err(SendError(3))));
            }

            #[test]
            fn a_capacity_that_no_ring_has_is_an_error() {
                for given in [0, 1, 3, usize::MAX] {
                    let refused = $ring::bounded::<u8>(given).map(drop);
                    assert_eq!(refused, Err(CapacityError::Invalid { given }));
                }
            }

            #[test]
            fn a_batch_longer_than_the_channel_goes_through() {
                let (mut sender, mut receiver) = $ring::bounded(2).unwrap();
                let mut all = Vec::new();
                let mut scheduler = Scheduler::default();
                scheduler.spawn(async move {
                    assert_eq!(sender.send_many(&mut (0..100)).await, Ok(100));
                });
                scheduler.spawn(async {
                    while receiver.recv_many(&mut all, 7).await > 0 {}
                });
                assert_eq!(scheduler.run(0), 0);
                drop(scheduler);
                assert!(all.into_iter().eq(0..100));
            }

            /// However large the ring, a sender that waits for room gets the first that there is.
            #[test]
            fn room_is_shown_at_once() {
                let (mut sender, mut receiver) = $ring::bounded(64).unwrap();
                assert_eq!(now(sender.send_many(&mut (0..64))), Poll::Ready(Ok(64)));
                let (woken, waker) = flag();
                let mut context = Context::from_waker(&waker);
                let mut send = pin!(sender.send(64));
                assert!(send.as_mut().poll(&mut context).is_pending());
                assert_eq!(receiver.try_recv(), Ok(0));
                assert!(woken.0.load(Relaxed));
                assert_eq!(send.poll(&mut context), Poll::Ready(Ok(())));
            }

            #[test]
            fn who_parks_costs_nothing_until_it_is_woken() {
                let (mut sender, mut receiver) = $ring::bounded(2).unwrap();
                let (woken, waker) = flag();
                let mut context = Context::from_waker(&waker);
                let mut recv = pin!(receiver.recv());
                assert!(recv.as_mut().poll(&mut context).is_pending());
                assert!(!woken.0.load(Relaxed), "it asks to be polled again, though nothing came");
                sender.try_send(7).unwrap();
                assert!(woken.0.load(Relaxed));
                assert_eq!(recv.poll(&mut context), Poll::Ready(Some(7)));
            }

            #[test]
            fn who_spins_asks_to_be_polled_again() {
                let (_sender, mut receiver) = $ring::bounded::<u8>(2).unwrap();
                let count = Arc::new(Count(AtomicUsize::new(0)));
                let waker = Waker::from(count.clone());
                let mut context = Context::from_waker(&waker);
                receiver.wait_by(Wait::Spin);
                let mut recv = pin!(receiver.recv());
                for polls in 1..9 {
                    assert!(recv.as_mut().poll(&mut context).is_pending());
                    assert_eq!(count.0.load(Relaxed), polls);
                }
            }

            #[test]
            fn who_spins_then_parks_does_both() {
                let (mut sender, mut receiver) = $ring::bounded::<u8>(2).unwrap();
                let count = Arc::new(Count(AtomicUsize::new(0)));
                let waker = Waker::from(count.clone());
                let mut context = Context::from_waker(&waker);
                receiver.wait_by(Wait::SpinThenPark(3 * Wait::LOOKS));
                let mut recv = pin!(receiver.recv());
                for woken in [1, 2, 2, 2] {
                    assert!(recv.as_mut().poll(&mut context).is_pending());
                    assert_eq!(count.0.load(Relaxed), woken, "after 3 polls it sleeps");
                }
                sender.try_send(1).unwrap();
                assert_eq!(count.0.load(Relaxed), 3);
                assert_eq!(recv.poll(&mut context), Poll::Ready(Some(1)));
            }

            #[test]
            fn on_threads() {
                let count = if cfg!(miri) { 50 } else { 20_000 };
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

/// With room for three senders, of which the tests of one pair use one.
mod lanes_of_three {
    pub(super) use mycelium_core::channel::lanes::{Receiver, Sender};

    pub(super) fn bounded<T>(
        capacity: usize,
    ) -> Result<(Sender<T>, Receiver<T>), mycelium_core::ring::CapacityError> {
        mycelium_core::channel::lanes::bounded(3, capacity)
    }
}

use mycelium_core::channel::{mpmc as several, spsc as single};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn flag() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    (woken.clone(), Waker::from(woken))
}

fn now<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn blocking<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes too long, and reaches nothing that the tests of one pair do not")]
fn dropping_futures_of_several_ends_loses_nothing() {
    every_plan(false, |capacity, plan| {
        let (sender, receiver) = several::bounded(capacity).unwrap();
        let senders = vec![sender.clone(), sender.clone(), sender];
        let receivers = vec![receiver.clone(), receiver];
        nothing_is_lost(senders, receivers, plan);
    });
}

#[test]
#[cfg_attr(miri, ignore = "takes too long, and reaches nothing that the tests of one pair do not")]
fn dropping_futures_of_several_lanes_loses_nothing() {
    every_plan(false, |capacity, plan| {
        let (sender, receiver) = lanes_of_three::bounded(capacity).unwrap();
        let (one, other) = (sender.try_clone().unwrap(), sender.try_clone().unwrap());
        nothing_is_lost(vec![sender, one, other], vec![receiver], plan);
    });
}

/// A wake that came for somebody who is not interested any more goes to somebody who is.
#[test]
#[cfg_attr(miri, ignore = "takes too long, and reaches nothing that the tests of one pair do not")]
fn a_wake_is_passed_on() {
    every_plan(true, |capacity, plan| {
        let (sender, receiver) = several::bounded(capacity).unwrap();
        let senders = vec![sender.clone(), sender.clone(), sender];
        let receivers = vec![receiver.clone(), receiver.clone(), receiver];
        nothing_is_lost(senders, receivers, plan);
    });
}

#[test]
fn a_wake_for_a_future_that_is_dropped_goes_to_the_next() {
    let (mut sender, mut one) = several::bounded(4).unwrap();
    let mut other = one.clone();
    let (first, first_waker) = flag();
    let (second, second_waker) = flag();
    let mut gone = Box::pin(one.recv());
    assert!(gone.as_mut().poll(&mut Context::from_waker(&first_waker)).is_pending());
    let mut stays = pin!(other.recv());
    assert!(stays.as_mut().poll(&mut Context::from_waker(&second_waker)).is_pending());
    sender.try_send(1).unwrap();
    assert_eq!([first.0.load(Relaxed), second.0.load(Relaxed)], [true, false]);
    drop(gone);
    assert!(second.0.load(Relaxed), "nobody is awake, though there is an item");
    assert_eq!(stays.poll(&mut Context::from_waker(&second_waker)), Poll::Ready(Some(1)));
}

/// An item behind a slot that is held is rung for in vain; when the slot is filled, both items come out.
#[test]
fn a_permit_that_comes_late_wakes_for_all_that_waited_behind_it() {
    let (mut early, mut one) = several::bounded(4).unwrap();
    let mut late = early.clone();
    let mut other = one.clone();
    for gives_back in [false, true] {
        let (first, first_waker) = flag();
        let (second, second_waker) = flag();
        let (mut first_context, mut second_context) =
            (Context::from_waker(&first_waker), Context::from_waker(&second_waker));
        let mut first_recv = Box::pin(one.recv());
        let mut second_recv = Box::pin(other.recv());
        let Poll::Ready(Ok(permit)) = now(early.reserve()) else { panic!("there is room") };
        late.try_send(2).unwrap();
        late.try_send(3).unwrap();
        assert!(first_recv.as_mut().poll(&mut first_context).is_pending());
        assert!(second_recv.as_mut().poll(&mut second_context).is_pending());
        if gives_back {
            drop(permit)
        } else {
            permit.send(1)
        }
        let mut got = Vec::new();
        // Whoever is awake gets its turn; what one takes, it passes on.
        for _ in 0..2 {
            if first.0.swap(false, Relaxed)
                && let Poll::Ready(item) = first_recv.as_mut().poll(&mut first_context)
            {
                got.extend(item);
            }
            if second.0.swap(false, Relaxed)
                && let Poll::Ready(item) = second_recv.as_mut().poll(&mut second_context)
            {
                got.extend(item);
            }
        }
        assert_eq!(got, if gives_back { [2, 3] } else { [1, 2] });
        drop((first_recv, second_recv));
        while one.try_recv().is_ok() {}
    }
}

#[test]
fn a_static_channel_has_as_many_seats_as_it_says() {
    static CHANNEL: several::Inline<u8, 4, 2, 1> = several::Inline::new();
    let (mut sender, mut receiver) = CHANNEL.split().unwrap();
    assert!(receiver.try_clone().is_none());
    let other = sender.try_clone().unwrap();
    assert!(sender.try_clone().is_none());
    drop(other);
    let other = sender.try_clone().expect("a seat is free again");
    sender.try_send(1).unwrap();
    drop((sender, other));
    assert_eq!(now(receiver.recv()), Poll::Ready(Some(1)));
    assert_eq!(now(receiver.recv()), Poll::Ready(None));
    drop(receiver);
    assert!(CHANNEL.split().is_none(), "it is closed");
}

#[test]
fn a_static_channel_serves_one_pair() {
    static CHANNEL: single::Inline<u8, 4> = single::Inline::new();
    let (sender, receiver) = CHANNEL.split().unwrap();
    assert!(CHANNEL.split().is_none());
    drop(sender);
    assert!(CHANNEL.split().is_none());
    drop(receiver);
}

#[test]
fn each_of_many_waiters_gets_its_turn() {
    let (mut sender, receiver) = several::bounded(2).unwrap();
    let order = RefCell::new(Vec::new());
    let mut scheduler = Scheduler::default();
    // More than the first row of seats holds.
    for index in 0..100 {
        let (mut receiver, order) = (receiver.clone(), &order);
        scheduler.spawn(async move {
            while receiver.recv().await.is_some() {
                order.borrow_mut().push(index);
            }
        });
    }
    drop(receiver);
    assert_eq!(scheduler.run(0), 100);
    for round in 0..300 {
        sender.try_send(round).unwrap();
        scheduler.run(0);
    }
    drop(sender);
    assert_eq!(scheduler.run(0), 0);
    let order = order.borrow();
    for round in order.chunks(100) {
        let different: std::collections::HashSet<_> = round.iter().collect();
        assert!(different.len() > 95, "{} in a round of 100", different.len());
    }
    assert_eq!(order.len(), 300);
}

#[test]
fn an_items_drop_that_panics_still_closes() {
    struct Bomb(Rc<Cell<bool>>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0.replace(false), "bomb");
        }
    }

    let (mut sender, receiver) = single::bounded(4).unwrap();
    let armed = Rc::new(Cell::new(true));
    sender.try_send(Bomb(armed.clone())).unwrap();
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(receiver)));
    assert!(dropped.is_err());
    assert!(sender.is_closed());
}
