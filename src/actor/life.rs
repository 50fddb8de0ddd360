//! The trait of an actor, the context of its handlers, and the state of its task. They are in one
//! file because their types refer to each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mycelium_bundle::Restart;
use mycelium_core::Request;
use mycelium_core::channel::Queue;

use super::set::Set;
use super::set::cell::{Cell, SetCell};
use super::set::core::AnyCell;
use super::set::timers::Timers;
use super::set::traces::ActorTraces;
use super::values::{Ask, Gone, Mail};
use crate::error::{Error, Result};
use crate::inbox::request::{Call, SlotPool};
use crate::supervise::member::Member;
use crate::task::launch::Launch;

/// A value with its own mailbox. [`#[actor]`](macro@crate::actor) implements this trait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    note = "put `#[mycelium::actor]` on `impl {Self} {{ fn ..(&mut self, ..) -> .. }}`"
)]
pub trait Actor: Sized + 'static {
    /// The name of the type in logs and counters.
    const NAME: &'static str;

    /// An item of the mailbox: one of the actor's messages or requests.
    #[doc(hidden)]
    type Mail: Mail;

    /// The slots for the requests of one reference.
    #[doc(hidden)]
    type Slots: Default + Send + 'static;

    /// The calls of the actor, as methods of a struct around a `T` that sends them.
    #[doc(hidden)]
    type Calls<T: Send + 'static>: Methods<T> + Send + 'static;

    /// The names of the calls and requests that the actor answers.
    #[doc(hidden)]
    const CALLS: &'static [&'static str];

    /// Calls `visitor` with each type of request that the actor answers.
    #[doc(hidden)]
    fn each_request(visitor: &mut impl AskVisitor<Self>);

    /// Handles an item whose handler does not wait. Returns another item as an error.
    #[doc(hidden)]
    fn receive_now(
        &mut self,
        mail: Self::Mail,
        context: &mut ActorContext<Self>,
    ) -> Result<Result<()>, Self::Mail>;

    /// Handles an item that `receive_now` has returned.
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
    fn launch<Q: Queue>() -> Launch<ActorLife<Self, Q>>;
}

/// The actor has a handler for messages of type `M`: a method with `#[tell]`.
#[diagnostic::on_unimplemented(
    message = "actor `{Self}` has no handler for `{M}`",
    note = "write one: `#[tell] fn ..(&mut self, message: {M}) -> Result<()>`"
)]
pub trait Handles<M>: Actor {
    #[doc(hidden)]
    fn wrap(message: M) -> Self::Mail;

    /// Returns the message from which `wrap` has made the mail.
    #[doc(hidden)]
    fn unwrap(mail: Self::Mail) -> M;
}

/// The actor answers the call or request `C`. For a request it has a method with `#[remote]`.
#[diagnostic::on_unimplemented(
    message = "actor `{Self}` does not answer `{C}`",
    note = "write a handler: `#[remote] fn ..(&mut self, request: {C}) -> ..`"
)]
pub trait Replies<C: Call>: Actor {
    #[doc(hidden)]
    fn wrap(call: Ask<C>) -> Self::Mail;

    /// Returns the call in `mail` if it is of this type; otherwise returns `mail` as an error.
    #[doc(hidden)]
    fn unwrap(mail: Self::Mail) -> Result<Ask<C>, Self::Mail>;

    #[doc(hidden)]
    fn slots(slots: &mut Self::Slots) -> &mut SlotPool<C>;
}

/// A struct around a `T` that sends the calls of an actor: [`Actor::Calls`].
pub trait Methods<T> {
    #[doc(hidden)]
    fn around(inner: T) -> Self;

    #[doc(hidden)]
    fn inner(&self) -> &T;

    #[doc(hidden)]
    fn inner_mut(&mut self) -> &mut T;
}

