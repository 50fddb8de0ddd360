//! Links: a peer sends any bytes at any time, and any operation is called on a connection.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mycelium_core::frame::Fragment;
use mycelium_core::link::{
    CloseReason, Config, Event, ExportId, IncomingId, Interest, InterestId, LentBytes, Link,
    LinkError, Name, OutgoingId, ReaderMode, ReaderStart, RejectReason, RunShape, SendError,
    StreamStart, Transmit, Unit,
};
use mycelium_core::{Digest, Envelope};

type TestLink<'b> = Link<'b, 2, 3>;

/// Both sides of a link, and the bytes on their way to each.
#[derive(Default)]
struct Pair<'b> {
    now: Duration,
    links: Vec<TestLink<'b>>,
    arriving: [Vec<u8>; 2],
    /// The subscriptions at the writer; `outgoing` is its only stream, and `open` the length and
    /// the sent part of an open message.
    exports: Vec<ExportId>,
    outgoing: Option<(OutgoingId, ExportId)>,
    open: Option<(usize, usize)>,
    /// The epoch of the stream: the number of its publisher's start. `epochs` is the highest epoch
    /// that any stream had, and `ended` has the epochs of ended streams.
    epoch: u64,
    epochs: u64,
    ended: HashSet<u64>,
    /// The epoch and the sequence of each stream that moved to shared memory. `move_due`: the
    /// stream moved on an earlier connection, so it moves before anything else.
    moves: HashSet<(u64, u64)>,
    move_due: bool,
    /// Whether the writer refuses to resume streams.
    gone: bool,
    interests: Vec<InterestId>,
    /// The next sequence of each stream, and the offset in that message.
    expected: HashMap<IncomingId, (u64, u32)>,
    /// The streams whose messages are in shared memory. `offered`: shared memory was offered on
    /// this connection.
    in_memory: HashSet<IncomingId>,
    offered: bool,
    /// Whether no byte was changed or added.
    honest: bool,
}

/// Calls operations on both sides of a link. Some bytes of the input are used as bytes of the peer.
///
/// # Panics
/// If a link panics, accepts messages with holes, fails on unchanged bytes, continues after its
/// end, or has more to send than its buffer holds.
pub fn link(data: &[u8]) {
    let (mut left, mut right) = ([0; TestLink::MIN_BUFFER + 300], [0; TestLink::MIN_BUFFER + 300]);
    let config = Config { max_open: 1, memory: true, ..Config::new(Name::truncated("node"), 1) };
    let Ok(writer) = TestLink::new(config, &mut left) else { unreachable!("the smallest buffer") };
    let Ok(reader) = TestLink::new(config, &mut right) else { unreachable!("the smallest buffer") };
    let links = vec![writer, reader];
    let mut pair = Pair { links, epoch: 5, epochs: 5, honest: true, ..Pair::default() };
    pair.open();
    pair.subscribe();
    let mut data = data;
    while let [op, count, rest @ ..] = data {
        let count = usize::from(*count);
        data = rest;
        let side = usize::from(op & 1);
        // Bytes from 240 on are the operations 120 to 127; with `% 19` they would be 6 to 13 once
        // more.
        match if *op < 240 { (op >> 1) % 19 } else { op >> 1 } {
            0 => {
                let (bytes, rest) = data.split_at(count.min(data.len()));
                data = rest;
                pair.honest &= bytes.is_empty();
                pair.arriving[side].extend(bytes);
                pair.read(side, usize::MAX);
            }
            1 => pair.write(side, count * 4, None),
            2 => pair.write(side, 512, Some(count)),
            3 => pair.read(side, count * 4),
            4 => pair.send(count),
            5 => pair.links[side].flush(),
            6 => pair.pass(count),
            7 => pair.open(),
            8 => pair.subscribe(),
            9 => pair.settle(),
            10 => pair.links[side].close(pair.now, CloseReason::Shutdown),
            11 => pair.skip(count as u64),
            12 => pair.reject(count),
            13 => pair.gone = count & 1 == 1,
            14 => pair.unsubscribe(count),
            15 => pair.end(),
            16 => pair.open_another_stream(count),
            17 => pair.send_run(count),
            120..=121 => _ = pair.links[side].offer_memory(pair.now, [7; 16]),
            122..=124 => pair.move_stream(count),
            125..=127 => pair.end_moved(count as u64),
            _ => pair.send_fragment(count * 7),
        }
    }
    pair.settle();
}

