//! A failure of a service, as a test sees it.

use std::fmt;

use crate::supervise;

/// A failed run of a service: by an error or a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The service.
    pub service: String,
    /// The text of the error, or of the panic.
    pub error: String,
    /// Whether it was a panic.
    pub panicked: bool,
    /// The location of the panic: `src/main.rs:31:9`.
    pub place: Option<String>,
}

impl Failure {
    pub(crate) fn new(service: &str, failure: &supervise::Failure) -> Failure {
        let supervise::Failure { error, panicked, place, .. } = failure.clone();
        Failure { service: service.to_owned(), error, panicked, place }
    }

    /// Panics with the failures, if there are any.
    #[track_caller]
    pub(crate) fn panic_of_any(failures: &[Failure]) {
        if !failures.is_empty() {
            let texts: Vec<_> = failures.iter().map(Failure::to_string).collect();
            panic!("{} (to test failures, call `supervised()`)", texts.join("; "));
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { service, error, panicked, place } = self;
        write!(f, "`{service}` {}: {error}", if *panicked { "panicked" } else { "failed" })?;
        place.iter().try_for_each(|place| write!(f, " (at {place})"))
    }
}
