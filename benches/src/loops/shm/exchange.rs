//! The loops of two processes: round trips, and messages one way.
//!
//! A message has its number in its first and its last word; both sides check them. The other
//! process hears a line for each round and spins meanwhile. Then it says a line if every message
//! was right, and waits for the next round without using its core.

use std::time::{Duration, Instant};

use super::bare::{self, Numbers, Slots};
use super::duplex::Duplex;
#[cfg(feature = "iceoryx2")]
use super::iceoryx::Iceoryx;
use super::ring::Rings;
use crate::affinity::Cores;
use crate::harness::{Column, Mismatch, Round};
use crate::processes::{Parent, Talk, Worker};
use crate::stats::Times;
use crate::wait::{DEADLINE, Idle, Retry};

/// What a column consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Our rings.
    Rings,
    /// A number on a line.
    Numbers,
    /// Stamped slots.
    Slots,
    /// Publishers and subscribers of iceoryx2.
    #[cfg(feature = "iceoryx2")]
    Iceoryx2,
}

impl Kind {
    fn slug(self) -> &'static str {
        match self {
            Kind::Rings => "rings",
            Kind::Numbers => "numbers",
            Kind::Slots => "slots",
            #[cfg(feature = "iceoryx2")]
            Kind::Iceoryx2 => "iceoryx2",
        }
    }
}

/// Does the job of the other process.
pub(super) fn serve(kind: &str, words: &str, parent: &mut Parent) {
    match words {
        "1" => Side::new(Numbers::meet(parent)).serve(parent),
        "6" => serve_words::<6>(kind, parent),
        "8" => serve_words::<8>(kind, parent),
        "128" => serve_words::<128>(kind, parent),
        "4096" => serve_words::<4096>(kind, parent),
        _ => panic!("there are no {kind} of {words} words"),
    }
}

fn serve_words<const W: usize>(kind: &str, parent: &mut Parent) {
    match kind {
        "rings" => Side::<_, W>::new(Rings::meet::<W>(parent)).serve(parent),
        "slots" => Side::new(Slots::<W>::meet(parent)).serve(parent),
        #[cfg(feature = "iceoryx2")]
        "iceoryx2" => Side::new(Iceoryx::<W>::join(parent)).serve(parent),
        _ => panic!("there are no {kind} of {W} words"),
    }
}

/// An end, and the numbers of its messages, which never repeat.
struct Side<D, const W: usize> {
    end: D,
    sent: usize,
    received: usize,
    wrong: usize,
    message: Box<[usize; W]>,
}

impl<D: Duplex<W>, const W: usize> Side<D, W> {
    fn new(end: D) -> Side<D, W> {
        let message = Box::new([0; W]);
        Side { end, sent: 0, received: 0, wrong: 0, message }
    }

    /// Sends the next message; false after the deadline.
    #[inline]
    fn send(&mut self, message: &mut [usize; W], retry: &mut Retry) -> bool {
        self.sent += 1;
        message[0] = self.sent;
        message[W - 1] = self.sent;
        while !self.end.send(message) {
            if !retry.wait() {
                return false;
            }
        }
        true
    }

    /// Waits for the next message; false after the deadline.
    #[inline]
    fn receive(&mut self, message: &mut [usize; W], retry: &mut Retry) -> bool {
        while !self.end.receive(message) {
            if !retry.wait() {
                return false;
            }
        }
        self.received += 1;
        self.wrong |= (message[0] ^ self.received) | (message[W - 1] ^ self.received);
        true
    }

    /// The other process: one round for each line.
    fn serve(mut self, parent: &mut Parent) {
        let mut message = std::mem::replace(&mut self.message, Box::new([0; W]));
        while let Some(line) = parent.hear() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [what, count, idle] = words[..] else { panic!("a round: {line}") };
            let count: usize = count.parse().expect("a number");
            let mut retry = Retry::new(Idle::of_slug(idle).expect("a strategy"), DEADLINE);
            let done = match what {
                "trip" => self.answer(&mut message, count, &mut retry),
                _ => {
                    self.send(&mut message, &mut retry)
                        && self.take(&mut message, count, &mut retry)
                        && self.send(&mut message, &mut retry)
                }
            };
            assert!(done && self.wrong == 0, "a message was lost or changed");
            parent.say(&"right");
        }
    }

    #[inline(never)]
    fn answer(&mut self, message: &mut [usize; W], count: usize, retry: &mut Retry) -> bool {
        (0..count).all(|_| self.receive(message, retry) && self.send(message, retry))
    }

    #[inline(never)]
    fn take(&mut self, message: &mut [usize; W], count: usize, retry: &mut Retry) -> bool {
        (0..count).all(|_| self.receive(message, retry))
    }

    #[inline(never)]
    fn give(&mut self, message: &mut [usize; W], count: usize, retry: &mut Retry) -> bool {
        (0..count).all(|_| self.send(message, retry))
    }

    /// Trips of this side, with a call after each.
    #[inline(never)]
    fn ask(&mut self, count: usize, retry: &mut Retry, mut each: impl FnMut()) -> bool {
        let mut message = std::mem::replace(&mut self.message, Box::new([0; W]));
        let mut answer = Box::new([0; W]);
        let done = (0..count).all(|_| {
            let done = self.send(&mut message, retry) && self.receive(&mut answer, retry);
            each();
            done
        });
        self.message = message;
        done
    }

    /// What both sides found.
    fn check(&self, name: &'static str, done: bool, other: &mut Worker) -> Result<(), Mismatch> {
        if !done || self.wrong != 0 {
            let what = format!("{} sent, {} received, or wrong", self.sent, self.received);
            return Err(Mismatch::new(name, what));
        }
        let failed = || Mismatch::new(name, "the other process found a wrong message");
        other.hear().map(|_| ()).ok_or_else(failed)
    }
}

