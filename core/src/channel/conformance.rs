//! The laws of every [`Queue`], also of an adapter's own: `queue_conformance!(MyQueue);` makes a
//! test of each law.
//!
//! The laws run on one thread, without an executor: a waker only records that it was woken.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use super::{Queue, QueueReceiver, QueueSender, SendError};
use crate::ring::{CapacityError, PopError, PushError};
use crate::sync::{AtomicUsize, Ordering};

/// Makes a test of each law for a queue.
#[macro_export]
macro_rules! queue_conformance {
    ($queue:ty) => {
        $crate::queue_conformance!($queue:
            it_is_bounded
            capacities_are_those_of_rings
            order_is_kept_per_sender
            what_was_sent_before_the_end_is_received
            what_nobody_will_receive_comes_back
            a_send_that_is_dropped_did_not_happen
            a_receive_that_is_dropped_took_nothing
            a_receiver_that_waits_is_woken
            a_sender_that_waits_is_woken
            an_end_that_waits_learns_of_the_close
            a_receiver_that_refuses_keeps_what_was_sent
        );
    };
    ($queue:ty: $($law:ident)*) => {$(
        #[test]
        fn $law() {
            $crate::channel::conformance::$law::<$queue>();
        }
    )*};
}

#[derive(Debug)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn new() -> (Arc<Woken>, Waker) {
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        (woken.clone(), Waker::from(woken))
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

fn now<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn full<Q: Queue>() -> (Q::Sender<u32>, Q::Receiver<u32>) {
    let (mut sender, receiver) = Q::bounded(4).expect("4 is a capacity");
    for item in 0..4 {
        assert_eq!(sender.try_send(item), Ok(()));
    }
    (sender, receiver)
}

/// A full queue refuses an item and returns it; each item that is taken makes room for one.
pub fn it_is_bounded<Q: Queue>() {
    let (mut sender, mut receiver) = full::<Q>();
    assert_eq!(sender.capacity(), 4);
    assert!(receiver.capacity() >= 4, "more, if each sender has room of its own");
    assert_eq!((sender.len(), receiver.len()), (4, 4));
    assert_eq!(sender.try_send(9), Err(PushError::Full(9)));
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!(sender.try_send(4), Ok(()));
    assert_eq!(sender.try_send(9), Err(PushError::Full(9)));
}

/// All queues refuse the same capacities, so that one queue can replace another.
pub fn capacities_are_those_of_rings<Q: Queue>() {
    for given in [0, 1, 3, usize::MAX] {
        assert_eq!(Q::bounded::<u8>(given).map(drop), Err(CapacityError::Invalid { given }));
    }
}

/// All items of one sender arrive in order, also while other senders send.
pub fn order_is_kept_per_sender<Q: Queue>() {
    let (sender, mut receiver) = Q::bounded::<u32>(4).expect("4 is a capacity");
    let mut senders = Vec::from_iter(sender.try_clone());
    senders.push(sender);
    let mut next = [0; 2];
    for round in 0..20 {
        for (index, sender) in senders.iter_mut().enumerate() {
            assert_eq!(sender.try_send(round * 2 + index as u32), Ok(()));
        }
        while let Ok(item) = receiver.try_recv() {
            let (sender, round) = ((item % 2) as usize, item / 2);
            assert_eq!(round, next[sender]);
            next[sender] += 1;
        }
    }
    assert_eq!(next[..senders.len()].iter().sum::<u32>(), 20 * senders.len() as u32);
}

/// The receiver sees the end only after all items, and only when all senders are gone.
pub fn what_was_sent_before_the_end_is_received<Q: Queue>() {
    let (sender, mut receiver) = full::<Q>();
    let other = sender.try_clone();
    drop(sender);
    for item in 0..4 {
        assert_eq!(now(receiver.recv()), Poll::Ready(Some(item)));
    }
    if let Some(other) = other {
        assert_eq!(receiver.try_recv(), Err(PopError::Empty));
        drop(other);
    }
    assert_eq!(receiver.try_recv(), Err(PopError::Closed));
    assert_eq!(now(receiver.recv()), Poll::Ready(None));
}

