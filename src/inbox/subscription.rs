//! Subscriptions of services. They persist across the runs of their service.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use mycelium_core::message::{Field, Form};
use mycelium_core::{Message, TraceContext};
use mycelium_transports::local::{self, Delivery, Finisher, Policy, TryRecv, Undelivered};

use crate::error::SubscribeError;
use crate::support::lock::lock;

/// The run continues, or has ended without an error.
const WELL: u8 = 0;
/// A supervisor has ended the run.
const INTERRUPTED: u8 = 1;
/// The run has failed.
const FAILED: u8 = 2;

/// A declared subscription. The node owns it from before the services start until its service has
/// ended permanently.
#[derive(Debug)]
pub struct Inbox<M: Message> {
    takes: Takes,
    subscription: Mutex<Option<local::Subscription<M>>>,
    /// Whether the service has ended the subscription by [`Subscription::unsubscribe`].
    is_ended: AtomicBool,
    /// How the run of the service ended while a handle was taken: [`WELL`], [`INTERRUPTED`] or
    /// [`FAILED`].
    ended: AtomicU8,
    /// Messages that failed at each delivery, until supervision collects them.
    undelivered: Mutex<Vec<Undelivered>>,
}

impl<M: Message> Inbox<M> {
    pub(crate) fn new(name: String, subscription: local::Subscription<M>) -> Arc<Inbox<M>> {
        Arc::new(Inbox {
            takes: Takes::new(name),
            subscription: Mutex::new(Some(subscription)),
            is_ended: AtomicBool::new(false),
            ended: AtomicU8::new(WELL),
            undelivered: Mutex::default(),
        })
    }

    /// Takes the subscription. The message that was in flight when the previous handle was dropped
    /// counts as finished.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Subscription<M>, SubscribeError> {
        let subscription = lock(&self.subscription).take();
        self.takes.ever.store(true, Ordering::Relaxed);
        let name = || self.takes.name.clone();
        match subscription {
            Some(subscription) => {
                self.takes.by_run.store(true, Ordering::Relaxed);
                let (subscription, inbox) = (Some(subscription), Some(self.clone()));
                Ok(Subscription { subscription, inbox, _finisher: None, has_ended: false })
            }
            None if self.is_ended.load(Ordering::Relaxed) => {
                Err(SubscribeError::Ended { subscription: name() })
            }
            None if self.takes.by_run.load(Ordering::Relaxed) => {
                Err(SubscribeError::Taken { subscription: name() })
            }
            None => Err(SubscribeError::HeldByEarlierRun { subscription: name() }),
        }
    }
}

/// The name of an inbox, and whether its service has taken it.
#[derive(Debug)]
pub(crate) struct Takes {
    name: String,
    pub(crate) ever: AtomicBool,
    /// Whether the current run of the service has taken it.
    pub(crate) by_run: AtomicBool,
}

impl Takes {
    pub(crate) fn new(name: String) -> Takes {
        Takes { name, ever: AtomicBool::new(false), by_run: AtomicBool::new(false) }
    }
}

/// An inbox of any message type, for supervision. The default methods are for requests: requests
/// that a run held are dropped with it, or kept for the next run.
pub(crate) trait AnyInbox: Send + Sync {
    fn takes(&self) -> &Takes;
    fn name(&self) -> &str {
        &self.takes().name
    }
    fn was_taken(&self) -> bool {
        self.takes().ever.load(Ordering::Relaxed)
    }
    /// Returns whether the current run of the service has taken it.
    fn is_taken(&self) -> bool {
        self.takes().by_run.load(Ordering::Relaxed)
    }
    /// Notes that a new run of the service begins.
    fn begin_run(&self) {
        self.takes().by_run.store(false, Ordering::Relaxed);
    }
    /// Returns the number of waiting messages; 0 while a handle is taken.
    fn depth(&self) -> usize;
    /// Notes that the service failed: see [`local::Subscription::fail`].
    fn fail(&self) {}
    /// Notes that the run of the service was dropped: see [`local::Subscription::interrupt`].
    fn interrupt(&self) {}
    /// Finishes the message in flight: the service has ended without an error.
    fn finish_message(&self) {}
    /// Returns the messages that failed at each delivery since the last call.
    fn take_undelivered(&self) -> Vec<Undelivered> {
        Vec::new()
    }
}

