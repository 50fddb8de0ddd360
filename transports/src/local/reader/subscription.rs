//! The reading end of a topic for services: delivers messages of one type from a [`Reader`].

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::TraceContext;
use mycelium_core::doorbell::announce;
use mycelium_core::message::{Message, Words, valid, valid_words, with_message};
use mycelium_core::wait::WaitStrategy;

use super::{Found, Header, NoMessage, Reader, Waited};
use crate::local::state::{LastCall, SubscriberState};
use crate::local::task_budget::{DeferredWakes, TaskBudget};
use crate::local::topic::{Membership, Topic};
#[cfg(doc)]
use crate::local::values::Start;
use crate::local::values::{
    Attempt, Delivery, Gap, Policy, Received, Schema, SubscribeOptions, TopicError, TryRecv,
    Undelivered, is_large,
};
use crate::sync::Ordering;

/// Receives the messages of one topic from all its publishers. Dropping it unsubscribes.
///
/// A message of a gating subscription is *in flight* from its delivery to the next receive or
/// [`done`]. Then the publisher gets the slot back.
///
/// [`done`]: Subscription::done
pub struct Subscription<M: Message> {
    pub(super) reader: Reader,
    message: PhantomData<M>,
}

impl Topic {
    /// Subscribes to all publishers, present and future. Delivery starts with messages whose emit
    /// begins after this call has returned, unless the options say
    /// [otherwise](Start::Oldest).
    ///
    /// # Errors
    /// If the topic carries another message type, or has too many gating subscriptions.
    pub fn subscribe<M: Message>(
        self: &Arc<Topic>,
        name: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Subscription<M>, TopicError> {
        self.check_schema(Schema::of::<M>())?;
        let options = options.into();
        self.check_key(options)?;
        let membership = Membership::join(self, name, options, false)?;
        Ok(Subscription { reader: Reader::new(membership), message: PhantomData })
    }
}

impl<M: Message> Subscription<M> {
    /// Sets how `recv` waits from now on. The default is [`WaitStrategy::Park`].
    pub fn set_wait_strategy(&mut self, wait: WaitStrategy) {
        self.reader.set_wait_strategy(wait);
    }

    /// Attaches this subscription to a task's budget, which counts its operations from now on. The
    /// code that polls the task passes the returned value to
    /// [`poll_with`](crate::local::poll_with).
    pub fn attach(&mut self, budget: &Arc<TaskBudget>) -> DeferredWakes {
        self.reader.attach(budget)
    }

    /// Waits for the next message or gap. Returns `None` once every publisher has ended and
    /// everything was received.
    ///
    /// Cancelling is safe: a message is taken only when this returns it.
    pub fn recv(&mut self) -> impl Future<Output = Option<Delivery<M>>> + Send + use<'_, M> {
        // Not an `async fn`, because its poll would copy the message once more.
        poll_fn(|context| self.poll_recv(context))
    }

    /// Receives as [`recv`](Subscription::recv) does, for hand-written futures.
    // Inlined for the same reason as `next_fast`.
    #[inline(always)]
    pub fn poll_recv(&mut self, context: &Context<'_>) -> Poll<Option<Delivery<M>>> {
        if self.reader.is_exhausted(context) {
            return Poll::Pending;
        }
        self.reader.settle();
        if is_large::<M>() {
            let found = self.reader.find_or_park(context);
            return self.deliver_large(found);
        }
        self.poll_small(context)
    }

    /// Receives as [`recv`](Subscription::recv) does, but never waits.
    #[inline(always)]
    pub fn try_recv(&mut self) -> TryRecv<M> {
        self.reader.settle();
        self.try_next()
    }

    /// Receives as [`try_recv`](Subscription::try_recv) does, but confirms no earlier delivery.
    #[inline(always)]
    fn try_next(&mut self) -> TryRecv<M> {
        if is_large::<M>() {
            let found = self.reader.find();
            return match self.deliver_large(found) {
                Poll::Ready(Some(delivery)) => TryRecv::Delivery(delivery),
                Poll::Ready(None) => TryRecv::Closed,
                Poll::Pending => TryRecv::Empty,
            };
        }
        self.try_small()
    }

