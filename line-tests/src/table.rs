//! The table of `docs/performance.md`, and a longer one.

use std::fmt::Write;

use crate::scripts::{Cost, Script, cost, raw_round_trip};
use crate::subjects::Kind;

/// The marks before and after the table in `docs/performance.md`.
pub const MARKS: [&str; 2] = ["<!-- lines: begin -->\n", "<!-- lines: end -->\n"];

/// The table of `docs/performance.md`: in each cell the lines that change hands for a message, and
/// the requests that another core must answer.
#[must_use]
pub fn table() -> String {
    let mut table = String::from("| |");
    Script::ALL.iter().for_each(|script| add(&mut table, format_args!(" {} |", script.name())));
    table.push_str("\n| --- |");
    Script::ALL.iter().for_each(|_| table.push_str(" ---: |"));
    table.push('\n');
    for kind in Kind::ALL {
        add(&mut table, format_args!("| {} |", kind.name()));
        for (_, cost) in costs(kind) {
            cell(&mut table, cost);
        }
        if kind.is_for_many() {
            table.push_str(" |");
        }
        table.push('\n');
    }
    table.push_str("| atomics of one line |");
    Script::ALL[1..].iter().for_each(|_| table.push_str(" |"));
    cell(&mut table, raw_round_trip());
    table.push('\n');
    table
}

fn cell(table: &mut String, cost: Cost) {
    add(table, format_args!(" {:.2} · {:.2} |", cost.transfers, cost.waits()));
}

/// All counts.
#[must_use]
pub fn details() -> String {
    let mut table = String::from(
        "| | script | change hands | read | own with data | own without data |\n\
         | --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for kind in Kind::ALL {
        for (script, Cost { transfers, reads, owns, upgrades }) in costs(kind) {
            add(&mut table, format_args!("| {} | {script} | {transfers:.2} |", kind.name()));
            add(&mut table, format_args!(" {reads:.2} | {owns:.2} | {upgrades:.2} |\n"));
        }
    }
    table
}

/// The document with the table replaced.
///
/// # Errors
/// If the document has no marks.
pub fn replaced(document: &str, table: &str) -> Result<String, String> {
    let missing = || format!("the document has no `{}` and `{}`", MARKS[0].trim(), MARKS[1].trim());
    let (before, rest) = document.split_once(MARKS[0]).ok_or_else(missing)?;
    let (_, after) = rest.split_once(MARKS[1]).ok_or_else(missing)?;
    Ok([before, MARKS[0], table, MARKS[1], after].concat())
}

fn costs(kind: Kind) -> impl Iterator<Item = (&'static str, Cost)> {
    let scripts = Script::ALL.into_iter();
    let scripts = scripts.filter(move |it| *it != Script::RoundTrip || !kind.is_for_many());
    scripts.map(move |script| (script.name(), cost(&|| kind.make(), script)))
}

fn add(table: &mut String, text: std::fmt::Arguments<'_>) {
    table.write_fmt(text).expect("a string takes everything");
}
