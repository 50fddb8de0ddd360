//! `launcher`: the process in the background that `up` starts. It is not for people.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::bundle::launcher::Launcher;
use crate::bundle::members::Manner;
use crate::bundle::place::Place;
use crate::exit::Failure;

/// The arguments of `launcher`.
#[derive(Debug, Args)]
pub struct LauncherArgs {
    /// The directory of the bundle.
    directory: PathBuf,
}

/// Runs a bundle for those that connect to its control socket.
///
/// # Errors
/// If it cannot listen, or the bundle ends with an error.
pub fn run(args: LauncherArgs) -> Result<(), Failure> {
    // It survives the terminal, and Ctrl-C there. A process that leads a group already has none.
    let _ = rustix::process::setsid();
    let launcher = Launcher::take(Place::at(args.directory), Manner::Detached)?;
    let answer = if launcher.is_some() { "listens\n" } else { "busy\n" };
    // If the one that started it is gone, it waits for another one, and not for long.
    let _ = io::stdout().write_all(answer.as_bytes());
    launcher.map_or(Ok(()), |launcher| launcher.run(None))
}