    /// Waits until there are messages or gaps, and appends those that are there to `deliveries`: at
    /// least one, at most `limit`, and at most 256 at a time. Returns their number; 0 once every
    /// publisher has ended and everything was received, or if `limit` is 0.
    ///
    /// Costs less than single receives. The messages of each publisher are in order, and a gap is
    /// between the messages around it. All messages of a gating subscription are in flight until
    /// the next receive or [`done`](Subscription::done). If their handling
    /// [fails](Subscription::fail), each is redelivered alone, and only a message that fails alone
    /// becomes a dead letter.
    ///
    /// Cancelling is safe: messages are taken only when this returns them.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Policy, Schema, Topic, TopicError};
    /// # #[message(topic = "ticks", id = 1)]
    /// # struct Tick {
    /// #     price: u64,
    /// # }
    /// let topic = Topic::new("ticks", Schema::of::<Tick>(), 8, Region::new(16))?;
    /// let mut reader = topic.subscribe::<Tick>("reader", Policy::Block)?;
    /// let mut publisher = topic.publisher::<Tick>("writer", 1)?;
    /// publisher.try_emit_batch(&[1, 2, 3].map(|price| Tick { price })).expect("there is room");
    /// # let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    /// let mut ticks = Vec::with_capacity(16);
    /// assert!(reader.poll_recv_many(&mut task, &mut ticks, 2).is_ready());
    /// assert_eq!((ticks.len(), publisher.depth()), (2, 3), "two of three are in flight");
    /// reader.done();
    /// assert_eq!(publisher.depth(), 1);
    /// # Ok::<(), TopicError>(())
    /// ```
    pub async fn recv_many(&mut self, deliveries: &mut Vec<Delivery<M>>, limit: usize) -> usize {
        poll_fn(|context| self.poll_recv_many(context, deliveries, limit)).await
    }

    /// Receives as [`recv_many`](Subscription::recv_many) does, for hand-written futures.
    pub fn poll_recv_many(
        &mut self,
        context: &Context<'_>,
        deliveries: &mut Vec<Delivery<M>>,
        limit: usize,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        if self.reader.is_exhausted(context) {
            return Poll::Pending;
        }
        self.reader.settle();
        let before = deliveries.len();
        let found = self.reader.find_or_park(context);
        match self.add_first(found, deliveries) {
            Poll::Ready(true) => {}
            Poll::Ready(false) => return Poll::Ready(0),
            Poll::Pending => return Poll::Pending,
        }
        let is_first = |received: &Received<M>| received.attempt == Attempt::First;
        let is_alone =
            !matches!(deliveries.last(), Some(Delivery::Msg(received)) if is_first(received));
        let most = limit.min(TaskBudget::DEFAULT as usize) - 1;
        if self.reader.membership.state.policy.keeps() {
            if !is_alone {
                self.add_messages(deliveries, most);
            }
        } else {
            self.add_deliveries(deliveries, most);
        }
        Poll::Ready(deliveries.len() - before)
    }

    /// Adds the result of a find. Returns false at the end; is pending if nothing was found.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_first(&mut self, found: Found, deliveries: &mut Vec<Delivery<M>>) -> Poll<bool> {
        let first =
            if is_large::<M>() { self.deliver_large(found) } else { self.deliver_small(found) };
        match first {
            Poll::Ready(Some(first)) => deliveries.push(first),
            Poll::Ready(None) => return Poll::Ready(false),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(true)
    }

    /// Adds messages of a gating subscription that can be in flight together with the first one.
    fn add_messages(&mut self, deliveries: &mut Vec<Delivery<M>>, most: usize) {
        // If a message is invalid, these return false, and the next receive reports it.
        if !M::IS_FIXED {
            let size = self.reader.membership.topic.schema().size;
            self.reader.take_more(most, size, &mut [], |ahead, sequence| {
                let message = ahead.decode::<M>();
                let attempt = Attempt::First;
                let received = message.map(|message| Received { message, sequence, attempt });
                received.map(|received| deliveries.push(Delivery::Msg(received))).is_some()
            });
            return;
        }
        let mut words = M::Words::ZERO;
        self.reader.take_more(most, size_of::<M>(), words.as_mut(), |ahead, sequence| {
            let bytes = ahead.fixed(size_of::<M>());
            if is_large::<M>() {
                add_large(deliveries, bytes, sequence)
            } else {
                add_small(deliveries, bytes, sequence)
            }
        });
    }

    /// Adds the messages that an observing subscription finds. For publishers in other processes,
    /// these messages are finished only at the next receive.
    fn add_deliveries(&mut self, deliveries: &mut Vec<Delivery<M>>, most: usize) {
        for _ in 0..most {
            match self.try_next() {
                TryRecv::Delivery(delivery) => deliveries.push(delivery),
                TryRecv::Empty | TryRecv::Closed => return,
            }
        }
    }

    /// Confirms the message in flight now, not only at the next receive.
    pub fn done(&mut self) {
        self.reader.end_handling(false);
        self.reader.settle();
    }

