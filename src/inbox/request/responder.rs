//! The answering side: [`Requests`] returns one [`Asked`] after the other.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use mycelium_core::channel::reply::Replying;
use mycelium_core::wait::WaitStrategy;
use mycelium_core::{Request, TraceContext};
use mycelium_transports::counters::{Line, RequesterValue, ResponderValue};
use mycelium_transports::local::TaskBudget;

use super::call::{Call, Failure};
use super::mailbox::{Mailbox, Queued, Taker};
use super::slot::Owner;
use super::state::MailboxState;
use super::traces::TakenTraces;
use crate::inbox::{AnyInbox, Takes};
use crate::support::lock::lock;

/// A service's access to a topic that it answers. It exists from before the services start until
/// the service has ended permanently: requests wait for the service meanwhile.
pub struct Answering<Q: Request> {
    mailbox: Arc<MailboxState>,
    /// The name `Service.topic`, and whether the service has taken its requests by `ctx.requests`.
    takes: Takes,
    receiver: Mutex<Taker<Q>>,
    /// The number of the service in the mailbox.
    number: usize,
    /// The source of traces of taken requests; `None` if the topic is not traced.
    traces: Option<TakenTraces>,
}

impl<Q: Request> Answering<Q> {
    pub(crate) fn new(
        name: String,
        mailbox: &Mailbox<Q>,
        wait: WaitStrategy,
        line: Line<ResponderValue>,
        budget: &Arc<TaskBudget>,
    ) -> Arc<Answering<Q>> {
        let mut receiver = mailbox.taker();
        receiver.set_wait_strategy(wait);
        let (receiver, takes) = (Mutex::new(receiver), Takes::new(name));
        let traces =
            mailbox.tracer.as_ref().map(|_| TakenTraces::new(&mailbox.topic, budget.clone()));
        let mailbox = mailbox.state().clone();
        let number = mailbox.responders.add(line);
        Arc::new(Answering { mailbox, takes, receiver, number, traces })
    }

    pub(crate) fn requests(&self) -> Requests<Q> {
        let Answering { receiver, mailbox, number, traces, .. } = self;
        self.takes.ever.store(true, Ordering::Relaxed);
        self.takes.by_run.store(true, Ordering::Relaxed);
        let receiver = lock(receiver).clone();
        let (mailbox, traces) = (mailbox.clone(), traces.clone());
        Requests { receiver, mailbox, number: *number, taken: 0, traces }
    }

    pub(crate) fn mailbox(&self) -> Arc<MailboxState> {
        self.mailbox.clone()
    }
}

impl<Q: Request> AnyInbox for Answering<Q> {
    fn takes(&self) -> &Takes {
        &self.takes
    }

    fn depth(&self) -> usize {
        lock(&self.receiver).len()
    }
}

impl<Q: Request> fmt::Debug for Answering<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answering").field(&self.name()).finish()
    }
}

/// Takes the requests that a service answers. Several handles, for example in child tasks, share
/// the mailbox: each request goes to one of them.
pub struct Requests<Q: Request> {
    receiver: Taker<Q>,
    mailbox: Arc<MailboxState>,
    /// The number of the service in the mailbox.
    number: usize,
    /// The number of requests that were taken since the task last yielded.
    taken: u32,
    /// The source of traces of taken requests; `None` if the topic is not traced.
    traces: Option<TakenTraces>,
}

impl<Q: Request> Requests<Q> {
    /// Waits for the next request. Returns `None` when all requests were taken and either all
    /// requesting services have ended or the node shuts down. Skips cancelled requests.
    ///
    /// Dropping the future loses nothing: a request is taken only when this returns it.
    pub fn recv(&mut self) -> impl Future<Output = Option<Asked<Q>>> + use<'_, Q> {
        // Not an `async fn`, whose poll has one more state to check.
        std::future::poll_fn(|context| self.poll_recv(context))
    }

    /// Like [`recv`](Requests::recv), for hand-written futures.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Asked<Q>>> {
        if let Some(traces) = &mut self.traces {
            traces.end_handling();
        }
        loop {
            if self.taken >= TaskBudget::DEFAULT {
                self.taken = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.receiver.poll_recv(context) {
                Poll::Ready(Some(queued)) => {
                    self.taken += 1;
                    let Some(asked) = queued.accept(self.number) else { continue };
                    if let Some(traces) = &mut self.traces
                        && let Some(request) = &asked.request
                    {
                        traces.take(&request.owner().origin.name, asked.trace());
                    }
                    return Poll::Ready(Some(asked));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    self.taken = 0;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Counts a reply that came after its requester had stopped waiting.
    pub(crate) fn count_late(&self) {
        self.mailbox.responders.count(self.number, ResponderValue::Late);
    }

    /// Returns the number of waiting requests.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.receiver.len()
    }
}

/// The handle is never pinned.
impl<Q: Request> Unpin for Requests<Q> {}

/// The stream of the requests that [`recv`](Requests::recv) returns.
impl<Q: Request> Stream for Requests<Q> {
    type Item = Asked<Q>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Asked<Q>>> {
        self.get_mut().poll_recv(context)
    }
}

impl<Q: Request> fmt::Debug for Requests<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("topic", &Q::TOPIC).finish_non_exhaustive()
    }
}

impl<C: Call> Queued<C> {
    /// Takes the request for the service with the number `responder`, and counts it. `None` if its
    /// requester no longer waits.
    #[inline]
    pub(crate) fn accept(mut self, responder: usize) -> Option<Asked<C>> {
        let mut request = self.0.take()?;
        if request.owner().is_over() {
            request = expire(request, responder)?;
        }
        let is_taken = request.take();
        let value = if is_taken { ResponderValue::Taken } else { ResponderValue::Cancelled };
        request.owner().origin.mailbox.responders.count(responder, value);
        is_taken.then(|| Asked { request: Some(request), responder })
    }
}

