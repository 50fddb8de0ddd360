//! The goals, as numbers; `tests/goals.rs` asserts them.

use crate::scripts::{Script, cost, raw_round_trip};
use crate::subjects::Kind;

/// The most that a script may cost.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The script.
    pub script: Script,
    /// The most lines that change hands for a message.
    pub transfers: f64,
    /// The most requests that another core must answer
    /// ([`Cost::waits`](crate::scripts::Cost::waits)).
    pub waits: f64,
}

/// One line a message: from the writer to the reader, and back to the writer if the reader has
/// loaded it before the push. All other shared words may cost a fifth of a line together.
pub const ONE_LINE: [Goal; 4] = [
    Goal { script: Script::LapBehind, transfers: 1.2, waits: 1.2 },
    Goal { script: Script::WaitsForRoom, transfers: 1.2, waits: 1.2 },
    Goal { script: Script::AtTheHeels, transfers: 2.2, waits: 2.2 },
    // The reader takes the line in the middle of the push, so the writer requests it once more.
    Goal { script: Script::WithinAPush, transfers: 2.2, waits: 3.2 },
];

/// The subjects whose goal is [`ONE_LINE`].
pub const OF_ONE_LINE: [Kind; 4] =
    [Kind::Emit, Kind::Broadcast, Kind::BroadcastRuns, Kind::Stamped];

/// The subjects whose round trip may cost at most this multiple of the waits of [`raw_round_trip`].
/// There, as here, each side requests twice a line that the other one has.
pub const ROUND_TRIPS: [(Kind, f64); 3] =
    [(Kind::StampedWord, 1.01), (Kind::Stamped, 1.1), (Kind::Broadcast, 1.1)];

/// The goals that are known to be missed, by name, with the known count. A goal that is met must be
/// removed from this list, and no count may become worse.
pub const MISSED: &[(&str, f64)] = &[];

/// A goal and the count that was measured for it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The subject, the script, and the kind of count.
    pub name: String,
    /// The goal.
    pub most: f64,
    /// The count.
    pub found: f64,
}

impl Verdict {
    /// The problem, if the count is not the known one.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let Verdict { name, most, found } = self;
        let known = MISSED.iter().find(|(missed, _)| missed == name).map(|(_, known)| *known);
        match known {
            None if found > most => Some(format!("{name}: missed: {found:.2}, goal {most}")),
            Some(known) if *found > known => {
                Some(format!("{name}: missed by more: {found:.2}, known {known}, goal {most}"))
            }
            Some(_) if found <= most => {
                Some(format!("{name}: met, so it goes from MISSED: {found:.2}, goal {most}"))
            }
            _ => None,
        }
    }
}

/// Counts for every goal.
#[must_use]
pub fn verdicts() -> Vec<Verdict> {
    let pairs = OF_ONE_LINE.into_iter().flat_map(|kind| ONE_LINE.map(|goal| (kind, goal)));
    let one_way = pairs.flat_map(|(kind, goal)| {
        let found = cost(&|| kind.make(), goal.script);
        [
            verdict(kind, goal.script, "change hands", goal.transfers, found.transfers),
            verdict(kind, goal.script, "waits", goal.waits, found.waits()),
        ]
    });
    let raw = raw_round_trip().waits();
    let trips = ROUND_TRIPS.into_iter().map(|(kind, times)| {
        let found = cost(&|| kind.make(), Script::RoundTrip);
        verdict(kind, Script::RoundTrip, "waits", times * raw, found.waits())
    });
    one_way.chain(trips).collect()
}

fn verdict(kind: Kind, script: Script, what: &str, most: f64, found: f64) -> Verdict {
    Verdict { name: format!("{}, {}: {what}", kind.name(), script.name()), most, found }
}
