//! Room is visible before a sender is notified, and all senders that it concerns are notified.

use std::ops::Deref;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt;
use mycelium_core::channel::{Receiver, Reserve, Sender, Sides, mpmc, spsc, stamped};
use mycelium_core::ring::Consumer;

use super::wakers::{asleep, now};
use crate::doorbell::does;

#[test]
fn room_is_visible_when_a_sender_is_notified() {
    fn check<P, C, L>((mut sender, mut receiver): (Sender<P, L>, Receiver<C, L>))
    where
        P: Reserve<Item = u32> + Send + 'static,
        C: Consumer<Item = u32>,
        L: Deref<Target: Sides> + Send + 'static,
    {
        let total = receiver.capacity() as u32 + 8;
        let running = Arc::new(());
        let runs = Arc::downgrade(&running);
        let sends = async move {
            for item in 0..total {
                sender.send(item).await.unwrap();
            }
            drop(running);
        };
        // It is polled in place by its waker, unless that happens inside its poll.
        let sends = Mutex::new(Box::pin(sends.fuse()));
        let task = does(move |task| {
            if let Ok(mut sends) = sends.try_lock() {
                _ = sends.poll_unpin(&mut Context::from_waker(&Waker::from(task.clone())));
            }
        });
        task.wake_by_ref();
        for item in 0..total {
            assert_eq!(runs.strong_count() == 0, item >= 8, "a wake was lost, there is room");
            assert_eq!(receiver.try_recv(), Ok(item), "a wake was lost");
        }
        assert_eq!(runs.strong_count(), 0);
    }

    // In the larger rings an end shows its room late, unless it notifies.
    for capacity in [2, 32] {
        check(spsc::bounded(capacity).unwrap());
        check(stamped::bounded(capacity).unwrap());
        check(mpmc::bounded(capacity).unwrap());
    }
}

/// One notification for room for two: the sender that was woken and got a slot notifies the next
/// one.
#[test]
fn room_for_two_wakes_two_reserving_senders() {
    let (mut one, mut receiver) = mpmc::bounded::<u32>(2).unwrap();
    let mut other = one.clone();
    (0..2).for_each(|item| one.try_send(item).unwrap());
    let (mut reserve, mut next) = (pin!(one.reserve()), pin!(other.reserve()));
    let tasks = [asleep(reserve.as_mut()), asleep(next.as_mut())];
    assert_eq!(now(receiver.recv_many(&mut Vec::new(), 2)), Poll::Ready(2));
    let woken = tasks.each_ref().map(|task| task.times());
    assert_eq!(woken.iter().sum::<usize>(), 1, "one is woken");
    let mut context = Context::from_waker(Waker::noop());
    let permit = if woken[0] == 1 { reserve.poll(&mut context) } else { next.poll(&mut context) };
    assert!(permit.is_ready());
    assert_eq!(tasks.map(|task| task.times()), [1, 1], "the other one sleeps on");
}
