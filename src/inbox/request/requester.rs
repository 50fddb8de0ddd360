//! The requesting side: [`Requester`], and the future of a reply, [`PendingReply`].

use std::fmt;
use std::future::poll_fn;
use std::mem::needs_drop;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mycelium_core::Request;
use mycelium_core::channel::mpmc::Sender;
use mycelium_core::channel::reply::{Awaiting, Outcome};
use mycelium_core::ring::PushError;
use mycelium_core::wait::{SpinResult, WaitStrategy};
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::{Line, RequesterValue};

use super::call::{Call, Failure, Unanswered, is_too_long};
use super::mailbox::{Mailbox, Queued};
use super::slot::{Origin, Owner, SlotPool, SlotSides, Stage};
use super::state::MailboxState;
use super::traces::RequestTraces;

/// Makes requests of one type. A service has one for each declared request type, and uses it
/// through [`Context::request`](crate::Context::request). For child tasks and code outside the
/// services there are [`Context::requester`](crate::Context::requester) and
/// [`Running::requester`](crate::Running::requester).
///
/// The requests of one requester are taken in order, as long as the mailbox has room.
pub struct Requester<Q: Request> {
    mailbox: Arc<Mailbox<Q>>,
    sender: Sender<Queued<Q>>,
    name: Arc<str>,
    line: Arc<Line<RequesterValue>>,
    /// Whether requesters of child tasks count in this line of counters, too.
    is_line_shared: bool,
    wait: WaitStrategy,
    role: Role,
    /// The state that all requests of this requester share; created by the first one.
    origin: Option<Arc<Origin>>,
    slots: SlotPool<Q>,
    /// The source of traces; `None` if the topic is not traced.
    traces: Option<RequestTraces>,
}

/// The user of a requester.
#[derive(Clone)]
pub(crate) enum Role {
    /// The service itself.
    Service,
    /// A child task of a service, or another user that shares a line of counters.
    Child(Arc<dyn Executor>),
    /// Code outside the services.
    Outside(Arc<dyn Executor>),
}

impl<Q: Request> Requester<Q> {
    /// Creates a requester. Only requesters of services and outside requesters keep the mailbox
    /// open.
    pub(crate) fn new(
        mailbox: Arc<Mailbox<Q>>,
        name: impl Into<Arc<str>>,
        line: Arc<Line<RequesterValue>>,
        wait: WaitStrategy,
        role: Role,
    ) -> Requester<Q> {
        match role {
            Role::Service => mailbox.add_requester(true),
            Role::Outside(_) => mailbox.add_requester(false),
            Role::Child(_) => {}
        }
        let (sender, name) = (mailbox.sender(), name.into());
        let is_line_shared = matches!(role, Role::Child(_));
        let (origin, slots, traces) = (None, SlotPool::default(), mailbox.traces());
        Requester { mailbox, sender, name, line, is_line_shared, wait, role, origin, slots, traces }
    }

    /// Creates another requester in the same role.
    pub(crate) fn another(&self) -> Requester<Q> {
        self.in_role(self.role.clone())
    }

    /// Creates another requester, for a child task of the service.
    pub(crate) fn child(&mut self, executor: &Arc<dyn Executor>) -> Requester<Q> {
        self.is_line_shared = true;
        self.in_role(Role::Child(executor.clone()))
    }

    fn in_role(&self, role: Role) -> Requester<Q> {
        let (mailbox, name, line) = (self.mailbox.clone(), self.name.clone(), self.line.clone());
        Requester::new(mailbox, name, line, self.wait, role)
    }

    /// Sends a request. If the mailbox has room, the request is in it when this returns; otherwise
    /// the future waits for room. Several requests may be open at the same time.
    ///
    /// In other respects like [`Context::request`](crate::Context::request).
    pub fn request(&mut self, request: Q) -> PendingReply<Q> {
        let executor = self.executor();
        self.send(&request, &executor)
    }

    /// Makes a request as [`request`](Requester::request) does, which ends at this time, if one is
    /// given.
    #[cfg(feature = "actors")]
    pub(crate) fn request_until(&mut self, request: &Q, end: Option<Duration>) -> PendingReply<Q> {
        let executor = self.executor();
        match is_too_long(request) {
            true => self.refuse(request, &executor, Failure::TooLong),
            false => self.pass(request, &executor, end),
        }
    }

    /// Returns the future of a request that is not sent because it carries one that is too long.
    #[cfg(feature = "actors")]
    pub(crate) fn too_long(&mut self, request: &Q) -> PendingReply<Q> {
        let executor = self.executor();
        self.refuse(request, &executor, Failure::TooLong)
    }

