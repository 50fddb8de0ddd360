//! tokio's channel as a queue keeps the laws of all queues.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mycelium_core::channel::{Queue, QueueReceiver, QueueSender, SendError};
use mycelium_core::queue_conformance;
use mycelium_core::ring::PopError;
use mycelium_tokio::TokioMpsc;

queue_conformance!(TokioMpsc);

/// A send that has got its room from the queue, and is not polled after that.
#[test]
fn a_send_with_a_promise_of_room_neither_hides_the_end_nor_is_lost() {
    let (mut sender, mut receiver) = TokioMpsc::bounded(2).unwrap();
    let mut other = sender.clone();
    for item in [1, 2] {
        sender.try_send(item).unwrap();
    }
    let mut waits = pin!(other.send(3));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(&mut context).is_pending());
    assert_eq!(receiver.try_recv(), Ok(1));
    receiver.refuse_sends();
    assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(Some(2)));
    assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(None));
    assert_eq!(receiver.try_recv(), Err(PopError::Closed));
    assert_eq!(waits.as_mut().poll(&mut context), Poll::Ready(Err(SendError(3))));
}