/// Returns the number of a call in the list of all calls of its actor.
#[must_use]
pub const fn number(calls: &[&str], call: &str) -> usize {
    const fn is_same(one: &[u8], other: &[u8]) -> bool {
        let mut index = 0;
        while index < one.len() && index < other.len() && one[index] == other[index] {
            index += 1;
        }
        index == one.len() && index == other.len()
    }
    let mut number = 0;
    while !is_same(calls[number].as_bytes(), call.as_bytes()) {
        number += 1;
    }
    number
}

/// A visitor of the request types that an actor answers.
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
    /// The actor ends, like an actor that has failed too often.
    Stop,
}

/// Gives an actor access to itself and to others: time, timers, children, and watched actors.
//
// The fields that each message uses are next to each other here and in `ActorLife`, because a poll
// of an actor that has slept for long loads each of its cache lines.
#[repr(C)]
pub struct ActorContext<A: Actor> {
    /// The living children, in the order in which they were spawned; created with the first one.
    #[expect(clippy::box_collection, reason = "few actors have children: one word is enough")]
    pub(super) children: Option<Box<BTreeMap<u64, Arc<dyn AnyCell>>>>,
    pub(super) cell: Arc<dyn SetCell>,
    /// Created with the first timer. Never locked: the mutex only makes the context `Sync`, so that
    /// a future that holds a `&ActorContext` can move between threads.
    pub(super) timers: Option<Box<Mutex<Timers<A::Mail>>>>,
    /// The number of handled messages that are not yet in the counters.
    pub(super) handled: u64,
    /// The number of messages taken from the mailbox or from timers, without requests.
    pub(super) taken: u64,
}

/// Returns the value of a mutex without locking it.
pub(super) fn exclusive<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Creates the instances of an actor. For most actors it is a factory.
pub(crate) trait Maker<A>: Send {
    fn make(&mut self) -> A;

    /// Called when the actor has ended, before others learn of it.
    fn ended(&self, cell: &dyn SetCell) {
        let _ = cell;
    }
}

impl<A, F: FnMut() -> A + Send> Maker<A> for F {
    fn make(&mut self) -> A {
        self()
    }
}

/// When an actor is restarted after failures.
#[derive(Clone)]
pub(crate) enum Restarts {
    /// By the default limits of its set.
    Default,
    Never,
    By(Arc<Restart>),
}

impl Restarts {
    /// Returns the limits, unless the actor is never restarted.
    pub(super) fn limits<'a>(&'a self, set: &'a Set) -> Option<&'a Arc<Restart>> {
        match self {
            Restarts::Default => Some(&set.restart),
            Restarts::Never => None,
            Restarts::By(restart) => Some(restart),
        }
    }
}

/// What decides when the first run of an actor begins.
pub(crate) enum Beginning {
    /// The supervisor, under which this is the actor's place. It decides about later runs, too.
    Supervised(Member),
    /// The ends of these actors.
    After(Vec<Arc<dyn AnyCell>>),
}

/// The *life* of an actor: the state of its task, from its spawn to its end.
#[repr(C)]
pub struct ActorLife<A: Actor, Q: Queue> {
    pub(super) maker: Box<dyn Maker<A>>,
    pub(super) restarts: Restarts,
    /// What decides when the first run begins, if anything does. `None` once the actor runs.
    pub(super) beginning: Option<Box<Beginning>>,
    pub(super) context: ActorContext<A>,
    /// The traces of the actor, in a node with traces.
    pub(super) traces: Option<Box<ActorTraces>>,
    pub(super) cell: Arc<Cell<A::Mail, Q>>,
    pub(super) is_supervised: bool,
    /// Whether the end was reported.
    pub(super) has_ended: bool,
    /// Whether the mailbox refuses new messages while the actor handles the remaining ones.
    pub(super) is_draining: bool,
    /// The number of messages since the task last yielded.
    pub(super) since_yield: u32,
    pub(super) receiver: Q::Receiver<A::Mail>,
}
