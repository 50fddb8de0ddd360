//! The trait of an actor, and what its handlers and its task have: each of the three names the
//! other two.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mycelium_bundle::Restart;
use mycelium_core::Request;
use mycelium_core::channel::Queue;

use super::set::Set;
use super::set::cell::Cell;
use super::set::core::{AnyCell, Core};
use super::set::timers::Timers;
use super::set::traces::ActorTraces;
use super::values::{Ask, Gone, Mail};
use crate::error::{Error, Result};
use crate::inbox::request::SlotPool;
use crate::supervise::member::Member;
use crate::task::launch::Task;

/// State with a mailbox of its own. [`#[actor]`](macro@crate::actor) implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    note = "put `#[mycelium::actor]` on `impl {Self} {{ #[tell] fn ..(&mut self, message: ..) .. }}`"
)]
pub trait Actor: Sized + 'static {
    /// Its type's name in logs and counters.
    const NAME: &'static str;

    /// What its mailbox holds: one of its messages or requests.
    #[doc(hidden)]
    type Mail: Mail;

    /// The slots of the requests that one reference makes.
    #[doc(hidden)]
    type Slots: Default + Send + 'static;

    /// The topics of the requests that it answers, in the order of their numbers.
    #[doc(hidden)]
    const REQUESTS: &'static [&'static str];

    /// Visits the types of the requests that it answers.
    #[doc(hidden)]
    fn each_request(visitor: &mut impl AskVisitor<Self>);

    #[doc(hidden)]
    fn receive(
        &mut self,
        mail: Self::Mail,
        context: &mut ActorContext<Self>,
    ) -> impl Future<Output = Result<()>>;

    #[doc(hidden)]
    fn call_started(
        &mut self,
        context: &mut ActorContext<Self>,
    ) -> impl Future<Output = Result<()>>;

    #[doc(hidden)]
    fn call_stopped(&mut self, context: &mut ActorContext<Self>) -> impl Future<Output = ()>;

    #[doc(hidden)]
    fn call_gone(
        &mut self,
        gone: Gone,
        context: &mut ActorContext<Self>,
    ) -> impl Future<Output = Result<()>>;

    #[doc(hidden)]
    fn call_on_error(&mut self, error: &Error) -> OnError;

    #[doc(hidden)]
    fn is_send() -> bool;

    #[doc(hidden)]
    fn launch<Q: Queue>(life: ActorLife<Self, Q>) -> Task;
}

/// The actor has a handler for messages of type `M`: a method with `#[tell]`.
#[diagnostic::on_unimplemented(
    message = "actor `{Self}` has no handler for `{M}`",
    note = "write one: `#[tell] fn ..(&mut self, message: {M}) -> Result<()>`"
)]
pub trait Handles<M>: Actor {
    #[doc(hidden)]
    fn wrap(message: M) -> Self::Mail;

    /// The message that `wrap` was given.
    #[doc(hidden)]
    fn unwrap(mail: Self::Mail) -> M;
}

/// The actor answers requests of type `Q`: it has a method with `#[ask]`.
#[diagnostic::on_unimplemented(
    message = "actor `{Self}` does not answer `{Q}`",
    note = "write a handler: `#[ask] fn ..(&mut self, request: {Q}) -> Result<..>`"
)]
pub trait Replies<Q: Request>: Actor {
    #[doc(hidden)]
    fn wrap(request: Ask<Q>) -> Self::Mail;

    /// The request, if it is one of this type.
    #[doc(hidden)]
    fn unwrap(mail: Self::Mail) -> Result<Ask<Q>, Self::Mail>;

    #[doc(hidden)]
    fn slots(slots: &mut Self::Slots) -> &mut SlotPool<Q>;
}

/// Sees the types of the requests that an actor answers.
pub trait AskVisitor<A: Actor> {
    #[doc(hidden)]
    fn visit<R: Request>(&mut self)
    where
        A: Replies<R>;
}

/// What happens after a handler of an actor has returned an error. See
/// [`#[actor]`](macro@crate::actor).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The actor handles the next message.
    Continue,
    /// The actor is restarted after a pause, with the same state: `started` runs again.
    Restart,
    /// The actor ends, as one that has failed too often.
    Stop,
}

/// What an actor sees of itself and of the others: time, timers, children, those that it watches.
pub struct ActorContext<A: Actor> {
    pub(super) cell: Arc<dyn AnyCell>,
    pub(super) set: Arc<Set>,
    /// Made with the first one. Never locked: the mutex makes the context `Sync`, so that a future
    /// that keeps a `&ActorContext` may move between threads.
    pub(super) timers: Option<Box<Mutex<Timers<A::Mail>>>>,
    /// Those that live, in the order in which they were spawned.
    pub(super) children: BTreeMap<u64, Arc<dyn AnyCell>>,
    /// Messages that were told, since the counters have them.
    pub(super) handled: u64,
    /// All messages that were told and have left the mailbox, and those of timers.
    pub(super) taken: u64,
}

/// What a mutex has, without a lock.
pub(super) fn exclusive<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the instances of an actor: a factory, for most.
pub(crate) trait Maker<A>: Send {
    fn make(&mut self) -> A;

    /// The actor that must end before this one begins.
    fn predecessor(&mut self) -> Option<Arc<dyn AnyCell>> {
        None
    }

    /// The actor has ended; the others do not know it yet.
    fn ended(&self, core: &Core) {
        let _ = core;
    }
}

impl<A, F: FnMut() -> A + Send> Maker<A> for F {
    fn make(&mut self) -> A {
        self()
    }
}

/// What the task of an actor has, from its spawn to its end.
pub struct ActorLife<A: Actor, Q: Queue> {
    pub(super) cell: Arc<Cell<A::Mail, Q>>,
    pub(super) receiver: Q::Receiver<A::Mail>,
    pub(super) maker: Box<dyn Maker<A>>,
    pub(super) context: ActorContext<A>,
    /// `None` if it is not restarted.
    pub(super) restart: Option<Arc<Restart>>,
    /// In a node with traces.
    pub(super) traces: Option<Box<ActorTraces>>,
    /// If it has a supervisor, until it runs.
    pub(super) member: Option<Box<Member>>,
    pub(super) is_supervised: bool,
    /// Messages since the task last yielded.
    pub(super) since_yield: u32,
    /// The mailbox refuses messages, and the actor handles what is in it.
    pub(super) is_draining: bool,
    /// The end was reported.
    pub(super) has_ended: bool,
}
