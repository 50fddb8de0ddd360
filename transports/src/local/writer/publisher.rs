//! The writing end of a topic for services: puts messages of one type into a [`Writer`], one by one
//! or many at once.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::message::{Message, to_words};
use mycelium_core::wait::WaitStrategy;

use super::{NotPushed, Writer};
use crate::local::retained::KeyValue;
use crate::local::state::Origin;
use crate::local::state::pressure::PressureChange;
use crate::local::state::stall::Eviction;
use crate::local::task_budget::{DeferredWakes, FLUSH_EVERY, TaskBudget};
use crate::local::topic::Topic;
use crate::local::values::{BatchError, EmitError, Refusal, Schema, TopicError, is_large};

/// Emits messages to one topic. It is the only writer of its ring: to emit from another task,
/// create another publisher. Dropping it ends its stream; sent messages are still delivered.
pub struct Publisher<M: Message> {
    pub(super) writer: Writer,
    message: PhantomData<M>,
}

impl Topic {
    /// Creates a publisher with its own ring. Every present subscription gets its messages, from
    /// the first one on.
    ///
    /// `name` appears in counters and gaps; `epoch` distinguishes this start of the publisher from
    /// others.
    ///
    /// # Errors
    /// If the topic carries another message type, has a publisher with this epoch, or has too many
    /// gating subscriptions.
    pub fn publisher<M: Message>(
        self: &Arc<Topic>,
        name: &str,
        epoch: u64,
    ) -> Result<Publisher<M>, TopicError> {
        self.check_schema(Schema::of::<M>())?;
        let writer =
            Writer::join(self, name, epoch, Origin::Local { is_typed: true }, 0, None, None)?;
        Ok(Publisher { writer, message: PhantomData })
    }
}

impl<M: Message> Publisher<M> {
    /// Sets how `emit` waits for room from now on. The default is [`WaitStrategy::Park`].
    pub fn set_wait_strategy(&mut self, wait: WaitStrategy) {
        self.writer.set_wait_strategy(wait);
    }

    /// Attaches this publisher to a task's budget, which counts its operations from now on. The
    /// code that polls the task passes the returned value to
    /// [`poll_with`](crate::local::poll_with).
    pub fn attach(&mut self, budget: &Arc<TaskBudget>) -> DeferredWakes {
        self.writer.attach(budget)
    }

