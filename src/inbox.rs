//! Subscriptions that outlive the run of a service that has them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use mycelium_core::Message;
use mycelium_transports::local::{self, Delivery, Policy, TryRecv, Undelivered};

use crate::error::SubscribeError;

/// A declared subscription while no handle is out: the node owns it, from before any service runs until its service
/// is stopped for good.
pub struct Inbox<M: Message>(Arc<InboxState<M>>);

#[derive(Debug)]
struct InboxState<M: Message> {
    name: String,
    subscription: Mutex<Option<local::Subscription<M>>>,
    was_taken: AtomicBool,
    /// The service failed while the handle was out.
    failed: AtomicBool,
    /// What failed each time it was delivered, until supervision fetches it.
    undelivered: Mutex<Vec<Undelivered>>,
}

impl<M: Message> InboxState<M> {
    fn lock(&self) -> MutexGuard<'_, Option<local::Subscription<M>>> {
        self.subscription.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn undelivered(&self) -> MutexGuard<'_, Vec<Undelivered>> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Message> Inbox<M> {
    pub(crate) fn new(name: String, subscription: local::Subscription<M>) -> Inbox<M> {
        Inbox(Arc::new(InboxState {
            name,
            subscription: Mutex::new(Some(subscription)),
            was_taken: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            undelivered: Mutex::default(),
        }))
    }

    /// Hands the subscription out. What was in hand when the last handle was dropped is done with.
    pub(crate) fn take(&self) -> Result<Subscription<M>, SubscribeError> {
        let subscription = self.0.lock().take();
        self.0.was_taken.store(true, Ordering::Relaxed);
        match subscription {
            Some(subscription) => {
                Ok(Subscription { subscription: Some(subscription), inbox: Some(self.0.clone()) })
            }
            None => Err(SubscribeError::Taken { subscription: self.0.name.clone() }),
        }
    }

    pub(crate) fn watched(&self) -> Arc<dyn AnyInbox> {
        self.0.clone()
    }
}

impl<M: Message> fmt::Debug for Inbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inbox").field(&self.0.name).finish()
    }
}

/// An inbox of whatever messages, as supervision sees it.
pub(crate) trait AnyInbox: Send + Sync {
    fn name(&self) -> &str;
    fn was_taken(&self) -> bool;
    /// How many messages wait, if no handle is out.
    fn depth(&self) -> usize;
    /// The service failed: see [`local::Subscription::fail`].
    fn fail(&self);
    /// The service has ended well: it is done with what it had in hand.
    fn finish_message(&self);
    /// What was given up since the last call.
    fn take_undelivered(&self) -> Vec<Undelivered>;
}

impl<M: Message> AnyInbox for InboxState<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn was_taken(&self) -> bool {
        self.was_taken.load(Ordering::Relaxed)
    }

    fn depth(&self) -> usize {
        self.lock().as_ref().map_or(0, local::Subscription::depth)
    }

    fn fail(&self) {
        match self.lock().as_mut() {
            Some(subscription) => self.undelivered().extend(subscription.fail()),
            // The handle lives on, in the instance or in a task: it learns of the failure when it is used or comes inbox.
            None => self.failed.store(true, Ordering::Release),
        }
    }

    fn finish_message(&self) {
        if let Some(subscription) = self.lock().as_mut() {
            subscription.done();
        }
    }

    fn take_undelivered(&self) -> Vec<Undelivered> {
        std::mem::take(&mut self.undelivered())
    }
}

/// Receives the messages of one topic.
///
/// Dropping a service's subscription gives it back with its cursor, so that a later `subscribe` goes on where this one
/// was; until the service is stopped for good it goes on to hold its publishers. A message from a gating subscription
/// (`block`, `reject`) is *in hand* from its delivery to the next receive or [`done`](Subscription::done). If the
/// service fails meanwhile, it is delivered once more, and then becomes a [`DeadLetter`](crate::DeadLetter).
#[derive(Debug)]
pub struct Subscription<M: Message> {
    /// `None` only while this is dropped.
    subscription: Option<local::Subscription<M>>,
    inbox: Option<Arc<InboxState<M>>>,
}

impl<M: Message> Subscription<M> {
    /// A subscription that belongs to no service: dropping it unsubscribes.
    pub(crate) fn free(subscription: local::Subscription<M>) -> Subscription<M> {
        Subscription { subscription: Some(subscription), inbox: None }
    }

    /// The next message or gap; `None` once nothing more will come: every publisher has ended, or the node shuts down,
    /// and all that was sent was received.
    ///
    /// Cancelling loses nothing: a message is taken only when this returns it.
    pub async fn recv(&mut self) -> Option<Delivery<M>> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`recv`](Subscription::recv), for hand-written futures.
    #[inline]
    pub fn poll_recv(&mut self, context: &Context<'_>) -> Poll<Option<Delivery<M>>> {
        self.apply_failure();
        match &mut self.subscription {
            Some(subscription) => subscription.poll_recv(context),
            None => Poll::Ready(None),
        }
    }

    /// As [`recv`](Subscription::recv), but never waits.
    #[inline]
    pub fn try_recv(&mut self) -> TryRecv<M> {
        self.apply_failure();
        self.subscription.as_mut().map_or(TryRecv::Closed, local::Subscription::try_recv)
    }

    /// The message in hand is done with, before the next receive.
    pub fn done(&mut self) {
        self.apply_failure();
        if let Some(subscription) = &mut self.subscription {
            subscription.done();
        }
    }

    /// How many messages wait, the one in hand included.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.subscription.as_ref().map_or(0, local::Subscription::depth)
    }

    /// What happens when it is slower than a publisher.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.subscription.as_ref().map_or(Policy::default(), local::Subscription::policy)
    }

    /// If the service failed while this handle lived on, what was in hand then comes again.
    #[inline]
    fn apply_failure(&mut self) {
        if let (Some(inbox), Some(subscription)) = (&self.inbox, &mut self.subscription)
            && inbox.failed.load(Ordering::Relaxed)
            && inbox.failed.swap(false, Ordering::AcqRel)
        {
            inbox.undelivered().extend(subscription.fail());
        }
    }

    /// Ends the subscription for good: it holds no publisher any more, and cannot be taken again. The message in hand is
    /// done with.
    pub fn unsubscribe(mut self) {
        self.done();
        self.inbox = None;
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.apply_failure();
        if let Some(inbox) = self.inbox.take() {
            *inbox.lock() = self.subscription.take();
        }
    }
}