impl<M: Message> AnyInbox for Inbox<M> {
    fn takes(&self) -> &Takes {
        &self.takes
    }

    fn is_taken(&self) -> bool {
        self.takes.by_run.load(Ordering::Relaxed) || self.is_ended.load(Ordering::Relaxed)
    }

    fn depth(&self) -> usize {
        lock(&self.subscription).as_ref().map_or(0, local::Subscription::depth)
    }

    fn fail(&self) {
        match lock(&self.subscription).as_mut() {
            Some(subscription) => lock(&self.undelivered).extend(subscription.fail()),
            // The instance or a task still has the handle; it applies the failure when it is used
            // or dropped.
            None => self.ended.store(FAILED, Ordering::Release),
        }
    }

    fn interrupt(&self) {
        match lock(&self.subscription).as_mut() {
            Some(subscription) => subscription.interrupt(),
            // The handle applies this, as it applies a failure. An unapplied failure takes
            // precedence.
            None => _ = self.ended.fetch_max(INTERRUPTED, Ordering::AcqRel),
        }
    }

    fn finish_message(&self) {
        if let Some(subscription) = lock(&self.subscription).as_mut() {
            subscription.done();
        }
    }

    fn take_undelivered(&self) -> Vec<Undelivered> {
        std::mem::take(&mut lock(&self.undelivered))
    }
}

/// Receives the messages of one topic.
///
/// Dropping a service's subscription returns it with its cursor, so that a later `subscribe`
/// continues at the same message. Until the service has ended permanently, the subscription still
/// applies backpressure to its publishers. A message from a gating subscription (`block`, `reject`)
/// is *in flight* from its delivery to the next receive or [`done`](Subscription::done). If the
/// service fails while a message is in flight, the message is delivered once more. If it fails
/// again, the message becomes a [`DeadLetter`](crate::DeadLetter). If the supervisor ends the run
/// because another service has failed, the message is also delivered once more, but this does not
/// count as a failure.
#[derive(Debug)]
pub struct Subscription<M: Message> {
    /// `None` only during drop.
    subscription: Option<local::Subscription<M>>,
    inbox: Option<Arc<Inbox<M>>>,
    /// The finisher of a subscription outside the services. While it exists, the node can end the
    /// subscription.
    _finisher: Option<Arc<Finisher>>,
    /// Whether the stream has returned `None`.
    has_ended: bool,
}

impl<M: Message> Subscription<M> {
    /// Creates a subscription without a service: dropping it unsubscribes.
    pub(crate) fn outside(
        subscription: local::Subscription<M>,
        finisher: Arc<Finisher>,
    ) -> Subscription<M> {
        let (subscription, _finisher) = (Some(subscription), Some(finisher));
        Subscription { subscription, inbox: None, _finisher, has_ended: false }
    }

