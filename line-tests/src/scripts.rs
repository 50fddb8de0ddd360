//! The scripts: in which order the ends of a ring work, each on its simulated core.
//!
//! Each script first runs for some laps of the ring, and counts after that.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use mycelium_core::sync::lines::AtomicUsize;

use crate::caches::{CACHE_LINES, Counts};
use crate::machine::Machine;
use crate::place::at_offset;
use crate::subjects::{End, Subject};

/// The offsets in a line at which allocations may begin; a result is the worst over these.
const OFFSETS: [usize; 4] = [0, 16, 32, 48];
/// How many messages the writer sends in one poll.
const POLL: usize = 64;
/// The number of messages in a burst.
const BURST: usize = 16;

/// A schedule of writers and readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// The ring is full nearly all the time: readers take an eighth of it, then writers push until
    /// they are refused.
    LapBehind,
    /// The ring is full all the time: a writer tries after each take, until it is refused.
    WaitsForRoom,
    /// A reader reads after each push, until it finds nothing.
    AtTheHeels,
    /// The same as `AtTheHeels`, but the reader reads between two accesses of each push: the worst
    /// of these places.
    WithinAPush,
    /// Bursts of 16: all are pushed, then all are taken.
    Bursts,
    /// One message at a time: the caches are empty, the reader finds nothing, then a push, then a
    /// read.
    OneAlone,
    /// A message through one ring, an answer through another one of the same kind; each side has
    /// found nothing before its message arrives. Only for rings with one writer and one reader.
    RoundTrip,
}

impl Script {
    /// All scripts.
    pub const ALL: [Script; 7] = [
        Script::LapBehind,
        Script::WaitsForRoom,
        Script::AtTheHeels,
        Script::WithinAPush,
        Script::Bursts,
        Script::OneAlone,
        Script::RoundTrip,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Script::LapBehind => "a lap behind",
            Script::WaitsForRoom => "waits for room",
            Script::AtTheHeels => "at the heels",
            Script::WithinAPush => "within a push",
            Script::Bursts => "bursts of 16",
            Script::OneAlone => "one alone",
            Script::RoundTrip => "round trip",
        }
    }
}

/// The cost of one message, on all cores together: [`Counts`] by message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Lines that change hands.
    pub transfers: f64,
    /// Read requests.
    pub reads: f64,
    /// Requests for ownership with data.
    pub owns: f64,
    /// Requests to own without data.
    pub upgrades: f64,
}

impl Cost {
    fn of(spent: &[Counts], messages: usize) -> Cost {
        let mut all = Counts::default();
        spent.iter().for_each(|counts| all += *counts);
        let each = |count: u64| count as f64 / messages as f64;
        Cost {
            transfers: each(all.transfers),
            reads: each(all.reads),
            owns: each(all.owns),
            upgrades: each(all.upgrades),
        }
    }

    /// Requests that another core must answer: with data, or by invalidating its copy.
    #[must_use]
    pub fn waits(&self) -> f64 {
        self.transfers + self.upgrades
    }
}

/// The cost of a message under a script; the worst over the offsets of memory.
#[must_use]
pub fn cost(make: &dyn Fn() -> Subject, script: Script) -> Cost {
    worst(OFFSETS.into_iter().map(|offset| at_offset(offset, || cost_here(make, script))))
}

fn cost_here(make: &dyn Fn() -> Subject, script: Script) -> Cost {
    match script {
        Script::WithinAPush => {}
        Script::RoundTrip => return round_trip(make),
        _ => return run(make, script, None).0,
    }
    // Until a push has no such access.
    let mut costs = Vec::new();
    loop {
        let (cost, stopped) = run(make, script, Some(costs.len()));
        if !stopped {
            return worst(costs.into_iter());
        }
        costs.push(cost);
    }
}

