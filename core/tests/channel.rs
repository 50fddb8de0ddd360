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
    /// How many such futures of a task are dropped.
    cuts: usize,
    wait: Wait,
    /// The first sender and the first receiver stay idle, with their handles, after the last future that they dropped.
    deserters: bool,
    seed: u64,
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
    sender.wait_by(plan.wait);
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
    receiver.wait_by(plan.wait);
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

fn nothing_is_lost<P, C, L>(senders: Vec<Sender<P, L>>, receivers: Vec<Receiver<C, L>>, plan: Plan)
where
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
    // Polled for no reason, one that lost its wake would not sleep on.
    let spurious = if plan.deserters { 0 } else { 60 };
    let left = scheduler.run(if cfg!(miri) { spurious / 6 } else { spurious });
    if plan.deserters {
        // The first sender and the first receiver still have their ends. What they do not want is for others.
        let unfinished = |task: &Task<'_>| task.future.is_some();
        let waits = scheduler.tasks[1..count].iter().any(unfinished);
        assert!(!waits, "a wake was lost, there is room: {plan:?}");
        let taken: usize = received.iter().map(|received| received.borrow().len()).sum();
        assert_eq!(accepted.borrow().len(), taken, "a wake was lost, there are items: {plan:?}");
        // Once they go, so does everybody.
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

fn every_plan(deserters: bool, mut run: impl FnMut(usize, Plan)) {
    // The interpreter looks for invalid accesses, and sees those in a few of them.
    let (seeds, most, cuts) = if cfg!(miri) { (1, 2, 2) } else { (2, 5, 6) };
    // Who deserts does so early, while the others have much to do.
    let (seeds, cuts) = if deserters { (10 * seeds, 2) } else { (seeds, cuts) };
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
                let count = if cfg!(miri) { 20 } else { 100 };
                scheduler.spawn(async move {
                    assert_eq!(sender.send_many(&mut (0..count)).await, Ok(count));
                });
                scheduler.spawn(async {
                    while receiver.recv_many(&mut all, 7).await > 0 {}
                });
                assert_eq!(scheduler.run(0), 0);
                drop(scheduler);
                assert!(all.into_iter().eq(0..count));
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
    let waiters = if cfg!(miri) { 20 } else { 100 };
    for index in 0..waiters {
        let (mut receiver, order) = (receiver.clone(), &order);
        scheduler.spawn(async move {
            while receiver.recv().await.is_some() {
                order.borrow_mut().push(index);
            }
        });
    }
    drop(receiver);
    assert_eq!(scheduler.run(0), waiters);
    for item in 0..3 * waiters {
        sender.try_send(item).unwrap();
        scheduler.run(0);
    }
    drop(sender);
    assert_eq!(scheduler.run(0), 0);
    let order = order.borrow();
    for round in order.chunks(waiters) {
        let different: std::collections::HashSet<_> = round.iter().collect();
        assert!(different.len() > waiters - 5, "{} in a round of {waiters}", different.len());
    }
    assert_eq!(order.len(), 3 * waiters);
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

fn panics(f: impl FnOnce()) {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
}

/// Panics at its second item.
#[derive(Default)]
struct Short(usize);

impl Extend<u32> for Short {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, items: I) {
        self.0 += items.into_iter().count();
        assert!(self.0 < 2, "no more");
    }
}

fn a_buffer_panics<P, C, L>((mut sender, mut receiver): (Sender<P, L>, Receiver<C, L>))
where
    P: Reserve<Item = u32>,
    C: Consumer<Item = u32>,
    L: Deref<Target: Sides>,
{
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    let (woken, waker) = flag();
    let mut send = pin!(sender.send(3));
    assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    panics(|| _ = now(receiver.recv_many(&mut Short::default(), 2)));
    assert_eq!(now(receiver.recv()), Poll::Pending);
    assert!(woken.0.load(Relaxed), "the channel is empty, and a sender waits for room");
}

#[test]
fn a_buffer_that_panics_leaves_no_sender_asleep() {
    a_buffer_panics(single::bounded(2).unwrap());
    a_buffer_panics(several::bounded(2).unwrap());
}

#[test]
fn an_iterator_that_panics_leaves_no_receiver_asleep() {
    let (mut sender, mut receiver) = several::bounded(8).unwrap();
    let (woken, waker) = flag();
    let mut recv = pin!(receiver.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let mut items = (0..3).map(|item| if item == 2 { panic!("no third") } else { item });
    panics(|| _ = now(sender.send_many(&mut items)));
    assert!(woken.0.load(Relaxed), "two items lie there");
}

/// A slot that an iterator leaves behind when it panics is one that was given up.
#[test]
fn an_iterator_that_panics_leaves_no_sender_asleep() {
    let (mut sender, mut receiver) = several::bounded(2).unwrap();
    for _ in 0..2 {
        let mut items = (0..1).map(|_| -> u32 { panic!("none") });
        panics(|| _ = now(sender.send_many(&mut items)));
    }
    passing_makes_room(&mut sender, &mut receiver);
}

fn passing_makes_room<P, C, L>(sender: &mut Sender<P, L>, receiver: &mut Receiver<C, L>)
where
    P: Reserve<Item = u32>,
    C: Consumer<Item = u32>,
    L: Deref<Target: Sides>,
{
    let (woken, waker) = flag();
    let mut send = pin!(sender.send(3));
    assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(now(receiver.recv()), Poll::Pending);
    assert!(woken.0.load(Relaxed), "the receiver passed the slots, so there is room");
}

#[test]
fn a_seat_that_is_left_keeps_no_task() {
    fn parks_and_leaves<C: Consumer<Item = u32>, L: Deref<Target: Sides>>(
        mut receiver: Receiver<C, L>,
    ) {
        let (woken, waker) = flag();
        {
            let mut recv = pin!(receiver.recv());
            assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop((receiver, waker));
        assert_eq!(Arc::strong_count(&woken), 1, "the waker is still there");
    }

    let (_open, receiver) = several::bounded(4).unwrap();
    parks_and_leaves(receiver.clone());
    // As many as have a seat in a further row.
    let _others: Vec<_> = (0..20).map(|_| receiver.clone()).collect();
    parks_and_leaves(receiver.clone());
    let (_open, receiver) = single::bounded(4).unwrap();
    parks_and_leaves(receiver);
}

/// A ring for several, and bells for one of each.
#[test]
fn a_bell_for_one_has_one_seat() {
    use mycelium_core::channel::Lobby;
    use mycelium_core::doorbell::Doorbell;
    use mycelium_core::ring::mpmc::{Boxed, Mpmc};

    let ring = Arc::new(Boxed::<u32>::with_capacity(2).unwrap());
    let lobby = Arc::new(Lobby::new(Doorbell::new(), Doorbell::new()));
    let mut receiver = Receiver::new(Mpmc::consumer(ring.clone()), lobby.clone()).unwrap();
    let mut sender = Sender::new(Mpmc::producer(ring.clone()), lobby.clone()).unwrap();
    assert!(sender.try_clone().is_none() && receiver.try_clone().is_none());
    assert!(Sender::new(Mpmc::producer(ring), lobby).is_none());
    // Its own slots are given up like those of any other.
    for _ in 0..2 {
        let Poll::Ready(Ok(permit)) = now(sender.reserve()) else { panic!("there is room") };
        drop(permit);
    }
    passing_makes_room(&mut sender, &mut receiver);
}

/// What is dropped with the last receiver cannot take the place of what was dropped before it.
#[test]
fn what_is_dropped_with_the_last_receiver_finds_the_channel_closed() {
    type Line = Rc<RefCell<Option<single::Sender<Again>>>>;

    /// Sends another one when it is dropped.
    struct Again(Line, Rc<Cell<bool>>);

    impl Drop for Again {
        fn drop(&mut self) {
            let Some(mut sender) = self.0.take() else { return };
            let sent = sender.try_send(Again(self.0.clone(), self.1.clone()));
            self.1.set(matches!(sent, Err(PushError::Closed(_))));
            drop(sent);
            *self.0.borrow_mut() = Some(sender);
        }
    }

    let (mut sender, receiver) = single::bounded(4).unwrap();
    let (line, refused) = (Line::default(), Rc::new(Cell::new(false)));
    assert!(sender.try_send(Again(line.clone(), refused.clone())).is_ok());
    *line.borrow_mut() = Some(sender);
    drop(receiver);
    let sender = line.take().unwrap();
    assert!(sender.is_empty() && refused.get(), "an item lies where nobody takes it");
}
