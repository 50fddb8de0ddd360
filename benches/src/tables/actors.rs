//! Actors beside those of other libraries, and beside tasks with channels.

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Contest, Sweep};
use crate::loops::actors::{Library, asked, asleep, awake};
use crate::options::Options;
use crate::ours::actors::Ours;
#[cfg(feature = "rivals")]
use crate::rivals::actors::Kameo;
use crate::rivals::actors::{Channel, ChannelAndOneshot, KAMEO};
use crate::tables::rows;

/// A column of each library: ours, `$channel`, and the rivals.
macro_rules! every {
    ($channel:ident, $library:ident => $column:expr) => {
        vec![
            {
                use Ours as $library;
                $column
            },
            {
                use $channel as $library;
                $column
            },
            #[cfg(feature = "rivals")]
            {
                use Kameo as $library;
                $column
            },
        ]
    };
}

pub(super) fn sweeps(options: &Options, _cores: &Cores) -> Vec<Sweep> {
    if !options.wants("actors") {
        return Vec::new();
    }
    let contests = [
        told_awake(options),
        told_asleep(options),
        asked_by(options, "ask-one", 1),
        asked_by(options, "ask-many", 16),
    ];
    contests.map(Sweep::from).into()
}

/// Ours beside the best library, and beside what a program uses without one.
fn goals(library: f64, channel: &'static str, most: f64) -> Vec<Pair> {
    let ours = Ours::NAME;
    vec![Pair::new(ours, KAMEO).within(library), Pair::new(ours, channel).within(most)]
}

fn told_awake(options: &Options) -> Contest {
    let title = "8 bytes to an actor on the same thread, one after the other";
    Contest {
        timed: "from the first send to the last handled message",
        operations: options.operations(100_000, 500),
        columns: every!(Channel, L => awake::<L>()),
        pairs: goals(0.3, Channel::NAME, 0.6),
        ..Contest::new("actors", rows::ACTOR_TELL, title).at("tell-awake")
    }
}

fn told_asleep(options: &Options) -> Contest {
    let title = "8 bytes to each of 16 sleeping actors on the same thread, in turn";
    Contest {
        timed: "from the first send until all have handled the last, 16 messages at a time",
        operations: options.operations(16_000, 160),
        columns: every!(Channel, L => asleep::<L>()),
        pairs: goals(0.3, Channel::NAME, 0.7),
        ..Contest::new("actors", rows::ACTOR_TELL, title).at("tell-asleep")
    }
}

fn asked_by(options: &Options, point: &'static str, open: usize) -> Contest {
    let title = format!("8 bytes to an actor on the same thread and back, {open} open at a time");
    Contest {
        timed: "from the first question to the last answer",
        operations: options.operations(20_000, 200),
        columns: every!(ChannelAndOneshot, L => asked::<L>(open)),
        pairs: goals(0.5, ChannelAndOneshot::NAME, 1.0),
        ..Contest::new("actors", rows::ACTOR_ASK, title).at(point)
    }
}
