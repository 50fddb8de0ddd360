//! Both sides publish, read, subscribe, unsubscribe, reject, move streams to memory and restart at
//! once, over a connection that is lost now and then. Correct peers keep their link, messages
//! arrive in order and with credit, and in the end all credit returns.
//!
//! `LINK_SEED=13 cargo test --test it link::crossing` repeats one seed; `LINK_CASES` is the number of
//! seeds.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mycelium_core::link::{
    Batching, Config, ExportId, IncomingId, Interest, InterestId, OutgoingId, RejectReason,
    RunShape, SendError,
};
use mycelium_core::{Digest, Envelope};
use zerocopy::IntoBytes;

use crate::pair::conversation::{MS, blob, fragment, name, swaps};
use crate::pair::{Pair, Received, TestLink, config};
use crate::schema::Swap;

/// A subscription of the other side.
#[derive(Debug)]
struct Requested {
    export: ExportId,
    /// How many resumes are still to arrive.
    awaited: u16,
    /// Resumes that arrived: the epoch and the next sequence of its reader.
    resumes: Vec<(u64, u64)>,
}

/// An incoming stream of one side.
#[derive(Debug)]
struct StreamState {
    epoch: u64,
    next: u64,
    /// Messages that it has not released.
    held: u64,
    /// The received part of the next message.
    open: Vec<u8>,
    /// Its messages from `next` on are in memory.
    has_moved: bool,
}

/// The program of one side of the link.
#[derive(Debug, Default)]
struct Program {
    interests: Vec<InterestId>,
    requested: Vec<Requested>,
    outgoing: Vec<(OutgoingId, ExportId)>,
    epochs: HashMap<OutgoingId, u64>,
    /// Epochs of streams that were ended.
    ended: HashSet<u64>,
    /// The length of the open message of a stream, and how much of it was sent.
    open: HashMap<OutgoingId, (usize, usize)>,
    /// The epochs of streams that moved to memory, and where.
    moves: HashSet<(u64, u64)>,
    /// Streams that have moved on this connection, and those that have to, because they moved on an
    /// earlier one.
    moved: HashSet<OutgoingId>,
    move_due: HashSet<OutgoingId>,
    reading: HashMap<IncomingId, StreamState>,
}

struct CrossingTest {
    seed: u64,
    random: u64,
    pair: Pair,
    programs: [Program; 2],
    connected: bool,
    epochs: u64,
    window: u32,
}

impl CrossingTest {
    fn new(seed: u64) -> CrossingTest {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let buffer = [TestLink::MIN_BUFFER, 2048][below(&mut random, 2) as usize];
        let batching = [
            Batching::LOW_LATENCY,
            Batching::BALANCED,
            Batching { bytes: 300, messages: 8, delay: 3 * MS },
        ][below(&mut random, 3) as usize];
        let window = 1 + below(&mut random, 6) as u32;
        let fragment = [64, 200, 16 << 10][below(&mut random, 3) as usize];
        let max_open = 1 + below(&mut random, 3) as u16;
        let of = |name| Config { batching, fragment, max_open, memory: true, ..config(name) };
        let mut pair = Pair::with(of("left"), of("right"), buffer);
        pair.message = |_| Swap::golden().as_bytes().to_vec();
        let programs = [Program::default(), Program::default()];
        CrossingTest { seed, random, pair, programs, connected: true, epochs: 0, window }
    }

    fn below(&mut self, most: u64) -> u64 {
        below(&mut self.random, most)
    }

    fn step(&mut self) {
        let (now, side) = (self.pair.now, self.below(2) as usize);
        match self.below(17) {
            0 | 1 => self.subscribe(side),
            2 => self.unsubscribe(side),
            3 => self.reject(side),
            4 | 5 => self.answer(side, true),
            6..=8 => self.send(side),
            9 => self.skip(side),
            10 => self.end(side),
            11 => self.grant(side, false),
            12 => self.pair.sides[side].link.flush(),
            13 => {
                let time = Duration::from_millis(self.below(15));
                self.pass(time);
            }
            14 if self.below(6) == 0 => self.cut(),
            15 => {
                if let Some((stream, _)) = self.programs[side].outgoing.last().copied() {
                    self.move_stream(side, stream);
                }
            }
            _ if !self.connected => {
                self.pair.connect();
                self.connected = true;
            }
            _ => {}
        }
        for _ in 0..self.below(4) {
            let (side, most) = (self.below(2) as usize, self.below(500) as usize);
            if self.connected && self.below(2) == 0 {
                self.pair.write(side, most);
            } else if self.connected {
                self.pair.sides[side].read(now, most);
            }
        }
        self.listen();
    }