    /// Emits a message. Waits while a [`Policy::Block`](crate::local::Policy::Block) subscription
    /// needs the whole ring.
    ///
    /// If the future is dropped before it completes, the message was not sent. Messages of one
    /// publisher reach each subscription in the order of their emits.
    ///
    /// # Errors
    /// If a [`Policy::Reject`](crate::local::Policy::Reject) subscription needs the whole ring, or
    /// a [fast handler](Topic::add_fast_handler) of the topic refuses the message. The error
    /// contains the message.
    #[inline]
    pub fn emit(
        &mut self,
        message: M,
    ) -> impl Future<Output = Result<(), EmitError<M>>> + Send + use<'_, M> {
        // Not an `async fn`, because its first poll would copy the message once more.
        poll_fn(move |context| self.poll_emit(context, &message))
    }

    /// Emits a message as [`emit`](Publisher::emit) does, but never waits.
    ///
    /// A subscription publishes its position every few messages (an eighth of the capacity, at most
    /// 16), and whenever it finds its ring empty. Until then this may fail with [`Refusal::Full`]
    /// where `emit` would find room, at most 64 times in a row. [`Refusal::Rejected`] is exact.
    ///
    /// # Errors
    /// If a gating subscription needs the whole ring, or a [fast handler](Topic::add_fast_handler)
    /// refuses the message. The error contains the message.
    #[inline]
    pub fn try_emit(&mut self, message: M) -> Result<(), EmitError<M>> {
        if self.push_fast(&message) { Ok(()) } else { self.try_emit_slow(&message) }
    }

    /// Emits as [`emit`](Publisher::emit) does, for hand-written futures. Keep the message until
    /// this is ready.
    ///
    /// # Errors
    /// The same as for [`emit`](Publisher::emit).
    // Inlined, because the error type is large: an out-of-line function would return it in memory.
    #[inline(always)]
    pub fn poll_emit(
        &mut self,
        context: &Context<'_>,
        message: &M,
    ) -> Poll<Result<(), EmitError<M>>> {
        if self.writer.is_exhausted(context) {
            return Poll::Pending;
        }
        if self.push_fast(message) {
            return emitted();
        }
        self.poll_emit_slow(context, message)
    }

    /// Emits as [`poll_emit`](Publisher::poll_emit) does, but the error does not contain the
    /// message, which the caller still has.
    ///
    /// # Errors
    /// The same as for [`emit`](Publisher::emit), without the message.
    pub fn poll_emit_ref(
        &mut self,
        context: &Context<'_>,
        message: &M,
    ) -> Poll<Result<(), Refusal>> {
        if self.writer.is_exhausted(context) {
            return Poll::Pending;
        }
        if self.push_fast(message) {
            return Poll::Ready(Ok(()));
        }
        self.poll_push(context, message)
    }

    /// Emits as [`try_emit`](Publisher::try_emit) does, but the caller keeps the message.
    ///
    /// # Errors
    /// The same as for [`try_emit`](Publisher::try_emit), without the message.
    #[inline]
    pub fn try_emit_ref(&mut self, message: &M) -> Result<(), Refusal> {
        if self.push_fast(message) { Ok(()) } else { self.try_push(message) }
    }

    /// Checks that there is room for the message, so that its emit finds it. Fast handlers do not
    /// run, and keys are not checked.
    ///
    /// # Errors
    /// If a gating subscription needs the whole ring, or the message is too long.
    #[inline]
    pub fn try_claim(&mut self, message: &M) -> Result<(), Refusal> {
        if M::IS_FIXED {
            return self.writer.try_claim(size_of::<M>());
        }
        self.writer.try_claim(self.writer.length_of(message)?)
    }

    /// Emits the message if there is room, and returns whether it did. Is pending only if the task
    /// must yield first. For hand-written futures that continue with
    /// [`poll_emit`](Publisher::poll_emit).
    #[inline]
    pub fn poll_try_emit(&mut self, context: &Context<'_>, message: &M) -> Poll<bool> {
        if self.writer.is_exhausted(context) {
            return Poll::Pending;
        }
        Poll::Ready(self.push_fast(message) || self.push_slow(message))
    }

    /// Returns the name of the publisher's topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.writer.state.topic
    }

    /// Wakes the readers now instead of at the end of the task's poll.
    pub fn flush(&mut self) {
        self.writer.flush();
    }

    /// Returns the name of the subscription that blocked the last message that was not sent.
    #[must_use]
    pub fn blocked_by(&self) -> Option<Arc<str>> {
        self.writer.blocked_by()
    }

    /// Returns the number of messages that the slowest gating reader still needs. It includes
    /// messages that travel over a link.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.writer.depth()
    }

    /// Returns the number of slots of the publisher's ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.writer.state.ring.capacity()
    }

    /// Whether the publisher's ring is nearly full: from the time at which the
    /// [depth](Publisher::depth) reaches the topic's [`Threshold`](crate::local::Threshold) (by
    /// default 80 % of the capacity), until the depth has fallen to three quarters of that.
    /// Observing subscriptions do not count.
    #[must_use]
    pub fn backpressure_threshold_exceeded(&mut self) -> bool {
        self.writer.is_threshold_exceeded()
    }

    /// Waits while the threshold [is exceeded](Publisher::backpressure_threshold_exceeded).
    ///
    /// Cancelling is safe.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Policy, Schema, Topic, TopicError};
    /// # #[message(topic = "ticks", id = 1)]
    /// # struct Tick {
    /// #     price: u64,
    /// # }
    /// let topic = Topic::new("ticks", Schema::of::<Tick>(), 4, Region::new(16))?;
    /// let mut reader = topic.subscribe::<Tick>("reader", Policy::Block)?;
    /// let mut publisher = topic.publisher::<Tick>("writer", 1)?;
    /// for price in 0..4 {
    ///     publisher.try_emit(Tick { price }).expect("the ring has room");
    /// }
    /// assert!(publisher.backpressure_threshold_exceeded());
    /// # let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    /// reader.try_recv();
    /// assert!(publisher.poll_until_below(&mut task).is_pending(), "the message is in flight");
    /// reader.done();
    /// assert_eq!((publisher.depth(), publisher.capacity()), (3, 4));
    /// assert!(publisher.poll_until_below(&mut task).is_ready());
    /// # Ok::<(), TopicError>(())
    /// ```
    pub async fn until_below(&mut self) {
        poll_fn(|context| self.poll_until_below(context)).await;
    }

    /// Waits as [`until_below`](Publisher::until_below) does, for hand-written futures.
    pub fn poll_until_below(&mut self, context: &Context<'_>) -> Poll<()> {
        self.writer.poll_until_below(context)
    }

    /// Calls `observer` when the threshold becomes exceeded, and when this ends. The call is on the
    /// thread that notices it, the publisher's or a reader's, after a poll of its task. Only the
    /// first observer counts. It must not hold the publisher's topic.
    pub fn observe_pressure(&self, observer: impl Fn(PressureChange) + Send + Sync + 'static) {
        self.writer.state.pressure.observe(observer);
    }

    /// Calls `observer` when a reader is [evicted](crate::local::OnStall::EvictAfter), in the emit
    /// or the wait that evicts it. Only the first observer counts. It must not hold the publisher's
    /// topic.
    pub fn observe_evictions(&self, observer: impl Fn(Eviction) + Send + Sync + 'static) {
        self.writer.state.evictions.observe(observer);
    }

    /// Calls `observer` with the name of an evicted reader that has left, or that the publisher
    /// waits for again because it has moved. The call is made where the reader takes its gap, or
    /// where the publisher notices the return, at the latest after one lap of its ring. Only the
    /// first observer counts. It must not hold the publisher's topic.
    pub fn observe_returns(&self, observer: impl Fn(Arc<str>) + Send + Sync + 'static) {
        self.writer.state.evictions.observe_returns(observer);
    }

    /// Waits until every gating subscription, here and in other processes, has finished all sent
    /// messages or has left.
    ///
    /// Cancelling is safe.
    pub async fn confirmed(&mut self) {
        poll_fn(|context| self.poll_confirmed(context)).await;
    }

    /// Waits as [`confirmed`](Publisher::confirmed) does, for hand-written futures.
    pub fn poll_confirmed(&mut self, context: &Context<'_>) -> Poll<()> {
        self.writer.poll_confirmed(context)
    }

    /// Returns the epoch, which distinguishes this start of the publisher from others.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.writer.state.epoch
    }

    /// Keeps what this publisher [retains](crate::local::Retain) after its end, until one of the same
    /// name joins. Without this call, it is forgotten then.
    pub fn retain_after_end(&self) {
        self.writer.retain_after_end();
    }

    /// Forgets the message of a key that this publisher [retains](crate::local::Retain): no
    /// subscription that joins later gets it. Returns whether it retained one.
    pub fn forget<'k>(&mut self, key: impl Into<KeyValue<'k>>) -> bool {
        self.writer.forget(key.into())
    }

    /// Returns the number of sent messages.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.writer.sent()
    }

    // Not inlined in a debug build, because the words of the message would stay in the frame of the
    // caller.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn push_fast(&mut self, message: &M) -> bool {
        M::IS_FIXED
            && !is_large::<M>()
            && self.writer.push_fast(to_words(message).as_ref(), size_of::<M>())
    }

    // Like `push_fast`, for a topic whose slots may have areas.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn push_fast_traced(&mut self, message: &M) -> bool {
        M::IS_FIXED
            && (self.writer.push_fast_traced(to_words(message).as_ref(), size_of::<M>())
                || self.push_fast_chosen(message))
    }

    #[cold]
    #[inline(never)]
    fn push_fast_chosen(&mut self, message: &M) -> bool {
        self.writer.push_fast_chosen(to_words(message).as_ref(), size_of::<M>())
    }

    // Not inlined: the words are in memory here, while they stay in registers in `push_fast`.
    #[cold]
    #[inline(never)]
    fn push_slow(&mut self, message: &M) -> bool {
        if self.push_fast_traced(message) {
            return true;
        }
        // `poll_push` runs the handlers once, and can report why one refused the message.
        if self.writer.has_fast_handlers() {
            return false;
        }
        if M::IS_FIXED {
            return self.writer.push(to_words(message).as_ref(), size_of::<M>()).is_ok();
        }
        let Ok(length) = self.writer.encode(message) else { return false };
        self.writer.with_encoded(length, Writer::push).is_ok()
    }

    // Ends with a call, so that a message that is in no sample saves few registers.
    #[cold]
    #[inline(never)]
    fn try_emit_slow(&mut self, message: &M) -> Result<(), EmitError<M>> {
        if M::IS_FIXED && self.writer.push_fast_traced(to_words(message).as_ref(), size_of::<M>()) {
            return Ok(());
        }
        self.try_emit_slower(message)
    }

    #[cold]
    #[inline(never)]
    fn try_emit_slower(&mut self, message: &M) -> Result<(), EmitError<M>> {
        match self.try_push(message) {
            Ok(()) => Ok(()),
            Err(refusal) => self.refused(message, refusal),
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_emit_slow(
        &mut self,
        context: &Context<'_>,
        message: &M,
    ) -> Poll<Result<(), EmitError<M>>> {
        match self.poll_push(context, message) {
            Poll::Ready(Ok(())) => emitted(),
            Poll::Ready(Err(refusal)) => Poll::Ready(self.refused(message, refusal)),
            Poll::Pending => Poll::Pending,
        }
    }

    // Inlined, because an out-of-line function would return the refusal in memory.
    #[inline(always)]
    fn try_push(&mut self, message: &M) -> Result<(), Refusal> {
        if self.push_fast_traced(message) {
            return Ok(());
        }
        if M::IS_FIXED {
            return self.writer.try_push(to_words(message).as_ref(), size_of::<M>());
        }
        let length = self.writer.encode(message)?;
        self.writer.with_encoded(length, Writer::try_push)
    }

    #[inline]
    fn poll_push(&mut self, context: &Context<'_>, message: &M) -> Poll<Result<(), Refusal>> {
        if self.push_fast_traced(message) {
            return Poll::Ready(Ok(()));
        }
        if M::IS_FIXED {
            return self.writer.poll_push(context, to_words(message).as_ref(), size_of::<M>());
        }
        let push = |writer: &mut Writer, words: &[usize], length: usize| {
            writer.poll_push(context, words, length)
        };
        match self.writer.encode(message) {
            Ok(length) => self.writer.with_encoded(length, push),
            Err(refusal) => Poll::Ready(Err(refusal)),
        }
    }

    // Not inlined, because the error would take stack in the caller.
    #[cold]
    #[inline(never)]
    fn refused(&self, message: &M, refusal: Refusal) -> Result<(), EmitError<M>> {
        Err(EmitError::new(self.topic().clone(), message.clone(), refusal))
    }
}

/// Returns the result of an emit that has sent the message.
#[inline]
fn emitted<M>() -> Poll<Result<(), EmitError<M>>> {
    Poll::Ready(Ok(()))
}

impl<M: Message> fmt::Debug for Publisher<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("topic", &self.writer.state.topic)
            .field("name", &self.writer.state.name)
            .field("sent", &self.sent())
            .finish_non_exhaustive()
    }
}

