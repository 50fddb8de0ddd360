//! The command line.

use clap::{Parser, Subcommand};

use crate::check::CheckArgs;
use crate::completions::CompletionsArgs;
use crate::doctor::DoctorArgs;
use crate::down::DownArgs;
use crate::explain::ExplainArgs;
use crate::launcher::LauncherArgs;
use crate::live::counters::CountersArgs;
use crate::live::hz::HzArgs;
use crate::live::ls::LsArgs;
use crate::status::StatusArgs;
use crate::tap::TapArgs;
use crate::top::TopArgs;
use crate::up::UpArgs;

/// Understand a topology before it runs, and nodes while they run.
#[derive(Debug, Parser)]
#[command(name = "mycelium", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What the tool can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check a topology with its programs before it runs.
    Check(CheckArgs),
    /// Print the messages of a topic, without making its publishers wait.
    Tap(Box<TapArgs>),
    /// Run the nodes of a topology file on this host, or bring those that run up to date with it.
    Up(UpArgs),
    /// End the nodes that `up` has started, in order.
    Down(DownArgs),
    /// Show the nodes that `up` has started.
    Status(StatusArgs),
    /// Run a bundle in the background. `up` starts it.
    #[command(hide = true)]
    Launcher(LauncherArgs),
    /// List the nodes of this machine.
    Ls(LsArgs),
    /// Follow nodes, services and topics in a live table.
    Top(TopArgs),
    /// Print how many messages publishers send.
    Hz(HzArgs),
    /// Print all counters of nodes.
    Counters(CountersArgs),
    /// Check whether this machine has what nodes need, and say how to mend what is missing.
    Doctor(DoctorArgs),
    /// Explain an error: by its code, or by a part of its text.
    Explain(ExplainArgs),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
}
