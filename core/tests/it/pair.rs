//! Two links on virtual time, with a connection that delays bytes and delivers them in pieces.
#![allow(clippy::disallowed_types)] // not shared memory of the core

pub(crate) mod conversation;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicPtr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mycelium_core::Fixed;
use mycelium_core::frame::Fragment;
use mycelium_core::link::{
    Config, Event, ExportId, IncomingId, InterestId, LentBytes, Link, LinkError, Name, OutgoingId,
    ReaderMode, ReaderStart, RejectReason,
};
use mycelium_core::{Digest, Envelope, FrameView, Limits};

use crate::legacy::hex;
use crate::portable::bodies::codec::Swap;

pub(crate) const TOPICS: usize = 3;
pub(crate) const STREAMS: usize = 4;

pub(crate) type TestLink = Link<'static, TOPICS, STREAMS>;

/// An event with copies of the borrowed data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    Up(String),
    Subscribe {
        export: ExportId,
        topic: String,
        type_id: u16,
        digest: Digest,
        mode: ReaderMode,
        start: ReaderStart,
        resumes: u16,
    },
    Resume {
        export: ExportId,
        epoch: u64,
        next: u64,
    },
    Unsubscribe(ExportId),
    Accepted(InterestId),
    Rejected(InterestId, RejectReason, Digest),
    Unsubscribed {
        interest: InterestId,
        discarded: u64,
    },
    Stream {
        stream: IncomingId,
        epoch: u64,
        first: u64,
        resumed: Option<u64>,
    },
    Message {
        stream: IncomingId,
        sequence: u64,
        payload: Vec<u8>,
        envelope: Envelope,
    },
    Fragment {
        stream: IncomingId,
        sequence: u64,
        fragment: Fragment,
        bytes: Vec<u8>,
        envelope: Envelope,
    },
    Gap {
        stream: IncomingId,
        missed: u64,
        reason: u16,
    },
    End {
        stream: IncomingId,
        next: u64,
    },
    Memory([u8; 16]),
    Region {
        stream: IncomingId,
        number: u32,
        first: u64,
    },
    Gone(IncomingId),
    /// About a layout.
    Describe,
    Demand(OutgoingId),
    Recall(ExportId, u64, u64),
    /// The epoch, the sequence, the offset, the total and the bytes of a part.
    Retained(u64, u64, [u32; 2], Vec<u8>),
    RetainedEnd(u64),
    Window {
        stream: OutgoingId,
        confirmed: u64,
    },
}

impl Received {
    fn message(stream: IncomingId, frame: &FrameView<'_>) -> Received {
        Received::Message {
            stream,
            sequence: frame.header().sequence(),
            payload: frame.payload().to_vec(),
            envelope: frame.envelope(),
        }
    }

    fn of(event: Event<'_>) -> Received {
        match event {
            Event::Up { node, .. } => Received::Up(node.to_owned()),
            Event::Subscribe { export, topic, type_id, digest, mode, start, resumes } => {
                let topic = topic.to_owned();
                Received::Subscribe { export, topic, type_id, digest, mode, start, resumes }
            }
            Event::Resume { export, epoch, next, .. } => Received::Resume { export, epoch, next },
            Event::Unsubscribe { export } => Received::Unsubscribe(export),
            Event::Accepted { interest } => Received::Accepted(interest),
            Event::Rejected { interest, reason, digest } => {
                Received::Rejected(interest, reason, digest)
            }
            Event::Unsubscribed { interest, discarded } => {
                Received::Unsubscribed { interest, discarded }
            }
            Event::Stream { stream, epoch, first, resumed, .. } => {
                Received::Stream { stream, epoch, first, resumed }
            }
            Event::Fragment { stream, fragment, envelope, bytes } => {
                let (sequence, bytes) = (envelope.sequence, bytes.to_vec());
                Received::Fragment { stream, sequence, fragment, bytes, envelope }
            }
            Event::Gap { stream, missed, reason } => Received::Gap { stream, missed, reason },
            Event::End { stream, next } => Received::End { stream, next },
            Event::Memory { token } => Received::Memory(token),
            Event::Region { stream, number, first } => Received::Region { stream, number, first },
            Event::Gone { stream } => Received::Gone(stream),
            Event::Describe { .. } | Event::Described { .. } => Received::Describe,
            Event::Demand { stream } => Received::Demand(stream),
            Event::Recall { export, epoch, before } => Received::Recall(export, epoch, before),
            Event::Retained { epoch, sequence, offset, total, bytes, .. } => {
                Received::Retained(epoch, sequence, [offset, total], bytes.to_vec())
            }
            Event::RetainedEnd { epoch, .. } => Received::RetainedEnd(epoch),
            Event::Window { stream, confirmed } => Received::Window { stream, confirmed },
            other => panic!("unknown event: {other:?}"),
        }
    }
}

/// A buffer that lives as long as the process, and stays reachable: not a leak for sanitizers.
pub(crate) fn lasting(length: usize) -> &'static mut [u8] {
    static KNOWN: Mutex<Vec<AtomicPtr<u8>>> = Mutex::new(Vec::new());
    let buffer = vec![0; length].leak();
    let known = AtomicPtr::new(buffer.as_mut_ptr());
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).push(known);
    buffer
}