fn worst(costs: impl Iterator<Item = Cost>) -> Cost {
    let key = |cost: &Cost| (cost.waits(), cost.transfers, cost.reads + cost.owns);
    costs.max_by(|a, b| key(a).partial_cmp(&key(b)).expect("numbers")).unwrap_or_default()
}

/// Runs a script, with pushes stopped before their access number `stop`. Returns whether all of
/// them were.
fn run(make: &dyn Fn() -> Subject, script: Script, stop: Option<usize>) -> (Cost, bool) {
    let subject = make();
    let cores = subject.writers.len() + subject.readers.len();
    let _machine = Machine::new(cores, CACHE_LINES);
    let mut play = Play { subject, sent: 0, taken: 0, stopped: 0 };
    play.run(script, stop, 2);
    let before = (Machine::counts(), play.sent, play.stopped);
    let spent = play.run(script, stop, 2);
    let spent = spent.unwrap_or_else(|| {
        Machine::counts().into_iter().zip(&before.0).map(|(now, before)| now - *before).collect()
    });
    let messages = play.sent - before.1;
    assert!(play.subject.is_drained_by(play.sent - play.taken), "pushed messages can be taken");
    (Cost::of(&spent, messages), play.stopped - before.2 == messages)
}

struct Play {
    subject: Subject,
    sent: usize,
    taken: usize,
    stopped: usize,
}

impl Play {
    fn run(&mut self, script: Script, stop: Option<usize>, laps: usize) -> Option<Vec<Counts>> {
        let messages = laps * self.subject.capacity;
        match script {
            Script::LapBehind => self.lap_behind(messages),
            Script::WaitsForRoom => self.waits_for_room(messages),
            Script::AtTheHeels | Script::WithinAPush => self.at_the_heels(messages, stop),
            Script::Bursts => self.bursts(messages),
            Script::OneAlone => return Some(self.one_alone(messages)),
            Script::RoundTrip => unreachable!("it takes two rings"),
        }
        None
    }

    fn lap_behind(&mut self, messages: usize) {
        let last = self.sent + messages;
        self.push_all(usize::MAX);
        while self.sent < last {
            self.take_all(self.subject.capacity / 8);
            self.push_all(usize::MAX);
        }
    }

    fn waits_for_room(&mut self, messages: usize) {
        self.push_all(usize::MAX);
        let (writers, readers) = (self.subject.writers.clone(), self.subject.readers.clone());
        let mut number = 0;
        while number < messages {
            let reader = number / POLL % readers.len();
            let mut one_poll = || {
                for _ in 0..POLL {
                    assert!(readers[reader].one(), "there is one");
                    let writer = number % writers.len();
                    self.sent += Machine::on(writer, || writers[writer].poll_until(usize::MAX));
                    number += 1;
                }
            };
            Machine::on(writers.len() + reader, || readers[reader].poll(&mut one_poll));
        }
        self.taken += number;
    }

    fn bursts(&mut self, messages: usize) {
        for _ in 0..messages / BURST {
            self.push_all(BURST);
            self.take_all(usize::MAX);
        }
    }

    /// Pushes up to `most` messages, from each writer's core in turn.
    fn push_all(&mut self, most: usize) {
        let writers = self.subject.writers.clone();
        let sent = in_turn(&writers, 0, most);
        assert!(most == usize::MAX || sent == most, "the ring has room for {most}");
        self.sent += sent;
    }

    /// Takes up to `most` messages, to each reader's core in turn.
    fn take_all(&mut self, most: usize) {
        let readers = self.subject.readers.clone();
        self.taken += in_turn(&readers, self.subject.writers.len(), most);
    }