    fn executor(&self) -> Arc<dyn Executor> {
        match &self.role {
            Role::Child(executor) | Role::Outside(executor) => executor.clone(),
            Role::Service => unreachable!("a service's own requester is used by its context"),
        }
    }

    /// Sends a request. If the mailbox is full, the future waits for room.
    pub(crate) fn send(&mut self, request: &Q, executor: &Arc<dyn Executor>) -> PendingReply<Q> {
        if is_too_long(request) {
            return self.refuse(request, executor, Failure::TooLong);
        }
        self.pass(request, executor, None)
    }

    /// Sends a request as [`send`](Requester::send) does, also one that is longer than its type
    /// allows: that of another node, whose program has another version. Its taker sees the `end`
    /// from the start, if one is given.
    pub(crate) fn pass(
        &mut self,
        request: &Q,
        executor: &Arc<dyn Executor>,
        end: Option<Duration>,
    ) -> PendingReply<Q> {
        let (awaiting, replying) = self.open(request, executor);
        end.into_iter().for_each(|end| awaiting.owner().end_at(end));
        let progress = match self.sender.try_send(Queued::new(replying)) {
            Ok(()) => Progress::Sent,
            Err(PushError::Full(queued))
                if self.mailbox.state().rejects.load(Ordering::Relaxed) =>
            {
                queued.withdraw();
                Progress::Unsent(Failure::Refused)
            }
            Err(PushError::Full(queued)) => {
                let mut sender = self.sender.clone();
                Progress::Full(Box::pin(
                    async move { Sent::by_one(sender.send(queued).await.is_ok()) },
                ))
            }
            Err(PushError::Closed(queued)) => {
                queued.withdraw();
                Progress::Unsent(closed(self.mailbox.state()))
            }
        };
        PendingReply::new(awaiting, progress)
    }

    /// Returns the future of a request that is not sent, for this reason.
    pub(crate) fn refuse(
        &mut self,
        request: &Q,
        executor: &Arc<dyn Executor>,
        failure: Failure,
    ) -> PendingReply<Q> {
        let (awaiting, _) = self.open(request, executor);
        PendingReply::new(awaiting, Progress::Unsent(failure))
    }

    /// Counts a request, and opens a slot for it.
    fn open(&mut self, request: &Q, executor: &Arc<dyn Executor>) -> SlotSides<Q> {
        match self.is_line_shared {
            true => self.line.count(RequesterValue::Requested),
            false => self.line.add(RequesterValue::Requested, 1),
        }
        let Requester { mailbox, name, line, wait, origin, slots, traces, .. } = self;
        let sides = slots.open(request, || {
            let origin = origin.get_or_insert_with(|| {
                Arc::new(Origin {
                    mailbox: mailbox.state().clone(),
                    name: name.clone(),
                    actor: None,
                    executor: executor.clone(),
                    line: line.clone(),
                    wait: *wait,
                })
            });
            origin.clone()
        });
        if let Some(traces) = traces {
            sides.0.owner().trace.set(traces.next(name));
        }
        sides
    }
}

impl<Q: Request> Drop for Requester<Q> {
    fn drop(&mut self) {
        match self.role {
            Role::Service => self.mailbox.end_requester(true),
            Role::Outside(_) => self.mailbox.end_requester(false),
            Role::Child(_) => {}
        }
    }
}

impl<Q: Request> fmt::Debug for Requester<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester").field("topic", &Q::TOPIC).finish_non_exhaustive()
    }
}

/// The future of a reply. It borrows nothing, so several requests can be open at the same time.
///
/// Dropping the future before it is ready cancels the request: if no service has taken it yet, none
/// will; otherwise the reply is discarded and counted as late.
#[must_use = "dropping it cancels the request: await it"]
pub struct PendingReply<C: Call> {
    awaiting: Awaiting<Owner, C, C::Reply>,
    /// `None` unless the request waits for room, or for its deadline. The rest of the state is in
    /// the slot. So the future has two words, and moves in registers.
    extra: Option<Box<Extra<C>>>,
}

struct Extra<C: Call> {
    /// Sends the request when there is room. Dropping it discards the request.
    sending: Option<SendFuture<Sent<C>>>,
    /// Completes at the deadline.
    timer: Option<SendFuture<()>>,
}

impl<C: Call> Default for Extra<C> {
    fn default() -> Extra<C> {
        Extra { sending: None, timer: None }
    }
}

