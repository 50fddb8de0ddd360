//! The goals, as numbers; `tests/goals.rs` asserts them.

use crate::scripts::{Script, cost, raw_round_trip};
use crate::subjects::Kind;

/// What a script may cost.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Under which script.
    pub script: Script,
    /// The most lines that change hands for a message.
    pub transfers: f64,
    /// The most requests that another core has to answer ([`Cost::waits`](crate::scripts::Cost::waits)).
    pub waits: f64,
}

/// One line a message: from the writer to the reader, and back to the writer when the reader has looked at it before
/// the push. Whatever else is shared has a fifth of a line together.
pub const ONE_LINE: [Goal; 4] = [
    Goal { script: Script::LapBehind, transfers: 1.2, waits: 1.2 },
    Goal { script: Script::WaitsForRoom, transfers: 1.2, waits: 1.2 },
    Goal { script: Script::AtTheHeels, transfers: 2.2, waits: 2.2 },
    // The reader takes the line in the middle of the push, so the writer has to ask for it once more.
    Goal { script: Script::WithinAPush, transfers: 2.2, waits: 3.2 },
];

/// What has [`ONE_LINE`] as its goal.
pub const OF_ONE_LINE: [Kind; 4] =
    [Kind::Emit, Kind::Broadcast, Kind::BroadcastRuns, Kind::Stamped];

/// What has a round trip of at most this many times the waits of [`raw_round_trip`] as its goal: there, as here, each
/// side asks twice for a line that the other one has.
pub const ROUND_TRIPS: [(Kind, f64); 3] =
    [(Kind::StampedWord, 1.01), (Kind::Stamped, 1.1), (Kind::Broadcast, 1.1)];

/// The goals that are known to be missed, by their names, with what is known. One that is met has to go from here, and
/// none may get worse.
pub const MISSED: &[(&str, f64)] = &[];

/// A goal held against what was counted.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The subject, the script, and what is counted.
    pub name: String,
    /// How much there may be.
    pub most: f64,
    /// How much there is.
    pub found: f64,
}

impl Verdict {
    /// What is wrong, if it is not as it is known to be.
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
