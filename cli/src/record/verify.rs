//! `verify`: whether two recordings have the same messages.

use std::path::PathBuf;

use clap::Args;
use mycelium_record::{Comparison, Side, compare};

use super::recording::{Sums, open, unread};
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
/// The first difference; or if a file is not a recording, or is damaged.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let (first, second) = (open(&args.first)?, open(&args.second)?);
    let of = |side| match side {
        Side::First => shown(&args.first),
        Side::Second => shown(&args.second),
    };
    match compare(first, second).map_err(|error| unread(&of(error.side), &error.error))? {
        Comparison::Equal(totals) => print(&format!("equal: {}\n", Sums::of(&totals))),
        Comparison::Different(difference) => Err(Failure::Found(format!(
            "{} (first) and {} (second) differ: {difference}",
            of(Side::First),
            of(Side::Second)
        ))),
        Comparison::Cut { side, offset } => Err(Failure::Found(format!(
            "{} (first) and {} (second) differ: the {side} is cut off at byte {offset}",
            of(Side::First),
            of(Side::Second)
        ))),
    }
}