/// The result of the first attempt to send a request.
pub(crate) enum Progress<C: Call> {
    /// The mailbox is full. The future sends the request when there is room.
    Full(SendFuture<Sent<C>>),
    /// The request was sent.
    Sent,
    /// The request was not sent, for this reason.
    Unsent(Failure),
}

/// The result of waiting for room in a mailbox.
pub(crate) enum Sent<C: Call> {
    Yes,
    /// The mailbox was closed, so nobody will take the request.
    No,
    /// The request was sent to another mailbox.
    Elsewhere(Box<PendingReply<C>>),
}

impl<C: Call> Sent<C> {
    pub(crate) fn by_one(is_sent: bool) -> Sent<C> {
        if is_sent { Sent::Yes } else { Sent::No }
    }
}

impl<C: Call> PendingReply<C> {
    #[inline]
    pub(crate) fn new(
        awaiting: Awaiting<Owner, C, C::Reply>,
        progress: Progress<C>,
    ) -> PendingReply<C> {
        let extra = match progress {
            Progress::Full(sending) => {
                Some(Box::new(Extra { sending: Some(sending), timer: None }))
            }
            Progress::Sent => None,
            Progress::Unsent(failure) => {
                awaiting.owner().set_unsent(failure);
                None
            }
        };
        PendingReply { awaiting, extra }
    }

