//! Actors beside those of other libraries, and beside tasks with channels.

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Contest, Kind, Sweep};
use crate::loops::actors::library::{Library, Threads};
use crate::loops::actors::place::Place;
use crate::loops::actors::{ask, memory, ring, start, tell};
use crate::options::Options;
use crate::ours::actors::{Ours, OursKeyed};
use crate::report::Limit;
use crate::rivals::actors::{Actix, Channel, ChannelAndOneshot, Compio, Kameo, Ractor};
use crate::tables::rows;

/// The parts of the table `actors`.
const TELL: &str = "actors-tell";
const ASK: &str = "actors-ask";
const START: &str = "actors-start";
const MEMORY: &str = "actors-memory";
const RING: &str = "actors-ring";
const SPENT: &str = "actors-spent";

const OURS: &str = Ours::NAME;
const CHANNEL: &str = Channel::NAME;
const CHANNELS: &str = ChannelAndOneshot::NAME;
/// The libraries of actors. Those that are not in a table do not take part.
const LIBRARIES: &[&str] = &[Kameo::NAME, Ractor::NAME, Actix::NAME, Compio::NAME];
/// Those, and a task with a channel.
const ALL: &[&str] = &[CHANNEL, Kameo::NAME, Ractor::NAME, Actix::NAME, Compio::NAME];

/// A column for each of these libraries, which `$library` names in `$column`.
macro_rules! columns {
    ([$($each:ident),*], $library:ident => $column:expr) => {
        vec![$({ use $each as $library; $column }),*]
    };
}

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let mut contests = Vec::new();
    let wants = |part| options.wants("actors") || options.wants(part);
    if ![TELL, ASK, START, MEMORY, RING, SPENT].into_iter().any(wants) {
        return Vec::new();
    }
    let one = || Place::Together(Threads::One);
    let apart = || Place::Apart(cores.clone());
    let workers = || Place::Together(Threads::Workers(cores.clone()));
    if wants(TELL) {
        contests.push(awake(options, "tell-awake", one(), "on the same thread"));
        contests.push(awake(options, "tell-awake-apart", apart(), "on another thread"));
        contests.push(awake(options, "tell-awake-workers", workers(), "on two workers"));
        contests.push(asleep(options));
        contests.push(asleep_apart(options, cores));
    }
    if wants(ASK) {
        contests.push(asked(options, "ask-one", one(), 1));
        contests.push(asked(options, "ask-many", one(), 16));
        contests.push(asked(options, "ask-apart", apart(), 1));
        contests.push(asked(options, "ask-workers", workers(), 1));
    }
    if wants(START) {
        contests.push(started(options));
    }
    if wants(MEMORY) {
        contests.push(remembered(options, cores));
    }
    if wants(RING) {
        contests.push(passed(options, "ring", Threads::One));
        contests.push(passed(options, "ring-workers", Threads::Workers(cores.clone())));
    }
    if wants(SPENT) {
        contests.extend(spent(options));
    }
    // On machines that do not support compio, its columns are absent.
    if !Compio::runs() {
        for contest in &mut contests {
            contest.columns.retain(|column| column.name != Compio::NAME);
        }
    }
    contests.into_iter().map(Sweep::from).collect()
}

/// Ours beside the best library, and beside what a program uses without one.
fn goals(library: f64, channel: &'static str, most: f64) -> Vec<Pair> {
    let best = Pair::best(OURS, LIBRARIES).within(library);
    let mut pairs = vec![best, Pair::new(OURS, channel).within(most)];
    pairs.extend(LIBRARIES.iter().map(|library| Pair::new(OURS, library)));
    pairs
}

/// The same without goals.
fn ratios(channel: &'static str) -> Vec<Pair> {
    let others = [&channel].into_iter().chain(LIBRARIES);
    others.map(|other| Pair::new(OURS, other)).collect()
}

fn awake(options: &Options, point: &'static str, place: Place, on: &str) -> Contest {
    let of = || place.clone();
    let mut columns = columns!([Ours, Channel, Kameo, Ractor], L => tell::awake::<L>(of()));
    match place {
        Place::Together(Threads::One) | Place::Apart(_) => {
            columns.extend(columns!([Actix, Compio], L => tell::awake::<L>(of())));
        }
        // Their runtimes have one thread each.
        Place::Together(Threads::Workers(_)) => {}
    }
    let title = format!("8 bytes to an actor {on}, one after the other");
    Contest {
        timed: "from the first send to the last handled message",
        operations: options.operations(100_000, 500),
        columns,
        pairs: goals(0.3, CHANNEL, 0.6),
        ..Contest::new("actors", rows::ACTOR_TELL, title).at(point)
    }
}

fn asleep(options: &Options) -> Contest {
    let title = "8 bytes to each of 16 sleeping actors on the same thread, in turn";
    Contest {
        timed: "from the first send until all have handled the last, 16 messages at a time",
        operations: options.operations(16_000, 160),
        columns: columns!([Ours, Channel, Kameo, Ractor, Actix, Compio], L => tell::asleep::<L>()),
        pairs: goals(0.3, CHANNEL, 0.7),
        ..Contest::new("actors", rows::ACTOR_TELL, title).at("tell-asleep")
    }
}

