//! The writing end of a topic.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::doorbell::announce;
use mycelium_core::message::{Message, to_words};
use mycelium_core::ring::broadcast::{Broadcast, Producer};
use mycelium_core::wait::{Looked, Patience, Wait};

use super::Topic;
use super::state::{PublisherState, Ring};
use super::task_budget::{DeferredWakes, ReaderDoorbells, TaskBudget, UntaskedBudget};
use crate::counters::{Line, PublisherValue, Region};

/// Emits messages to one topic. It is the only writer of its ring: to emit from another task, ask for another
/// publisher. Dropping it tells the readers that nothing more will come from it; what it has sent is still delivered.
pub struct Publisher<M: Message> {
    topic: Arc<Topic>,
    publisher: Arc<PublisherState>,
    /// `None` only while this is dropped.
    producer: Option<Producer<Ring>>,
    doorbells: ReaderDoorbells,
    budget: Option<Arc<TaskBudget>>,
    untasked: UntaskedBudget,
    line: Arc<Line<PublisherValue>>,
    /// The entry of the reader that blocked_by the ring when it was last full.
    blocked_by: Option<usize>,
    patience: Patience,
    /// How many it had sent when the present wait for room began.
    waits_at: Option<u64>,
    message: PhantomData<M>,
}

impl<M: Message> Publisher<M> {
    pub(super) fn new(
        topic: Arc<Topic>,
        publisher: Arc<PublisherState>,
        counters: &Arc<Region>,
    ) -> Self {
        let line = Arc::new(counters.line(&publisher.label()));
        Publisher {
            topic,
            producer: Broadcast::producer(publisher.ring.clone()),
            doorbells: ReaderDoorbells::new(publisher.clone()),
            publisher,
            budget: None,
            untasked: UntaskedBudget::default(),
            line,
            blocked_by: None,
            patience: Patience::default(),
            waits_at: None,
            message: PhantomData,
        }
    }

    /// How `emit` waits for room from now on; at first it is [`Wait::Park`].
    pub fn set_wait_strategy(&mut self, wait: Wait) {
        self.patience = Patience::new(wait);
    }

    /// From now on this publisher's work counts in a task's budget, whose poller flushes it with the returned flusher.
    pub fn attach(&mut self, budget: &Arc<TaskBudget>) -> DeferredWakes {
        self.budget = Some(budget.clone());
        DeferredWakes::of_publisher(self.publisher.clone(), self.line.clone())
    }