    /// Returns the trace of the last received message, as its publisher has sent it, until the next
    /// receive or [`done`](Subscription::done). Returns `None` if the message has no trace, or the
    /// topic is not traced.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        self.reader.trace()
    }

    /// Reports that the handling of the message in flight failed. The message is redelivered at the
    /// next receive. If it failed before, it is not delivered again, and this returns it.
    pub fn fail(&mut self) -> Option<Undelivered> {
        self.reader.fail()
    }

    /// Reports that the handling of the message in flight was interrupted. The message is delivered
    /// again at the next receive, and the interruption does not count as a failure. Messages of a
    /// batch are then delivered one at a time, as after a failure.
    pub fn interrupt(&mut self) {
        self.reader.interrupt();
    }

    /// Returns the number of messages that wait for this subscription, including the one in flight.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.reader.depth()
    }

    /// Returns the epoch of the publisher whose message is in flight, if there is one.
    #[must_use]
    pub fn epoch_in_flight(&self) -> Option<u64> {
        self.reader.epoch_in_flight()
    }

    /// Returns the policy: what happens when this subscription is slower than a publisher.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.reader.membership.state.policy
    }

    /// Returns a handle that can end this subscription from another task.
    #[must_use]
    pub fn finisher(&self) -> Finisher {
        Finisher(self.reader.membership.state.clone())
    }

    /// Returns the next message, in the common case. If it returns an error, call the reader, which
    /// may still have a message.
    // Inlined, and with a single path to its result, so that the message goes from the slot to its
    // destination through registers.
    #[inline(always)]
    fn next_fast(&mut self) -> Result<Received<M>, NoMessage> {
        if !M::IS_FIXED {
            return self.next_in_arena().ok_or_else(|| match self.reader.is_fast() {
                true => NoMessage::Empty,
                false => NoMessage::Unknown,
            });
        }
        let mut words = M::Words::ZERO;
        let sequence = self.reader.peek_fast(words.as_mut(), size_of::<M>())?;
        let message = valid_words::<M>(words).ok_or(NoMessage::Unknown)?;
        self.reader.take_fast();
        Ok(Received { message, sequence, attempt: Attempt::First })
    }

    /// Takes the next message into `message`, for slots with areas. Like `next_fast`, it may miss
    /// one.
    #[cold]
    #[inline(never)]
    fn next_with_area(&mut self, message: &mut Option<M>) -> Option<Header> {
        if !M::IS_FIXED {
            return None;
        }
        let mut words = M::Words::ZERO;
        let header = self.reader.peek_fast_with_area(words.as_mut(), size_of::<M>())?;
        *message = Some(valid_words::<M>(words)?);
        self.reader.take_fast_with_area(header);
        Some(header)
    }

    /// Returns the next message or gap of a small type, or parks the task.
    // Not inlined in a debug build, like the functions below, because each of them needs stack for
    // each copy.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn poll_small(&mut self, context: &Context<'_>) -> Poll<Option<Delivery<M>>> {
        loop {
            let reason = match self.next_fast() {
                Ok(received) => return Poll::Ready(Some(Delivery::Msg(received))),
                Err(reason) => reason,
            };
            if self.reader.has_metadata() {
                let mut message = None;
                if let Some(header) = self.next_with_area(&mut message) {
                    return deliver(Found::Message(header), message);
                }
                break;
            }
            if reason == NoMessage::Unknown {
                break;
            }
            match self.reader.wait_fast(context) {
                // At most once in a row: what is new and no message leads to another case.
                Waited::New => {}
                Waited::Pending => return Poll::Pending,
                Waited::Unknown => break,
            }
        }
        let found = self.reader.find_or_park(context);
        self.deliver_small(found)
    }

    /// Returns the next message or gap of a small type, and never waits.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn try_small(&mut self) -> TryRecv<M> {
        if let Ok(received) = self.next_fast() {
            return TryRecv::Delivery(Delivery::Msg(received));
        }
        let mut message = None;
        let found = if self.reader.has_metadata()
            && let Some(header) = self.next_with_area(&mut message)
        {
            deliver(Found::Message(header), message)
        } else {
            let found = self.reader.find();
            self.deliver_small(found)
        };
        match found {
            Poll::Ready(Some(delivery)) => TryRecv::Delivery(delivery),
            Poll::Ready(None) => TryRecv::Closed,
            Poll::Pending => TryRecv::Empty,
        }
    }

    /// Decodes and takes what was found. Returns `None` at the end; is pending if nothing was
    /// found. Invalid bytes become a gap.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn deliver_small(&mut self, found: Found) -> Poll<Option<Delivery<M>>> {
        let mut message = None;
        let found = self.take_small(found, &mut message);
        deliver(found, message)
    }

    /// Takes a message that was found into `message`. Invalid bytes become a gap.
    #[inline(never)]
    fn take_small(&mut self, found: Found, message: &mut Option<M>) -> Found {
        let Found::Message(header) = found else { return found };
        *message = self.reader.read(header, valid::<M>).flatten();
        if message.is_none() {
            return Found::Gap(self.reader.reject(header));
        }
        self.reader.take(header);
        found
    }

    /// Delivers a large message: validates it in place, and copies it once.
    #[inline(never)]
    fn deliver_large(&mut self, found: Found) -> Poll<Option<Delivery<M>>> {
        match found {
            Found::Message(header) => {
                let mut delivery = Poll::Pending;
                let is_valid = self.reader.read(header, |bytes| {
                    with_message(bytes, |message| delivery = ready(message, header)).is_ok()
                });
                if is_valid != Some(true) {
                    let gap = self.reader.reject(header);
                    return ready_gap(gap);
                }
                self.reader.take(header);
                delivery
            }
            Found::Gap(gap) => ready_gap(gap),
            Found::Empty => Poll::Pending,
            Found::Closed => Poll::Ready(None),
        }
    }
}

