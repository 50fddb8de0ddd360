//! The loops of two processes: round trips, and messages one way.
//!
//! A message has its number in its first and its last word; both sides check them. The other
//! process gets a line for each round and spins meanwhile. Then it sends a line if every message
//! was right, and waits for the next round without using its core.

use std::time::Instant;

use super::bare::{Numbers, Slots};
use super::duplex::Duplex;
use super::ring::Rings;
#[cfg(feature = "rivals")]
use super::rivals::{Iceoryx, Ringfire};
use crate::harness::{Column, Mismatch, Round};
use crate::machine::affinity::Cores;
use crate::machine::processes::{Talk, Worker};
use crate::stats::Times;
use crate::wait::{DEADLINE, Idle, Retry};

/// Does the job of the other process.
pub(super) fn serve(kind: &str, words: &str, parent: &mut Talk) {
    macro_rules! ends {
        ($($end:ident: $($words:literal)+;)+) => {$($(
            if (kind, words) == (<$end as Duplex<$words>>::KIND, stringify!($words)) {
                return Side::<$end, $words>::meet(parent).serve(parent);
            }
        )+)+};
    }
    ends!(Numbers: 1; Rings: 6 8 128; Slots: 6 8 128 512 8192 131072 2097152;);
    #[cfg(feature = "rivals")]
    ends!(
        Ringfire: 512 8192 131072 2097152;
        Iceoryx: 512 8192 131072 2097152;
    );
    panic!("there are no {kind} of {words} words")
}

/// An end, and the numbers of its messages, which never repeat.
struct Side<D, const W: usize> {
    end: D,
    sent: usize,
    received: usize,
    wrong: usize,
    message: Box<[usize; W]>,
    retry: Retry,
}

impl<D: Duplex<W>, const W: usize> Side<D, W> {
    fn meet(other: &mut Talk) -> Side<D, W> {
        let message = vec![0; W].try_into().expect("as many words");
        let retry = Retry::new(Idle::Busy, DEADLINE);
        Side { end: D::meet(other), sent: 0, received: 0, wrong: 0, message, retry }
    }

    /// Sends the next message. Returns false after the deadline.
    #[inline]
    fn send(&mut self) -> bool {
        self.sent += 1;
        self.message[0] = self.sent;
        self.message[W - 1] = self.sent;
        while !self.end.send(&self.message) {
            if !self.retry.wait() {
                return false;
            }
        }
        true
    }

    /// Waits for the next message. Returns false after the deadline.
    #[inline]
    fn receive(&mut self) -> bool {
        while !self.end.receive(&mut self.message) {
            if !self.retry.wait() {
                return false;
            }
        }
        self.received += 1;
        self.wrong |= (self.message[0] ^ self.received) | (self.message[W - 1] ^ self.received);
        true
    }

    /// Runs the other process: one round for each line.
    fn serve(mut self, parent: &mut Talk) {
        while let Some(line) = parent.hear() {
            let (what, count) = line.split_once(' ').expect("a round");
            let count: usize = count.parse().expect("a number");
            let done = if what == "trips" {
                self.retry = Retry::new(Idle::Busy, DEADLINE);
                self.answer(count)
            } else {
                self.retry = Retry::new(Idle::Pauses, DEADLINE);
                self.send() && self.take(count) && self.send()
            };
            assert!(done && self.wrong == 0, "a message was lost or changed");
            parent.say("right");
        }
    }

    #[inline(never)]
    fn answer(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.receive() && self.send())
    }

    #[inline(never)]
    fn take(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.receive())
    }

    #[inline(never)]
    fn give(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.send())
    }

    /// Makes `count` round trips that this side begins, and calls `each` after every one. Returns
    /// false if an answer did not come.
    #[inline(never)]
    fn ask(&mut self, count: usize, mut each: impl FnMut()) -> bool {
        (0..count).all(|_| {
            let done = self.send() && self.receive();
            each();
            done
        })
    }

    /// Creates a column. Each `round` exchanges messages with the other process, and returns
    /// whether all of them arrived.
    fn column(
        name: &'static str,
        cores: &Cores,
        mut round: impl FnMut(&mut Side<D, W>, &mut Talk, usize) -> (bool, Round) + 'static,
    ) -> Column {
        let (mut made, cores) = (None, cores.clone());
        Column::new(name, move |operations| {
            let (_, talk, side) = made.get_or_insert_with(|| {
                let (worker, mut talk) =
                    Worker::talking(&cores, &format!("exchange {} {W}", D::KIND));
                let side = Side::<D, W>::meet(&mut talk);
                (worker, talk, side)
            });
            let (done, round) = round(side, talk, operations);
            if !done || side.wrong != 0 {
                let what = format!("{} sent, {} received, or wrong", side.sent, side.received);
                return Err(Mismatch::new(name, what));
            }
            let failed = || Mismatch::new(name, "the other process found a wrong message");
            talk.hear().map(|_| round).ok_or_else(failed)
        })
    }
}

/// A column of round trips, both sides spinning.
pub(crate) fn trips<D: Duplex<W>, const W: usize>(name: &'static str, cores: &Cores) -> Column {
    /// The number of trips before the measured ones, which make sure that the other process is
    /// awake.
    const FIRST: usize = 50;
    Side::<D, W>::column(name, cores, |side, other, operations| {
        other.say(format_args!("trips {}", operations + FIRST));
        side.retry = Retry::new(Idle::Busy, DEADLINE);
        let ready = side.ask(FIRST, || {});
        let (mut times, mut before) = (Times::default(), Instant::now());
        let done = side.ask(operations, || {
            let now = Instant::now();
            times.record(now - std::mem::replace(&mut before, now));
        });
        (ready && done, Round::Each(times))
    })
}

/// A column of messages one way, with sixteen pauses after a failed attempt.
pub(crate) fn one_way<D: Duplex<W>, const W: usize>(name: &'static str, cores: &Cores) -> Column {
    Side::<D, W>::column(name, cores, |side, other, operations| {
        other.say(format_args!("one-way {operations}"));
        side.retry = Retry::new(Idle::Pauses, DEADLINE);
        let ready = side.receive();
        let start = Instant::now();
        // The answer arrives half a round trip after the last message was taken.
        let done = side.give(operations) && side.receive();
        (ready && done, Round::Total(start.elapsed()))
    })
}