    /// Sets a deadline: waits at most `duration` from now for room in the mailbox and for the
    /// reply. A request that no service has taken by then will not be taken.
    ///
    /// This holds without a poll. A future that is polled only later returns a reply that came in
    /// time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mycelium::requests::RequestError;
    /// use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "price-requests", id = 1, reply = Price)]
    /// # struct PriceRequest { pool: u32 }
    /// # #[message(topic = "prices", id = 2)]
    /// # struct Price { value: u64 }
    /// # struct Trader;
    ///
    /// #[service(requests(PriceRequest))]
    /// impl Trader {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let request = ctx.request(PriceRequest { pool: 7 });
    ///         match request.within(Duration::from_millis(5)).await {
    ///             Ok(price) => ctx.info("price", price.value),
    ///             Err(RequestError::Deadline { .. }) => ctx.warn("no price in time", ()),
    ///             Err(error) => return Err(error.into()),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn within(mut self, duration: Duration) -> PendingReply<C> {
        self.set_deadline(duration);
        self
    }

    /// Sets the deadline, as [`within`](PendingReply::within).
    pub(crate) fn set_deadline(&mut self, duration: Duration) {
        self.awaiting.owner().end_within(duration);
        // The timer of an earlier deadline would complete at the wrong time.
        if let Some(extra) = &mut self.extra {
            extra.timer = None;
        }
    }

    /// Does not wait for the reply: completes when the request is in the mailbox, where dropping
    /// the future no longer cancels it, and the reply is dropped. If the mailbox is full, this does
    /// what `tell` does: it waits for room, or does what [`WhenFull`](crate::actors::WhenFull) says;
    /// if the queue has one sender, the call is refused. A call that is left when its actor has ended
    /// is dead mail.
    ///
    /// # Errors
    /// Same as the future itself, if the request was not sent: it is not taken.
    pub async fn tell(mut self) -> Result<(), C::Error> {
        let told = poll_fn(|context| self.poll_told(context)).await;
        self.awaiting.owner().set_done();
        let origin = &self.awaiting.owner().origin;
        match told {
            Ok(()) => origin.count(RequesterValue::Cancelled),
            Err(failure) => self.count(Err(failure)),
        }
        match told {
            Err(Failure::Refused) if origin.mailbox.drops.load(Ordering::Relaxed) => Ok(()),
            Err(failure) => Err(self.error(failure)),
            Ok(()) => Ok(()),
        }
    }

    /// Completes when the request is in the mailbox, and no longer needs this future.
    fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Poll::Ready(sent) = self.poll_sent(context) else {
            return self.poll_deadline(context);
        };
        sent?;
        let state = self.awaiting.detach();
        let mailbox = &self.awaiting.owner().origin.mailbox;
        // If the last taker drops the request, it sees that the request was told, or this sees that
        // there is no taker: the fence pairs with the fence of `end_reading`.
        fence(Ordering::SeqCst);
        Poll::Ready(match state {
            // What is withdrawn is not dead mail.
            Outcome::Queued if mailbox.is_unread() && self.awaiting.withdraw() => {
                Err(closed(mailbox))
            }
            Outcome::Failed(reason) if Failure::of(reason) == Failure::Gone => Err(closed(mailbox)),
            Outcome::Failed(reason) if Failure::of(reason) == Failure::Late => Err(Failure::Late),
            _ => Ok(()),
        })
    }

    /// Completes when the reply is in its slot, or with the reason why there is none.
    // Not inlined: only the move of the reply must be where the future is awaited.
    #[inline(never)]
    pub(crate) fn poll_outcome(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Poll::Ready(sent) = self.poll_sent(context) {
            sent?;
            if let Some(result) = self.poll_slot(context) {
                return Poll::Ready(result);
            }
        }
        self.poll_deadline(context)
    }

    /// Completes when the request was sent, or with the reason why it was not.
    // Inlined, because it is two loads for most requests.
    #[inline(always)]
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self.awaiting.owner().stage() {
            Stage::Open if self.extra.is_none() => Poll::Ready(Ok(())),
            Stage::Open => self.poll_sending(context),
            Stage::Unsent(failure) => Poll::Ready(Err(failure)),
            Stage::Done => panic!("a reply was polled after it had been returned"),
        }
    }

    /// Sends the request if it waits for room.
    #[inline(never)]
    fn poll_sending(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Some(extra) = &mut self.extra else { return Poll::Ready(Ok(())) };
        let Some(sending) = &mut extra.sending else { return Poll::Ready(Ok(())) };
        match ready!(sending.as_mut().poll(context)) {
            Sent::Yes => {
                extra.sending = None;
                Poll::Ready(Ok(()))
            }
            Sent::No => Poll::Ready(Err(closed(&self.awaiting.owner().origin.mailbox))),
            Sent::Elsewhere(other) => {
                self.replace_by(*other);
                self.poll_sent(context)
            }
        }
    }

    /// Waits for `other` instead of this request, which was not sent, or is over. The deadline
    /// stays.
    #[cold]
    pub(crate) fn replace_by(&mut self, mut other: PendingReply<C>) {
        std::mem::swap(&mut self.awaiting, &mut other.awaiting);
        self.awaiting.owner().end_as(other.awaiting.owner());
        self.extra = other.extra.take();
        // Dropping `other` neither cancels nor counts.
        other.awaiting.owner().set_done();
    }

    /// Returns the result if there is one. Otherwise registers the task to be woken when there is.
    #[inline]
    fn poll_slot(&mut self, context: &Context<'_>) -> Option<Result<(), Failure>> {
        if let Some(result) = self.result() {
            return Some(result);
        }
        match self.awaiting.owner().spin(|| self.result()) {
            SpinResult::Found(result) => Some(result),
            SpinResult::Again => {
                context.waker().wake_by_ref();
                None
            }
            SpinResult::Park => {
                if !self.awaiting.register(context.waker()) {
                    return self.result();
                }
                let mailbox = &self.awaiting.owner().origin.mailbox;
                // If the last taker ended before the request was sent, no taker drops the request,
                // so this withdraws it.
                if !mailbox.is_unread() {
                    return None;
                }
                if self.awaiting.withdraw() { Some(Err(closed(mailbox))) } else { self.result() }
            }
        }
    }

    /// Returns the result, if there is one.
    #[inline]
    fn result(&self) -> Option<Result<(), Failure>> {
        match self.awaiting.outcome() {
            Outcome::Queued | Outcome::Taken => None,
            Outcome::Replied(_) => Some(Ok(())),
            Outcome::Failed(reason) => Some(Err(match Failure::of(reason) {
                Failure::Gone => closed(&self.awaiting.owner().origin.mailbox),
                failure => failure,
            })),
            Outcome::Cancelled | Outcome::Emptied => {
                unreachable!("a request is cancelled, and its reply taken, once it is not polled")
            }
        }
    }

    /// Returns the number of the actor that the request was sent to; `None` for a service.
    #[cfg(feature = "actors")]
    pub(crate) fn actor(&self) -> Option<u64> {
        self.awaiting.owner().origin.actor
    }

    /// Returns the time of the deadline, if there is one.
    #[cfg(feature = "actors")]
    pub(crate) fn end(&self) -> Option<Duration> {
        self.awaiting.owner().end()
    }

    /// Returns how long the requester waits; zero without a deadline.
    pub(crate) fn limit(&self) -> Duration {
        self.awaiting.owner().limit()
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let owner = self.awaiting.owner();
        let Some(end) = owner.end() else { return Poll::Pending };
        let origin = &owner.origin;
        let executor = &origin.executor;
        if executor.now() < end {
            let timer = &mut self.extra.get_or_insert_default().timer;
            let timer = timer.get_or_insert_with(|| executor.sleep_until(end));
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        let mailbox = &origin.mailbox;
        let or_unreachable =
            |late, unreachable| match mailbox.is_unreachable.load(Ordering::Relaxed) {
                true => unreachable,
                false => late,
            };
        self.awaiting.owner().set_done();
        let sending = self.extra.as_mut().and_then(|extra| extra.sending.take());
        Poll::Ready(Err(match sending {
            Some(_) => or_unreachable(Failure::Late, Failure::Away),
            None => match self.awaiting.cancel() {
                Some(Outcome::Queued) => or_unreachable(Failure::Late, Failure::Away),
                Some(_) if mailbox.is_remote.load(Ordering::Relaxed) => {
                    mailbox.cancel();
                    or_unreachable(Failure::LateSent, Failure::Lost)
                }
                Some(_) => Failure::LateHeld,
                // The outcome arrived during the attempt to cancel.
                None => match self.result() {
                    Some(result) => return Poll::Ready(result),
                    None => unreachable!("a request that cannot be cancelled has an outcome"),
                },
            },
        }))
    }

    /// Counts a result.
    fn count(&self, result: Result<(), Failure>) {
        self.awaiting.owner().origin.count(match result {
            Ok(()) => RequesterValue::Replied,
            Err(Failure::Gone | Failure::NotFound) => RequesterValue::Gone,
            Err(Failure::Refused | Failure::TooLong) => RequesterValue::Refused,
            Err(Failure::Late | Failure::LateHeld | Failure::LateSent) => RequesterValue::Deadline,
            Err(Failure::Dropped | Failure::ReplyTooLong) => RequesterValue::HandlerFailed,
            Err(Failure::Lost | Failure::Away | Failure::Differs | Failure::DiffersSent) => {
                RequesterValue::Unreachable
            }
            Err(Failure::ShuttingDown) => RequesterValue::ShuttingDown,
        });
    }

    /// Completes the future with the result of [`poll_outcome`](PendingReply::poll_outcome), and
    /// moves the reply out of its slot.
    #[inline]
    pub(crate) fn finish(&mut self, result: Result<(), Failure>) -> Result<C::Reply, C::Error> {
        match self.settle(result) {
            Ok(reply) => Ok(reply),
            Err(failure) => Err(self.error(failure)),
        }
    }

    /// Completes the future as [`finish`](PendingReply::finish) does.
    #[inline]
    pub(crate) fn settle(&mut self, result: Result<(), Failure>) -> Result<C::Reply, Failure> {
        self.awaiting.owner().set_done();
        self.count(result);
        result?;
        Ok(self.awaiting.take_reply().expect("a reply stays in its slot until it is taken"))
    }

    #[cold]
    #[inline(never)]
    fn error(&self, failure: Failure) -> C::Error {
        let Origin { name, actor, .. } = &*self.awaiting.owner().origin;
        let actor = actor.map(|_| name.clone());
        C::Error::new(failure, self.awaiting.request(), self.limit(), actor)
    }
}