    /// Waits for the next message or gap. Returns `None` when all sent messages were received and
    /// either every publisher has ended or the node shuts down.
    ///
    /// Dropping the future loses nothing: a message is taken only when this returns it.
    pub fn recv(&mut self) -> impl Future<Output = Option<Delivery<M>>> + Send + use<'_, M> {
        Receive(self)
    }

    /// Waits as [`recv`](Subscription::recv) does, but decodes nothing: the message is read in
    /// place, so this allocates nothing. For a message of one size the result derefs to the
    /// message; any other has a view with a method for each field. The view borrows the
    /// subscription until the next receive. A message that serde decodes is decoded nevertheless,
    /// and there as itself.
    ///
    /// The message is checked before this returns, so reading it never fails. Invalid bytes are a
    /// gap.
    ///
    /// Dropping the future loses nothing: a message is taken only when this returns it.
    ///
    /// ```
    /// use mycelium::{Context, Delivery, Result, message, service};
    ///
    /// #[message(topic = "orders", id = 7)]
    /// struct Order {
    ///     id: u64,
    ///     venue: String,
    ///     legs: Vec<i64>,
    /// }
    ///
    /// struct Book;
    ///
    /// #[service(reads(Order))]
    /// impl Book {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut orders = ctx.subscribe::<Order>()?;
    ///         while let Some(delivery) = orders.recv_view().await {
    ///             let Delivery::Msg(order) = delivery else { continue };
    ///             println!("{} at {}: {}", order.id(), order.venue(), order.legs().len());
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn recv_view(&mut self) -> impl Future<Output = Option<Delivery<Lent<'_, M>>>> + Send {
        ReceiveView(Some(self))
    }

    /// Like [`recv`](Subscription::recv), for hand-written futures.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn poll_recv(&mut self, context: &Context<'_>) -> Poll<Option<Delivery<M>>> {
        self.apply_failure();
        match &mut self.subscription {
            Some(subscription) => subscription.poll_recv(context),
            None => Poll::Ready(None),
        }
    }

    /// Like [`recv`](Subscription::recv), but never waits.
    #[inline]
    pub fn try_recv(&mut self) -> TryRecv<M> {
        self.apply_failure();
        match &mut self.subscription {
            Some(subscription) => subscription.try_recv(),
            None => TryRecv::Closed,
        }
    }

    /// Waits for messages or gaps, and appends the available ones to `deliveries`: at least one,
    /// and at most `limit` (never more than 256 at a time). Returns their number; 0 at the end,
    /// where [`recv`](Subscription::recv) returns `None`, or if `limit` is 0.
    ///
    /// This costs less than one receive for each, and allocates nothing if the vector has room. The
    /// messages of one publisher are in order, and a gap is between the messages around it. The
    /// whole batch of a gating subscription is in flight until the next receive or
    /// [`done`](Subscription::done). If the service fails meanwhile, each message of the batch is
    /// delivered once more, one at a time: only the message that fails again becomes a dead letter.
    ///
    /// Dropping the future loses nothing: messages are taken only when this returns them.
    ///
    /// ```
    /// # use mycelium::{Context, Delivery, Result, message, service};
    /// # #[message(topic = "readings", id = 1)]
    /// # struct Reading { value: u64 }
    /// # struct Store;
    /// # impl Store { fn write(&mut self, _: &[u64]) -> Result<()> { Ok(()) } }
    /// #[service(reads(Reading))]
    /// impl Store {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut readings = ctx.subscribe::<Reading>()?;
    ///         let (mut batch, mut values) = (Vec::new(), Vec::new());
    ///         while readings.recv_many(&mut batch, 100).await > 0 {
    ///             values.clear();
    ///             values.extend(batch.drain(..).filter_map(Delivery::message).map(|it| it.value));
    ///             // If this fails, the whole batch is delivered again.
    ///             self.write(&values)?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub async fn recv_many(&mut self, deliveries: &mut Vec<Delivery<M>>, limit: usize) -> usize {
        std::future::poll_fn(|context| self.poll_recv_many(context, deliveries, limit)).await
    }

    /// Like [`recv_many`](Subscription::recv_many), for hand-written futures.
    pub fn poll_recv_many(
        &mut self,
        context: &Context<'_>,
        deliveries: &mut Vec<Delivery<M>>,
        limit: usize,
    ) -> Poll<usize> {
        self.apply_failure();
        match &mut self.subscription {
            Some(subscription) => subscription.poll_recv_many(context, deliveries, limit),
            None => Poll::Ready(0),
        }
    }

    /// Finishes the message in flight without waiting for the next receive.
    pub fn done(&mut self) {
        self.apply_failure();
        if let Some(subscription) = &mut self.subscription {
            subscription.done();
        }
    }

    /// Returns the trace of the last received message, as sent by its publisher, until the next
    /// receive or [`done`](Subscription::done). `None` if the message has no trace, or its topic is
    /// not traced.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        self.subscription.as_ref()?.trace()
    }

    /// Returns the number of waiting messages, including the message in flight.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.subscription.as_ref().map_or(0, local::Subscription::depth)
    }

    /// Returns the epoch of the publisher whose message is in flight.
    pub(crate) fn epoch_in_flight(&self) -> Option<u64> {
        self.subscription.as_ref()?.epoch_in_flight()
    }

    /// Returns the policy: what happens when the subscription is slower than a publisher.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.subscription.as_ref().map_or(Policy::default(), local::Subscription::policy)
    }

    /// If the service's run failed or was dropped while this handle was taken, redelivers the
    /// message that was in flight.
    #[inline(always)]
    fn apply_failure(&mut self) {
        let is_well = |inbox: &Arc<Inbox<M>>| inbox.ended.load(Ordering::Relaxed) == WELL;
        if !self.inbox.as_ref().is_none_or(is_well) {
            self.apply_seen_failure();
        }
    }

    #[cold]
    #[inline(never)]
    fn apply_seen_failure(&mut self) {
        if let (Some(inbox), Some(subscription)) = (&self.inbox, &mut self.subscription) {
            match inbox.ended.swap(WELL, Ordering::AcqRel) {
                FAILED => lock(&inbox.undelivered).extend(subscription.fail()),
                INTERRUPTED => subscription.interrupt(),
                _ => {}
            }
        }
    }

    /// Ends the subscription: it no longer applies backpressure, and cannot be taken again. The
    /// message in flight counts as finished.
    pub fn unsubscribe(mut self) {
        self.done();
        if let Some(inbox) = self.inbox.take() {
            inbox.is_ended.store(true, Ordering::Relaxed);
        }
    }
}

