//! The table of `docs/performance.md`, and a longer one.

use std::fmt::Write;

use crate::scripts::{Cost, Script, cost, round_trip};
use crate::subjects::Kind;

/// What stands before the table in `docs/performance.md`, and after it.
pub const MARKS: [&str; 2] = ["<!-- lines: begin -->\n", "<!-- lines: end -->\n"];

/// The table that stands in `docs/performance.md`: in each cell the lines that change hands for a message, and the
/// requests that another core has to answer.
#[must_use]
pub fn table() -> String {
    let mut table = String::from("| |");
    let scripts = Script::ALL.map(Script::name).into_iter().chain(["round trip"]);
    scripts.for_each(|script| add(&mut table, format_args!(" {script} |")));
    table.push_str("\n| --- |");
    (0..=Script::ALL.len()).for_each(|_| table.push_str(" ---: |"));
    table.push('\n');
    for kind in Kind::ALL {
        add(&mut table, format_args!("| {} |", kind.name()));
        for (_, cost) in costs(kind) {
            add(&mut table, format_args!(" {:.2} · {:.2} |", cost.transfers, cost.waits()));
        }
        if kind.is_for_many() {
            table.push_str(" |");
        }
        table.push('\n');
    }
    table
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

/// The document with another table.
///
/// # Errors
/// If its marks are not there.
pub fn replaced(document: &str, table: &str) -> Result<String, String> {
    let missing = || format!("the document has no `{}` and `{}`", MARKS[0].trim(), MARKS[1].trim());
    let (before, rest) = document.split_once(MARKS[0]).ok_or_else(missing)?;
    let (_, after) = rest.split_once(MARKS[1]).ok_or_else(missing)?;
    Ok([before, MARKS[0], table, MARKS[1], after].concat())
}

fn costs(kind: Kind) -> impl Iterator<Item = (&'static str, Cost)> {
    let scripts = Script::ALL.into_iter();
    let one_way = scripts.map(move |script| (script.name(), cost(&|| kind.make(), script)));
    let trip = (!kind.is_for_many()).then(|| ("round trip", round_trip(&|| kind.make())));
    one_way.chain(trip)
}

fn add(table: &mut String, text: std::fmt::Arguments<'_>) {
    table.write_fmt(text).expect("a string takes everything");
}
