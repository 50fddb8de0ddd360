//! References to actors: strong ones, which tell and ask, and weak ones, which do not keep the
//! actor alive.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use mycelium_core::Request;
use mycelium_core::channel::{Mpsc, Queue, QueueSender, SendError};
use mycelium_core::ring::PushError;
use mycelium_core::wait::WaitStrategy;
use mycelium_transports::counters::{ActorValue, RequesterValue};
use mycelium_transports::local::TaskBudget;

use super::life::{Actor, Handles, Methods, Replies};
use super::set::cell::Cell;
use super::set::core::{AnyCell, Core};
use super::values::{ActorEnd, Ask, FindActorError, TellError, WhenFull};
#[cfg(doc)]
use crate::inbox::request::RequestError;
use crate::inbox::request::{Call, Failure, Origin, PendingReply, Progress, Queued, Sent, closed};

/// Refers to an actor, and sends to its mailbox. The actor ends when all references are dropped and
/// its mailbox is empty, unless it was spawned with [`keep`](super::ActorBuilder::keep).
///
/// The calls of the actor are methods of its references, by the name of the actor's method:
/// [`#[actor]`](macro@crate::actor). Messages, calls and requests of one reference are handled in
/// the order in which they are sent. A reference to a queue with one sender, such as
/// [`Spsc`](mycelium_core::channel::Spsc), cannot be cloned.
//
// The macro has the names of all methods, which no call may have: a new one belongs there, too.
pub struct ActorRef<A: Actor, Q: Queue = Mpsc>(A::Calls<Caller<A, Q>>);

/// The sending side of a reference, inside the struct with the actor's calls.
pub struct Caller<A: Actor, Q: Queue> {
    cell: Arc<Cell<A::Mail, Q>>,
    sender: Q::Sender<A::Mail>,
    /// Created with the first call: a reference that only tells is small, and cheap to move.
    slots: Option<Box<A::Slots>>,
    /// The number of messages that this reference has sent, if it is the only sender of its queue.
    sent: u64,
}

impl<A: Actor, Q: Queue> ActorRef<A, Q> {
    /// Creates a reference. The caller has already counted it.
    pub(super) fn new(cell: Arc<Cell<A::Mail, Q>>, sender: Q::Sender<A::Mail>) -> ActorRef<A, Q> {
        ActorRef(Methods::around(Caller { cell, sender, slots: None, sent: 0 }))
    }

    /// Creates a reference to the actor of a cell.
    pub(super) fn of(cell: &Arc<Cell<A::Mail, Q>>) -> Result<ActorRef<A, Q>, FindActorError> {
        if cell.core.has_ended() || !cell.core.try_refer() {
            return Err(FindActorError::Ending { name: cell.core.label().to_string() });
        }
        match cell.sender() {
            Ok(sender) => Ok(ActorRef::new(cell.clone(), sender)),
            Err(error) => {
                cell.end_refer();
                Err(error)
            }
        }
    }

    /// Tells the actor a message. When this returns `Ok`, the message is in the mailbox. If the
    /// mailbox is full, this waits for room, or does what [`WhenFull`] says. If the future is
    /// dropped before it completes, the message was not told.
    ///
    /// # Errors
    /// [`TellError`] with the message: the actor has ended, or its mailbox refused the message.
    #[inline]
    pub async fn tell<M>(&mut self, message: M) -> Result<(), TellError<M>>
    where
        A: Handles<M>,
    {
        match self.try_tell(message) {
            Err(TellError::Full(message)) if self.0.inner().waits() => {
                let caller = self.0.inner_mut();
                let sent = caller.sender.send(<A as Handles<M>>::wrap(message)).await;
                sent.map_err(|SendError(mail)| TellError::Gone(A::unwrap(mail)))?;
                caller.count_sent();
                Ok(())
            }
            told => told,
        }
    }