/// One side, and the bytes on their way to it.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) link: TestLink,
    /// Each with its time of arrival.
    arriving: VecDeque<(Duration, Vec<u8>)>,
    /// The bytes of an incomplete frame.
    pub(crate) unread: Vec<u8>,
    pub(crate) received: Vec<Received>,
    pub(crate) failed: Option<LinkError>,
}

impl Side {
    /// The events since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<Received> {
        std::mem::take(&mut self.received)
    }

    /// Reads up to `most` of the bytes that have arrived, and handles all complete frames.
    pub(crate) fn read(&mut self, now: Duration, most: usize) -> bool {
        let mut left = most;
        while left > 0
            && let Some((due, bytes)) = self.arriving.front_mut()
            && *due <= now
        {
            let count = left.min(bytes.len());
            self.unread.extend(bytes.drain(..count));
            left -= count;
            if bytes.is_empty() {
                self.arriving.pop_front();
            }
        }
        let read = left < most;
        self.digest(now);
        read
    }

    fn digest(&mut self, now: Duration) {
        let bytes = std::mem::take(&mut self.unread);
        let mut start = 0;
        while self.failed.is_none() {
            let Side { link, received, .. } = self;
            let result = link.input(now, &bytes[start..], |stream, frame| {
                received.push(Received::message(stream, &frame));
                Ok(())
            });
            match result {
                Ok(input) => {
                    match input.event {
                        Some(Event::Run { stream, first, shape, bytes }) => {
                            let items = bytes.chunks(shape.stride as usize);
                            self.received.extend(items.zip(first..).map(|(item, sequence)| {
                                let payload = shape.message(item).to_vec();
                                let envelope = Envelope::default();
                                Received::Message { stream, sequence, payload, envelope }
                            }));
                        }
                        event => self.received.extend(event.map(Received::of)),
                    }
                    assert!(input.used > 0 || input.needed > bytes.len() - start);
                    if input.used == 0 {
                        break;
                    }
                    start += input.used;
                }
                Err(error) => self.failed = Some(error),
            }
        }
        self.unread = bytes[start..].to_vec();
    }
}

pub(crate) struct Pair {
    pub(crate) now: Duration,
    pub(crate) sides: [Side; 2],
    /// How long bytes take.
    pub(crate) delay: Duration,
    /// All bytes that each side wrote.
    pub(crate) written: [Vec<u8>; 2],
    /// The messages of runs, by their sequences.
    pub(crate) message: fn(u64) -> Vec<u8>,
    /// Bytes that are damaged on their way: by which side each is written, how many bytes of that
    /// side are before it, and the bits that change.
    pub(crate) damage: Vec<(usize, usize, u8)>,
}

pub(crate) fn config(name: &str) -> Config {
    Config::new(Name::try_from(name).unwrap(), 7)
}

impl Pair {
    /// Both links, with a connection between them.
    pub(crate) fn new() -> Pair {
        Pair::with(4096, |_, _| {})
    }

    /// Links with buffers of this many bytes, after a change of the left and the right settings.
    pub(crate) fn with(buffer: usize, change: impl FnOnce(&mut Config, &mut Config)) -> Pair {
        let (mut left, mut right) = (config("left"), config("right"));
        change(&mut left, &mut right);
        let sides = [left, right].map(|config| Side {
            link: Link::new(config, lasting(buffer)).unwrap(),
            arriving: VecDeque::new(),
            unread: Vec::new(),
            received: Vec::new(),
            failed: None,
        });
        let mut pair = Pair {
            now: Duration::from_secs(1),
            sides,
            delay: Duration::ZERO,
            written: Default::default(),
            message: |_| Swap::golden().encoded().to_vec(),
            damage: Vec::new(),
        };
        pair.connect();
        pair
    }

    pub(crate) fn connect(&mut self) {
        for side in &mut self.sides {
            side.link.open(self.now);
        }
    }

    /// Loses the connection and the bytes on their way.
    pub(crate) fn cut(&mut self) {
        for side in &mut self.sides {
            side.link.lost();
            side.arriving.clear();
            side.unread.clear();
            side.failed = None;
        }
    }

    /// Loses the connection and opens another one.
    pub(crate) fn reconnect(&mut self) {
        self.cut();
        self.connect();
        self.settle();
    }

    /// Sends what waits on the left side, and lets it arrive.
    pub(crate) fn deliver(&mut self) {
        self.sides[0].link.flush();
        self.settle();
    }

    /// Settles, and returns the events of one side.
    pub(crate) fn settled(&mut self, side: usize) -> Vec<Received> {
        self.settle();
        self.sides[side].take_events()
    }

    /// Gives bytes to one side as if its peer had sent them. Returns the error of that side.
    pub(crate) fn feed(&mut self, to: usize, bytes: &[u8]) -> Option<LinkError> {
        let side = &mut self.sides[to];
        side.unread.extend(bytes);
        side.digest(self.now);
        side.failed
    }

