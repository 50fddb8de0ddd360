//! The scripts: in which order the ends of a ring work, the writer on core 0 and the reader on
//! core 1.
//!
//! Each script first runs for two laps of the ring, and counts in the next two.

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
    /// A message through one ring, an answer through another one of the same kind; each side has
    /// found nothing before its message arrives.
    RoundTrip,
}

impl Script {
    /// All scripts, with their names in tables.
    pub const ALL: [(Script, &str); 4] = [
        (Script::LapBehind, "a lap behind"),
        (Script::WaitsForRoom, "waits for room"),
        (Script::AtTheHeels, "at the heels"),
        (Script::RoundTrip, "round trip"),
    ];
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
    /// Returns the cost of each of `messages`, which were sent since `before`.
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

/// Returns the cost of a message under a script: the greatest of the costs at all `OFFSETS`,
/// because the ring's memory may begin at any of them.
pub fn cost(make: fn() -> Subject, script: Script) -> Cost {
    let at = |offset| {
        at_offset(offset, || match script {
            Script::RoundTrip => round_trip(make),
            _ => run(make, script),
        })
    };
    let costs = OFFSETS.into_iter().map(at);
    costs.max_by(|a, b| a.partial_cmp(b).expect("numbers")).unwrap_or_default()
}

fn run(make: fn() -> Subject, script: Script) -> Cost {
    let _machine = Machine::new(2, CACHE_LINES);
    let mut play = Play { subject: make(), sent: 0, taken: 0 };
    play.two_laps(script);
    let (before, sent) = (Machine::counts(), play.sent);
    play.two_laps(script);
    let cost = Cost::since(&before, play.sent - sent);
    play.take(usize::MAX);
    assert_eq!(play.taken, play.sent, "pushed messages can be taken");
    cost
}

struct Play {
    subject: Subject,
    sent: usize,
    taken: usize,
}

impl Play {
    fn push(&mut self, most: usize) {
        self.sent += Machine::on(WRITER, || self.subject.writer.repeat(most));
    }

    fn take(&mut self, most: usize) {
        self.taken += Machine::on(READER, || self.subject.reader.repeat(most));
    }

    fn two_laps(&mut self, script: Script) {
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
                Script::RoundTrip => unreachable!("it takes two rings"),
            }
        }
    }
}

fn round_trip(make: fn() -> Subject) -> Cost {
    let (mut there, mut back) = (make(), make());
    let _machine = Machine::new(2, CACHE_LINES);
    let at = |core, end: &mut End, most| assert_eq!(Machine::on(core, || end.repeat(most)), 1);
    trips(2 * there.capacity, || {
        at(WRITER, &mut there.writer, 1);
        at(READER, &mut there.reader, usize::MAX);
        at(READER, &mut back.writer, 1);
        at(WRITER, &mut back.reader, usize::MAX);
    })
}

/// Returns the cost of `count` trips, after as many that are not counted.
fn trips(count: usize, mut trip: impl FnMut()) -> Cost {
    (0..count).for_each(|_| trip());
    let before = Machine::counts();
    (0..count).for_each(|_| trip());
    Cost::since(&before, count)
}