fn asleep_apart(options: &Options, cores: &Cores) -> Contest {
    Contest {
        timed: "each send until it is handled; the figure of a round is its median",
        operations: options.operations(300, 20),
        columns: columns!(
            [Ours, Channel, Kameo, Ractor, Actix, Compio],
            L => tell::asleep_apart::<L>(cores.clone())
        ),
        // The system wakes the thread, which takes most of the time in every column.
        pairs: ratios(CHANNEL),
        ..Contest::new("actors", rows::ACTOR_TELL, "8 bytes to an actor of a sleeping thread")
            .at("tell-asleep-apart")
    }
}

fn asked(options: &Options, point: &'static str, place: Place, open: usize) -> Contest {
    let of = || place.clone();
    let mut columns =
        columns!([Ours, ChannelAndOneshot, Kameo, Ractor], L => ask::trips::<L>(of(), open));
    let own = || columns!([Actix, Compio], L => ask::trips::<L>(of(), open));
    let (title, operations, pairs) = match (&place, open) {
        (Place::Apart(_), _) => {
            columns.extend(own());
            // The system wakes the threads, which takes most of the time in every column.
            ("8 bytes to an actor of a sleeping thread and back", 1_000, ratios(CHANNELS))
        }
        (Place::Together(Threads::Workers(_)), _) => {
            let title = "8 bytes to an actor on two workers and back";
            (title, 20_000, goals(0.5, CHANNELS, 1.0))
        }
        (Place::Together(Threads::One), 1) => {
            columns.extend(own());
            let title = "8 bytes to an actor on the same thread and back";
            (title, 20_000, goals(0.5, CHANNELS, 1.0))
        }
        (Place::Together(Threads::One), _) => {
            columns.extend(own());
            let title = "8 bytes to an actor on the same thread and back, 16 open at a time";
            (title, 20_000, goals(0.5, CHANNELS, 1.0))
        }
    };
    Contest {
        timed: "from the first question to the last answer",
        operations: options.operations(operations, 200),
        columns,
        pairs,
        ..Contest::new("actors", rows::ACTOR_ASK, title).at(point)
    }
}

fn started(options: &Options) -> Contest {
    let title = "an actor with a queue of 16 starts, handles 8 bytes and ends";
    let mut pairs = vec![Pair::best(OURS, ALL).within(0.5)];
    pairs.extend(ratios(CHANNEL));
    Contest {
        timed: "one after the other, until the state of each is dropped, on one thread",
        operations: options.operations(5_000, 50),
        columns: columns!([Ours, Channel, Kameo, Ractor, Actix, Compio], L => start::lives::<L>()),
        pairs,
        ..Contest::new("actors", rows::ACTOR_START, title).at("start")
    }
}

fn remembered(options: &Options, cores: &Cores) -> Contest {
    /// The goal: the most bytes of a keyed actor.
    const MOST: f64 = 1536.0;
    let count = options.operations(100_000, 1_000);
    let title = format!("{count} actors with queues of 16 that wait, each library in a process");
    let most = |name| (name == OursKeyed::NAME).then_some(Limit::AtMost(MOST));
    Contest {
        kind: Kind::CountsOnce,
        operations: count,
        columns: columns!(
            [Ours, OursKeyed, Channel, Kameo, Ractor, Actix, Compio],
            L => memory::memory::<L>(cores.clone(), most(L::NAME))
        ),
        ..Contest::new("actors", rows::ACTOR_MEMORY, title).at("memory")
    }
}

fn passed(options: &Options, point: &'static str, threads: Threads) -> Contest {
    // A quick run only checks that the token arrives.
    let actors = if options.quick { 20 } else { 1_000 };
    let of = || threads.clone();
    let mut columns = columns!([Ours, Channel, Kameo, Ractor], L => ring::ring::<L>(of(), actors));
    let on = match threads {
        Threads::One => {
            columns.extend(columns!([Actix, Compio], L => ring::ring::<L>(of(), actors)));
            "on one thread"
        }
        Threads::Workers(_) => "on two workers",
    };
    let mut pairs = vec![Pair::best(OURS, LIBRARIES).within(0.3)];
    pairs.extend(ratios(CHANNEL));
    Contest {
        timed: "from the first hop to the last",
        operations: options.operations(1_000_000, 500),
        columns,
        pairs,
        ..Contest::new("actors", rows::ACTOR_RING, format!("a token in a ring of actors {on}"))
            .at(point)
    }
}

/// Allocations of each operation, on one thread.
fn spent(options: &Options) -> [Contest; 4] {
    let tells = columns!([Ours, Channel, Kameo, Ractor, Actix, Compio], L => tell::spent::<L>());
    let asks =
        columns!([Ours, ChannelAndOneshot, Kameo, Ractor, Actix, Compio], L => ask::spent::<L>());
    let starts = columns!([Ours, Channel, Kameo, Ractor, Actix, Compio], L => start::spent::<L>());
    let hops = columns!([Ours, Channel, Kameo, Ractor, Actix, Compio], L => ring::spent::<L>());
    [
        ("spent-tell", "a tell, one after the other", tells),
        ("spent-ask", "an ask, one at a time", asks),
        ("spent-start", "an actor that starts, handles a message and ends", starts),
        ("spent-hop", "a hop in a ring of 16 actors", hops),
    ]
    .map(|(point, title, columns)| Contest {
        kind: Kind::Counts,
        operations: options.operations(2_000, 100),
        columns,
        ..Contest::new("actors", "", format!("allocations of {title}")).at(point)
    })
}