/// What of the trips counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// All trips of a round together, without a clock between them.
    Mean,
    /// The median of those of a round.
    Median,
    /// The 99th percentile.
    Tail,
}

/// A column of round trips.
pub(crate) fn trips<const W: usize>(
    name: &'static str,
    kind: Kind,
    figure: Figure,
    cores: &Cores,
) -> Column {
    match kind {
        Kind::Numbers => trips_of::<_, 1>(name, kind, figure, cores, Numbers::meet),
        Kind::Rings => trips_of::<_, W>(name, kind, figure, cores, Rings::meet::<W>),
        Kind::Slots => trips_of::<_, W>(name, kind, figure, cores, Slots::<W>::meet),
        #[cfg(feature = "iceoryx2")]
        Kind::Iceoryx2 => trips_of::<_, W>(name, kind, figure, cores, Iceoryx::<W>::host),
    }
}

fn trips_of<D: Duplex<W> + 'static, const W: usize>(
    name: &'static str,
    kind: Kind,
    figure: Figure,
    cores: &Cores,
    meet: impl Fn(&mut Worker) -> D + 'static,
) -> Column {
    let (mut made, cores) = (None, cores.clone());
    Column::new(name, move |operations| {
        let (worker, side) = made.get_or_insert_with(|| {
            let mut worker = Worker::start(&cores, &format!("exchange {} {W}", kind.slug()));
            let side = Side::new(meet(&mut worker));
            // In this order the worker ends first, and the end can remove what the worker left.
            (worker, side)
        });
        // The first trips wake the other process.
        const FIRST: usize = 50;
        let trips = operations + FIRST;
        worker.say(&format_args!("trip {trips} busy"));
        let mut retry = Retry::new(Idle::Busy, DEADLINE);
        let done = side.ask(FIRST, &mut retry, || {});
        let start = Instant::now();
        let (mut times, mut before) = (Times::default(), start);
        let done = done
            && match figure {
                Figure::Mean => side.ask(operations, &mut retry, || {}),
                Figure::Median | Figure::Tail => side.ask(operations, &mut retry, || {
                    let now = Instant::now();
                    times.record(now - std::mem::replace(&mut before, now));
                }),
            };
        let took = start.elapsed();
        side.check(name, done, worker)?;
        Ok(match figure {
            Figure::Mean => Round::Total(took),
            Figure::Median => Round::Each(times),
            Figure::Tail => Round::Tail(times),
        })
    })
}

/// A column of messages one way.
pub(crate) fn one_way<const W: usize>(
    name: &'static str,
    kind: Kind,
    idle: Idle,
    cores: &Cores,
) -> Column {
    match kind {
        Kind::Slots => one_way_of::<_, W>(name, kind, idle, cores, Slots::<W>::meet),
        #[cfg(feature = "iceoryx2")]
        Kind::Iceoryx2 => one_way_of::<_, W>(name, kind, idle, cores, Iceoryx::<W>::host),
        _ => one_way_of::<_, W>(name, Kind::Rings, idle, cores, Rings::meet::<W>),
    }
}

fn one_way_of<D: Duplex<W> + 'static, const W: usize>(
    name: &'static str,
    kind: Kind,
    idle: Idle,
    cores: &Cores,
    meet: impl Fn(&mut Worker) -> D + 'static,
) -> Column {
    let (mut made, cores) = (None, cores.clone());
    Column::new(name, move |operations| {
        let (worker, side) = made.get_or_insert_with(|| {
            let mut worker = Worker::start(&cores, &format!("exchange {} {W}", kind.slug()));
            let side = Side::new(meet(&mut worker));
            // In this order the worker ends first, and the end can remove what the worker left.
            (worker, side)
        });
        worker.say(&format_args!("one-way {operations} {}", idle.slug()));
        let mut retry = Retry::new(idle, DEADLINE);
        let mut message = std::mem::replace(&mut side.message, Box::new([0; W]));
        let ready = side.receive(&mut message, &mut retry);
        let start = Instant::now();
        // The answer is there half a round trip after the last message was taken.
        let done = ready
            && side.give(&mut message, operations, &mut retry)
            && side.receive(&mut message, &mut retry);
        let took = start.elapsed();
        side.message = message;
        side.check(name, done, worker)?;
        Ok(Round::Total(took))
    })
}

/// A column of plain copies on one thread.
pub(crate) fn memcpy<const W: usize>(name: &'static str) -> Column {
    let (pages, mut message) = (bare::alone::<W>(), Box::new([7; W]));
    Column::new(name, move |operations| {
        let start = Instant::now();
        bare::copy_all(&pages, operations, &mut message);
        Ok(Round::Total(start.elapsed()))
    })
}

/// A throughput that was measured elsewhere, as a column.
pub(crate) fn published(name: &'static str, messages_per_second: f64) -> Column {
    Column::new(name, move |operations| {
        let took = operations as f64 / messages_per_second;
        Ok(Round::Total(Duration::from_secs_f64(took)))
    })
}

/// Percentiles that were measured elsewhere, as a column.
pub(crate) fn published_trip(name: &'static str, nanoseconds: u64, tail: bool) -> Column {
    Column::new(name, move |_| {
        let mut times = Times::default();
        times.record(Duration::from_nanos(nanoseconds));
        Ok(if tail { Round::Tail(times) } else { Round::Each(times) })
    })
}
