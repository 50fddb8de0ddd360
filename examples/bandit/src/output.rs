//! What all commands print: lines, and errors in the words of a user.

use std::io::{self, Write};

use bandit::app::Failure;
use mycelium::StartError;

/// Prints a line. If the output is closed, the run continues.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The error without details that are useless to the user.
pub(crate) fn user_error(failure: Failure) -> String {
    match failure {
        Failure::Node(StartError::ServiceFailed { service, error, .. }) => {
            format!("{service}: {error}")
        }
        other => other.to_string(),
    }
}