/// Ends a request whose deadline has passed: its requester does not cancel it while it is not
/// polled. Returns a request for whose reply nobody waits, because it may be taken.
#[cold]
fn expire<C: Call>(
    request: Replying<Owner, C, C::Reply>,
    responder: usize,
) -> Option<Replying<Owner, C, C::Reply>> {
    let mailbox = request.owner().origin.mailbox.clone();
    let expired = request.expire(Failure::Late as u8);
    if expired.is_ok() {
        mailbox.responders.count(responder, ResponderValue::Cancelled);
    }
    expired.err()
}

/// Returns whether the requester waits for the reply, and its deadline has passed.
#[inline]
fn is_late<Q: Clone, R>(request: &Replying<Owner, Q, R>) -> bool {
    request.owner().is_over() && !request.is_detached()
}

#[cold]
fn count_late<Q: Clone, R>(request: &Replying<Owner, Q, R>, responder: usize) {
    let origin = &request.owner().origin;
    origin.mailbox.responders.count(responder, ResponderValue::Late);
    origin.count(RequesterValue::Late);
}

/// A request that a service holds. It derefs to the request; [`reply`](Asked::reply) answers it.
///
/// It can be kept and answered later, also by another task. If it is dropped without a reply, for
/// example by a panic, its requester gets
/// [`RequestError::HandlerFailed`](crate::requests::RequestError).
#[must_use = "dropping it fails the request: answer it by `reply`"]
pub struct Asked<C: Call> {
    /// `None` once the request has an outcome.
    request: Option<Replying<Owner, C, C::Reply>>,
    /// The number, in the mailbox, of the service that holds the request.
    responder: usize,
}

impl<C: Call> Asked<C> {
    /// Replies. Returns whether the requester was still waiting; a reply after the deadline, or to
    /// a requester that was dropped, is discarded and counted. A reply with more bytes than its
    /// type allows fails the request, and this returns false.
    pub fn reply(mut self, reply: C::Reply) -> bool {
        let Some(request) = &self.request else { return false };
        // An actor's reply may stay in this process, where nothing limits it.
        if request.owner().origin.actor.is_none() && C::is_too_long(&reply) {
            self.end(Failure::ReplyTooLong);
            return false;
        }
        self.pass(reply)
    }

    /// Replies as [`reply`](Asked::reply) does, also with a reply of another node that is longer
    /// than its type allows here.
    pub(crate) fn pass(mut self, reply: C::Reply) -> bool {
        let Some(request) = self.request.take() else { return false };
        let origin = &request.owner().origin;
        origin.mailbox.responders.count(self.responder, ResponderValue::Replied);
        if is_late(&request) {
            count_late(&request, self.responder);
            request.fail(Failure::LateHeld as u8);
            return false;
        }
        let refused = request.reply(reply);
        if let Err(late) = &refused
            && !late.is_detached()
        {
            count_late(late, self.responder);
        }
        refused.is_ok()
    }

    /// Replies with the value that `reply` computes from the request. In other respects like
    /// [`reply`](Asked::reply).
    pub fn reply_with(self, reply: impl FnOnce(&C) -> C::Reply) -> bool {
        let reply = reply(&self);
        self.reply(reply)
    }

    /// Returns whether the requester no longer waits: it was dropped, or its deadline has passed.
    /// Long work can check this from time to time.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_withdrawn() || self.request.as_ref().is_some_and(is_late)
    }

    /// Returns whether the request has an outcome, because its requester was dropped or has seen
    /// the deadline.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.request.as_ref().is_some_and(Replying::is_cancelled)
    }

    /// Returns the name of the requesting service; for a request from another node, a name of that
    /// node.
    #[must_use]
    pub fn requester(&self) -> &str {
        self.request.as_ref().map_or("", |request| &request.owner().origin.name)
    }

    /// Returns the trace of the request, as sent by its requester. `None` if the request has no
    /// trace.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        self.request.as_ref()?.owner().trace.get()
    }

    /// Returns how long the requester still waits, in nanoseconds; `u64::MAX` without a deadline,
    /// and for a request that was told.
    pub(crate) fn time_left(&self) -> u64 {
        self.request.as_ref().map_or(0, |request| match request.is_detached() {
            true => u64::MAX,
            false => request.owner().time_left(),
        })
    }

    /// Ends the request without a reply, for this reason.
    pub(crate) fn fail(mut self, failure: Failure) {
        self.end(failure);
    }

    #[cold]
    fn end(&mut self, failure: Failure) {
        if let Some(request) = self.request.take() {
            let origin = &request.owner().origin;
            origin.mailbox.responders.count(self.responder, ResponderValue::Failed);
            request.fail(failure as u8);
        }
    }
}

impl<C: Call> Deref for Asked<C> {
    type Target = C;

    fn deref(&self) -> &C {
        let request = self.request.as_ref();
        request.expect("only `reply` and drop take the request").request()
    }
}

impl<C: Call> Drop for Asked<C> {
    // Inlined, so that an answered request costs no call.
    #[inline]
    fn drop(&mut self) {
        if let Some(request) = &self.request {
            // Who sees that the time has passed may drop it.
            let failure = if is_late(request) { Failure::LateHeld } else { Failure::Dropped };
            self.end(failure);
        }
    }
}

impl<C: Call> fmt::Debug for Asked<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("call", &C::NAME).finish_non_exhaustive()
    }
}
