//! Errors that users see: errors of services here, of building a node in `build`, of starting and
//! ending it in `start`. Errors of a topology file are in `topology`.

mod build;
mod code;
mod start;

use std::{fmt, io};

pub use mycelium_core::Code;
use mycelium_core::debug_as_display;
pub use mycelium_executor::{SpawnError, ThreadError};
pub use mycelium_transports::endpoint::BindError;
pub use mycelium_transports::link::{Difference, LayoutMismatch};
pub use mycelium_transports::local::{ShuttingDown, TopicError};

use crate::topology::TopologyError;
use build::is_bug_of_topic;

pub use crate::support::problem::Problem;
pub use build::BuildError;
pub(crate) use code::code_of;
pub use start::StartError;

/// Any error that ends a service's `run` early.
///
/// `?` converts every error type to it, as for `Box<dyn Error>`. For this reason it does not
/// implement `Error` itself.
pub struct Error {
    error: Box<dyn std::error::Error + Send + Sync>,
    permanent: bool,
}

/// The result of a service's `run`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error from a message.
    pub fn msg(message: impl Into<String>) -> Error {
        Error { error: message.into().into(), permanent: false }
    }

    /// Marks the error as permanent: another attempt would fail in the same way, so the service is
    /// not restarted, and the node shuts down.
    ///
    /// Mistakes in the program that this library detects are permanent without a mark, also inside
    /// an error that wraps them: a subscription that is taken twice
    /// ([`SubscribeError::is_permanent`]), a topic with another message type
    /// ([`BuildError::is_permanent`]).
    #[must_use]
    pub fn permanent(self) -> Error {
        Error { permanent: true, ..self }
    }

    /// Returns whether another attempt would fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.permanent || chain(&*self.error).any(is_bug)
    }

    /// Returns the code of the error, if it is an error of this library or wraps one.
    ///
    /// ```
    /// use mycelium::error::{Code, SubscribeError};
    /// use mycelium::Error;
    ///
    /// let error = SubscribeError::Taken { subscription: "Sum.ticks".to_owned() };
    /// assert_eq!(Error::from(error).code(), Some(Code::SUBSCRIPTION_TAKEN));
    /// assert_eq!(Error::msg("no price").code(), None);
    /// ```
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        Code::at_end(&self.to_string())
    }

    /// Returns the wrapped error.
    #[must_use]
    pub fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Converts the error to one that can be the source of another error and keeps its
    /// [mark](Error::permanent).
    pub(crate) fn into_source(self) -> Box<dyn std::error::Error + Send + Sync> {
        if self.permanent { Box::new(Permanent(self.error)) } else { self.error }
    }

    /// Returns whether the shutdown of the node caused the error.
    pub(crate) fn is_of_shutdown(&self) -> bool {
        chain(&*self.error).any(|error| error.is::<ShuttingDown>())
    }

    /// Returns the error as an `E`, if it is one.
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

/// An error that is marked as permanent, in a form that can be the source of another one.
struct Permanent(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Permanent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Returns an error and the errors that it wraps, outermost first.
fn chain<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        // Checked first: the source of an `io::Error` skips the error that it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|error| error as _).or_else(|| error.source())
    })
}

/// Returns whether an error is a mistake in the program.
fn is_bug(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<SubscribeError>() {
        error.is_permanent()
    } else if let Some(PublisherError::Refused(error)) = error.downcast_ref() {
        error.is_permanent()
    } else if let Some(error) = error.downcast_ref::<BuildError>() {
        error.is_permanent()
    } else if let Some(error) = error.downcast_ref::<StartError>() {
        error.is_permanent()
    } else if let Some(error) = error.downcast_ref::<TopicError>() {
        is_bug_of_topic(error)
    } else {
        error.is::<TopologyError>()
            || error.is::<Problem>()
            || error.is::<NoPublisher>()
            || error.is::<Permanent>()
    }
}

impl fmt::Display for Error {
    /// Formats the error with its sources, except sources that its own text already ends with. The
    /// code of the innermost error comes last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.error.to_string();
        let (text, mut code) = Code::split(&whole);
        let mut text = text.to_owned();
        let mut source = self.error.source();
        while let Some(error) = source {
            let whole = error.to_string();
            let (cause, its_code) = Code::split(&whole);
            if !text.ends_with(cause) {
                text = format!("{text}: {cause}");
            }
            code = its_code.or(code);
            source = error.source();
        }
        f.write_str(&text)?;
        code.map_or(Ok(()), |code| write!(f, " [{code}]"))
    }
}

