//! A byte that is damaged on its way: which damage a link finds, and which passes.
//!
//! Frames have no checksum: those of TCP and of the network below it are weak, and TLS has a strong
//! one. Here the bytes of one conversation are damaged one at a time, and the result is compared
//! with the conversation without damage. `PASSES` has the fields whose damage may pass, which
//! `docs/security.md` names.

use std::collections::{BTreeMap, BTreeSet};

use mycelium_core::link::{
    Confirms, IncomingId, OutgoingId, ReaderMode, RejectReason, SendError, StreamStart,
};
use mycelium_core::{Digest, Envelope, Message};
use proptest::prelude::*;

use super::document::KINDS;
use crate::cases::cases;
use crate::pair::conversation::{ITEMS, LEFT, MS, RIGHT, blob, name, send, send_rest, swaps};
use crate::pair::{Pair, Received};
use crate::portable::bodies::codec::Swap;

/// Small enough for several windows of each stream.
const WINDOW: u32 = 8;
/// The first sequence of each stream.
const FIRST: u64 = 100;

/// What a publisher does next.
#[derive(Clone, Copy)]
enum Step {
    Whole,
    /// A message in fragments.
    Long,
    Skip,
    Run(usize),
    End,
}

use Step::{End, Long, Run, Skip, Whole};

const PLANS: [(u64, &[Step]); 2] = [
    (77, &[Whole, Whole, Long, Skip, Run(5), Whole, Long, Run(9), End]),
    (78, &[Whole, Run(3), Whole, Skip, Whole, End]),
];

struct Publisher {
    epoch: u64,
    stream: OutgoingId,
    plan: Vec<Step>,
    /// The sent part of a long message, and of a run.
    sent: usize,
}

/// Two links and what they said. The left side publishes, the right side reads.
struct Talk {
    pair: Pair,
    publishers: Vec<Publisher>,
    streams: Vec<(IncomingId, u64)>,
    /// The reader's events, with the epoch in place of the stream.
    heard: Vec<(u64, Heard)>,
    /// The parts of messages that have not arrived whole, by their epochs.
    open: BTreeMap<u64, Vec<u8>>,
    /// The messages before this one are confirmed, by their epochs.
    done: BTreeMap<u64, u64>,
    mode: Option<ReaderMode>,
    rejected: bool,
    /// A message was confirmed that the reader had not confirmed.
    confirmed: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Begin(u64),
    Message(u64, Vec<u8>, Envelope),
    Gap(u64, u16),
    End(u64),
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// As without damage.
    Same,
    /// A link ended with an error. All before it was as without damage.
    Found,
    /// A link ended with an error, but something wrong was delivered before.
    FoundLate,
    /// The reader got all messages, in order, and something else in one of them or beside it.
    Altered,
    /// A subscription was refused.
    Refused,
    /// The reader got its messages from a publisher that does not wait for it.
    Mode,
    /// The publisher took messages for confirmed that were not.
    Confirmed,
    /// No error, and not all messages.
    Stalled,
}

impl Talk {
    fn new(damage: &[(usize, usize, u8)]) -> Talk {
        let mut pair = Pair::with(2048, |left, right| {
            (left.fragment, right.confirms) = (100, Confirms::ByCaller);
        });
        pair.damage = damage.to_vec();
        pair.sides[RIGHT].link.subscribe(swaps(WINDOW)).unwrap();
        Talk {
            pair,
            publishers: Vec::new(),
            streams: Vec::new(),
            heard: Vec::new(),
            open: BTreeMap::new(),
            done: BTreeMap::new(),
            mode: None,
            rejected: false,
            confirmed: false,
        }
    }

    /// Talks until all is said, a link has failed, or nothing happens any more.
    fn run(mut self) -> Talk {
        for _ in 0..40 {
            self.pair.pass(5 * MS);
            self.publish();
            self.read();
            if self.is_over() || self.has_failed() {
                break;
            }
        }
        // A close frame arrives.
        self.pair.settle();
        self.read();
        self
    }

    fn has_failed(&self) -> bool {
        self.pair.sides.iter().any(|side| side.failed.is_some())
    }

    fn is_over(&self) -> bool {
        let sent = |publisher: &Publisher| publisher.plan.is_empty();
        let ends = self.heard.iter().filter(|(_, heard)| matches!(heard, Heard::End(_))).count();
        !self.publishers.is_empty() && self.publishers.iter().all(sent) && ends >= PLANS.len()
    }

