//! The table of `docs/performance.md`.

use std::fmt::Write;

use crate::scripts::{Cost, Script, cost, round_trip};
use crate::subjects::Kind;

/// The table, as it stands between the two comments of `docs/performance.md`.
#[must_use]
pub fn table() -> String {
    let mut table = String::from(
        "| | script | change hands | read | own with data | own without data | of these the writer's |\n",
    );
    table.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
    for kind in Kind::ALL {
        for script in Script::ALL {
            row(&mut table, kind.name(), script.name(), cost(&|| kind.make(), script));
        }
        if kind != Kind::MpmcTwo {
            row(&mut table, kind.name(), "round trip", round_trip(&|| kind.make()));
        }
    }
    table
}

fn row(table: &mut String, name: &str, script: &str, Cost { all, writers }: Cost) {
    writeln!(
        table,
        "| {name} | {script} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        all.transfers,
        all.reads,
        all.owns,
        all.upgrades,
        writers.requests()
    )
    .expect("a string takes everything");
}
