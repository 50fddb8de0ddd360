//! `verify`: whether two recordings have the same messages.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;
use mycelium_record::{Comparison, Side, compare};

use super::info::{sums, unread};
use crate::shared::exit::Failure;
use crate::shared::output::{print, shown};

/// The arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The first recording.
    #[arg(value_name = "FIRST")]
    first: PathBuf,
    /// The second recording.
    #[arg(value_name = "SECOND")]
    second: PathBuf,
}

/// Prints that the recordings are equal.
///
/// # Errors
/// The first difference; or if a file is no recording, or is damaged.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let (first, second) = (open(&args.first)?, open(&args.second)?);
    let of = |side| match side {
        Side::First => shown(&args.first),
        Side::Second => shown(&args.second),
    };
    match compare(first, second).map_err(|error| unread(&of(error.side), &error.error))? {
        Comparison::Equal(totals) => print(&format!("equal: {}\n", sums(&totals))),
        Comparison::Different(difference) => Err(Failure::Found(format!(
            "{} (first) and {} (second) differ: {difference}",
            of(Side::First),
            of(Side::Second)
        ))),
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file = File::open(path);
    let file = file.map_err(|error| Failure::Usage(format!("{}: {error}", shown(path))))?;
    Ok(BufReader::new(file))
}
