//! The tool `mycelium`: understands a topology before it runs, and a node while it runs.
//!
//! Each command is a module with its name, which has its arguments and a function `run`. A command
//! writes its result to standard output, and everything else to standard error; [`Failure`]
//! determines the exit code. Other modules are shared by several commands: [`bundle`] (`up`,
//! `down`, `status`, `launcher`), [`live`] (`ls`, `top`, `hz`, `counters`, `check --live`,
//! `launcher`), `peers` (`tap`, `record`) and [`shared`].
#![forbid(unsafe_code)]

pub mod bundle;
pub mod check;
pub mod completions;
pub mod counters;
pub mod doctor;
pub mod down;
pub mod explain;
pub mod hz;
pub mod launcher;
pub mod live;
pub mod load;
pub mod ls;
pub mod new;
mod peers;
pub mod record;
pub mod shared;
pub mod status;
pub mod tap;
pub mod top;
pub mod up;

use clap::{CommandFactory, Parser, Subcommand};

use shared::exit::Failure;

/// Understand a topology before it runs, and nodes while they run.
#[derive(Debug, Parser)]
#[command(name = "mycelium", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: ToolCommand,
}

/// What the tool can do.
#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// Make a project that builds, runs, and has a test and a topology.
    New(new::NewArgs),
    /// Check a topology with its programs before it runs.
    Check(check::CheckArgs),
    /// Print the messages of a topic, without making its publishers wait.
    Tap(Box<tap::TapArgs>),
    /// Write topics to a file.
    Record(Box<record::RecordArgs>),
    /// Show what a recording contains, and whether it is whole.
    Info(record::info::InfoArgs),
    /// Compare two recordings, and name the first difference.
    Verify(record::verify::VerifyArgs),
    /// Run a node that sends what a recording has of it.
    Replay(Box<record::replay::ReplayArgs>),
    /// Run the nodes of a topology file on this host, or bring those that run up to date with it.
    Up(up::UpArgs),
    /// End the nodes that `up` has started, in order.
    Down(down::DownArgs),
    /// Show the nodes that `up` has started.
    Status(status::StatusArgs),
    /// Run a bundle in the background. `up` starts it.
    #[command(hide = true)]
    Launcher(launcher::LauncherArgs),
    /// List the nodes of this machine.
    Ls(ls::LsArgs),
    /// Follow nodes, services and topics in a live table.
    Top(top::TopArgs),
    /// Print how many messages publishers send.
    Hz(hz::HzArgs),
    /// Print all counters of nodes.
    Counters(counters::CountersArgs),
    /// Measure how many messages a system takes, how late they are, and what that costs.
    Load(Box<load::LoadArgs>),
    /// The system that `load` measures.
    #[command(hide = true)]
    LoadPair(load::pair::PairArgs),
    /// Check whether this machine has what nodes need, and say how to mend what is missing.
    Doctor(doctor::DoctorArgs),
    /// Explain an error: by its code, or by a part of its text.
    Explain(explain::ExplainArgs),
    /// Print the completions of a shell.
    Completions(completions::CompletionsArgs),
}

/// Runs the command of the command line.
///
/// # Errors
/// The errors of the command.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        ToolCommand::New(args) => new::run(&args),
        ToolCommand::Check(args) => check::run(&args),
        ToolCommand::Tap(args) => tap::run(&args),
        ToolCommand::Record(args) => record::run(&args),
        ToolCommand::Info(args) => record::info::run(&args),
        ToolCommand::Verify(args) => record::verify::run(&args),
        ToolCommand::Replay(args) => record::replay::run(&args),
        ToolCommand::Up(args) => up::run(&args),
        ToolCommand::Down(args) => down::run(&args),
        ToolCommand::Status(args) => status::run(&args),
        ToolCommand::Launcher(args) => launcher::run(args),
        ToolCommand::Ls(args) => ls::run(&args),
        ToolCommand::Top(args) => top::run(&args),
        ToolCommand::Hz(args) => hz::run(&args),
        ToolCommand::Counters(args) => counters::run(&args),
        ToolCommand::Load(args) => load::run(&args),
        ToolCommand::LoadPair(args) => load::pair::run(&args),
        ToolCommand::Doctor(args) => doctor::run(&args),
        ToolCommand::Explain(args) => explain::run(&args),
        ToolCommand::Completions(args) => completions::run(&args, Cli::command()),
    }
}
