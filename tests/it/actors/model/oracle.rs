//! A plain model of an actor: its mailbox is a `VecDeque`, and nothing runs by itself.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mycelium::actors::{ActorEnd, WhenFull};

/// What a handler does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Note,
    Fail,
    Panic,
    /// An error after which the actor continues.
    Ignored,
    /// The actor stops itself, and may fail in the same handler.
    Stop {
        fails: bool,
    },
    /// The actor tells itself a note later.
    Timer(Duration),
    Sleep(Duration),
}

/// A message with its number, or a request with its place among the open requests.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) number: u64,
    pub(crate) act: Act,
    pub(crate) request: Option<usize>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    Cancelled,
    Replied,
    Failed,
    Gone,
    Refused,
}

/// The counters of all actors that are not 0.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// Sleeps in the handler of this request, or of a message if `None`.
    Sleeps(Option<usize>),
    /// Waits for its restart.
    Pauses,
}

/// What all actors have done.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) handled: Vec<u64>,
    pub(crate) dead: Vec<u64>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) counts: Counts,
}

impl Seen {
    pub(crate) fn count(&mut self, counter: &'static str) {
        *self.counts.entry(counter).or_default() += 1;
    }
}

/// The settings with which an actor is spawned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) capacity: usize,
    pub(crate) when_full: WhenFull,
    /// The limit of restarts.
    pub(crate) limit: u32,
    pub(crate) keeps: bool,
}

#[derive(Debug)]
pub(crate) struct Model {
    mailbox: VecDeque<Mail>,
    settings: Settings,
    state: State,
    /// Pending timers: the deadline and the number of each.
    timers: Vec<(Duration, u64)>,
    /// Handled messages that are not in the counters yet: the actor counts them when it next waits.
    uncounted: u64,
    failures: u32,
    pub(crate) refs: usize,
    stops: bool,
    drains: bool,
    /// The actor has noticed that it drains, and refuses new messages.
    refuses: bool,
    pub(crate) end: Option<ActorEnd>,
}

/// The result of a tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Ok,
    Full,
    Gone,
}

impl Model {
    pub(crate) fn new(settings: Settings) -> Model {
        Model {
            mailbox: VecDeque::new(),
            settings,
            state: State::Runs,
            timers: Vec::new(),
            uncounted: 0,
            failures: 0,
            refs: 1,
            stops: false,
            drains: false,
            refuses: false,
            end: None,
        }
    }

    fn is_full(&self) -> bool {
        self.mailbox.len() == self.settings.capacity
    }

    /// Returns whether an `ask` would wait for room.
    pub(crate) fn would_wait(&self) -> bool {
        self.is_full() && self.settings.when_full == WhenFull::Wait && self.end.is_none()
    }

    pub(crate) fn depth(&self) -> usize {
        self.mailbox.len()
    }

    pub(crate) fn tell(&mut self, mail: Mail, seen: &mut Seen) -> Told {
        if self.end.is_some() || self.refuses {
            return Told::Gone;
        }
        if !self.is_full() {
            self.mailbox.push_back(mail);
            return Told::Ok;
        }
        if self.settings.when_full != WhenFull::Wait {
            seen.count("refused");
        }
        if self.settings.when_full == WhenFull::DropNewest { Told::Ok } else { Told::Full }
    }

    /// Puts a request into the mailbox, which has room or does not wait for it.
    pub(crate) fn ask(&mut self, mail: Mail, seen: &mut Seen) {
        let request = mail.request.expect("a request");
        seen.outcomes[request] = if self.end.is_some() || self.refuses {
            Outcome::Gone
        } else if self.is_full() {
            seen.count("refused");
            Outcome::Refused
        } else {
            self.mailbox.push_back(mail);
            Outcome::Open
        };
    }

    pub(crate) fn stop(&mut self) {
        self.stops = true;
    }

    pub(crate) fn drain(&mut self) {
        self.drains = true;
    }

