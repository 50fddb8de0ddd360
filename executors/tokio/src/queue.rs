//! tokio's bounded channel as a queue for mailboxes.

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
        let (sender, receiver) = mpsc::channel(capacity);
        Ok((QueueSender(sender), QueueReceiver(receiver)))
    }
}

/// A sender of [`TokioMpsc`].
#[derive(Debug)]
pub struct QueueSender<T>(mpsc::Sender<T>);

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> QueueSender<T> {
        QueueSender(self.0.clone())
    }
}

impl<T: Send> channel::QueueSender for QueueSender<T> {
    type Item = T;

    fn try_send(&mut self, item: T) -> Result<(), PushError<T>> {
        self.0.try_send(item).map_err(|refused| match refused {
            error::TrySendError::Full(item) => PushError::Full(item),
            error::TrySendError::Closed(item) => PushError::Closed(item),
        })
    }

    async fn send(&mut self, item: T) -> Result<(), SendError<T>> {
        self.0.send(item).await.map_err(|refused| SendError(refused.0))
    }

    fn try_clone(&self) -> Option<Self> {
        Some(self.clone())
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn capacity(&self) -> usize {
        self.0.max_capacity()
    }

    fn len(&self) -> usize {
        self.0.max_capacity().saturating_sub(self.0.capacity())
    }
}

/// The receiver of [`TokioMpsc`].
#[derive(Debug)]
pub struct QueueReceiver<T>(mpsc::Receiver<T>);

impl<T: Send> channel::QueueReceiver for QueueReceiver<T> {
    type Item = T;

    fn try_recv(&mut self) -> Result<T, PopError> {
        self.0.try_recv().map_err(|refused| match refused {
            error::TryRecvError::Empty => PopError::Empty,
            error::TryRecvError::Disconnected => PopError::Closed,
        })
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }

    fn capacity(&self) -> usize {
        self.0.max_capacity()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn refuse_sends(&mut self) {
        self.0.close();
    }
}
