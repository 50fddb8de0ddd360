//! Actors: state with a mailbox of its own, spawned and stopped while a node runs.
//!
//! From the bottom up: `error` has what callers see of a refusal; `gone` says how an actor ended;
//! `mail` is what a mailbox holds; `kind` is what all actors of one type share; `core` is what one
//! actor shares with others: its control word, its end, those who watch it; `set` has all that
//! live; `cell` is a core with its mailbox; `timers` has the timers of an actor. `life` has the
//! trait, and what the handlers and the task of an actor have. `traces` are those of its task.
//! `reference` has [`ActorRef`] and [`WeakRef`]; `context` is what handlers see, `asking` how they
//! ask; `run` is the task, which restarts the actor, `supervised` restarts several together,
//! `ending` is the last that a task does; `builder` spawns it; `actors` is the handle of all of
//! them; `keyed` has those with a key each, made on first use.
//!
//! For other nodes: `call` and `watch` are what nodes send to each other, `nodes` is how actors see
//! other nodes, `answer` asks for another node, `remote` has [`RemoteRef`]. For tests, `notes` is
//! what a test sees of them, and `recorded` runs an actor whose messages are kept and not handled.
//!
//! **Control** does not queue behind data: a stop, the end of a watched actor and the failure of a
//! child are bits of a word beside the mailbox, which the task looks at before each message.

mod actors;
mod answer;
mod asking;
mod builder;
mod call;
mod cell;
mod context;
mod core;
mod ending;
mod error;
mod gone;
mod keyed;
mod kind;
mod life;
mod mail;
mod nodes;
#[cfg(feature = "testing")]
mod notes;
#[cfg(feature = "testing")]
mod recorded;
mod reference;
mod remote;
mod run;
mod set;
mod supervised;
mod timers;
mod traces;
mod watch;

pub use actors::Actors;
pub use asking::Asking;
pub use builder::ActorBuilder;
pub(crate) use call::{ActorCall, calls_topic};
pub use error::{FindActorError, RemoteActorError, SpawnActorError, TellError};
pub use gone::{ActorEnd, Gone};
pub use keyed::{Keyed, KeyedBuilder, KeyedTellError};
pub use life::{Actor, ActorContext, ActorLife, AskVisitor, Handles, OnError, Replies};
pub use mail::{Ask, DeadMail, Mail, WhenFull, told};
pub(crate) use nodes::OtherNodes;
#[cfg(feature = "testing")]
pub(crate) use notes::Notes;
#[cfg(feature = "testing")]
pub use notes::{ActorFailure, UnhandledMail};
#[cfg(feature = "testing")]
pub(crate) use recorded::Record;
pub use reference::{ActorRef, WeakRef};
pub use remote::{RemoteRef, RemoteReply};
pub use run::run_actor;
pub use supervised::ActorSupervisor;
pub use timers::Timer;
pub(crate) use watch::{WatchCall, watches_topic};
