//! The errors of telling a message to an actor, of spawning an actor, and of finding one.

use std::fmt;

use mycelium_core::ring::CapacityError;
use mycelium_core::{Code, debug_as_display};
use mycelium_executor::SpawnError;
use thiserror::Error;

/// Why a message was not told. The error gives the message back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TellError<M> {
    /// The actor has ended.
    Gone(M),
    /// The mailbox of the actor is full.
    Full(M),
}

impl<M> TellError<M> {
    /// Returns the message.
    pub fn into_message(self) -> M {
        match self {
            TellError::Gone(message) | TellError::Full(message) => message,
        }
    }

    /// Returns the code with which the text of the error ends.
    pub fn code(&self) -> Code {
        match self {
            TellError::Gone(_) => Code::ACTOR_GONE,
            TellError::Full(_) => Code::ACTOR_FULL,
        }
    }
}

impl<M> fmt::Display for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TellError::Gone(_) => "the message was not told: the actor has ended",
            TellError::Full(_) => "the message was not told: the mailbox of the actor is full",
        })?;
        write!(f, " [{}]", self.code())
    }
}

/// Formats as `Display` does: `main` and `unwrap` print this.
impl<M> fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<M> std::error::Error for TellError<M> {}

/// The longest name of an actor, in bytes: messages between nodes have no room for longer ones.
pub(crate) const LONGEST_NAME: usize = 62;

/// The rule for names of actors, as the end of an error's text.
pub(crate) const NAMES: &str = "expected 1 to 62 bytes without spaces, `=` and control characters";

/// Returns whether an actor may have this name. It is part of counter labels, log lines, and
/// addresses of remote actors.
pub(crate) fn is_name(name: &str) -> bool {
    let is_bad = |c: char| c.is_control() || " =".contains(c);
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(is_bad)
}

/// Why an actor was not spawned.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpawnActorError {
    /// No actors are spawned any more: the node shuts down, or the parent ends.
    #[error("actor `{actor}` was not spawned: the actors shut down [{code}]", code = self.code())]
    ShuttingDown {
        /// The type of the actor.
        actor: &'static str,
    },
    /// The name of the actor is invalid.
    #[error(
        "actor `{actor}` was not spawned: invalid name `{}`: {NAMES} [{code}]",
        name.escape_debug(),
        code = self.code()
    )]
    Name {
        /// The type of the actor.
        actor: &'static str,
        /// The name.
        name: String,
    },
    /// Another living actor has the name.
    #[error(
        "actor `{actor}` was not spawned: another actor, of type `{other}`, has the name `{name}` [{code}]",
        code = self.code()
    )]
    NameTaken {
        /// The type of the actor.
        actor: &'static str,
        /// The name.
        name: String,
        /// The type of the other actor.
        other: &'static str,
    },
    /// The mailbox cannot have this capacity.
    #[error("actor `{actor}` was not spawned: its mailbox: {error} [{code}]", code = self.code())]
    Capacity {
        /// The type of the actor.
        actor: &'static str,
        /// The reason.
        error: CapacityError,
    },
    /// The limit of living keyed actors is reached.
    #[error(
        "actor `{actor}` was not spawned: {limit} of them live, which is the limit [{code}]",
        code = self.code()
    )]
    Limit {
        /// The actor's type.
        actor: &'static str,
        /// The limit of living actors.
        limit: usize,
    },
    /// The limit of keyed actors is 0, so none could live.
    #[error(
        "actor `{actor}` is never spawned: invalid limit 0: expected at least 1 [{code}]",
        code = self.code()
    )]
    LimitZero {
        /// The type of the actor.
        actor: &'static str,
    },
    /// Keyed actors were placed on an empty list of executors.
    #[error(
        "actor `{actor}` is never spawned: it is placed on no executor: expected at least 1 [{code}]",
        code = self.code()
    )]
    NoExecutors {
        /// The type of the actor.
        actor: &'static str,
    },
    /// The executor refused the task. An actor that is not `Send` needs an executor that runs local
    /// tasks, and must be spawned on its thread.
    #[error("actor `{actor}` was not spawned: {error} [{code}]", code = self.code())]
    Executor {
        /// The type of the actor.
        actor: &'static str,
        /// The reason.
        error: SpawnError,
    },
}