    fn publish(&mut self) {
        let now = self.pair.now;
        for received in self.pair.sides[LEFT].take_events() {
            if let Received::Window { stream, confirmed } = received {
                let publisher = self.publishers.iter().find(|known| known.stream == stream);
                let done = publisher.and_then(|known| self.done.get(&known.epoch));
                self.confirmed |= done.is_some_and(|done| confirmed > *done);
            }
            let Received::Subscribe { export, topic, type_id, digest, mode, .. } = received else {
                continue;
            };
            let link = &mut self.pair.sides[LEFT].link;
            if (&*topic, type_id, digest) != (Swap::TOPIC, Swap::ID, Swap::DIGEST) {
                link.reject(export, RejectReason::Unknown, Digest([0; 16])).unwrap();
                continue;
            }
            self.mode = Some(mode);
            for (epoch, plan) in PLANS {
                let opened = link.open_stream(
                    now,
                    export,
                    name("feed"),
                    StreamStart::new(epoch, FIRST, 1024),
                );
                let (plan, sent) = (plan.iter().rev().copied().collect(), 0);
                let publisher = opened.map(|stream| Publisher { epoch, stream, plan, sent });
                self.publishers.extend(publisher);
            }
        }
        for publisher in &mut self.publishers {
            while let Some(step) = publisher.plan.last().copied() {
                if publisher.step(&mut self.pair, step).is_err() {
                    break;
                }
                publisher.plan.pop();
            }
        }
        self.pair.sides[LEFT].link.flush();
    }

    fn read(&mut self) {
        for received in self.pair.sides[RIGHT].take_events() {
            match received {
                Received::Stream { stream, epoch, first, .. } => {
                    self.streams.push((stream, epoch));
                    self.heard.push((epoch, Heard::Begin(first)));
                }
                Received::Message { stream, sequence, payload, envelope } => {
                    self.got(stream, Heard::Message(sequence, payload, envelope));
                    self.done(stream, sequence - 2);
                }
                Received::Fragment { stream, sequence, fragment, bytes, envelope } => {
                    let epoch = self.epoch(stream);
                    let parts = self.open.entry(epoch).or_default();
                    parts.extend(bytes);
                    if parts.len() == fragment.total as usize {
                        let payload = self.open.remove(&epoch).unwrap();
                        self.got(stream, Heard::Message(sequence, payload, envelope));
                        self.done(stream, sequence - 2);
                    }
                }
                Received::Gap { stream, missed, reason } => {
                    self.got(stream, Heard::Gap(missed, reason));
                }
                Received::End { stream, next } => {
                    self.got(stream, Heard::End(next));
                    self.done(stream, next);
                }
                Received::Rejected(..) => self.rejected = true,
                _ => {}
            }
        }
    }

    /// The messages of each stream are in order, and those that are missing are reported.
    fn check_order(&self) {
        let mut next = BTreeMap::new();
        for (epoch, heard) in &self.heard {
            match heard {
                Heard::Begin(first) => assert_eq!(next.insert(epoch, *first), None, "begun twice"),
                Heard::Message(sequence, ..) => {
                    assert_eq!(next.insert(epoch, sequence + 1), Some(*sequence));
                }
                Heard::Gap(missed, _) => *next.get_mut(epoch).unwrap() += missed,
                Heard::End(end) => assert_eq!(next[epoch], *end),
            }
        }
    }

    fn epoch(&self, stream: IncomingId) -> u64 {
        self.streams.iter().find(|(known, _)| *known == stream).expect("an open stream").1
    }

    fn got(&mut self, stream: IncomingId, heard: Heard) {
        self.heard.push((self.epoch(stream), heard));
    }

    /// Confirms the messages before this one: the last few are still in its hands.
    fn done(&mut self, stream: IncomingId, before: u64) {
        let epoch = self.epoch(stream);
        self.done.insert(epoch, before.max(FIRST));
        let (now, link) = (self.pair.now, &mut self.pair.sides[RIGHT].link);
        _ = link.confirm(now, stream, before);
        _ = link.grant(stream, 1);
    }
}

impl Publisher {
    fn step(&mut self, pair: &mut Pair, step: Step) -> Result<(), SendError> {
        let (now, link) = (pair.now, &mut pair.sides[LEFT].link);
        match step {
            Whole => send(pair, self.stream, 1)?,
            Long => send_rest(pair, self.stream, &blob(300), &mut self.sent)?,
            Skip => link.skip(now, self.stream, 3, 1)?,
            Run(count) => {
                while self.sent < count {
                    let sent = link.send_run(now, self.stream, ITEMS, count - self.sent)?;
                    if sent == 0 {
                        return Err(SendError::Credit);
                    }
                    self.sent += sent;
                }
            }
            End => link.end_stream(now, self.stream)?,
        }
        self.sent = 0;
        Ok(())
    }
}

/// What one stream said.
fn of(heard: &[(u64, Heard)], epoch: u64) -> Vec<&Heard> {
    heard.iter().filter(|(known, _)| *known == epoch).map(|(_, heard)| heard).collect()
}

