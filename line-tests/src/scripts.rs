//! The scripts: in which order the ends of a ring work, the writer on core 0 and the reader on
//! core 1.
//!
//! Each script first runs for two laps of the ring, and counts in the next two.

use std::cell::Cell;
use std::rc::Rc;

use mycelium_core::sync::lines::{Kind, report_all};

use crate::caches::{CACHE_LINES, Counts};
use crate::machine::Machine;
use crate::place::at_offset;
use crate::subjects::{End, Subject};

/// The offsets in a line at which allocations may begin; a result is the worst over these.
const OFFSETS: [usize; 4] = [0, 16, 32, 48];
const WRITER: usize = 0;
const READER: usize = 1;

/// A schedule of the writer and the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// The ring is full nearly all the time: the reader takes an eighth of it, then the writer
    /// pushes until it is refused.
    LapBehind,
    /// The ring is full all the time: the writer tries after each take, until it is refused.
    WaitsForRoom,
    /// The reader reads after each push, until it finds nothing.
    AtTheHeels,
    /// The same as `AtTheHeels`, but the reader reads between two accesses of each push: the worst
    /// of these places.
    WithinAPush,
    /// A message through one ring, an answer through another one of the same kind; each side has
    /// found nothing before its message arrives.
    RoundTrip,
}

impl Script {
    /// All scripts.
    pub const ALL: [Script; 5] = [
        Script::LapBehind,
        Script::WaitsForRoom,
        Script::AtTheHeels,
        Script::WithinAPush,
        Script::RoundTrip,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Script::LapBehind => "a lap behind",
            Script::WaitsForRoom => "waits for room",
            Script::AtTheHeels => "at the heels",
            Script::WithinAPush => "within a push",
            Script::RoundTrip => "round trip",
        }
    }
}

/// The cost of one message, on both cores together.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Cost {
    /// Requests that the other core must answer: with data, or by invalidating its copy.
    pub waits: f64,
    /// Lines that change hands: requests that the other core answers with data.
    pub transfers: f64,
}

impl Cost {
    /// The cost of each of `messages`, which were sent since `before`.
    fn since(before: &[Counts], messages: usize) -> Cost {
        let now = Machine::counts();
        let each = |of: fn(&Counts) -> u64| {
            let sum = |counts: &[Counts]| counts.iter().map(of).sum::<u64>();
            (sum(&now) - sum(before)) as f64 / messages as f64
        };
        let transfers = each(|counts| counts.transfers);
        Cost { waits: transfers + each(|counts| counts.upgrades), transfers }
    }
}

/// The cost of a message under a script; the worst over the offsets of memory.
pub fn cost(make: &dyn Fn() -> Subject, script: Script) -> Cost {
    worst(OFFSETS.into_iter().map(|offset| at_offset(offset, || cost_here(make, script))))
}

fn cost_here(make: &dyn Fn() -> Subject, script: Script) -> Cost {
    match script {
        Script::RoundTrip => round_trip(make),
        // Until a push has no such access.
        Script::WithinAPush => worst((0..).map_while(|stop| run(make, script, stop))),
        _ => run(make, script, usize::MAX).expect("only pushes that are stopped end before"),
    }
}

fn worst(costs: impl Iterator<Item = Cost>) -> Cost {
    costs.max_by(|a, b| a.partial_cmp(b).expect("numbers")).unwrap_or_default()
}

/// Runs a script, with pushes stopped before their access number `stop`. Returns `None` if a push
/// has no such access.
fn run(make: &dyn Fn() -> Subject, script: Script, stop: usize) -> Option<Cost> {
    let _machine = Machine::new(2, CACHE_LINES);
    let mut play = Play { subject: make(), sent: 0, taken: Rc::default(), stopped: 0 };
    play.two_laps(script, stop);
    let (before, sent, stopped) = (Machine::counts(), play.sent, play.stopped);
    play.two_laps(script, stop);
    let messages = play.sent - sent;
    let cost = Cost::since(&before, messages);
    play.take(usize::MAX);
    assert_eq!(play.taken.get(), play.sent, "pushed messages can be taken");
    (script != Script::WithinAPush || play.stopped - stopped == messages).then_some(cost)
}

struct Play {
    subject: Subject,
    sent: usize,
    taken: Rc<Cell<usize>>,
    /// The pushes that were stopped.
    stopped: usize,
}

impl Play {
    fn push(&mut self, most: usize) {
        self.sent += Machine::on(WRITER, || self.subject.writer.repeat(most));
    }

    /// Takes messages; not a method that borrows, as it may be a step within a push.
    fn taking(&self, most: usize) -> impl FnMut() + 'static {
        let (reader, taken) = (self.subject.reader.clone(), self.taken.clone());
        move || taken.set(taken.get() + Machine::on(READER, || reader.repeat(most)))
    }

    fn take(&self, most: usize) {
        self.taking(most)();
    }

    fn two_laps(&mut self, script: Script, stop: usize) {
        let last = self.sent + 2 * self.subject.capacity;
        if let Script::LapBehind | Script::WaitsForRoom = script {
            self.push(usize::MAX);
        }
        while self.sent < last {
            match script {
                Script::LapBehind => {
                    self.take(self.subject.capacity / 8);
                    self.push(usize::MAX);
                }
                Script::WaitsForRoom => {
                    self.take(1);
                    self.push(usize::MAX);
                }
                Script::AtTheHeels => {
                    self.push(1);
                    self.take(usize::MAX);
                }
                Script::WithinAPush => {
                    Machine::stop(WRITER, stop, Box::new(self.taking(usize::MAX)));
                    self.push(1);
                    match Machine::not_stopped() {
                        Some(mut step) => step(),
                        None => self.stopped += 1,
                    }
                }
                Script::RoundTrip => unreachable!("it takes two rings"),
            }
        }
    }
}

fn round_trip(make: &dyn Fn() -> Subject) -> Cost {
    let (there, back) = (make(), make());
    let _machine = Machine::new(2, CACHE_LINES);
    let at = |core, end: &End, most| assert_eq!(Machine::on(core, || end.repeat(most)), 1);
    trips(2 * there.capacity, || {
        at(WRITER, &there.writer, 1);
        at(READER, &there.reader, usize::MAX);
        at(READER, &back.writer, 1);
        at(WRITER, &back.reader, usize::MAX);
    })
}

/// The cost of a round trip through one word, to which each side stores in turn.
pub fn raw_round_trip() -> Cost {
    let word = 0_usize;
    let _machine = Machine::new(2, CACHE_LINES);
    trips(1_000, || {
        for core in [WRITER, READER] {
            Machine::on(core, || report_all(Kind::Store, &word));
            Machine::on(1 - core, || report_all(Kind::Load, &word));
        }
    })
}

/// The cost of `count` trips, after as many that are not counted.
fn trips(count: usize, mut trip: impl FnMut()) -> Cost {
    (0..count).for_each(|_| trip());
    let before = Machine::counts();
    (0..count).for_each(|_| trip());
    Cost::since(&before, count)
}