/// Why no reference to an actor with this name was returned.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FindActorError {
    /// No living actor has the name.
    #[error("no actor has the name `{name}`: {expected} [{code}]", code = self.code())]
    Unknown {
        /// The name.
        name: String,
        /// The existing names.
        expected: String,
    },
    /// The actor is of another type, or its mailbox is another queue.
    #[error("the actor `{name}` is a `{found}` and not a `{expected}` [{code}]", code = self.code())]
    Type {
        /// The name.
        name: String,
        /// The expected type, and its queue.
        expected: String,
        /// The type of the actor, and its queue.
        found: String,
    },
    /// The mailbox allows one sender, and another reference has it.
    #[error(
        "the actor `{name}` has a mailbox with one sender (`{queue}`), which an earlier \
         reference has or had [{code}]",
        code = self.code()
    )]
    OneSender {
        /// The name.
        name: String,
        /// The queue.
        queue: &'static str,
    },
    /// All references to the actor are dropped, so it is ending.
    #[error("the actor `{name}` ends: nobody refers to it any more [{code}]", code = self.code())]
    Ending {
        /// The name.
        name: String,
    },
}

/// Why no reference to an actor of another node was returned.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoteActorError {
    /// The text is not a valid address of an actor.
    #[error(
        "invalid address `{}`: {problem}; expected `node/actor` [{code}]", address.escape_debug(),
        code = self.code()
    )]
    Address {
        /// The address.
        address: String,
        /// What is wrong with the address.
        problem: &'static str,
    },
    /// The topology has no such node.
    #[error("unknown node `{}`: {expected} [{code}]", node.escape_debug(), code = self.code())]
    UnknownNode {
        /// The node.
        node: String,
        /// The existing nodes.
        expected: String,
    },
    /// The address names this node itself.
    #[error("node `{node}` is this one: find its actors by `Actors::by_name` [{code}]", code = self.code())]
    OwnNode {
        /// The node.
        node: String,
    },
    /// The topology does not allow this node to ask the actors of the other node.
    #[error(
        "node `{asker}` may not ask the actors of node `{node}`: add `actors_for = [\"{asker}\"]` to \
         the section of `{node}` [{code}]",
        code = self.code()
    )]
    NotGranted {
        /// The node with the actors.
        node: String,
        /// This node.
        asker: String,
    },
    /// The actors belong to no node, so they have no links.
    #[error(
        "these actors have no node: those of `Running::actors` and `Context::actors` have one [{code}]",
        code = self.code()
    )]
    NoNode,
    /// This node has ended.
    #[error("the node has ended [{code}]", code = self.code())]
    ShuttingDown,
}

debug_as_display!(SpawnActorError, FindActorError, RemoteActorError);

impl SpawnActorError {
    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            SpawnActorError::ShuttingDown { .. } => Code::SHUTTING_DOWN,
            SpawnActorError::Name { .. } => Code::ACTOR_NAME,
            SpawnActorError::NameTaken { .. } => Code::ACTOR_NAME_TAKEN,
            SpawnActorError::Capacity { .. } => Code::ACTOR_CAPACITY,
            SpawnActorError::Limit { .. } => Code::ACTOR_LIMIT,
            SpawnActorError::LimitZero { .. } => Code::ACTOR_LIMIT_ZERO,
            SpawnActorError::NoExecutors { .. } => Code::ACTOR_NOWHERE,
            SpawnActorError::Executor { error, .. } => error.code(),
        }
    }
}

impl FindActorError {
    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            FindActorError::Unknown { .. } => Code::ACTOR_UNKNOWN,
            FindActorError::Type { .. } => Code::ACTOR_TYPE,
            FindActorError::OneSender { .. } => Code::ACTOR_ONE_SENDER,
            FindActorError::Ending { .. } => Code::ACTOR_ENDING,
        }
    }
}

impl RemoteActorError {
    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            RemoteActorError::Address { .. } => Code::ACTOR_ADDRESS,
            RemoteActorError::UnknownNode { .. } => Code::ACTOR_NODE_UNKNOWN,
            RemoteActorError::OwnNode { .. } => Code::ACTOR_OF_THIS_NODE,
            RemoteActorError::NotGranted { .. } => Code::ACTOR_NOT_GRANTED,
            RemoteActorError::NoNode => Code::ACTORS_WITHOUT_NODE,
            RemoteActorError::ShuttingDown => Code::SHUTTING_DOWN,
        }
    }
}

/// The kind of a failure of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Panic,
    /// An error after which the actor continues.
    Ignored,
}
