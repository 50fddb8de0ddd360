//! The cause of a notification is visible before it, and all ends that it concerns are notified:
//! the wakers of these tests check for the cause while they are woken.

use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use mycelium_core::channel::{Receiver, Reserve, Sender, Sides, mpmc, spsc, stamped};
use mycelium_core::ring::{Consumer, PopError};

use super::wakers::now;
use crate::doorbell::{Does, does};

/// A waker that calls a check.
fn checks(check: impl FnMut() + Send + 'static) -> (Arc<Does>, Waker) {
    let check = Mutex::new(check);
    let task = does(move |_| (check.lock().unwrap())());
    (task.clone(), Waker::from(task))
}

/// One receiver waits, `act` runs, and another receiver takes `expected` as soon as the first one
/// is woken.
fn visible_when_notified(expected: Result<u32, PopError>, act: impl FnOnce(mpmc::Sender<u32>)) {
    let (sender, mut receiver) = mpmc::bounded(4).unwrap();
    let mut other = receiver.clone();
    let (told, waker) = checks(move || assert_eq!(other.try_recv(), expected));
    let mut recv = pin!(receiver.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    act(sender);
    assert!(told.times() > 0, "a wake was lost");
}

#[test]
fn an_item_is_visible_when_a_receiver_is_notified() {
    visible_when_notified(Ok(1), |sender| sender.clone().try_send(1).unwrap());
    visible_when_notified(Ok(1), |sender| {
        assert_eq!(now(sender.clone().send(1)), Poll::Ready(Ok(())))
    });
    visible_when_notified(Ok(1), |mut sender| {
        let Poll::Ready(Ok(permit)) = now(sender.reserve()) else { panic!("there is room") };
        permit.send(1);
    });
}

#[test]
fn the_end_is_visible_when_receivers_are_notified() {
    visible_when_notified(Err(PopError::Closed), drop);
}

/// An item is behind a reserved slot. A receiver that is notified when the slot is aborted finds
/// the item.
#[test]
fn a_slot_is_given_back_before_receivers_are_notified() {
    let (mut early, mut receiver) = mpmc::bounded(4).unwrap();
    let (mut late, mut other) = (early.clone(), receiver.clone());
    let Poll::Ready(Ok(permit)) = now(early.reserve()) else { panic!("there is room") };
    late.try_send(2).unwrap();
    let (told, waker) = checks(move || assert_eq!(other.try_recv(), Ok(2)));
    let mut recv = pin!(receiver.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(permit);
    assert_eq!(told.times(), 1, "a wake was lost");
}

/// A task that is polled in place by its waker, unless that happens inside its poll.
#[allow(clippy::type_complexity)]
struct Task(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Task {
    fn start(future: impl Future<Output = ()> + Send + 'static) -> Arc<Task> {
        let task = Arc::new(Task(Mutex::new(Some(Box::pin(future)))));
        task.wake_by_ref();
        task
    }

    fn has_ended(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Ok(mut future) = self.0.try_lock() else { return };
        let waker = Waker::from(self.clone());
        if let Some(running) = &mut *future
            && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *future = None;
        }
    }
}

#[test]
fn room_is_visible_when_a_sender_is_notified() {
    fn check<P, C, L>((mut sender, mut receiver): (Sender<P, L>, Receiver<C, L>))
    where
        P: Reserve<Item = u32> + Send + 'static,
        C: Consumer<Item = u32>,
        L: Deref<Target: Sides> + Send + 'static,
    {
        let total = receiver.capacity() as u32 + 8;
        let sends = Task::start(async move {
            for item in 0..total {
                sender.send(item).await.unwrap();
            }
        });
        for item in 0..total {
            assert_eq!(sends.has_ended(), item >= 8, "a wake was lost, there is room");
            assert_eq!(receiver.try_recv(), Ok(item), "a wake was lost");
        }
        assert!(sends.has_ended());
    }

    // In the larger rings an end shows its room late, unless it notifies.
    for capacity in [2, 32] {
        check(spsc::bounded(capacity).unwrap());
        check(stamped::bounded(capacity).unwrap());
        check(mpmc::bounded(capacity).unwrap());
    }
}

#[test]
fn the_channel_is_closed_when_senders_are_notified() {
    let (mut sender, receiver) = mpmc::bounded(2).unwrap();
    let other = sender.clone();
    assert_eq!(now(sender.send_many(&mut (0..2))), Poll::Ready(Ok(2)));
    let (told, waker) = checks(move || assert!(other.is_closed()));
    let mut send = pin!(sender.send(2));
    assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(receiver);
    assert_eq!(told.times(), 1, "a wake was lost");
}

/// One notification for room for two: the sender that was woken and got a slot notifies the next
/// one.
#[test]
fn room_for_two_wakes_two_reserving_senders() {
    let (mut one, mut receiver) = mpmc::bounded::<u32>(2).unwrap();
    let mut other = one.clone();
    (0..2).for_each(|item| one.try_send(item).unwrap());
    let ((first, waker), (second, another)) = (checks(|| ()), checks(|| ()));
    let (mut reserve, mut next) = (pin!(one.reserve()), pin!(other.reserve()));
    assert!(reserve.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(next.as_mut().poll(&mut Context::from_waker(&another)).is_pending());
    assert_eq!(now(receiver.recv_many(&mut Vec::new(), 2)), Poll::Ready(2));
    let woken = [&first, &second].map(|task| task.times());
    assert_eq!(woken.iter().sum::<usize>(), 1, "one is woken");
    let mut context = Context::from_waker(Waker::noop());
    let permit = if woken[0] == 1 { reserve.poll(&mut context) } else { next.poll(&mut context) };
    assert!(permit.is_ready());
    let woken = [&first, &second].map(|task| task.times());
    assert_eq!(woken, [1, 1], "the other one sleeps on");
}