/// Compares a conversation with the one without damage.
fn outcome(talk: &Talk, whole: &Talk) -> Outcome {
    let parts = |(epoch, _): &(u64, _)| (of(&talk.heard, *epoch), of(&whole.heard, *epoch));
    let is_known = |(epoch, _): &(u64, _)| PLANS.iter().any(|(known, _)| known == epoch);
    let is_same = talk.heard.iter().all(is_known)
        && PLANS.iter().map(parts).all(|(heard, whole)| whole.starts_with(&heard));
    if talk.confirmed {
        return Outcome::Confirmed;
    }
    if talk.has_failed() {
        return if is_same { Outcome::Found } else { Outcome::FoundLate };
    }
    if talk.rejected {
        return Outcome::Refused;
    }
    if !talk.is_over() {
        return Outcome::Stalled;
    }
    match is_same {
        true if talk.mode == whole.mode => Outcome::Same,
        true => Outcome::Mode,
        false => Outcome::Altered,
    }
}

/// The name of each byte that a side wrote.
fn fields(mut bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = |field: &str, count: usize| {
        names.extend(std::iter::repeat_n(field.to_owned(), count));
    };
    while !bytes.is_empty() {
        let (id, length) = (word(bytes, 2, 2), word(bytes, 4, 4));
        let extensions = word(bytes, 10, 2);
        let known = |(number, _): &&(u16, _)| usize::from(*number) == word(bytes, 24, 2);
        let kind = if id == 0 { KINDS.iter().find(known).unwrap().1 } else { "message" };
        name(&format!("{kind}: header"), 24);
        name(&format!("{kind}: extensions"), extensions);
        let (rest, padded) = (length - 24 - extensions, length.next_multiple_of(8));
        name(&format!("{kind}: payload"), rest);
        name(&format!("{kind}: padding"), padded - length);
        let run = if kind == "run" { word(bytes, 28, 4) * word(bytes, 32, 4) } else { 0 };
        name("run: messages", run);
        bytes = &bytes[padded + run..];
    }
    names
}

fn word(bytes: &[u8], at: usize, length: usize) -> usize {
    bytes[at..at + length].iter().rev().fold(0, |word, byte| word << 8 | usize::from(*byte))
}

/// What damage of a part of a frame may do beside what it may do everywhere: nothing, or end the
/// link.
const PASSES: &[(&str, &[Outcome])] = &[
    // What a message says, and where a stream begins, and which one it is.
    ("gap: payload", &[Outcome::Altered]),
    ("message: payload", &[Outcome::Altered]),
    ("message: extensions", &[Outcome::FoundLate]),
    ("run: messages", &[Outcome::Altered]),
    ("run: payload", &[Outcome::Altered, Outcome::Stalled]),
    ("stream: payload", &[Outcome::Altered]),
    // How many bytes follow: the link waits for them. And the position of the reader.
    ("accept: header", &[Outcome::Stalled]),
    ("end: header", &[Outcome::Stalled]),
    ("features: header", &[Outcome::Stalled]),
    ("gap: header", &[Outcome::Stalled]),
    ("message: header", &[Outcome::FoundLate, Outcome::Stalled]),
    ("run: header", &[Outcome::Stalled]),
    ("stream: header", &[Outcome::FoundLate, Outcome::Stalled]),
    ("subscribe: header", &[Outcome::Stalled]),
    ("window: header", &[Outcome::Confirmed, Outcome::Stalled]),
    // A frame that is taken for another one, and what the sides agree on.
    ("end: payload", &[Outcome::Stalled]),
    ("features: payload", &[Outcome::Stalled]),
    ("hello: payload", &[Outcome::Stalled]),
    ("subscribe: payload", &[Outcome::Refused, Outcome::Mode, Outcome::Stalled]),
    ("window: payload", &[Outcome::Stalled]),
];

#[test]
fn damage_of_one_byte_is_found_or_documented() {
    let whole = Talk::new(&[]).run();
    assert!(whole.is_over() && !whole.has_failed(), "{:?}", whole.heard);
    let mut passes: BTreeMap<String, BTreeSet<Outcome>> = BTreeMap::new();
    for side in [LEFT, RIGHT] {
        let fields = fields(&whole.pair.written[side]);
        for (at, byte) in whole.pair.written[side].iter().enumerate() {
            // A bit that differs from byte to byte, all bits, and the byte that is zero.
            let masks = BTreeSet::from([1 << (at % 8), 0xff, *byte]);
            for mask in masks.into_iter().filter(|mask| *mask != 0) {
                let talk = Talk::new(&[(side, at, mask)]).run();
                talk.check_order();
                let outcome = outcome(&talk, &whole);
                if !matches!(outcome, Outcome::Same | Outcome::Found) {
                    passes.entry(fields[at].clone()).or_default().insert(outcome);
                }
            }
        }
    }
    let known = PASSES.iter().map(|(field, outcomes)| {
        (field.to_string(), outcomes.iter().copied().collect::<BTreeSet<_>>())
    });
    assert_eq!(passes, known.collect());
}

proptest! {
    #![proptest_config(cases(0))]

    /// Nothing panics, waits for a time that does not come, or is out of order.
    #[test]
    fn damage_of_many_bytes_breaks_no_order(
        damage in prop::collection::vec((0..2usize, 0..4000usize, 1..=u8::MAX), 1..12),
    ) {
        Talk::new(&damage).run().check_order();
    }
}
