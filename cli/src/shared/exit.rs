//! The end of a run of the tool: its exit code, and the error that it prints.

use std::fmt;
use std::io;

use mycelium::error::Code;
use mycelium::topology::TopologyError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The topology or the node is not in order: it has a mistake, or loses messages.
    /// Exit code 1.
    #[error("{0}")]
    Found(String),
    /// The command line, or a file that it names, is wrong. Exit code 2, the same as clap's.
    #[error("{0}")]
    Usage(String),
    /// Something that the command needs is missing: no such node, no permission, a program that
    /// does not run. Exit code 3.
    #[error("{0}")]
    Unavailable(String),
    /// The reader of the output has closed it, as `head` does. Exit code 0, and no message.
    #[error("the output is closed")]
    OutputClosed,
    /// A failure whose message has been printed: it only sets the exit code.
    #[error("{0}")]
    Reported(Box<Failure>),
}

impl Failure {
    /// Returns the failure of standard output that could not be written.
    pub fn output(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Unavailable(format!("standard output cannot be written: {error}")),
        }
    }

    /// Returns the failure of a command line, or of a file that it names, that is wrong.
    pub fn usage(error: impl fmt::Display) -> Failure {
        Failure::Usage(error.to_string())
    }

    /// Returns the failure of a topology file that has a mistake, or cannot be read.
    pub fn of_topology(error: TopologyError) -> Failure {
        match error.code() {
            Code::TOPOLOGY_UNREADABLE => Failure::usage(error),
            _ => Failure::Found(error.to_string()),
        }
    }

    /// Returns the exit code of the tool.
    pub fn code(&self) -> u8 {
        match self {
            Failure::OutputClosed => 0,
            Failure::Found(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Unavailable(_) => 3,
            Failure::Reported(failure) => failure.code(),
        }
    }
}
