//! Room is visible before a sender is notified, and all senders that it concerns are notified.

use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use mycelium_core::channel::{Receiver, Reserve, Sender, Sides, mpmc, spsc, stamped};
use mycelium_core::ring::Consumer;

use super::wakers::{counter, now};

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

/// One notification for room for two: the sender that was woken and got a slot notifies the next
/// one.
#[test]
fn room_for_two_wakes_two_reserving_senders() {
    let (mut one, mut receiver) = mpmc::bounded::<u32>(2).unwrap();
    let mut other = one.clone();
    (0..2).for_each(|item| one.try_send(item).unwrap());
    let ((first, waker), (second, another)) = (counter(), counter());
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
