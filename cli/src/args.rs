//! The command line.

use clap::{Parser, Subcommand};

use crate::completions::CompletionsArgs;
use crate::tap::TapArgs;

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
    /// Print the messages of a topic, without making its publishers wait.
    Tap(Box<TapArgs>),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
}