    fn at_the_heels(&mut self, messages: usize, stop: Option<usize>) {
        let (writers, readers) = (self.subject.writers.clone(), self.subject.readers.clone());
        let taken = Rc::new(std::cell::Cell::new(0));
        let mut number = 0;
        while number < messages {
            let writer = number / POLL % writers.len();
            let mut one_poll = || {
                for _ in 0..POLL {
                    let reader = number % readers.len();
                    number += 1;
                    let (end, core, taken) =
                        (readers[reader].clone(), writers.len() + reader, taken.clone());
                    let mut step: Box<dyn FnMut()> = Box::new(move || {
                        let got = Machine::on(core, || end.poll_until(usize::MAX));
                        taken.set(taken.get() + got);
                    });
                    if let Some(stop) = stop {
                        Machine::stop(writer, stop, step);
                        assert!(writers[writer].one(), "there is room");
                        match Machine::not_stopped() {
                            Some(mut step) => step(),
                            None => self.stopped += 1,
                        }
                    } else {
                        assert!(writers[writer].one(), "there is room");
                        step();
                    }
                    self.sent += 1;
                }
            };
            Machine::on(writer, || writers[writer].poll(&mut one_poll));
        }
        self.taken += taken.get();
    }

    /// The requests from after the reader found nothing until it has the message.
    fn one_alone(&mut self, messages: usize) -> Vec<Counts> {
        let (writers, readers) = (self.subject.writers.clone(), self.subject.readers.clone());
        let mut spent = vec![Counts::default(); writers.len() + readers.len()];
        for number in 0..messages {
            let (writer, reader) = (number % writers.len(), number % readers.len());
            let core = writers.len() + reader;
            Machine::evict_all();
            assert_eq!(Machine::on(core, || readers[reader].poll_until(usize::MAX)), 0);
            let before = Machine::counts();
            assert_eq!(Machine::on(writer, || writers[writer].poll_until(1)), 1);
            assert_eq!(Machine::on(core, || readers[reader].poll_until(1)), 1);
            for ((spent, now), before) in spent.iter_mut().zip(Machine::counts()).zip(before) {
                *spent += now - before;
            }
            self.sent += 1;
            self.taken += 1;
        }
        spent
    }
}

/// Runs the ends, in turn and each on its core, up to `most` times altogether, until none can
/// continue.
fn in_turn(ends: &[Rc<End>], first_core: usize, most: usize) -> usize {
    let (mut done, mut idle) = (0, 0);
    for (index, end) in ends.iter().enumerate().cycle() {
        if idle == ends.len() || done == most {
            break;
        }
        let part = if ends.len() == 1 { most - done } else { 1 };
        let now = Machine::on(first_core + index, || end.poll_until(part));
        done += now;
        idle = if now == part { 0 } else { idle + 1 };
    }
    done
}

fn round_trip(make: &dyn Fn() -> Subject) -> Cost {
    let (there, back) = (make(), make());
    let _machine = Machine::new(2, CACHE_LINES);
    let at = |core: usize, end: &Rc<End>, most: usize| {
        assert_eq!(Machine::on(core, || end.poll_until(most)), 1);
    };
    trips(2 * there.capacity, || {
        at(0, &there.writers[0], 1);
        at(1, &there.readers[0], usize::MAX);
        at(1, &back.writers[0], 1);
        at(0, &back.readers[0], usize::MAX);
    })
}

/// The cost of a round trip through one word, to which each side stores in turn.
#[must_use]
pub fn raw_round_trip() -> Cost {
    let word = AtomicUsize::new(0);
    let _machine = Machine::new(2, CACHE_LINES);
    let mut next = 0;
    trips(1_000, || {
        for core in [0, 1] {
            next += 1;
            Machine::on(core, || word.store(next, Ordering::Release));
            assert_eq!(Machine::on(1 - core, || word.load(Ordering::Acquire)), next);
        }
    })
}

/// The cost of `count` trips, after as many that are not counted.
fn trips(count: usize, mut trip: impl FnMut()) -> Cost {
    (0..count).for_each(|_| trip());
    let before = Machine::counts();
    (0..count).for_each(|_| trip());
    let spent = Machine::counts().into_iter().zip(before).map(|(now, then)| now - then);
    Cost::of(&spent.collect::<Vec<_>>(), count)
}