impl Pair<'_> {
    /// Opens a new connection.
    fn open(&mut self) {
        (self.outgoing, self.open) = (None, None);
        self.exports.clear();
        for side in 0..2 {
            self.links[side].open(self.now);
            self.arriving[side].clear();
        }
        self.expected.clear();
        (self.move_due, self.offered) = (false, false);
    }

    fn subscribe(&mut self) {
        let interest = Interest {
            topic: Name::truncated("topic"),
            type_id: 1,
            digest: Digest([0; 16]),
            mode: ReaderMode::Gating,
            start: ReaderStart::Oldest,
            window: 4,
            unit: Unit::MESSAGE,
        };
        self.interests.extend(self.links[1].subscribe(interest));
    }

    /// Moves bytes from one side to the other, and changes one of them if requested.
    fn write(&mut self, from: usize, most: usize, tamper: Option<usize>) {
        let Some(Transmit { bytes, lent }) = self.links[from].poll_vectored(self.now) else {
            return;
        };
        assert!(bytes.len() <= TestLink::MIN_BUFFER + 300);
        let mut bytes = bytes.to_vec();
        assert!(!bytes.is_empty() || lent.is_some());
        if let Some(LentBytes { shape, offset, length, .. }) = lent {
            let stride = shape.map_or(1, |shape| shape.stride as usize);
            assert!(length > 0 && (offset + length).is_multiple_of(stride));
            bytes.resize(bytes.len() + length, 7);
        }
        bytes.truncate(most);
        self.links[from].transmitted(self.now, bytes.len());
        if let Some(place) = tamper
            && let Some(byte) = bytes.get_mut(place)
        {
            *byte = byte.wrapping_add(1);
            self.honest = false;
        }
        self.arriving[1 - from].extend(bytes);
    }

    fn read(&mut self, side: usize, most: usize) {
        let count = most.min(self.arriving[side].len());
        let mut bytes: Vec<u8> = self.arriving[side].drain(..count).collect();
        let ended = self.links[side].ended();
        let mut start = 0;
        loop {
            let honest = self.honest;
            let mut messages = Vec::new();
            let result = self.links[side].input(self.now, &bytes[start..], |stream, frame| {
                messages.push((stream, frame.header().sequence()));
                Ok(())
            });
            for (stream, sequence) in messages {
                assert!(side == 1, "the writer received a message");
                self.reader_receives(stream, sequence, honest);
            }
            match result {
                Ok(input) => {
                    assert_eq!(ended, None, "the link continues after its end");
                    assert!(input.used > 0 || input.needed > bytes.len() - start);
                    let over = input.used == 0;
                    start += input.used;
                    match input.event {
                        Some(event) if side == 0 => self.writer_receives(event),
                        Some(event) => self.reader_receives_event(event, honest),
                        None => {}
                    }
                    if over {
                        break;
                    }
                }
                Err(error) => {
                    use LinkError::{Handshake, LocallyClosed, PeerClosed, Silent};

                    let closed = matches!(error, PeerClosed(_) | LocallyClosed(_));
                    let meant = closed || matches!(error, Silent { .. } | Handshake { .. });
                    assert!(!honest || meant, "{error}");
                    assert_eq!(self.links[side].ended(), Some(error));
                    bytes.clear();
                    start = 0;
                    break;
                }
            }
        }
        // The bytes of an incomplete frame are read again with its rest.
        bytes.drain(..start);
        bytes.append(&mut self.arriving[side]);
        self.arriving[side] = bytes;
    }

    fn writer_receives(&mut self, event: Event<'_>) {
        match event {
            Event::Subscribe { export, resumes, .. } => {
                self.exports.push(export);
                if resumes == 0 {
                    self.open_stream(export, 5, 10);
                }
            }
            Event::Resume { export, epoch, .. } if self.gone || self.ended.contains(&epoch) => {
                let _ = self.links[0].refuse_resume(self.now, export, epoch);
            }
            Event::Resume { export, epoch, next, .. } => {
                let is_free = self.outgoing.is_none();
                self.open_stream(export, epoch, next);
                if is_free {
                    self.move_due = self.moves.contains(&(epoch, next));
                }
            }
            Event::Unsubscribe { export } => self.forget(export),
            _ => {}
        }
    }

    fn reader_receives(&mut self, stream: IncomingId, sequence: u64, honest: bool) {
        assert!(!self.in_memory.contains(&stream), "a message of a stream in memory");
        let expected = self.expected.insert(stream, (sequence + 1, 0));
        assert!(!honest || expected == Some((sequence, 0)), "a hole");
        let _ = self.links[1].grant(stream, 1);
    }

    fn reader_receives_event(&mut self, event: Event<'_>, honest: bool) {
        match event {
            Event::Stream { stream, first, .. } => _ = self.expected.insert(stream, (first, 0)),
            Event::Memory { .. } => {
                assert!(!std::mem::replace(&mut self.offered, true), "a second offer");
            }
            Event::Region { stream, first, .. } => {
                let expected = self.expected.get(&stream);
                assert_eq!(expected, Some(&(first, 0)), "a region elsewhere");
                self.in_memory.insert(stream);
            }
            Event::Gap { stream, missed, .. } => {
                assert!(!self.in_memory.contains(&stream), "a gap of a stream in memory");
                let expected = self.expected.entry(stream).or_default();
                *expected = (expected.0.saturating_add(missed), 0);
                let _ = self.links[1].grant(stream, 1);
            }
            Event::Fragment { stream, fragment, envelope, bytes } => {
                assert!(!self.in_memory.contains(&stream), "a part of a message in memory");
                let sequence = envelope.sequence;
                let here = (sequence, fragment.offset);
                let end = fragment.offset + bytes.len() as u32;
                assert!(end <= fragment.total, "a fragment passes the end");
                let is_last = end == fragment.total;
                let next = if is_last { (sequence + 1, 0) } else { (sequence, end) };
                let expected = self.expected.insert(stream, next);
                assert!(!honest || expected == Some(here), "a hole in a message");
                if is_last {
                    let _ = self.links[1].grant(stream, 1);
                }
            }
            Event::Run { stream, first, shape, bytes } => {
                assert!(!bytes.is_empty() && bytes.len().is_multiple_of(shape.stride as usize));
                let count = bytes.len() / shape.stride as usize;
                assert!(!honest || bytes.iter().all(|byte| *byte == 7), "other bytes");
                for sequence in (first..).take(count) {
                    self.reader_receives(stream, sequence, honest);
                }
            }
            Event::End { stream, next } => {
                let (expected, offset) = self.expected.remove(&stream).unwrap_or((next, 0));
                let is_last = expected == next || self.in_memory.contains(&stream);
                assert!(expected <= next && is_last, "an end elsewhere");
                assert!(!honest || offset == 0, "an end within a message");
            }
            Event::Gone { stream } => {
                let (_, offset) = self.expected.remove(&stream).unwrap_or_default();
                assert!(!honest || offset == 0, "an end within a message");
            }
            _ => {}
        }
    }

    /// Opens the stream: a new one, or at the position of its reader.
    fn open_stream(&mut self, export: ExportId, epoch: u64, first: u64) {
        if self.outgoing.is_none() {
            let name = Name::truncated("feed");
            let offered = self.links[0].open_stream(
                self.now,
                export,
                name,
                StreamStart::new(epoch, first, 1024),
            );
            self.outgoing = offered.ok().map(|stream| (stream, export));
            (self.epoch, self.move_due) = (epoch, false);
        }
    }

    /// Opens a stream for another start of the publisher.
    fn open_another_stream(&mut self, count: usize) {
        if let Some(export) = self.exports.get(count % self.exports.len().max(1)) {
            self.epochs += 1;
            self.open_stream(*export, self.epochs, 10);
        }
    }

    fn reject(&mut self, count: usize) {
        let Some(&export) = self.exports.get(count % self.exports.len().max(1)) else { return };
        let _ = self.links[0].reject(export, RejectReason::Ended, Digest([0; 16]));
        self.forget(export);
    }

    /// Forgets a subscription that has ended, or was rejected.
    fn forget(&mut self, export: ExportId) {
        self.exports.retain(|known| *known != export);
        if self.outgoing.is_some_and(|(_, of)| of == export) {
            (self.outgoing, self.open) = (None, None);
        }
    }

    fn unsubscribe(&mut self, count: usize) {
        if !self.interests.is_empty() {
            let interest = self.interests.swap_remove(count % self.interests.len());
            let _ = self.links[1].unsubscribe(interest);
        }
    }

    fn end(&mut self) {
        let Some(stream) = self.sending() else { return };
        if self.links[0].end_stream(self.now, stream).is_ok() {
            assert_eq!(self.open, None, "an end within a message");
            self.outgoing = None;
            self.ended.insert(self.epoch);
        }
    }

    /// Returns the stream on which to send. If `move_due`, moves it to shared memory first; `None`
    /// if the move fails, or if there is no stream.
    fn sending(&mut self) -> Option<OutgoingId> {
        if self.move_due {
            self.move_stream(0);
        }
        self.outgoing.filter(|_| !self.move_due).map(|(stream, _)| stream)
    }

    fn move_stream(&mut self, number: usize) {
        let Some((stream, _)) = self.outgoing else { return };
        match self.links[0].move_stream(self.now, stream, number as u32) {
            Ok(first) => {
                assert_eq!(self.open, None, "a move within a message");
                self.moves.insert((self.epoch, first));
                self.move_due = false;
            }
            Err(SendError::Gone | SendError::Down) => (self.outgoing, self.open) = (None, None),
            Err(_) => {}
        }
    }

    fn end_moved(&mut self, count: u64) {
        let Some(stream) = self.sending() else { return };
        let Ok(first) = self.links[0].sequence(stream) else { return };
        let next = first.saturating_add(count);
        if self.links[0].end_moved_stream(self.now, stream, next).is_ok() {
            assert!(self.moves.contains(&(self.epoch, first)), "the stream has not moved");
            self.outgoing = None;
            self.ended.insert(self.epoch);
        }
    }

    /// Sends a part of a new message, or of the open one.
    fn send_fragment(&mut self, length: usize) {
        let Some(stream) = self.sending() else { return };
        let (length, sent) = self.open.unwrap_or((length, 0));
        let payload = [7; 255 * 7];
        let fragment = Fragment { offset: sent as u32, total: length as u32, fixed_len: 0 };
        let (rest, plain) = (&payload[sent..length], Envelope::default());
        let link = &mut self.links[0];
        let lent = match (length + sent).is_multiple_of(3) {
            true => link.lend_fragment(self.now, stream, &plain, fragment),
            false => Ok(0),
        };
        let sent_now = match lent {
            Ok(0) => link.send_fragment(self.now, stream, &plain, fragment, rest),
            lent => lent,
        };
        match sent_now {
            Ok(count) => {
                assert!(count > 0 || length == 0);
                let sent = sent + count;
                self.open = (sent < length).then_some((length, sent));
            }
            Err(SendError::Gone | SendError::Down) => (self.outgoing, self.open) = (None, None),
            Err(error) => {
                let wrong = matches!(error, SendError::Fragment { .. } | SendError::Fixed { .. });
                assert!(!wrong, "{error}");
            }
        }
    }

    /// Sends some messages as a run: several whole messages in one frame.
    fn send_run(&mut self, count: usize) {
        let Some(stream) = self.sending() else { return };
        let shape = RunShape { stride: 24, skip: 8, length: 12 };
        match self.links[0].send_run(self.now, stream, shape, count) {
            Ok(sent) => assert!(sent <= count && (sent == 0 || self.open.is_none())),
            Err(SendError::Gone) => (self.outgoing, self.open) = (None, None),
            Err(_) => {}
        }
    }

    fn send(&mut self, count: usize) {
        let Some(stream) = self.sending() else { return };
        let payload = &[7; 255][..count];
        let (envelope, fixed) = (Envelope::default(), count as u16);
        let sent = self.links[0].send(self.now, stream, &envelope, fixed, payload);
        if let Err(SendError::Gone) = sent {
            (self.outgoing, self.open) = (None, None);
        }
    }

    fn skip(&mut self, missed: u64) {
        if let Some(stream) = self.sending()
            && self.links[0].skip(self.now, stream, missed, 1).is_ok()
            && missed > 0
        {
            self.open = None;
        }
    }

    fn pass(&mut self, count: usize) {
        self.now += Duration::from_millis(count as u64 * 40);
        for link in &mut self.links {
            let _ = link.handle_timeout(self.now);
        }
    }

    fn settle(&mut self) {
        // A fixed number of rounds is enough: credit limits how many frames each side can answer.
        for _ in 0..64 {
            for side in 0..2 {
                self.links[side].flush();
                self.write(side, usize::MAX, None);
                self.read(1 - side, usize::MAX);
            }
        }
    }
}
