//! `up`: runs the nodes of a topology file on this host.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::bundle::client::request_or_start;
use crate::bundle::place::Place;
use crate::bundle::table;
use crate::bundle::wire::{Answer, Request, UpRequest};
use crate::launcher::Launcher;
use crate::launcher::members::Manner;
use crate::shared::clock::duration;
use crate::shared::exit::Failure;
use crate::shared::output::{Format, print, shown};

/// How much longer an answer may take than the time on the command line.
const SLACK: Duration = Duration::from_secs(10);
/// How long a launcher may take to read the file and to start the programs that describe it.
const PLAN: Duration = Duration::from_secs(60);

/// The arguments of `up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The topology file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Run the nodes of this host of the file, instead of those of this machine. May be repeated.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// A name for the bundle, so that one file can run more than once.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Run in the foreground, until SIGINT or SIGTERM, or until all nodes have completed.
    #[arg(long)]
    foreground: bool,
    /// How long to wait until all nodes are ready.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, conflicts_with = "foreground")]
    timeout: Duration,
    /// Do not wait until the nodes are ready.
    #[arg(long, conflicts_with_all = ["foreground", "timeout"])]
    no_wait: bool,
    /// The command of nodes that have none in the file, with the words `{node}`, `{topology}` and
    /// `{directory}`.
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Runs the nodes of the file, or brings those that run up to date with it.
///
/// # Errors
/// If the file is wrong, or not all nodes are up.
pub fn run(args: &UpArgs) -> Result<(), Failure> {
    let place = Place::find(&args.file, args.name.as_deref())?;
    let request = request(args, &place)?;
    if args.foreground {
        let manner = if io::stdout().is_terminal() { Manner::Table } else { Manner::Plain };
        let problem = format!("{} runs already: end it with `mycelium down`", place.title());
        return match Launcher::take(place, manner)? {
            Some(launcher) => launcher.run(Some(request)),
            None => Err(Failure::Unavailable(problem)),
        };
    }
    let wait = request.wait.map_or(Duration::ZERO, Duration::from_millis);
    let request = Request::Up(request);
    let (mut client, mut answer) = request_or_start(&place, &request, Some(PLAN))?;
    loop {
        match answer {
            Answer::Changes { lines } => {
                let lines: String = lines.iter().map(|it| format!("{it}\n")).collect();
                match print(&lines) {
                    // Goes on although the output is closed: the result comes later.
                    Err(Failure::OutputClosed) => {}
                    printed => printed?,
                }
            }
            Answer::Nodes { nodes, problem } => {
                return table::print(&nodes, problem, Format::Table);
            }
            Answer::Taken | Answer::Failed { .. } => return Err(client.unexpected()),
        }
        answer = client.answer(Some(wait + SLACK))?.ok_or_else(|| {
            Failure::Unavailable(format!("the launcher of {} has gone away", place.title()))
        })?;
    }
}

fn request(args: &UpArgs, place: &Place) -> Result<UpRequest, Failure> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|error| Failure::Usage(format!("`{}`: {error}", shown(path))))
    };
    let mut program = Vec::new();
    for word in &args.program {
        let word = word
            .to_str()
            .ok_or_else(|| Failure::Usage(format!("`{}` is not UTF-8", word.to_string_lossy())))?;
        program.push(word.to_owned());
    }
    // An absolute path, because the launcher has another working directory.
    if let Some(first) = program.first_mut().filter(|first| first.contains('/')) {
        *first = absolute(Path::new(first))?.to_string_lossy().into_owned();
    }
    let wait = (!args.no_wait).then(|| u64::try_from(args.timeout.as_millis()).unwrap_or(u64::MAX));
    // Gives a named bundle directories of its own, so that the nodes of two bundles of one file do
    // not meet.
    let directory = args.name.is_some().then(|| place.directory().to_owned());
    let (file, hosts) = (absolute(&args.file)?, args.hosts.clone());
    Ok(UpRequest { file, hosts, program, directory, wait })
}