// Many messages at once: one store of the writer's position and one count for all of them.

/// The most messages that are pushed at once. Readers are woken after each such push.
const AT_ONCE: usize = FLUSH_EVERY as usize;

impl<M: Message> Publisher<M> {
    /// Emits messages in their order. Waits while a [`Policy::Block`](crate::local::Policy::Block)
    /// subscription needs the whole ring. Costs less than single emits.
    ///
    /// If the future is dropped before it completes, only a prefix of the messages was sent;
    /// [`poll_emit_batch`](Publisher::poll_emit_batch) reports its length. Other messages of this
    /// publisher come before or after all of them.
    ///
    /// # Errors
    /// With the number of messages that were sent, if a
    /// [`Policy::Reject`](crate::local::Policy::Reject) subscription needs the whole ring.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Policy, Refusal, Schema, Topic, TopicError};
    /// # #[message(topic = "ticks", id = 1)]
    /// # #[derive(Debug, PartialEq)]
    /// # struct Tick {
    /// #     price: u64,
    /// # }
    /// let topic = Topic::new("ticks", Schema::of::<Tick>(), 4, Region::new(16))?;
    /// let mut reader = topic.subscribe::<Tick>("reader", Policy::Block)?;
    /// let mut publisher = topic.publisher::<Tick>("writer", 1)?;
    /// let ticks = [1, 2, 3, 4, 5].map(|price| Tick { price });
    /// let error = publisher.try_emit_batch(&ticks).unwrap_err();
    /// assert_eq!(error.sent, 4);
    /// assert_eq!(error.refusal, Refusal::Full { by: "reader".into() });
    /// # Ok::<(), TopicError>(())
    /// ```
    pub async fn emit_batch(&mut self, messages: &[M]) -> Result<(), BatchError> {
        let mut sent = 0;
        poll_fn(|context| self.poll_emit_batch(context, messages, &mut sent)).await
    }

