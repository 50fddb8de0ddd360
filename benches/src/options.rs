//! What a run is asked to do.

use std::fmt;
use std::path::PathBuf;

/// The text of `--help`.
pub const USAGE: &str = "\
usage: mycelium-benches [--quick] [--only TABLES] [--column COLUMN] [--json FILE] [--plots DIR]
                        [--rounds N] [--operations N] [--append FILE [--date DATE]]
       mycelium-benches --instructions [--only TABLES] [--column COLUMN] [--json FILE]
       mycelium-benches --page PAGE --from FILE

  --quick         few short rounds: checks that every column moves every message, times nothing worth reading
  --only TABLES   some of these (comma between):
                    emit emit-receive fan-out threads encode view
                    push spsc spsc-batches spsc-56 spsc-64 trip mpmc fairness publish publish-read tasks
                    link handler wake pinned jitter idle
  --column NAME   only this column of each table, for a profiler
  --json FILE     the report as JSON
  --plots DIR     a picture of each table (SVG): throughput by column, latency by percentile
  --append FILE   adds the run to a results file, as one line of JSON
  --date DATE     what that line says of the day (today)
  --page PAGE     runs nothing: writes the page about the results file of --from
  --from FILE     that results file
  --rounds N      so many rounds (31)
  --operations N  so many operations in each round of a table
  --instructions  instead of times: instructions an operation, counted by valgrind, of the tables of one thread
";

/// The tables that `--only` can name.
const TABLES: [&str; 23] = [
    "emit",
    "emit-receive",
    "fan-out",
    "threads",
    "encode",
    "view",
    "push",
    "spsc",
    "spsc-batches",
    "spsc-56",
    "spsc-64",
    "trip",
    "mpmc",
    "fairness",
    "publish",
    "publish-read",
    "tasks",
    "link",
    "handler",
    "wake",
    "pinned",
    "jitter",
    "idle",
];

/// What a run is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Check, do not measure.
    pub quick: bool,
    /// The tables; all if empty.
    pub only: Vec<String>,
    /// The one column.
    pub column: Option<String>,
    /// Where the report goes as JSON.
    pub json: Option<PathBuf>,
    /// Where pictures of the tables go.
    pub plots: Option<PathBuf>,
    /// The results file that the run is added to.
    pub append: Option<PathBuf>,
    /// The day of the run, instead of today.
    pub date: Option<String>,
    /// The page to be written instead of a run.
    pub page: Option<PathBuf>,
    /// The results file that the page is about.
    pub from: Option<PathBuf>,
    /// Count instructions instead of time.
    pub instructions: bool,
    /// Rounds that count, instead of the usual number.
    pub rounds: Option<usize>,
    /// Operations in a round, instead of each table's own number.
    pub operations: Option<usize>,
    /// Say how to use it, and do nothing.
    pub help: bool,
}

impl Options {
    /// Reads arguments; `--bench`, which cargo passes, is ignored.
    ///
    /// # Errors
    /// With what is wrong with them.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Misuse> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| Misuse::NoValue(argument.clone()));
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--bench" => {}
                "--help" | "-h" => options.help = true,
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--column" => options.column = Some(value()?),
                "--json" => options.json = Some(value()?.into()),
                "--append" => options.append = Some(value()?.into()),
                "--date" => options.date = Some(value()?),
                "--page" => options.page = Some(value()?.into()),
                "--from" => options.from = Some(value()?.into()),
                "--plots" => options.plots = Some(value()?.into()),
                "--instructions" => options.instructions = true,
                "--rounds" => options.rounds = Some(number(&value()?)?),
                "--operations" => options.operations = Some(number(&value()?)?),
                _ => return Err(Misuse::Unknown(argument)),
            }
        }
        if options.append.is_some() && (options.quick || options.instructions) {
            return Err(Misuse::NothingToAppend);
        }
        if options.page.is_some() != options.from.is_some() {
            return Err(Misuse::PageWithoutResults);
        }
        match options.only.iter().find(|table| !TABLES.contains(&table.as_str())) {
            Some(table) => Err(Misuse::NoSuchTable(table.clone())),
            None => Ok(options),
        }
    }

    pub(crate) fn wants(&self, table: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == table)
    }

    pub(crate) fn wants_column(&self, name: &str) -> bool {
        self.column.as_ref().is_none_or(|column| column == name)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 31 })
    }

    pub(crate) fn warm_up(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    pub(crate) fn operations(&self, full: usize, quick: usize) -> usize {
        self.operations.unwrap_or(if self.quick { quick } else { full })
    }
}

fn number(text: &str) -> Result<usize, Misuse> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| Misuse::NoNumber(text.to_owned()))
}

/// What is wrong with arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// There is no such argument.
    Unknown(String),
    /// The argument needs a value.
    NoValue(String),
    /// This is no number above 0.
    NoNumber(String),
    /// There is no such table.
    NoSuchTable(String),
    /// A run that times nothing has no results.
    NothingToAppend,
    /// A page is made from a results file, and only from one.
    PageWithoutResults,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::Unknown(argument) => write!(f, "there is no argument `{argument}`"),
            Misuse::NoValue(argument) => write!(f, "`{argument}` needs a value"),
            Misuse::NoNumber(text) => write!(f, "`{text}` is no number above 0"),
            Misuse::NothingToAppend => {
                f.write_str("`--append` needs a run that measures times, without `--quick` and `--instructions`")
            }
            Misuse::PageWithoutResults => f.write_str("`--page` and `--from` go together"),
            Misuse::NoSuchTable(table) => {
                write!(f, "there is no table `{table}`: the tables are {}", TABLES.join(", "))
            }
        }
    }
}

impl std::error::Error for Misuse {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, Misuse> {
        Options::parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn arguments_are_read() {
        let options = parse(&["--quick", "--json", "out.json", "--only", "emit,view"]).unwrap();
        assert!(options.quick && options.wants("emit") && options.wants("view"));
        assert!(!options.wants("encode"));
        assert_eq!(options.json, Some("out.json".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse(&["--fast"]), Err(Misuse::Unknown("--fast".into())));
        assert_eq!(parse(&["--only"]), Err(Misuse::NoValue("--only".into())));
        assert_eq!(parse(&["--quick", "--append", "x"]), Err(Misuse::NothingToAppend));
        assert_eq!(parse(&["--page", "x"]), Err(Misuse::PageWithoutResults));
        assert_eq!(parse(&["--rounds", "0"]), Err(Misuse::NoNumber("0".into())));
        assert_eq!(parse(&["--only", "emits"]), Err(Misuse::NoSuchTable("emits".into())));
    }
}
