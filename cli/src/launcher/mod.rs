//! `launcher`: the process in the background that `up` starts. It is not for people.
//!
//! A launcher is one process for one bundle, in the background or, with `up --foreground`, in front
//! (`process`). It takes requests at its control socket (`control`) and finds what they ask it to run
//! (`plan`): the nodes of the file, which of them send to which (`flows`, as programs `describe`
//! it), and which parts of the file concern each (`concern`). Each node is a member of the bundle
//! (`members`), which reads a copy of the `files`. The threads share a `board`. `watch` looks at
//! what processes show (`sign`), and reports to the manager of services (`notify`) and to people
//! (`printer`). It uses `bundle`, `live` and `shared`.

pub mod board;
pub mod concern;
pub mod control;
pub mod describe;
pub mod files;
pub mod flows;
pub mod members;
pub mod notify;
pub mod plan;
pub mod printer;
pub mod process;
pub mod sign;
pub mod watch;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::bundle::place::Place;
use crate::shared::exit::Failure;
use members::Manner;
use process::Launcher;

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
