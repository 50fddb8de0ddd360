//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, value_parser};

/// Measures Mycelium and, in the same run, comparable crates.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "mycelium-benches")]
pub(crate) struct Options {
    /// Run a few short rounds: checks that every column moves every message; the times mean nothing
    #[arg(long)]
    pub quick: bool,
    /// Run only these tables (separated by commas)
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Run only this column of each table, for a profiler; may be given several times
    #[arg(long)]
    pub column: Vec<String>,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Append the run to this results file, as one line of JSON
    #[arg(long, value_name = "FILE", conflicts_with = "quick")]
    pub append: Option<PathBuf>,
    /// Run nothing: write the page about the results file that `--from` names
    #[arg(long, value_name = "FILE", requires = "from")]
    pub page: Option<PathBuf>,
    /// The results file for `--page`
    #[arg(long, value_name = "FILE", requires = "page")]
    pub from: Option<PathBuf>,
    /// Number of rounds, without the warm-up [default: 31]
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Operations in each round [default: depends on the table]
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    operations: Option<u32>,
    /// Ignored; cargo passes it
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    bench: bool,
}

impl Options {
    /// Reads arguments, without the name of the program. `tables`: what `--only` accepts.
    ///
    /// # Errors
    /// If they are invalid, or request the help text.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = String>,
        tables: impl IntoIterator<Item = &'static str>,
    ) -> Result<Options, clap::Error> {
        let tables = PossibleValuesParser::new(tables);
        let command = Options::command().mut_arg("only", |only| only.value_parser(tables));
        let program = "mycelium-benches".to_owned();
        let matches = command.try_get_matches_from([program].into_iter().chain(arguments))?;
        Options::from_arg_matches(&matches)
    }

    pub(crate) fn wants(&self, table: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == table)
    }

    /// Rounds that count.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.map_or(if self.quick { 3 } else { 31 }, |rounds| rounds as usize)
    }

    pub(crate) fn warm_up(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    /// Operations of a round, given the numbers for a full and for a quick run.
    pub(crate) fn operations(&self, full: usize, quick: usize) -> usize {
        let default = if self.quick { quick } else { full };
        self.operations.map_or(default, |operations| operations as usize)
    }
}