/// The future of [`Subscription::recv`].
struct Receive<'a, M: Message>(&'a mut Subscription<M>);

impl<M: Message> Future for Receive<'_, M> {
    type Output = Option<Delivery<M>>;

    // Inlined, so that the message goes from its slot to its handler through registers: a result in
    // memory is copied by loads that are wider than the stores before them, and wait for those. The
    // poll of an `async fn` would move the message once more.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery<M>>> {
        self.get_mut().0.poll_recv(context)
    }
}

/// What [`Subscription::recv_view`] lends.
type Lent<'a, M> = <<M as Field>::Form as Form>::Lent<'a, M>;

/// The future of [`Subscription::recv_view`]: the subscription, until it is ready.
struct ReceiveView<'a, M: Message>(Option<&'a mut Subscription<M>>);

impl<'a, M: Message> Future for ReceiveView<'a, M> {
    type Output = Option<Delivery<Lent<'a, M>>>;

    // As for `Receive`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = self.0.take().expect("it is not polled after it was ready");
        handle.apply_failure();
        let next = match &mut handle.subscription {
            Some(subscription) => subscription.poll_next(context),
            None => return Poll::Ready(None),
        };
        match next {
            Poll::Ready(next) => {
                let subscription = handle.subscription.as_mut();
                Poll::Ready(subscription.and_then(|subscription| subscription.view(next)))
            }
            Poll::Pending => {
                self.0 = Some(handle);
                Poll::Pending
            }
        }
    }
}

/// The handle is never pinned.
impl<M: Message> Unpin for Subscription<M> {}

/// The stream of the deliveries that [`recv`](Subscription::recv) returns, for combinators such as
/// `futures_util::stream::select`. The message of a gating subscription is in flight until the next
/// poll.
impl<M: Message> Stream for Subscription<M> {
    type Item = Delivery<M>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery<M>>> {
        let this = self.get_mut();
        let poll = this.poll_recv(context);
        this.has_ended = matches!(poll, Poll::Ready(None));
        poll
    }
}

/// The stream returns nothing after `None`.
impl<M: Message> FusedStream for Subscription<M> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.apply_failure();
        if let Some(inbox) = self.inbox.take() {
            *lock(&inbox.subscription) = self.subscription.take();
        }
    }
}
