//! Why a run of a service ended early.

use std::fmt;

use super::panics::{Panic, text_and_place, with_place};

/// Why a run of a service ended early.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The text of the error or of the panic.
    pub(crate) error: String,
    pub(crate) panicked: bool,
    /// The location of the panic.
    pub(crate) place: Option<String>,
    /// Whether another run would fail in the same way.
    pub(crate) is_permanent: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { error, panicked, place, .. } = self;
        f.write_str(if *panicked { "panic: " } else { "" })?;
        f.write_str(&with_place(error, place.as_deref()))
    }
}

impl Failure {
    pub(crate) fn of_panic(panic: Panic) -> Box<Failure> {
        let (error, place) = text_and_place(panic);
        Box::new(Failure { error, panicked: true, place, is_permanent: false })
    }
}
