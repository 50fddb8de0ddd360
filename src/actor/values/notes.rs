//! What a test can observe of the actors of its set: failures, restarts, dead mail.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::error::Severity;
use super::mail::DeadMail;
use crate::support::lock::lock;

/// A failure of an actor, as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorFailure {
    /// The actor: its name, or its type and number.
    pub actor: Arc<str>,
    /// The text of the error, or of the panic and its place.
    pub error: String,
    /// Whether it was a panic.
    pub panicked: bool,
    /// Whether `on_error` said [`Continue`](crate::actors::OnError::Continue).
    pub ignored: bool,
}

impl fmt::Display for ActorFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ActorFailure { actor, error, ignored, .. } = self;
        let continues = if *ignored { ", and continues" } else { "" };
        write!(f, "`{actor}` failed{continues}: {error}")
    }
}

/// A told message whose actor ended before handling it, as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnhandledMail {
    /// The actor: its name, or its type and number.
    pub actor: Arc<str>,
    /// The name of the message's type.
    pub message_type: &'static str,
}

/// The notes of a set: the actors write them, the test reads them.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Noted>);

#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) failures: Vec<ActorFailure>,
    pub(crate) dead_mail: Vec<UnhandledMail>,
    /// How often each actor was restarted.
    pub(crate) restarts: BTreeMap<Arc<str>, u64>,
}

impl Notes {
    pub(crate) fn noted(&self) -> MutexGuard<'_, Noted> {
        lock(&self.0)
    }

    pub(crate) fn add_failure(
        &self,
        actor: Arc<str>,
        error: &dyn fmt::Display,
        severity: Severity,
    ) {
        let error = error.to_string();
        let (panicked, ignored) = (severity == Severity::Panic, severity == Severity::Ignored);
        self.noted().failures.push(ActorFailure { actor, error, panicked, ignored });
    }

    pub(crate) fn add_restart(&self, actor: &Arc<str>) {
        *self.noted().restarts.entry(actor.clone()).or_default() += 1;
    }

    pub(crate) fn add_dead_mail(&self, mail: &DeadMail<'_>) {
        let (actor, message_type) = (mail.actor().into(), mail.message_type());
        self.noted().dead_mail.push(UnhandledMail { actor, message_type });
    }
}
