//! A problem: an error code and a text.

use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

use super::names::expected_instead_of;

/// Why a request of a program or a file cannot be met: the code identifies the mistake, and the
/// text says what was expected.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("{text} [{code}]")]
pub struct Problem {
    pub(crate) code: Code,
    /// What was found, and what was expected, without the code.
    pub(crate) text: String,
}

debug_as_display!(Problem);

impl Problem {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Problem {
        Problem { code, text: text.into() }
    }

    /// Creates the problem of a name that does not exist in the program or the topology. `hint` is
    /// the end of the text, with another possible reason, or empty.
    pub(crate) fn unknown(
        kind: &str,
        name: &str,
        known: &[impl AsRef<str>],
        hint: &str,
    ) -> Problem {
        let expected = expected_instead_of(name, known);
        let text = format!("unknown {kind} `{}`: {expected}{hint}", name.escape_debug());
        Problem::new(Code::UNKNOWN_NAME, text)
    }

    /// Returns the error code at the end of the error's text. `mycelium explain` and
    /// `docs/errors.md` explain it.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }
}
