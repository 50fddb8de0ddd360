//! What all commands print: lines, and errors in the words of a user.

use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use mycelium::error::StartError;

/// The first error of standard output.
static REFUSED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line. If the output takes no more, the run continues.
pub(crate) fn say(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        let _ = REFUSED.set(error);
    }
}

/// Checks that all lines were printed.
///
/// # Errors
/// If one was refused, for example by a full disk. A reader that has left, such as `head`, has read
/// what it needed.
pub(crate) fn check() -> mycelium::Result<()> {
    match REFUSED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(mycelium::Error::msg(format!("standard output: {error}")))
        }
        Some(_) | None => Ok(()),
    }
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