    /// Emits a message; waits while a [`Policy::Block`](super::Policy::Block) subscription open_guards the ring.
    ///
    /// Cancelling: dropped before it completes, the message was not sent. Ordering: messages of one publisher reach
    /// each subscription in the order of their emits.
    ///
    /// # Errors
    /// With the message, if a [`Policy::Reject`](super::Policy::Reject) subscription open_guards the ring.
    #[inline]
    pub fn emit(
        &mut self,
        message: M,
    ) -> impl Future<Output = Result<(), EmitError<M>>> + Send + use<'_, M> {
        // Not an `async fn`, whose first poll moves the message once more.
        poll_fn(move |context| self.poll_emit(context, &message))
    }

    /// As [`emit`](Publisher::emit), but never waits.
    ///
    /// A subscription shows what it has taken every few messages (an eighth of the capacity, at most 16) and whenever it
    /// finds nothing more. Until then this may refuse with [`Refusal::Full`], though not more than 64 times in a row, where
    /// `emit` would find room; [`Refusal::Rejected`] means that there is none.
    ///
    /// # Errors
    /// With the message, if a gating subscription open_guards the ring.
    #[inline]
    pub fn try_emit(&mut self, message: M) -> Result<(), EmitError<M>> {
        if self.push_into_known_room(&message) { Ok(()) } else { self.try_emit_otherwise(message) }
    }

    #[cold]
    #[inline(never)]
    fn try_emit_otherwise(&mut self, message: M) -> Result<(), EmitError<M>> {
        let Err(entry) = self.push_otherwise(&message) else { return Ok(()) };
        if self.is_rejected() && self.find_room() {
            // A rejected message counts as lost: not one while there is room, shown or not.
            return self.push_otherwise(&message).map_err(|entry| self.refuse(message, entry));
        }
        Err(self.refuse(message, entry))
    }

    /// Whether there is room that a reader has not shown yet.
    fn find_room(&mut self) -> bool {
        self.producer.as_mut().is_some_and(|producer| producer.find_room().is_ok())
    }

    /// Tells the readers now of what was emitted, before the task's poll ends.
    #[inline(never)]
    pub fn flush(&mut self) {
        self.publisher.show_sent(&self.line);
        announce();
        self.doorbells.ring();
    }

    /// The subscription that refused the last message that did not go through.
    #[must_use]
    pub fn blocked_by(&self) -> Option<Arc<str>> {
        Some(self.publisher.reader_at(self.blocked_by?)?.name.clone())
    }

    /// How many messages the slowest gating reader is not done with, those on their way over a link included.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.publisher.ring.depth()
    }

    /// Waits until every gating subscription, here and in other processes, is done with all that was sent, or has left.
    ///
    /// Cancelling loses nothing.
    pub async fn confirmed(&mut self) {
        poll_fn(|context| self.poll_confirmed(context)).await;
    }

    /// As [`confirmed`](Publisher::confirmed), for hand-written futures.
    pub fn poll_confirmed(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.depth() > 0 {
            self.publisher.room.park(context.waker());
            if self.depth() > 0 {
                return Poll::Pending;
            }
            self.publisher.room.unpark();
        }
        Poll::Ready(())
    }

    /// How many messages it has sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        // The line may be some messages late.
        self.publisher.show_sent(&self.line);
        self.line.get(PublisherValue::Sent)
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// As [`emit`](Publisher::emit), for hand-written futures: keep the message until this is ready.
    ///
    /// # Errors
    /// As [`emit`](Publisher::emit).
    #[inline]
    pub fn poll_emit(
        &mut self,
        context: &Context<'_>,
        message: &M,
    ) -> Poll<Result<(), EmitError<M>>> {
        match self.poll_try_emit(context, message) {
            Poll::Ready(true) => Poll::Ready(Ok(())),
            Poll::Ready(false) => self.poll_room(context, message),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether there was room for the message; pending only if the task is to yield first. For hand-written futures that
    /// go on with [`poll_emit`](Publisher::poll_emit).
    #[inline]
    pub fn poll_try_emit(&mut self, context: &Context<'_>, message: &M) -> Poll<bool> {
        let is_exhausted = match &self.budget {
            Some(budget) => budget.is_exhausted(context),
            None => self.untasked.is_exhausted(context),
        };
        if is_exhausted {
            return Poll::Pending;
        }
        Poll::Ready(self.push_into_known_room(message) || self.push_otherwise(message).is_ok())
    }

    #[cold]
    #[inline(never)]
    fn poll_room(&mut self, context: &Context<'_>, message: &M) -> Poll<Result<(), EmitError<M>>> {
        // Told here from the wait before, so that an emit that need not wait has nothing to do with this.
        let sent = self.sent();
        if self.waits_at.replace(sent) != Some(sent) {
            self.patience.renew();
            self.line.add(PublisherValue::Waited, 1);
        }
        if self.patience.wait() != Wait::Park && !self.is_rejected() {
            match self.look_again(message) {
                Looked::Found(()) => return Poll::Ready(Ok(())),
                Looked::Again => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Looked::Park => {}
            }
        }
        self.publisher.room.park(context.waker());
        // A reader that is to ring has taken something, though it may not have shown it yet.
        self.find_room();
        match self.push_otherwise(message) {
            Ok(()) => {
                self.publisher.room.unpark();
                Poll::Ready(Ok(()))
            }
            Err(entry) => match self.refuse(*message, entry) {
                EmitError { refusal: Refusal::Full { .. }, .. } => Poll::Pending,
                rejected => {
                    self.publisher.room.unpark();
                    Poll::Ready(Err(rejected))
                }
            },
        }
    }

    /// Tries as often as its policy says, before it sleeps.
    fn look_again(&mut self, message: &M) -> Looked<()> {
        let most = self.budget.as_ref().map_or(Wait::LOOKS, |budget| budget.spins());
        let mut patience = self.patience;
        let looked = patience.look(most, || self.push_otherwise(message).ok());
        self.patience = patience;
        looked
    }

    /// Whether the reader that blocked_by the ring gives messages back: nobody waits for it.
    fn is_rejected(&self) -> bool {
        let reader = self.blocked_by.and_then(|entry| self.publisher.reader_at(entry));
        reader.is_some_and(|reader| reader.policy.rejects())
    }

    /// Appends to the ring if an earlier look at the readers has found room. `false`: nothing was done, and
    /// `push_otherwise` is next.
    // Inlined: a call would cost as much. The rare path comes last, so that no register is saved for it.
    #[inline(always)]
    fn push_into_known_room(&mut self, message: &M) -> bool {
        let (words, length) = (to_words(message), size_of::<M>());
        let producer = self.producer.as_mut();
        let done = producer.is_some_and(|it| it.push_into_known_room(words.as_ref(), length));
        if done {
            self.count();
        }
        done
    }

    /// Appends to the ring, or names the entry of the reader that open_guards it.
    #[cold]
    #[inline(never)]
    fn push_otherwise(&mut self, message: &M) -> Result<(), usize> {
        let Some(producer) = &mut self.producer else { return Ok(()) };
        if let Err(full) = producer.try_push(to_words(message).as_ref(), size_of::<M>()) {
            self.blocked_by = Some(full.reader);
            return Err(full.reader);
        }
        self.count();
        Ok(())
    }

    /// Counts a message that is in the ring, and sees to it that its readers are told. How many were sent the ring
    /// knows: that is shown when they are told.
    #[inline(always)]
    fn count(&mut self) {
        let tell = self.budget.as_ref().is_none_or(|budget| budget.count_operation());
        if tell || !self.doorbells.has_readers_as_before() {
            self.tell(tell);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell(&mut self, now: bool) {
        if !self.doorbells.has_readers() {
            // Never more than were sent.
            self.publisher.show_sent(&self.line);
            self.line.add(PublisherValue::NoSubscribers, 1);
        }
        if now {
            self.flush();
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse(&mut self, message: M, entry: usize) -> EmitError<M> {
        let reader = self.publisher.reader_at(entry);
        let by = reader.as_ref().map_or_else(
            || "a reader that joins or leaves right now".into(),
            |reader| reader.name.clone(),
        );
        let refusal = if reader.is_some_and(|reader| reader.policy.rejects()) {
            self.line.add(PublisherValue::Rejected, 1);
            Refusal::Rejected { by }
        } else {
            Refusal::Full { by }
        };
        EmitError { message, refusal, topic: self.publisher.topic.clone() }
    }
}

impl<M: Message> Drop for Publisher<M> {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.close();
        }
        self.topic.remove_publisher(&self.publisher);
        self.flush();
        // The readers keep the publisher until they have read it; the task need not stay in memory for that long.
        self.publisher.room.forget();
    }
}

impl<M: Message> fmt::Debug for Publisher<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("topic", &self.publisher.topic)
            .field("name", &self.publisher.name)
            .field("sent", &self.sent())
            .finish_non_exhaustive()
    }
}

/// A message that was not emitted, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct EmitError<M> {
    /// The message, given back.
    pub message: M,
    /// Why it was not emitted.
    pub refusal: Refusal,
    topic: Arc<str>,
}

/// Why a message was not emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A `block` subscription has not taken its messages; try again later.
    Full {
        /// The subscription.
        by: Arc<str>,
    },
    /// A `reject` subscription has not taken its messages.
    Rejected {
        /// The subscription.
        by: Arc<str>,
    },
}

impl<M> fmt::Debug for EmitError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitError")
            .field("topic", &self.topic)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Display for EmitError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refusal::Full { by } | Refusal::Rejected { by }) = &self.refusal;
        write!(f, "topic `{}` is full: subscription `{by}` has not taken its messages", self.topic)
    }
}

impl<M> std::error::Error for EmitError<M> {}