/// Returns what was found and taken, with its message.
// No function that is not inlined writes to this result, so that it can stay in registers: a
// receive returns a message of the fast path by way of it, too.
#[cfg_attr(not(debug_assertions), inline(always))]
fn deliver<M>(found: Found, message: Option<M>) -> Poll<Option<Delivery<M>>> {
    match (found, message) {
        (Found::Message(header), Some(message)) => {
            let (sequence, attempt) = (header.sequence, header.attempt);
            Poll::Ready(Some(Delivery::Msg(Received { message, sequence, attempt })))
        }
        (Found::Gap(gap), _) => Poll::Ready(Some(Delivery::Gap(gap))),
        (Found::Closed, _) => Poll::Ready(None),
        (Found::Empty | Found::Message(_), _) => Poll::Pending,
    }
}

fn ready<M: Message>(message: &M, header: Header) -> Poll<Option<Delivery<M>>> {
    let (sequence, attempt) = (header.sequence, header.attempt);
    let message = message.clone();
    Poll::Ready(Some(Delivery::Msg(Received { message, sequence, attempt })))
}

fn ready_gap<M>(gap: Gap) -> Poll<Option<Delivery<M>>> {
    Poll::Ready(Some(Delivery::Gap(gap)))
}

/// Adds a message of a batch. Returns false if its bytes are invalid.
#[cfg_attr(not(debug_assertions), inline(always))]
fn add_small<M: Message>(deliveries: &mut Vec<Delivery<M>>, bytes: &[u8], sequence: u64) -> bool {
    let Some(message) = valid::<M>(bytes) else { return false };
    deliveries.push(Delivery::Msg(Received { message, sequence, attempt: Attempt::First }));
    true
}

/// Adds a large message of a batch. Returns false if its bytes are invalid.
fn add_large<M: Message>(deliveries: &mut Vec<Delivery<M>>, bytes: &[u8], sequence: u64) -> bool {
    let attempt = Attempt::First;
    let add = |message: &M| {
        deliveries.push(Delivery::Msg(Received { message: message.clone(), sequence, attempt }));
    };
    with_message(bytes, add).is_ok()
}

impl<M: Message> fmt::Debug for Subscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = &self.reader.membership.state;
        f.debug_struct("Subscription")
            .field("topic", &self.reader.membership.topic.name())
            .field("name", &state.name)
            .field("policy", &state.policy)
            .finish_non_exhaustive()
    }
}

/// A handle that ends a subscription from another task.
#[derive(Clone, Debug)]
pub struct Finisher(pub(super) Arc<SubscriberState>);

impl Finisher {
    /// Returns the policy of the subscription.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.0.policy
    }

    /// Closes the subscription now, even if messages wait for it. A message in flight is the last
    /// one.
    pub fn finish_now(&self) {
        self.finish(LastCall::Now);
    }

    /// Closes the subscription as soon as it has taken all messages that were sent before this
    /// call, even if more arrive meanwhile. It may take a few later messages, too.
    pub fn finish_after_sent(&self) {
        self.finish(LastCall::AfterSent);
    }

    /// Closes the subscription as soon as it is empty, even if publishers are left.
    pub fn finish_when_empty(&self) {
        self.finish(LastCall::WhenEmpty);
    }

    fn finish(&self, call: LastCall) {
        self.0.last_call.fetch_max(call as u8, Ordering::Release);
        if call != LastCall::WhenEmpty {
            // A new version of the incoming edges makes the reader leave its fast path and find the
            // end.
            self.0.incoming.change(|_| ());
        }
        announce();
        self.0.bell.ring();
    }
}