    /// Tells the actor a message if its mailbox has room now.
    ///
    /// # Errors
    /// [`TellError`] with the message: the actor has ended, or its mailbox is full.
    #[inline]
    pub fn try_tell<M>(&mut self, message: M) -> Result<(), TellError<M>>
    where
        A: Handles<M>,
    {
        let caller = self.0.inner_mut();
        match caller.sender.try_send(<A as Handles<M>>::wrap(message)) {
            Ok(()) => {
                caller.count_sent();
                Ok(())
            }
            Err(PushError::Closed(mail)) => Err(TellError::Gone(A::unwrap(mail))),
            Err(PushError::Full(mail)) => full(&caller.cell.core, A::unwrap(mail)),
        }
    }

    /// Asks the actor, and waits for its reply, as [`Context::request`](crate::Context::request)
    /// asks a service. If the mailbox has room, the request is in it when this returns. The future
    /// borrows nothing; [`PendingReply::within`] sets a deadline.
    ///
    /// If the queue has one sender, a full mailbox refuses a request.
    ///
    /// # Errors
    /// [`RequestError`], which says whether the actor may have acted on the request.
    pub fn ask<R: Request>(&mut self, request: R) -> PendingReply<R>
    where
        A: Replies<R>,
    {
        self.0.inner_mut().call(request, ())
    }

    /// Ends the actor after the current message; `stopped` runs. The messages in its mailbox become
    /// [`DeadMail`](super::DeadMail), and requests there are `Gone`. Its children end first.
    pub fn stop(&self) {
        self.0.inner().cell.core.stop();
    }

    /// Makes the actor refuse further messages, handle the messages in its mailbox, and end.
    pub fn drain(&self) {
        self.0.inner().cell.core.drain();
    }

    /// Waits until the actor has ended, and returns how it ended. A restart is not an end.
    pub fn ended(&self) -> impl Future<Output = ActorEnd> + Send + use<A, Q> {
        let cell = self.0.inner().cell.clone();
        async move { cell.core.ended().await }
    }

    /// Returns whether the actor has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.inner().cell.core.has_ended()
    }

    /// Returns the actor's number, which no other actor of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.inner().cell.core.id
    }

    /// Returns the actor's name, or its type and number.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        self.0.inner().cell.core.label()
    }

    /// Returns the approximate number of messages and requests that wait in the mailbox.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.inner().sender.len()
    }

    /// Returns the capacity of the mailbox, in messages and requests.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.inner().sender.capacity()
    }

    /// Returns a reference that does not keep the actor alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakRef<A, Q> {
        WeakRef { cell: self.0.inner().cell.clone() }
    }

    pub(super) fn any(&self) -> Arc<dyn AnyCell> {
        self.0.inner().cell.clone()
    }
}

/// The calls of the actor: [`#[actor]`](macro@crate::actor).
impl<A: Actor, Q: Queue> Deref for ActorRef<A, Q> {
    type Target = A::Calls<Caller<A, Q>>;

    #[inline]
    fn deref(&self) -> &A::Calls<Caller<A, Q>> {
        &self.0
    }
}

impl<A: Actor, Q: Queue> DerefMut for ActorRef<A, Q> {
    #[inline]
    fn deref_mut(&mut self) -> &mut A::Calls<Caller<A, Q>> {
        &mut self.0
    }
}

impl<A: Actor, Q: Queue> Caller<A, Q> {
    /// Sends a call with its parameters, or a request. If the mailbox has room, it is there when
    /// this returns.
    #[inline]
    pub fn call<C: Call>(&mut self, call: C, args: C::Args) -> PendingReply<C>
    where
        A: Replies<C>,
    {
        let core = &self.cell.core;
        let (awaiting, replying) = A::slots(self.slots.get_or_insert_default()).open(&call, || {
            let (name, executor) = (core.label(), self.cell.set.executor.clone());
            let line = core.kind.requester(C::NAME, &self.cell.set.region);
            let (mailbox, actor, wait) = (core.mailbox(), Some(core.id), WaitStrategy::Park);
            Arc::new(Origin { mailbox, name, actor, executor, line, wait })
        });
        let origin = &awaiting.owner().origin;
        origin.line.count(RequesterValue::Requested);
        if self.cell.set.tracer.is_some() {
            let task = TaskBudget::traced();
            awaiting.owner().trace.pass(task.as_ref().and_then(|task| task.trace()));
        }
        let mail = <A as Replies<C>>::wrap(Ask::new(Queued::new(replying), args));
        let progress = match self.sender.try_send(mail) {
            Ok(()) => Progress::Sent,
            Err(PushError::Closed(mail)) => {
                drop(mail);
                Progress::Unsent(closed(&origin.mailbox))
            }
            Err(PushError::Full(mail)) => match self.sender.try_clone().filter(|_| self.waits()) {
                Some(mut sender) => Progress::Full(Box::pin(async move {
                    Sent::by_one(sender.send(mail).await.is_ok())
                })),
                None => {
                    core.kind.count(ActorValue::Refused);
                    Progress::Unsent(Failure::Refused)
                }
            },
        };
        PendingReply::new(awaiting, progress)
    }

