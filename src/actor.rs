//! Actors: state with a mailbox of its own, spawned and stopped while a node runs.
//!
//! From the bottom up: `error` has what callers see of a refusal; `mail` is what a mailbox holds;
//! `kind` is what all actors of one type share; `cell` is what one actor and its references share:
//! its control word, its end, those who watch it; `reference` has [`ActorRef`] and [`WeakRef`];
//! `timers` has the timers of an actor; `context` is what its handlers see; `run` is its task,
//! which restarts it, `ending` reports its end, `supervised` restarts several together; `builder`
//! spawns it; `actors` is the set of all of them; `keyed` has those with a key each, made on first
//! use. For other nodes: `call` and `watch` are what nodes send to each other, `nodes` is how
//! actors see other nodes, `answer` asks for another node, `remote` has [`RemoteRef`]. For tests,
//! `notes` is what a test sees of them, and `recorded` runs an actor whose messages are kept and
//! not handled.
//!
//! **Control** does not queue behind data: a stop, the end of a watched actor and the failure of a
//! child are bits of a word beside the mailbox, which the task looks at before each message.

mod actors;
mod answer;
mod builder;
mod call;
mod cell;
mod context;
mod ending;
mod error;
mod keyed;
mod kind;
mod mail;
mod nodes;
#[cfg(feature = "testing")]
mod notes;
#[cfg(feature = "testing")]
mod recorded;
mod reference;
mod remote;
mod run;
mod supervised;
mod timers;
mod watch;

use mycelium_core::Request;
use mycelium_core::channel::Queue;

use crate::error::{Error, Result};
use crate::launch::Task;
use crate::request::SlotPool;

pub use actors::Actors;
pub use builder::{ActorBuilder, WhenFull};
pub(crate) use call::{ActorCall, calls_topic};
pub use cell::{ActorEnd, Gone};
pub use context::{ActorContext, Asking};
pub use error::{FindActorError, RemoteActorError, SpawnActorError, TellError};
pub use keyed::{Keyed, KeyedBuilder, KeyedTellError};
pub use mail::{Ask, DeadMail, Mail, told};
pub(crate) use nodes::OtherNodes;
#[cfg(feature = "testing")]
pub(crate) use notes::Notes;
#[cfg(feature = "testing")]
pub use notes::{ActorFailure, UnhandledMail};
#[cfg(feature = "testing")]
pub(crate) use recorded::Record;
pub use reference::{ActorRef, WeakRef};
pub use remote::{RemoteRef, RemoteReply};
pub use run::{ActorLife, run_actor};
pub use supervised::ActorSupervisor;
pub use timers::Timer;
pub(crate) use watch::{WatchCall, watches_topic};

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
