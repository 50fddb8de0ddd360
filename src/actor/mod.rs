//! Actors: values with their own mailboxes, spawned and stopped while a node runs.
//!
//! From the bottom up: `values` has the errors, the mail and the ends of actors, which users see.
//! `far` has the requests through which nodes reach each other's actors. `set` has all living
//! actors, and the state that an actor shares with others; `life` has the trait, and the state of
//! the handlers and of the task. `reference` has [`ActorRef`] and [`WeakRef`]; `answer` asks an
//! actor on behalf of another node; `builder` spawns an actor, and `task` runs, restarts and ends
//! it; `returns` says what the method of a call returns; `actors` is the handle of all actors.
//! `context` is the context of handlers, `asking` has their requests; `supervised` restarts several
//! actors together; `keyed` has one actor for each key, created on first use; `remote` has
//! [`RemoteRef`]. For tests, `recorded` runs an actor whose messages are recorded instead of
//! handled.
//!
//! **Control** bypasses the mailbox: a stop, the end of a watched actor and the failure of a child
//! are bits of a word beside the mailbox, which the task reads before each message.

mod actors;
mod answer;
mod asking;
mod builder;
mod context;
mod far;
mod keyed;
mod life;
#[cfg(feature = "testing")]
mod recorded;
mod reference;
mod remote;
mod returns;
mod set;
mod supervised;
mod task;
mod values;

pub use actors::Actors;
pub use asking::Asking;
pub use builder::ActorBuilder;
pub(crate) use far::{ActorCall, OtherNodes, WatchCall, calls_topic, watches_topic};
pub use keyed::{Keyed, KeyedBuilder, KeyedTellError};
pub use life::{
    Actor, ActorContext, ActorLife, AskVisitor, Handles, Methods, OnError, Replies, number,
};
#[cfg(feature = "testing")]
pub(crate) use recorded::Record;
pub use reference::{ActorRef, Caller, WeakRef};
pub use remote::{InThisProcess, RemoteCaller, RemoteRef, RemoteReply};
pub use returns::{Outcome, Plain, Probe, Returns};
pub use set::timers::Timer;
pub use supervised::ActorSupervisor;
pub use task::run_actor;
#[cfg(feature = "testing")]
pub(crate) use values::Notes;
pub use values::{
    ActorEnd, Ask, CallError, DeadMail, FindActorError, Gone, Mail, MailContent, RemoteActorError,
    SpawnActorError, TellError, WhenFull,
};
#[cfg(feature = "testing")]
pub use values::{ActorFailure, UnhandledMail};
