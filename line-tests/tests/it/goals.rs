//! The goals are met, and `docs/performance.md` shows the counts.

use mycelium_line_tests::scripts::{Cost, Script, cost, raw_round_trip};
use mycelium_line_tests::subjects::Kind;

/// The most of each script for a ring with one line per message: `Cost::transfers`, then
/// `Cost::waits`. The line goes from the writer to the reader, and back to the writer if the reader
/// has loaded it before the push. All other shared words may cost a fifth of a line together.
const ONE_LINE: [(Script, f64, f64); 4] = [
    (Script::LapBehind, 1.2, 1.2),
    (Script::WaitsForRoom, 1.2, 1.2),
    (Script::AtTheHeels, 2.2, 2.2),
    // The reader takes the line in the middle of the push, so the writer requests it once more.
    (Script::WithinAPush, 2.2, 3.2),
];

/// The rings whose goal is [`ONE_LINE`].
const OF_ONE_LINE: [Kind; 3] = [Kind::Broadcast, Kind::BroadcastRuns, Kind::Stamped];

/// The rings whose round trip may cost at most this multiple of the waits of [`raw_round_trip`].
/// There, as here, each side requests twice a line that the other one has.
const ROUND_TRIPS: [(Kind, f64); 3] =
    [(Kind::StampedWord, 1.01), (Kind::Stamped, 1.1), (Kind::Broadcast, 1.1)];

fn of(kind: Kind, script: Script) -> Cost {
    cost(&|| kind.make(), script)
}

#[test]
fn goals_are_met() {
    let mut missed = String::new();
    let mut compare = |kind: Kind, script: Script, what: &str, found: f64, most: f64| {
        if found > most {
            let (kind, script) = (kind.name(), script.name());
            missed += &format!("{kind}, {script}: {what}: missed: {found:.2}, goal {most}\n");
        }
    };
    for kind in OF_ONE_LINE {
        for (script, transfers, waits) in ONE_LINE {
            let found = of(kind, script);
            compare(kind, script, "change hands", found.transfers, transfers);
            compare(kind, script, "waits", found.waits, waits);
        }
    }
    let raw = raw_round_trip().waits;
    for (kind, times) in ROUND_TRIPS {
        let script = Script::RoundTrip;
        compare(kind, script, "waits", of(kind, script).waits, times * raw);
    }
    assert!(missed.is_empty(), "\n{missed}");
}

/// On other targets padding and stores differ.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn the_document_shows_the_counts() {
    let cells = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let cell = |Cost { transfers, waits }| format!("{transfers:.2} · {waits:.2}");
    let names = [String::new()].into_iter().chain(Script::ALL.map(|it| it.name().to_owned()));
    let mut table = cells(names.collect()).replacen("|  |", "| |", 1);
    table += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    for kind in Kind::ALL {
        let costs = Script::ALL.map(|script| cell(of(kind, script)));
        table += &cells([kind.name().to_owned()].into_iter().chain(costs).collect());
    }
    table += &format!("| atomics of one line | | | | | {} |\n", cell(raw_round_trip()));
    let document = include_str!("../../../docs/performance.md");
    assert!(document.contains(&table), "docs/performance.md has to show this table:\n{table}");
}