    /// Emits messages as [`emit_batch`](Publisher::emit_batch) does, but never waits.
    ///
    /// # Errors
    /// With the number of messages that were sent, if a gating subscription needs the whole ring.
    #[inline]
    pub fn try_emit_batch(&mut self, messages: &[M]) -> Result<(), BatchError> {
        let mut sent = 0;
        while sent < messages.len() {
            sent += match self.push_some(&messages[sent..]) {
                Ok(0) => match self.try_push(&messages[sent]) {
                    Ok(()) => 1,
                    Err(refusal) => return Err(self.batch_error(sent, refusal)),
                },
                Ok(count) => count,
                Err((count, refusal)) => return Err(self.batch_error(sent + count, refusal)),
            };
        }
        Ok(())
    }

    /// Emits messages as [`emit_batch`](Publisher::emit_batch) does, for hand-written futures.
    /// `sent` is the number of messages sent so far; it must be 0 at first.
    ///
    /// # Errors
    /// The same as for [`emit_batch`](Publisher::emit_batch).
    #[inline]
    pub fn poll_emit_batch(
        &mut self,
        context: &Context<'_>,
        messages: &[M],
        sent: &mut usize,
    ) -> Poll<Result<(), BatchError>> {
        while *sent < messages.len() {
            if self.writer.is_exhausted(context) {
                return Poll::Pending;
            }
            *sent += match self.push_some(&messages[*sent..]) {
                // `poll_push` waits for room, or finds room that the readers have not published.
                Ok(0) => match self.poll_push(context, &messages[*sent]) {
                    Poll::Ready(Ok(())) => 1,
                    Poll::Ready(Err(why)) => {
                        return Poll::Ready(Err(self.batch_error(*sent, why)));
                    }
                    Poll::Pending => return Poll::Pending,
                },
                Ok(count) => count,
                Err((count, refusal)) => {
                    *sent += count;
                    return Poll::Ready(Err(self.batch_error(*sent, refusal)));
                }
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the first messages, as many as there is room for, and returns how many: 0 if there is
    /// no room. Fails if a fast handler refuses a message, with the number of messages before it.
    #[inline]
    fn push_some(&mut self, messages: &[M]) -> Result<usize, (usize, Refusal)> {
        if !M::IS_FIXED {
            return Ok(0);
        }
        let messages = &messages[..messages.len().min(AT_ONCE)];
        match self.writer.push_all(size_of::<M>(), messages.iter().map(to_words)) {
            Some(count) => Ok(count),
            None => self.push_some_handled(messages),
        }
    }

    /// Sends messages as [`push_some`](Self::push_some) does, for a topic with fast handlers, which
    /// run with each message.
    #[cold]
    #[inline(never)]
    fn push_some_handled(&mut self, messages: &[M]) -> Result<usize, (usize, Refusal)> {
        if !self.writer.has_fast_handlers() {
            return Ok(0);
        }
        match self.writer.push_all_handled(size_of::<M>(), messages.iter().map(to_words)) {
            (count, None | Some(NotPushed::Full(_))) => Ok(count),
            (count, Some(NotPushed::Refused(refusal))) => Err((count, refusal)),
        }
    }

    #[cold]
    fn batch_error(&self, sent: usize, refusal: Refusal) -> BatchError {
        BatchError::new(self.topic().clone(), sent, refusal)
    }
}