    fn subscribe(&mut self, side: usize) {
        let topic = name(["a", "b", "c"][self.below(3) as usize]);
        let interest = Interest { topic, ..swaps(self.window) };
        self.programs[side].interests.extend(self.pair.sides[side].link.subscribe(interest));
    }

    fn unsubscribe(&mut self, side: usize) {
        let count = self.programs[side].interests.len() as u64;
        if count > 0 {
            let index = self.below(count) as usize;
            let interest = self.programs[side].interests.swap_remove(index);
            self.pair.sides[side].link.unsubscribe(interest).unwrap();
        }
    }

    fn reject(&mut self, side: usize) {
        let count = self.programs[side].requested.len() as u64;
        if count > 0 && self.below(4) == 0 {
            let index = self.below(count) as usize;
            let Requested { export, .. } = self.programs[side].requested.swap_remove(index);
            let none = Digest([0; 16]);
            self.pair.sides[side].link.reject(export, RejectReason::Unknown, none).unwrap();
            self.programs[side].outgoing.retain(|(_, of)| *of != export);
        }
    }

    /// Answers all resumes, and opens a stream for each subscription without one.
    fn answer(&mut self, side: usize, begin: bool) {
        let now = self.pair.now;
        for index in 0..self.programs[side].requested.len() {
            let Requested { export, awaited, .. } = self.programs[side].requested[index];
            while let Some((epoch, next)) = self.programs[side].requested[index].resumes.pop() {
                let over = self.programs[side].ended.contains(&epoch);
                let (gone, mut dropped) = (over || begin && self.below(3) == 0, self.below(2));
                let has_moved = self.programs[side].moves.contains(&(epoch, next));
                if has_moved {
                    dropped = 0;
                }
                let link = &mut self.pair.sides[side].link;
                let answer = if gone {
                    link.refuse_resume(now, export, epoch).map(|()| None)
                } else {
                    link.open_stream(now, export, name("feed"), epoch, next + dropped, 64).map(Some)
                };
                match answer {
                    Ok(stream) => {
                        let program = &mut self.programs[side];
                        program.epochs.extend(stream.map(|stream| (stream, epoch)));
                        program.outgoing.extend(stream.map(|stream| (stream, export)));
                        program.move_due.extend(stream.filter(|_| has_moved));
                    }
                    Err(SendError::Room { .. } | SendError::Down) => {
                        self.programs[side].requested[index].resumes.push((epoch, next));
                        break;
                    }
                    Err(error) => panic!("seed {}: {error}", self.seed),
                }
            }
            let Program { requested, outgoing, .. } = &self.programs[side];
            let has_one = outgoing.iter().any(|(_, of)| *of == export);
            if begin && awaited == 0 && requested[index].resumes.is_empty() && !has_one {
                self.epochs += 1;
                let first = self.below(100);
                let link = &mut self.pair.sides[side].link;
                match link.open_stream(now, export, name("feed"), self.epochs, first, 64) {
                    Ok(stream) => {
                        self.programs[side].outgoing.push((stream, export));
                        self.programs[side].epochs.insert(stream, self.epochs);
                    }
                    Err(SendError::Room { .. } | SendError::Streams { .. } | SendError::Down) => {}
                    Err(error) => panic!("seed {}: {error}", self.seed),
                }
            }
        }
    }

    fn send(&mut self, side: usize) {
        let (now, swap) = (self.pair.now, Swap::golden());
        for index in 0..self.programs[side].outgoing.len() {
            let (stream, _) = self.programs[side].outgoing[index];
            if !self.sends(side, stream) {
                continue;
            }
            if self.below(4) == 0 {
                let length = 40 + self.below(2000) as usize;
                self.programs[side].open.entry(stream).or_insert((length, 0));
            }
            if self.below(3) == 0 {
                let (count, shape) = (self.below(6), RunShape { stride: 48, skip: 8, length: 40 });
                let link = &mut self.pair.sides[side].link;
                match link.send_run(now, stream, shape, count as usize) {
                    Ok(_) | Err(SendError::Credit | SendError::Room { .. } | SendError::Open) => {}
                    Err(error) => panic!("seed {}: {error}", self.seed),
                }
            }
            for _ in 0..self.below(6) {
                let link = &mut self.pair.sides[side].link;
                if self.programs[side].open.contains_key(&stream) {
                    self.send_fragment(side, stream);
                    continue;
                }
                match link.send(now, stream, &Envelope::default(), 40, swap.as_bytes()) {
                    Ok(()) | Err(SendError::Credit | SendError::Room { .. }) => {}
                    Err(error) => panic!("seed {}: {error}", self.seed),
                }
            }
        }
    }