impl fmt::Debug for Error {
    /// Formats as `Display` does: `main` and `unwrap` print errors by `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A task that did not finish: it panicked, or the service's run or the executor ended first.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work panicked, or was dropped before it finished [{code}]", code = self.code())]
pub struct Unfinished;

/// Why a service cannot get a publisher.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PublisherError {
    /// The node shuts down, and the service has no subscriptions: the service should end.
    #[error("{0} [{code}]", code = self.code())]
    ShuttingDown(#[from] ShuttingDown),
    /// The topic refuses the publisher.
    #[error(transparent)]
    Refused(#[from] BuildError),
}

/// Why a service cannot get a subscription.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// An earlier handle of the same run has not been dropped.
    #[error(
        "subscription `{subscription}` is taken: call `subscribe` once and keep its result, \
         or drop that before you subscribe again [{code}]",
        code = self.code()
    )]
    Taken {
        /// The name of the subscription: `Service.topic`.
        subscription: String,
    },
    /// The service has ended the subscription.
    #[error(
        "subscription `{subscription}` was ended by `unsubscribe`: it cannot be taken again [{code}]",
        code = self.code()
    )]
    Ended {
        /// The name of the subscription: `Service.topic`.
        subscription: String,
    },
    /// A handle of an earlier run of the service has not been dropped yet. A child task drops its
    /// handle soon, so another attempt may succeed.
    #[error(
        "subscription `{subscription}` is still taken by an earlier run of its service: \
         a task or the service itself has kept it; keep it in a variable of `run` [{code}]",
        code = self.code()
    )]
    HeldByEarlierRun {
        /// The name of the subscription: `Service.topic`.
        subscription: String,
    },
    /// The topic refuses the subscription.
    #[error("{0} [{code}]", code = self.code())]
    Topic(#[from] TopicError),
    /// The node cannot create the topic of the subscription.
    #[error("{reason} [{code}]", code = self.code())]
    Refused {
        /// The reason.
        reason: String,
    },
}

/// Returns the error of an interval whose period is zero.
pub(crate) fn zero_period() -> Problem {
    Problem::new(Code::ZERO_PERIOD, "invalid period of an interval: 0 s, expected more")
}

/// An [`Out`](crate::route::Out) has no publisher for a message that a handler emits:
/// [`OutError`](crate::route::OutError).
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it has no publisher here: declare the message in `emits(..)` and pass `ctx.out()`, or pass \
     its publisher to `Out::to`"
)]
pub(crate) struct NoPublisher;

debug_as_display!(Permanent, Unfinished, PublisherError, SubscribeError, NoPublisher);

impl Unfinished {
    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::UNFINISHED
    }
}

impl PublisherError {
    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            PublisherError::ShuttingDown(_) => Code::SHUTTING_DOWN,
            PublisherError::Refused(error) => error.code(),
        }
    }
}

impl SubscribeError {
    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            SubscribeError::Taken { .. } => Code::SUBSCRIPTION_TAKEN,
            SubscribeError::Ended { .. } => Code::SUBSCRIPTION_ENDED,
            SubscribeError::HeldByEarlierRun { .. } => Code::SUBSCRIPTION_HELD,
            SubscribeError::Topic(error) => error.code(),
            SubscribeError::Refused { .. } => Code::SUBSCRIPTION_REFUSED,
        }
    }

    /// Returns whether another attempt would fail in the same way. A service that returns such an
    /// error is not restarted.
    ///
    /// ```
    /// use mycelium::error::SubscribeError;
    ///
    /// let subscription = "Sum.ticks".to_owned();
    /// assert!(SubscribeError::Taken { subscription }.is_permanent());
    /// ```
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            SubscribeError::Taken { .. }
            | SubscribeError::Ended { .. }
            | SubscribeError::Refused { .. } => true,
            SubscribeError::HeldByEarlierRun { .. } => false,
            SubscribeError::Topic(error) => is_bug_of_topic(error),
        }
    }
}
