//! Actors beside those of other libraries, and beside tasks with channels.

use crate::goals::Pair;
use crate::harness::Contest;
use crate::loops::actors::{Library, Place, asked, asleep, awake, lives, ring};
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::ours::actors::{Called, Ours};
#[cfg(feature = "rivals")]
use crate::rivals::actors::{Actix, Kameo, Ractor};
use crate::rivals::actors::{Channel, ChannelAndOneshot, LIBRARIES};

/// Makes a column of each library: ours, `$channel`, and the rivals. Actors of actix stay on one
/// thread.
macro_rules! every {
    ($channel:ident, $place:expr, $library:ident => $column:expr) => {{
        macro_rules! column {
            ($one:ident) => {{
                use $one as $library;
                $column
            }};
        }
        #[cfg_attr(not(feature = "rivals"), expect(unused_mut, reason = "rivals follow"))]
        let mut columns = vec![column!(Ours), column!($channel)];
        #[cfg(feature = "rivals")]
        {
            columns.extend([column!(Kameo), column!(Ractor)]);
            if matches!($place, Place::One) {
                columns.push(column!(Actix));
            }
        }
        columns
    }};
}

pub(super) fn contests(options: &Options, cores: &Cores) -> [Contest; 9] {
    let workers = Place::Workers(cores.clone());
    [
        told_awake(options, "tell-awake", &Place::One),
        told_awake(options, "tell-awake-workers", &workers),
        told_asleep(options),
        asked_by(options, "ask-one", &Place::One, 1),
        asked_by(options, "ask-many", &Place::One, 16),
        asked_by(options, "ask-workers", &workers, 1),
        started(options),
        passed(options, "ring", &Place::One),
        passed(options, "ring-workers", &workers),
    ]
}

/// Compares ours with the best library, and with the means that a program uses without one.
fn goals(ours: &'static str, channel: &'static str, most: f64) -> Vec<Pair> {
    vec![Pair::best(ours, LIBRARIES).within(1.0), Pair::new(ours, channel).within(most)]
}

fn on(place: &Place) -> &'static str {
    match place {
        Place::One => "on the same thread",
        Place::Workers(_) => "on two workers",
    }
}

fn told_awake(options: &Options, point: &'static str, place: &Place) -> Contest {
    let title = format!("8 bytes to an actor {}, one after the other", on(place));
    Contest {
        timed: "from the first send to the last handled message",
        operations: options.operations(100_000, 500),
        columns: every!(Channel, *place, L => awake::<L>(place.clone())),
        pairs: goals(Ours::NAME, Channel::NAME, 0.9),
        ..Contest::new("actors", "tell to an actor", title).at(point)
    }
}

fn told_asleep(options: &Options) -> Contest {
    let title = "8 bytes to each of 16 sleeping actors on the same thread, in turn";
    Contest {
        timed: "from the first send until all have handled the last, 16 messages at a time",
        operations: options.operations(16_000, 160),
        columns: every!(Channel, Place::One, L => asleep::<L>()),
        pairs: goals(Ours::NAME, Channel::NAME, 0.9),
        ..Contest::new("actors", "tell to an actor", title).at("tell-asleep")
    }
}

fn asked_by(options: &Options, point: &'static str, place: &Place, open: usize) -> Contest {
    let mut columns = every!(ChannelAndOneshot, *place, L => asked::<L>(place.clone(), open));
    columns.insert(0, asked::<Called>(place.clone(), open));
    let goals = [Ours::NAME, Called::NAME].map(|ours| goals(ours, ChannelAndOneshot::NAME, 0.9));
    let title = format!("8 bytes to an actor {} and back, {open} open at a time", on(place));
    Contest {
        timed: "from the first question to the last answer",
        operations: options.operations(20_000, 200),
        columns,
        pairs: goals.concat(),
        ..Contest::new("actors", "request of an actor", title).at(point)
    }
}

fn started(options: &Options) -> Contest {
    let title = "an actor with a queue of 16 starts, handles 8 bytes and ends";
    Contest {
        timed: "one after the other, until the state of each is dropped, on one thread",
        operations: options.operations(5_000, 50),
        columns: every!(Channel, Place::One, L => lives::<L>()),
        pairs: goals(Ours::NAME, Channel::NAME, 1.3),
        ..Contest::new("actors", "start and end of an actor", title).at("start")
    }
}

fn passed(options: &Options, point: &'static str, place: &Place) -> Contest {
    // A quick run only checks that the token arrives.
    let actors = if options.quick { 20 } else { 1_000 };
    let title = format!("a token in a ring of actors {}", on(place));
    Contest {
        timed: "from the first hop to the last",
        operations: options.operations(1_000_000, 500),
        columns: every!(Channel, *place, L => ring::<L>(place.clone(), actors)),
        pairs: goals(Ours::NAME, Channel::NAME, 0.9),
        ..Contest::new("actors", "ring of actors", title).at(point)
    }
}
