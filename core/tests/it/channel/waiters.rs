//! Several waiters at one channel: which one is woken, how many are allowed, and what remains after
//! they end.

use std::cell::RefCell;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use mycelium_core::channel::{
    ChannelWaiters, Receiver, Reserve, Sender, Sides, mpmc as several, spsc as single,
};
use mycelium_core::doorbell::Doorbell;
use mycelium_core::ring::Consumer;
use mycelium_core::ring::mpmc::{Boxed, Mpmc};

use super::scheduler::Scheduler;
use super::wakers::{asleep, now};

#[test]
fn a_static_channel_limits_its_ends() {
    static CHANNEL: several::Inline<u8, 4, 2, 1> = several::Inline::new();
    let (mut sender, mut receiver) = CHANNEL.split().unwrap();
    assert!(receiver.try_clone().is_none());
    let other = sender.try_clone().unwrap();
    assert!(sender.try_clone().is_none());
    drop(other);
    let other = sender.try_clone().expect("a place is free again");
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
    // More than the first block of places has.
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
fn an_ended_registration_keeps_no_task() {
    fn parks<C: Consumer<Item = u32>, L: Deref<Target: Sides>>(mut receiver: Receiver<C, L>) {
        let woken = asleep(pin!(receiver.recv()));
        drop(receiver);
        assert_eq!(Arc::strong_count(&woken), 1, "the waker is still there");
    }

    let (_open, receiver) = several::bounded(4).unwrap();
    parks(receiver.clone());
    // As many as have a place in a further block.
    let _others: Vec<_> = (0..20).map(|_| receiver.clone()).collect();
    parks(receiver.clone());
    let (_open, receiver) = single::bounded(4).unwrap();
    parks(receiver);
}

/// A ring for several ends, with a doorbell for one end of each side.
#[test]
fn a_doorbell_registers_one_task() {
    let ring = Arc::new(Boxed::<u32>::with_capacity(2).unwrap());
    let waiters = Arc::new(ChannelWaiters::new(Doorbell::new(), Doorbell::new()));
    let mut receiver = Receiver::new(Mpmc::consumer(ring.clone()), waiters.clone()).unwrap();
    let mut sender = Sender::new(Mpmc::producer(ring.clone()), waiters.clone()).unwrap();
    assert!(sender.try_clone().is_none() && receiver.try_clone().is_none());
    assert!(Sender::new(Mpmc::producer(ring), waiters).is_none());
    // Its own slots can be aborted like those of any other.
    for _ in 0..2 {
        let Poll::Ready(Ok(permit)) = now(sender.reserve()) else { panic!("there is room") };
        drop(permit);
    }
    passing_makes_room(&mut sender, &mut receiver);
}

/// For a channel whose slots were all aborted: a sender sleeps until the receiver has skipped them.
pub(crate) fn passing_makes_room<P, C, L>(sender: &mut Sender<P, L>, receiver: &mut Receiver<C, L>)
where
    P: Reserve<Item = u32>,
    C: Consumer<Item = u32>,
    L: Deref<Target: Sides>,
{
    let mut send = pin!(sender.send(3));
    let woken = asleep(send.as_mut());
    assert_eq!(now(receiver.recv()), Poll::Pending);
    assert!(woken.times() > 0, "the receiver passed the slots, so there is room");
}