/// Without a receiver, a send returns its item, and the items in the queue are dropped.
pub fn what_nobody_will_receive_comes_back<Q: Queue>() {
    let (mut sender, receiver) = Q::bounded::<Arc<()>>(4).expect("4 is a capacity");
    let item = Arc::new(());
    assert!(sender.try_send(item.clone()).is_ok());
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(Arc::strong_count(&item), 1);
    assert_eq!(sender.try_send(item.clone()), Err(PushError::Closed(item.clone())));
    assert_eq!(now(sender.send(item.clone())), Poll::Ready(Err(SendError(item))));
}

/// A send that is dropped while pending sends nothing, even if there is room by then.
pub fn a_send_that_is_dropped_did_not_happen<Q: Queue>() {
    for room in [false, true] {
        let (mut sender, mut receiver) = full::<Q>();
        {
            let mut send = pin!(sender.send(9));
            assert!(send.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            if room {
                assert_eq!(receiver.try_recv(), Ok(0));
            }
        }
        for item in u32::from(room)..4 {
            assert_eq!(receiver.try_recv(), Ok(item));
        }
        assert_eq!(receiver.try_recv(), Err(PopError::Empty));
        assert_eq!(now(sender.send(5)), Poll::Ready(Ok(())));
        assert_eq!(receiver.try_recv(), Ok(5));
    }
}

/// A receive that is dropped while pending takes nothing, even if there is an item by then.
pub fn a_receive_that_is_dropped_took_nothing<Q: Queue>() {
    let (mut sender, mut receiver) = Q::bounded::<u32>(4).expect("4 is a capacity");
    {
        let mut recv = pin!(receiver.recv());
        assert!(recv.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(sender.try_send(1), Ok(()));
    }
    assert_eq!(now(receiver.recv()), Poll::Ready(Some(1)));
}

/// The next item wakes a waiting receiver, and nothing wakes it earlier.
pub fn a_receiver_that_waits_is_woken<Q: Queue>() {
    let (mut sender, mut receiver) = Q::bounded::<u32>(4).expect("4 is a capacity");
    let (woken, waker) = Woken::new();
    let mut recv = pin!(receiver.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(!woken.is());
    assert_eq!(sender.try_send(1), Ok(()));
    assert!(woken.is());
    assert_eq!(recv.poll(&mut Context::from_waker(&waker)), Poll::Ready(Some(1)));
}

/// A waiting sender is woken as soon as there is room.
pub fn a_sender_that_waits_is_woken<Q: Queue>() {
    let (mut sender, mut receiver) = full::<Q>();
    let (woken, waker) = Woken::new();
    let mut send = pin!(sender.send(4));
    assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(!woken.is());
    assert_eq!(receiver.try_recv(), Ok(0));
    assert!(woken.is());
    assert_eq!(send.poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(())));
}

/// A waiting end is woken when the other side is gone.
pub fn an_end_that_waits_learns_of_the_close<Q: Queue>() {
    let (mut sender, receiver) = full::<Q>();
    let (woken, waker) = Woken::new();
    let mut send = pin!(sender.send(4));
    assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(receiver);
    assert!(woken.is());
    assert_eq!(send.poll(&mut Context::from_waker(&waker)), Poll::Ready(Err(SendError(4))));

    let (sender, mut receiver) = Q::bounded::<u32>(4).expect("4 is a capacity");
    let (woken, waker) = Woken::new();
    let mut recv = pin!(receiver.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(sender);
    assert!(woken.is());
    assert_eq!(recv.poll(&mut Context::from_waker(&waker)), Poll::Ready(None));
}

/// A receiver that refuses further sends gets all earlier items; waiting senders get their items
/// back.
pub fn a_receiver_that_refuses_keeps_what_was_sent<Q: Queue>() {
    let (mut sender, mut receiver) = full::<Q>();
    let (woken, waker) = Woken::new();
    {
        let mut send = pin!(sender.send(4));
        assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        receiver.refuse_sends();
        assert!(woken.is());
        let sent = send.poll(&mut Context::from_waker(&waker));
        assert_eq!(sent, Poll::Ready(Err(SendError(4))));
    }
    for item in 0..4 {
        assert_eq!(receiver.try_recv(), Ok(item));
        assert_eq!(sender.try_send(9), Err(PushError::Closed(9)));
    }
    assert_eq!(sender.try_clone().is_some(), Q::SHARED);
    if Q::SHARED {
        assert_eq!(now(receiver.recv()), Poll::Ready(None), "although a sender exists");
    }
    assert!(receiver.try_recv().is_err());
}