    #[inline]
    fn count_sent(&mut self) {
        if !Q::SHARED {
            self.sent += 1;
        }
    }

    fn waits(&self) -> bool {
        self.cell.core.when_full == WhenFull::Wait
    }
}

impl<A: Actor, Q: Queue> Drop for Caller<A, Q> {
    fn drop(&mut self) {
        if !Q::SHARED {
            self.cell.count_unseen(self.sent);
        }
        self.cell.end_refer();
    }
}

/// Applies the rule for full mailboxes to `message`, which had no room.
#[cold]
pub(super) fn full<M>(core: &Core, message: M) -> Result<(), TellError<M>> {
    match core.when_full {
        WhenFull::Wait => Err(TellError::Full(message)),
        WhenFull::Refuse => {
            core.kind.count(ActorValue::Refused);
            Err(TellError::Full(message))
        }
        WhenFull::DropNewest => {
            core.kind.count(ActorValue::Refused);
            Ok(())
        }
    }
}

/// Clones a reference whose queue allows many senders.
impl<A: Actor, Q: Queue> Clone for ActorRef<A, Q>
where
    Q::Sender<A::Mail>: Clone,
{
    fn clone(&self) -> ActorRef<A, Q> {
        let Caller { cell, sender, .. } = self.0.inner();
        // Cannot fail: this reference is counted, so at least one exists.
        let _ = cell.core.try_refer();
        ActorRef::new(cell.clone(), sender.clone())
    }
}

impl<A: Actor, Q: Queue> fmt::Debug for ActorRef<A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef({})", self.label())
    }
}

/// Refers to an actor without keeping the actor alive.
pub struct WeakRef<A: Actor, Q: Queue = Mpsc> {
    cell: Arc<Cell<A::Mail, Q>>,
}

impl<A: Actor, Q: Queue> WeakRef<A, Q> {
    pub(super) fn new(cell: Arc<Cell<A::Mail, Q>>) -> WeakRef<A, Q> {
        WeakRef { cell }
    }

    /// Returns a reference that keeps the actor alive. `None` if the actor is ending or has ended,
    /// or its queue has one sender and another reference has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<ActorRef<A, Q>> {
        ActorRef::of(&self.cell).ok()
    }

    /// Returns whether the actor has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.cell.core.has_ended()
    }

    /// Returns the actor's number, which no other actor of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.cell.core.id
    }

    /// Returns the actor's name, or its type and number.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        self.cell.core.label()
    }

    /// Ends the actor after the current message.
    pub fn stop(&self) {
        self.cell.core.stop();
    }

    /// Waits until the actor has ended, and returns how it ended.
    pub fn ended(&self) -> impl Future<Output = ActorEnd> + Send + use<A, Q> {
        let cell = self.cell.clone();
        async move { cell.core.ended().await }
    }
}

impl<A: Actor, Q: Queue> Clone for WeakRef<A, Q> {
    fn clone(&self) -> WeakRef<A, Q> {
        WeakRef { cell: self.cell.clone() }
    }
}

impl<A: Actor, Q: Queue> fmt::Debug for WeakRef<A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeakRef({})", self.label())
    }
}