    pub(crate) fn failed(&self) -> [Option<LinkError>; 2] {
        self.sides.each_ref().map(|side| side.failed)
    }

    /// Lets one side write up to `most` bytes.
    pub(crate) fn write(&mut self, from: usize, most: usize) -> bool {
        let (now, due) = (self.now, self.now + self.delay);
        let Some(parts) = self.sides[from].link.poll_vectored(now) else { return false };
        let mut bytes = parts.bytes.to_vec();
        bytes.extend(parts.lent.iter().flat_map(|lent| lent_bytes(self.message, lent)));
        bytes.truncate(most);
        self.sides[from].link.transmitted(now, bytes.len());
        let written = !bytes.is_empty();
        if written {
            let before = self.written[from].len();
            self.written[from].extend(&bytes);
            for (_, at, bits) in self.damage.iter().filter(|(side, ..)| *side == from) {
                if let Some(byte) = at.checked_sub(before).and_then(|at| bytes.get_mut(at)) {
                    *byte ^= bits;
                }
            }
            self.sides[1 - from].arriving.push_back((due, bytes));
        }
        written
    }

    /// Lets both sides write and read until no bytes move at this time.
    pub(crate) fn settle(&mut self) {
        loop {
            let written = self.write(0, usize::MAX) | self.write(1, usize::MAX);
            let now = self.now;
            let read = self.sides[0].read(now, usize::MAX) | self.sides[1].read(now, usize::MAX);
            if !written && !read {
                return;
            }
        }
    }

    /// Advances the time to the next timer or arrival, at most to `until`.
    pub(crate) fn step(&mut self, until: Duration) {
        let timers = self.sides.iter().filter_map(|side| side.link.poll_timeout());
        let arrivals = self.sides.iter().filter_map(|side| Some(side.arriving.front()?.0));
        let next = timers.chain(arrivals).min().unwrap_or(until);
        self.now = next.clamp(self.now, until.max(self.now));
        for side in &mut self.sides {
            if let Err(error) = side.link.handle_timeout(self.now) {
                side.failed = Some(error);
            }
        }
    }

    /// Lets time pass, with all timers and arrivals.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.settle();
            if self.now >= until {
                return;
            }
            let before = self.now;
            self.step(until);
            // A timer that stays due would make the loop endless.
            let due = |side: &Side| side.link.poll_timeout().is_some_and(|due| due <= before);
            assert!(self.now > before || !self.sides.iter().any(due), "a timer that never ends");
        }
    }
}

/// The unwritten bytes of a run or a fragment. The bytes around the messages of a run are not zero.
pub(crate) fn lent_bytes(message: fn(u64) -> Vec<u8>, run: &LentBytes) -> Vec<u8> {
    let Some(shape) = run.shape else {
        return message(run.first)[run.offset..][..run.length].to_vec();
    };
    let stride = shape.stride as usize;
    let (out, within) = ((run.offset / stride) as u64, run.offset % stride);
    let count = (within + run.length) / stride;
    let item = |sequence| {
        let mut item = vec![0xee; stride];
        let skip = usize::from(shape.skip);
        let message = message(sequence);
        assert_eq!(message.len(), usize::from(shape.length));
        item[skip..skip + message.len()].copy_from_slice(&message);
        item
    };
    let from = run.first + out;
    let bytes: Vec<u8> = (from..from + count as u64).flat_map(item).collect();
    bytes[within..].to_vec()
}

/// The bytes of an example in `docs/wire-format.md`.
pub(crate) fn offered(name: &str) -> Vec<u8> {
    let document = include_str!("../../../docs/wire-format.md");
    let start = document.find(&format!("```hex {name}\n")).expect(name);
    let block = document[start..].lines().skip(1).take_while(|line| *line != "```");
    let digits: String = block.map(|line| line.split(';').next().unwrap()).collect();
    hex(&digits)
}

/// The control frames in these bytes, each with its kind; a run with its messages.
fn control_frames(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut frames = Vec::new();
    while let Ok((frame, mut rest)) = FrameView::parse(bytes, &Limits::default()) {
        if frame.header().type_id() == 0 {
            let payload = frame.payload();
            let word = |at| u32::from_le_bytes(*payload[at..].first_chunk().unwrap()) as usize;
            let kind = u16::from_le_bytes(*payload.first_chunk().unwrap());
            if kind == 19 {
                rest = rest.get(word(4) * word(8)..).unwrap_or_default();
            }
            frames.push((kind, &bytes[..bytes.len() - rest.len()]));
        }
        bytes = rest;
    }
    frames
}

/// The first control frame of each kind.
pub(crate) fn first_of_each_kind(bytes: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    let frames = control_frames(bytes).into_iter().rev();
    frames.map(|(kind, frame)| (kind, frame.to_vec())).collect()
}

/// How many control frames of a kind are in these bytes.
pub(crate) fn count(bytes: &[u8], kind: u16) -> usize {
    control_frames(bytes).iter().filter(|(found, _)| *found == kind).count()
}