    /// Runs the actor until it waits.
    pub(crate) fn run(&mut self, now: Duration, seen: &mut Seen) {
        while self.end.is_none() {
            match self.state {
                // The stop ends the sleep with an error, but this is not a failure of the actor.
                State::Sleeps(request) if self.stops => {
                    resolve(request, Outcome::Failed, seen);
                    self.end(ActorEnd::Stopped, seen);
                }
                State::Runs | State::Pauses if self.stops => self.end(ActorEnd::Stopped, seen),
                State::Pauses if self.drains => self.restart(seen),
                State::Sleeps(_) | State::Pauses => return,
                State::Runs if self.drains && !self.refuses => self.refuses = true,
                State::Runs => match self.mailbox.pop_front() {
                    Some(mail) => self.handle(mail, now, seen),
                    None if self.drains => self.end(ActorEnd::Stopped, seen),
                    None if self.refs == 0 && !self.settings.keeps => {
                        self.end(ActorEnd::Unreferenced, seen);
                    }
                    None => return self.flush(seen),
                },
            }
        }
    }

    fn flush(&mut self, seen: &mut Seen) {
        for _ in 0..std::mem::take(&mut self.uncounted) {
            seen.count("handled");
        }
    }

    /// Lets time pass until the actor waits for messages only. All that happens is at `now` or
    /// later.
    pub(crate) fn pass(&mut self, now: Duration, seen: &mut Seen) {
        loop {
            self.run(now, seen);
            match self.state {
                _ if self.end.is_some() => return,
                State::Pauses => self.restart(seen),
                State::Sleeps(request) => {
                    resolve(request, Outcome::Replied, seen);
                    self.state = State::Runs;
                }
                State::Runs => {
                    let first = self.timers.iter().min().copied();
                    let Some(timer) = first else { return };
                    self.timers.retain(|other| *other != timer);
                    seen.count("handled");
                    seen.handled.push(timer.1);
                }
            }
        }
    }

    fn handle(&mut self, Mail { number, act, request }: Mail, now: Duration, seen: &mut Seen) {
        if let Some(request) = request {
            if seen.outcomes[request] == Outcome::Cancelled {
                return;
            }
            seen.outcomes[request] = match act {
                Act::Fail | Act::Panic | Act::Ignored | Act::Stop { fails: true } => {
                    Outcome::Failed
                }
                Act::Note | Act::Stop { fails: false } | Act::Timer(_) => Outcome::Replied,
                Act::Sleep(_) => Outcome::Open,
            };
        } else {
            self.uncounted += 1;
        }
        seen.handled.push(number);
        match act {
            Act::Note => {}
            Act::Timer(delay) => self.timers.push((now + delay, number)),
            Act::Sleep(_) => self.state = State::Sleeps(request),
            Act::Ignored => seen.count("errors"),
            Act::Stop { fails } => {
                self.stops = true;
                if fails {
                    self.fail("errors", seen);
                }
            }
            Act::Fail => self.fail("errors", seen),
            Act::Panic => self.fail("panics", seen),
        }
    }

    fn fail(&mut self, counter: &'static str, seen: &mut Seen) {
        seen.count(counter);
        self.flush(seen);
        self.timers.clear();
        if self.failures == self.settings.limit {
            seen.count("failed");
            self.end(ActorEnd::Failed { error: "".into() }, seen);
        } else {
            self.failures += 1;
            self.state = State::Pauses;
        }
    }

    fn restart(&mut self, seen: &mut Seen) {
        seen.count("restarts");
        self.state = State::Runs;
    }

    fn end(&mut self, end: ActorEnd, seen: &mut Seen) {
        self.flush(seen);
        for Mail { number, request, .. } in self.mailbox.drain(..) {
            match request {
                None => {
                    seen.count("dead_letters");
                    seen.dead.push(number);
                }
                Some(request) if seen.outcomes[request] == Outcome::Open => {
                    seen.outcomes[request] = Outcome::Gone;
                }
                Some(_) => {}
            }
        }
        self.timers.clear();
        seen.count("ended");
        self.end = Some(end);
    }
}

fn resolve(request: Option<usize>, outcome: Outcome, seen: &mut Seen) {
    if let Some(open) = request.map(|request| &mut seen.outcomes[request])
        && *open == Outcome::Open
    {
        *open = outcome;
    }
}
