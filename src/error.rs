//! Errors that users see: of services here, of building a node in `build`, of starting and ending
//! it in `start`. Errors of a topology file are in `topology`.

mod build;
mod start;

use std::fmt;

pub use mycelium_transports::local::ShuttingDown;
use mycelium_transports::local::TopicError;

pub use build::BuildError;
pub use start::StartError;

/// Any error that ends a service's `run` early.
///
/// `?` makes it from every error type, as it makes `Box<dyn Error>`. So it does not implement
/// `Error` itself.
pub struct Error {
    error: Box<dyn std::error::Error + Send + Sync>,
    permanent: bool,
}

/// What a service's `run` returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a message only.
    pub fn msg(message: impl Into<String>) -> Error {
        Error { error: message.into().into(), permanent: false }
    }

    /// Marks the error as permanent: another try would fail in the same way, so the service is not
    /// restarted, and the node shuts down.
    #[must_use]
    pub fn permanent(self) -> Error {
        Error { permanent: true, ..self }
    }

    /// Whether another try would fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The error itself.
    #[must_use]
    pub fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.error
    }

    /// The error and its sources.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        let first: &(dyn std::error::Error + 'static) = &*self.error;
        std::iter::successors(Some(first), |error| error.source())
    }

    /// The error as `E`, if it is one.
    #[must_use]
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        Error { error: Box::new(error), permanent: false }
    }
}

impl fmt::Display for Error {
    /// The error with its sources, except those that its own text ends with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.error.to_string();
        let mut source = self.error.source();
        while let Some(error) = source {
            let cause = error.to_string();
            if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
            source = error.source();
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

/// Work that did not finish: it panicked, or its service's run or the executor ended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work panicked, or was dropped before it finished")]
pub struct Unfinished;

/// Why a service cannot have a publisher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublisherError {
    /// The node shuts down, and the service has no subscriptions: it should end.
    #[error(transparent)]
    ShuttingDown(#[from] ShuttingDown),
    /// The topic refuses it.
    #[error(transparent)]
    Refused(#[from] BuildError),
}

/// Why a service cannot have a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// An earlier handle of the subscription has not been dropped.
    #[error(
        "subscription `{subscription}` is taken: drop its first handle before you take it again"
    )]
    Taken {
        /// `Service.topic`.
        subscription: String,
    },
    /// The topic refuses it.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// This node cannot have such a topic.
    #[error("{reason}")]
    Refused {
        /// The reason.
        reason: String,
    },
}