/// Returns the error of a request whose mailbox is closed.
pub(crate) fn closed(mailbox: &MailboxState) -> Failure {
    if mailbox.shuts_down.load(Ordering::Relaxed) { Failure::ShuttingDown } else { Failure::Gone }
}

/// Nothing in the future is pinned.
impl<C: Call> Unpin for PendingReply<C> {}

impl<C: Call> Future for PendingReply<C> {
    type Output = Result<C::Reply, C::Error>;

    // Inlined, so that the reply goes from its slot to its destination through registers. Not in a
    // debug build, where each await would have its own stack for the reply.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.poll_outcome(context) {
            Poll::Ready(result) => Poll::Ready(this.finish(result)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<C: Call> Drop for PendingReply<C> {
    // Inlined, so that a completed future costs no call.
    #[inline]
    fn drop(&mut self) {
        match self.awaiting.owner().stage() {
            Stage::Done => {}
            Stage::Open | Stage::Unsent(_) => self.cancel(),
        }
    }
}

impl<C: Call> PendingReply<C> {
    #[cold]
    fn cancel(&mut self) {
        // Counts first, because the drop of a reply may panic.
        self.awaiting.owner().origin.count(RequesterValue::Cancelled);
        match self.awaiting.cancel() {
            Some(Outcome::Taken) => self.awaiting.owner().origin.mailbox.cancel(),
            // A reply that has come does not stay in the slot.
            None if needs_drop::<C::Reply>() => drop(self.awaiting.take_reply()),
            _ => {}
        }
    }
}

impl<C: Call> fmt::Debug for PendingReply<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingReply").field("call", &C::NAME).finish_non_exhaustive()
    }
}