    /// Sends part of a fragmented message.
    fn send_fragment(&mut self, side: usize, stream: OutgoingId) {
        let now = self.pair.now;
        let Some((length, sent)) = self.programs[side].open.get_mut(&stream) else { return };
        let (message, link) = (blob(*length), &mut self.pair.sides[side].link);
        let (fragment, envelope) = (fragment(&message, *sent), Envelope::default());
        match link.send_fragment(now, stream, &envelope, fragment, &message[*sent..]) {
            Ok(count) => *sent += count,
            // A message that was not started may be dropped.
            Err(SendError::Credit | SendError::Room { .. } | SendError::Fragments { .. }) => {}
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
        if *sent == 0 || *sent == *length {
            self.programs[side].open.remove(&stream);
        }
    }

    fn skip(&mut self, side: usize) {
        let (now, missed) = (self.pair.now, self.below(4));
        if let Some((stream, _)) = self.programs[side].outgoing.last().copied()
            && self.sends(side, stream)
        {
            match self.pair.sides[side].link.skip(now, stream, missed, 1) {
                Ok(()) if missed > 0 => _ = self.programs[side].open.remove(&stream),
                Ok(()) | Err(SendError::Room { .. }) => {}
                Err(error) => panic!("seed {}: {error}", self.seed),
            }
        }
    }

    fn end(&mut self, side: usize) {
        let (now, more) = (self.pair.now, self.below(9));
        if let Some((stream, _)) = self.programs[side].outgoing.last().copied() {
            let sends = self.sends(side, stream);
            let link = &mut self.pair.sides[side].link;
            let ended = match link.sequence(stream) {
                Ok(_) if sends => link.end_stream(now, stream),
                Ok(first) if self.programs[side].moved.contains(&stream) => {
                    link.end_moved_stream(now, stream, first + more)
                }
                // It has to move first.
                _ => return,
            };
            match ended {
                Ok(()) => {
                    let Program { outgoing, epochs, ended, .. } = &mut self.programs[side];
                    ended.extend(outgoing.pop().and_then(|(stream, _)| epochs.remove(&stream)));
                }
                Err(SendError::Room { .. } | SendError::Open) => {}
                Err(error) => panic!("seed {}: {error}", self.seed),
            }
        }
    }

    fn move_stream(&mut self, side: usize, stream: OutgoingId) {
        let (now, link) = (self.pair.now, &mut self.pair.sides[side].link);
        let Program { epochs, open, moves, moved, move_due, .. } = &mut self.programs[side];
        match link.move_stream(now, stream, 1) {
            Ok(first) => {
                let is_known = !moves.insert((epochs[&stream], first));
                assert!(is_known || !move_due.contains(&stream), "seed {}", self.seed);
                moved.insert(stream);
                // A message of which nothing was sent is one of those in memory.
                assert!(open.remove(&stream).is_none_or(|(_, sent)| sent == 0));
                move_due.remove(&stream);
            }
            Err(SendError::Moved) if moved.contains(&stream) => {}
            Err(SendError::Room { .. } | SendError::Open | SendError::Run) => {}
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
    }

    /// Whether messages of a stream are sent over the link.
    fn sends(&mut self, side: usize, stream: OutgoingId) -> bool {
        if self.programs[side].move_due.contains(&stream) {
            self.move_stream(side, stream);
        }
        let Program { moved, move_due, .. } = &self.programs[side];
        !moved.contains(&stream) && !move_due.contains(&stream)
    }

    /// Releases some messages, or all.
    fn grant(&mut self, side: usize, all: bool) {
        let Program { reading, .. } = &mut self.programs[side];
        for (stream, reading) in reading {
            let count = if all { reading.held } else { below(&mut self.random, reading.held + 1) };
            reading.held -= count;
            let granted = self.pair.sides[side].link.grant(*stream, count as u32);
            assert_eq!(granted, Ok(()), "seed {}: {reading:?}", self.seed);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.pair.now += time;
        let now = self.pair.now;
        for side in &mut self.pair.sides {
            side.link.handle_timeout(now).unwrap();
        }
    }

    fn cut(&mut self) {
        self.pair.cut();
        self.connected = false;
        for Program { requested, outgoing, open, reading, .. } in &mut self.programs {
            requested.clear();
            outgoing.clear();
            open.clear();
            reading.values_mut().for_each(|reading| reading.open.clear());
        }
    }

    fn listen(&mut self) {
        for side in 0..2 {
            assert_eq!(self.pair.sides[side].failed, None, "seed {}", self.seed);
            for received in self.pair.sides[side].take_events() {
                self.programs[side].on_event(received, self.window);
            }
            // Streams of an unsubscribed or rejected topic end without an event.
            let link = &mut self.pair.sides[side].link;
            self.programs[side].reading.retain(|stream, _| link.grant(*stream, 0).is_ok());
        }
    }

    fn quiet(&mut self) {
        if !self.connected {
            self.pair.connect();
        }
        for _ in 0..60 {
            self.pair.settle();
            self.listen();
            for side in 0..2 {
                self.grant(side, true);
                self.answer(side, false);
                // One fragment is in the buffer at a time.
                for (stream, _) in self.programs[side].outgoing.clone() {
                    self.send_fragment(side, stream);
                    self.pair.sides[side].link.flush();
                    self.pair.settle();
                    self.listen();
                }
                self.pair.sides[side].link.flush();
            }
            self.pass(20 * MS);
        }
        for side in 0..2 {
            for (stream, _) in &self.programs[side].outgoing {
                assert_eq!(self.programs[side].open.get(stream), None, "seed {}", self.seed);
                let credit = self.pair.sides[side].link.credit(*stream);
                let half = u64::from(self.window / 2);
                assert!(credit > half, "seed {}: {credit} of {}", self.seed, self.window);
                assert_eq!(self.pair.sides[side].link.unconfirmed(*stream), 0);
            }
        }
    }
}

impl StreamState {
    /// A message is complete.
    fn took(&mut self, window: u32) {
        self.next += 1;
        self.held += 1;
        assert!(self.held <= u64::from(window), "a message without credit");
    }
}

impl Program {
    fn on_event(&mut self, received: Received, window: u32) {
        match received {
            Received::Subscribe { export, resumes, .. } => {
                self.requested.push(Requested { export, awaited: resumes, resumes: Vec::new() });
            }
            Received::Resume { export, epoch, next } => {
                // Resumes of a topic that was rejected since are not reported.
                let requested =
                    self.requested.iter_mut().find(|requested| requested.export == export).unwrap();
                requested.awaited -= 1;
                requested.resumes.push((epoch, next));
            }
            Received::Unsubscribe(export) => {
                self.requested.retain(|requested| requested.export != export);
                self.outgoing.retain(|(_, of)| *of != export);
            }
            Received::Stream { stream, epoch, first, resumed: None } => {
                let (next, open) = (first, Vec::new());
                let fresh = StreamState { epoch, next, held: 0, open, has_moved: false };
                assert!(self.reading.insert(stream, fresh).is_none());
            }
            Received::Stream { stream, epoch, first, resumed: Some(missed) } => {
                let reading = self.reading.get_mut(&stream).unwrap();
                assert_eq!((reading.epoch, reading.next + missed), (epoch, first));
                assert!(missed == 0 || !reading.has_moved);
                reading.next = first;
            }
            Received::Message { stream, sequence, .. } => {
                let reading = self.reading.get_mut(&stream).unwrap();
                assert_eq!((sequence, reading.open.len()), (reading.next, 0));
                assert!(!reading.has_moved);
                reading.took(window);
            }
            Received::Fragment { stream, sequence, fragment, bytes, .. } => {
                let reading = self.reading.get_mut(&stream).unwrap();
                assert_eq!(sequence, reading.next);
                assert_eq!(fragment.offset as usize, reading.open.len());
                assert!(!reading.has_moved);
                reading.open.extend(bytes);
                let total = fragment.total as usize;
                assert!(reading.open.len() <= total);
                if reading.open.len() == total {
                    assert_eq!(std::mem::take(&mut reading.open), blob(total));
                    reading.took(window);
                }
            }
            Received::Gap { stream, missed, .. } => {
                let reading = self.reading.get_mut(&stream).unwrap();
                assert!(!reading.has_moved);
                reading.next += missed;
                reading.open.clear();
            }
            Received::Region { stream, first, .. } => {
                let reading = self.reading.get_mut(&stream).unwrap();
                assert_eq!((first, reading.open.len()), (reading.next, 0));
                reading.has_moved = true;
            }
            Received::End { stream, next } => {
                let reading = self.reading.remove(&stream).unwrap();
                assert_eq!(reading.open.len(), 0);
                assert!(next == reading.next || next > reading.next && reading.has_moved);
            }
            Received::Gone(stream) => {
                assert_eq!(self.reading.remove(&stream).unwrap().open.len(), 0);
            }
            Received::Rejected(..)
            | Received::Unsubscribed { .. }
            | Received::Accepted(_)
            | Received::Up(_)
            | Received::Demand(_)
            | Received::Describe(..)
            | Received::Described { .. }
            | Received::Memory(_)
            | Received::Window { .. } => {}
        }
    }
}

fn below(random: &mut u64, most: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 11) % most
}

#[test]
fn correct_peers_keep_their_link() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cases = number("LINK_CASES").unwrap_or(1000);
    let seeds = number("LINK_SEED").map_or(1..cases, |seed| seed..seed + 1);
    for seed in seeds {
        let mut world = CrossingTest::new(seed);
        (0..250).for_each(|_| world.step());
        world.quiet();
    }
}
