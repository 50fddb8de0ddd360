//! What all commands print: lines, and errors in the words of a user.

use std::io::{self, Write};

use mycelium::error::StartError;

/// Prints a line. If the output is closed, the run continues.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints a line to standard error.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The error without details that are useless to the user.
pub(crate) fn user_error(error: StartError) -> mycelium::Error {
    match error {
        StartError::ServiceFailed { service, error, .. } => {
            mycelium::Error::msg(format!("{service}: {error}"))
        }
        other => other.into(),
    }
}
