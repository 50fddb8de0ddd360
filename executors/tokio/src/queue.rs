//! tokio's bounded channel as a queue for mailboxes.
//!
//! After a receiver has refused more sends, tokio still lets a sender push that has a permit, at
//! any later time, perhaps when nobody receives any more. So here a sender that gets its permit
//! after the refusal gives it back, and the receiver waits for those that are about to push.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::{Context, Poll};

use mycelium_core::channel::{self, Queue, SendError};
use mycelium_core::ring::{CapacityError, PopError, PushError};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, error};

/// `tokio::sync::mpsc`: any number of senders, one receiver. It does not need a runtime.
///
/// ```
/// use mycelium_core::channel::{Queue, QueueReceiver, QueueSender};
/// use mycelium_tokio::TokioMpsc;
///
/// let (mut sender, mut receiver) = TokioMpsc::bounded(16)?;
/// sender.try_send("a").expect("there is room");
/// assert_eq!(receiver.try_recv(), Ok("a"));
/// # Ok::<(), mycelium_core::ring::CapacityError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioMpsc;

impl Queue for TokioMpsc {
    const NAME: &'static str = "tokio-mpsc";
    const SHARED: bool = true;

    type Sender<T: Send + 'static> = QueueSender<T>;
    type Receiver<T: Send + 'static> = QueueReceiver<T>;

    fn bounded<T: Send + 'static>(
        capacity: usize,
    ) -> Result<(QueueSender<T>, QueueReceiver<T>), CapacityError> {
        // Allows the same capacities as rings, so that queues are interchangeable. tokio panics at
        // 0 and above `MAX_PERMITS`.
        let most = CapacityError::MOST.min(Semaphore::MAX_PERMITS);
        if capacity < 2 || !capacity.is_power_of_two() || capacity > most {
            return Err(CapacityError::Invalid { given: capacity });
        }
        let ((sender, receiver), pushing) = (mpsc::channel(capacity), Pushing::default());
        let receiver = QueueReceiver { receiver, pushing: pushing.clone(), refuses: false };
        Ok((QueueSender { sender, pushing }, receiver))
    }
}

/// The number of senders that are about to push.
#[derive(Clone, Debug, Default)]
struct Pushing(Arc<AtomicUsize>);

/// Counts one of them.
struct Push<'a>(&'a AtomicUsize);

impl Pushing {
    /// Begins a push, which must not wait. After this a sender must look whether it is refused.
    fn begin(&self) -> Push<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        // A Dekker handshake with `QueueReceiver::refuse_sends`: either the sender sees that it is
        // refused, or the receiver sees this number.
        fence(Ordering::SeqCst);
        Push(&self.0)
    }

    /// Returns the number. If it is 0, what was pushed can be received.
    fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Push<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// A sender of [`TokioMpsc`].
#[derive(Debug)]
pub struct QueueSender<T> {
    sender: mpsc::Sender<T>,
    pushing: Pushing,
}

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> QueueSender<T> {
        QueueSender { sender: self.sender.clone(), pushing: self.pushing.clone() }
    }
}

impl<T: Send> channel::QueueSender for QueueSender<T> {
    type Item = T;

    fn try_send(&mut self, item: T) -> Result<(), PushError<T>> {
        let _push = self.pushing.begin();
        self.sender.try_send(item).map_err(|refused| match refused {
            error::TrySendError::Full(item) => PushError::Full(item),
            error::TrySendError::Closed(item) => PushError::Closed(item),
        })
    }

    async fn send(&mut self, item: T) -> Result<(), SendError<T>> {
        let Ok(permit) = self.sender.reserve().await else { return Err(SendError(item)) };
        let _push = self.pushing.begin();
        if self.sender.is_closed() {
            return Err(SendError(item));
        }
        permit.send(item);
        Ok(())
    }

    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    fn capacity(&self) -> usize {
        self.sender.max_capacity()
    }

    fn len(&self) -> usize {
        self.sender.max_capacity().saturating_sub(self.sender.capacity())
    }
}

/// The receiver of [`TokioMpsc`].
#[derive(Debug)]
pub struct QueueReceiver<T> {
    receiver: mpsc::Receiver<T>,
    pushing: Pushing,
    /// Whether this side has refused more sends.
    refuses: bool,
}

impl<T: Send> channel::QueueReceiver for QueueReceiver<T> {
    type Item = T;

    fn try_recv(&mut self) -> Result<T, PopError> {
        // Read first: what these senders push is found by a later call.
        let is_last = self.refuses && self.pushing.count() == 0;
        self.receiver.try_recv().map_err(|refused| match refused {
            error::TryRecvError::Empty if !is_last => PopError::Empty,
            error::TryRecvError::Empty | error::TryRecvError::Disconnected => PopError::Closed,
        })
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if !self.refuses {
            return self.receiver.poll_recv(context);
        }
        match self.try_recv() {
            Ok(item) => Poll::Ready(Some(item)),
            Err(PopError::Closed) => Poll::Ready(None),
            Err(PopError::Empty) => {
                // A sender is about to push.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn capacity(&self) -> usize {
        self.receiver.max_capacity()
    }

    fn len(&self) -> usize {
        let pushing = if self.refuses { self.pushing.count() } else { 0 };
        self.receiver.len() + pushing
    }

    fn refuse_sends(&mut self) {
        self.receiver.close();
        self.refuses = true;
        // See `Pushing::begin`.
        fence(Ordering::SeqCst);
    }
}
