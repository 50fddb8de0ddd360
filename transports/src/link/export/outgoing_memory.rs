//! The publishers' side of moving a connection's streams to shared memory.
//!
//! The reader gets a token over the link and presents it at the control socket. Then each stream
//! whose ring lies in shareable memory takes these steps, while its messages still go over the
//! link: this side passes the ring's descriptor to the reader; the reader answers with the
//! descriptor of its positions; the link says from which message on the stream is in shared memory.
//! If the reader cannot map the ring, the stream stays on the link.
//!
//! [`StreamState`] is the progress of a stream, on the link or in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::Context;
use std::time::Duration;

use mycelium_core::Envelope;
use mycelium_core::frame::Fragment;
use mycelium_core::link::{Batching, OutgoingId, SendError as LinkSendError};
use mycelium_core::ring::region::ForeignCursors;
use mycelium_executor::Executor;

use super::redelivery::DeliveryHistory;
use crate::descriptor::{AsFd, OwnedFd};
use crate::link::channel::{Arrival, Channel, MemoryRefusal, SessionChannel};
use crate::local::retained::{SlotReading, Value};
use crate::memory::{
    ControlThread, Gone, Mapping, Packet, PacketKind, SendError, Token, random_token,
};
use crate::seam::TapStream;
use crate::stream::NodeLink;
use crate::sync::lock;

/// The shared memory beside one connection of a reader. Dropping it makes an unused token invalid.
pub(super) struct OutgoingMemory {
    control: Arc<ControlThread>,
    token: Token,
    pub(super) channel: SessionChannel,
    /// The token was sent to the reader.
    is_offered: bool,
    /// The number of the region that was passed last.
    last: u32,
    /// The passed regions that the reader has not answered, by number. Their streams keep them.
    passed: BTreeMap<u32, Weak<PassedRegion>>,
}

/// The most words of a reader's positions: enough for some 500 subscriptions. A publisher loads
/// several words of each subscription when it needs room, and at the end of each poll.
const MOST_CURSORS: usize = 1 << 14;

impl OutgoingMemory {
    /// Opens a control connection for a peer whose process is known. `executor` runs the session's
    /// task.
    pub(super) fn new(
        control: &Arc<ControlThread>,
        process: Option<u32>,
        executor: &Arc<dyn Executor>,
    ) -> OutgoingMemory {
        let (token, channel) = (random_token(), Arc::new(Channel::default()));
        control.expect(token, process, channel.clone());
        OutgoingMemory {
            control: control.clone(),
            token,
            channel: SessionChannel::new(channel, executor),
            is_offered: false,
            last: 0,
            passed: BTreeMap::new(),
        }
    }

    /// Takes the packets that have arrived. Returns why the connection has ended, if it has.
    pub(super) fn update(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        context: &mut Context<'_>,
    ) -> Option<Gone> {
        if !self.is_offered {
            self.is_offered = link.offer_memory(now, self.token).is_ok();
        }
        while let Some(arrival) = self.channel.next(context.waker()) {
            match arrival {
                Arrival::Packet(packet, descriptor) => self.answered(packet, descriptor),
                Arrival::Gone(reason) => return Some(reason),
            }
        }
        None
    }

    fn answered(&mut self, packet: Packet, descriptor: Option<OwnedFd>) {
        let answer = match (packet.kind, descriptor) {
            (PacketKind::Cursors, Some(file)) => {
                let readers = usize::try_from(packet.args[0]).unwrap_or(usize::MAX);
                RegionAnswer::Cursors { readers, file }
            }
            (PacketKind::Cursors, None) => RegionAnswer::Refused(MemoryRefusal::Descriptors.code()),
            (PacketKind::Refused, _) => RegionAnswer::Refused(packet.args[0]),
            _ => return,
        };
        let number = u32::try_from(packet.number).ok();
        let passed = number.and_then(|number| self.passed.remove(&number));
        if let Some(passed) = passed.and_then(|passed| passed.upgrade()) {
            *lock(&passed.answer) = Some(answer);
        }
    }

    /// Takes the next possible step to move a stream to shared memory. Must not be called while a
    /// message of the stream is sent in part.
    pub(super) fn advance(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        id: OutgoingId,
        stream: &mut TapStream<StreamState>,
    ) {
        if let MemoryStep::Start = stream.state.memory {
            stream.state.memory = self.pass(stream);
        }
        if let MemoryStep::Passed(passed) = &stream.state.memory {
            let answer = lock(&passed.answer).take();
            let number = passed.number;
            if let Some(answer) = answer {
                stream.state.memory = self.judge(number, answer, stream);
            }
        }
        // Only plain messages move. Messages that need a mark, a gap or special care go over the
        // link, and so do messages that the publisher may overwrite although it waits for the
        // reader.
        let is_plain = stream.next() >= stream.joined_at();
        if is_plain && stream.state.history.is_over(stream.next()) {
            self.move_stream(now, link, id, stream);
        }
    }

    /// Moves a stream whose reader has mapped its ring.
    fn move_stream(
        &self,
        now: Duration,
        link: &mut NodeLink<'_>,
        id: OutgoingId,
        stream: &mut TapStream<StreamState>,
    ) {
        let &MemoryStep::Mapped(number, _) = &stream.state.memory else { return };
        let Some(tie) = self.channel.tie() else { return };
        if link.move_stream(now, id, number).is_err() {
            // The next call of `advance` tries again.
            return;
        }
        let moved = std::mem::replace(&mut stream.state.memory, MemoryStep::Moved(number));
        if let MemoryStep::Mapped(_, cursors) = moved {
            stream.move_to_memory(cursors, tie.clone());
        }
        if let Some(readers) = stream.remote_readers() {
            self.channel.channel.add(Arc::downgrade(readers) as _);
        }
        stream.state.connection.is_moved = true;
    }

    /// Passes a stream's ring to the reader.
    fn pass(&mut self, stream: &TapStream<StreamState>) -> MemoryStep {
        let Some(tie) = self.channel.tie() else { return MemoryStep::Start };
        let (file, proxy) = match stream.memory() {
            Ok(memory) => memory,
            Err(problem) => return self.stay(problem),
        };
        self.last += 1;
        let (entry, generation) =
            proxy.map_or((u64::MAX, 0), |it| (it.entry as u64, it.generation as u64));
        let args = [stream.epoch(), entry, generation, 0];
        let packet = Packet::new(PacketKind::Region, self.last.into(), args);
        match tie.connection.send(packet, Some(file.as_fd())) {
            Ok(()) => {}
            Err(error @ SendError::Descriptors) => return self.stay(&error.to_string()),
            // Fails only if the connection is about to end, for a reason that is reported
            // elsewhere.
            Err(_) => return MemoryStep::Stays,
        }
        let passed = Arc::new(PassedRegion { number: self.last, answer: Mutex::default() });
        self.passed.retain(|_, passed| passed.strong_count() > 0);
        self.passed.insert(self.last, Arc::downgrade(&passed));
        MemoryStep::Passed(passed)
    }

    fn stay(&mut self, problem: &str) -> MemoryStep {
        self.channel.problems.push(problem.to_owned());
        MemoryStep::Stays
    }

    /// Maps the memory of the reader's positions, if the answer passes it. Otherwise the stream
    /// stays.
    fn judge(
        &mut self,
        number: u32,
        answer: RegionAnswer,
        stream: &TapStream<StreamState>,
    ) -> MemoryStep {
        let (readers, file) = match answer {
            RegionAnswer::Cursors { readers, file } => (readers, file),
            RegionAnswer::Refused(code) => return self.stay(MemoryRefusal::text(code)),
        };
        let mapping = match Mapping::attach(file, MOST_CURSORS, false) {
            Ok(mapping) => mapping,
            Err(error) => return self.stay(&error.to_string()),
        };
        let (layout, identity) = stream.ring();
        match ForeignCursors::attach(mapping, layout, readers, identity) {
            Ok(cursors) => MemoryStep::Mapped(number, cursors),
            Err(error) => self.stay(&error.to_string()),
        }
    }
}

impl Drop for OutgoingMemory {
    fn drop(&mut self) {
        self.control.forget(&self.token);
    }
}

// How far a publisher's stream was sent to its reader, on all connections and on the present one.

/// The progress of a stream: sent and confirmed messages.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    pub(super) connection: ConnectionProgress,
    pub(super) history: DeliveryHistory,
    /// The step that the stream has reached on its way to shared memory.
    pub(super) memory: MemoryStep,
    /// The frame with the end of the stream's messages in shared memory was sent.
    pub(super) has_said_end: bool,
}

/// The progress of a stream on this connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionProgress {
    /// The link's stream, once it is open.
    pub(super) stream: Option<OutgoingId>,
    /// The sequence from which the peer wants the stream to resume.
    pub(super) resume_at: Option<u64>,
    /// This side has lost the record of what the peer confirmed on earlier connections.
    pub(super) has_forgotten: bool,
    /// The peer's readers have asked for messages.
    pub(super) is_demanded: bool,
    /// The peer has reported which messages it has finished.
    pub(super) has_reported: bool,
    /// The number of sent bytes of the next message, if it is sent in fragments.
    pub(super) offset: usize,
    /// The number of missing messages for which no gap was sent yet.
    pub(super) missed: u64,
    /// The reading of those that the publisher retains, and the next one to send.
    pub(super) found: Option<(SlotReading, Option<Value>)>,
    /// What the publisher retains before this sequence must be sent before all else.
    pub(super) retains: Option<u64>,
    pub(super) ended: bool,
    /// The frame that moves the stream to shared memory was sent.
    pub(super) is_moved: bool,
    pub(super) gathering: Gathering,
}

/// Collects the messages of a publisher that sends continuously into larger runs. A task emits a
/// few hundred messages in a poll, so a link that sends after each poll would write small runs.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// The time at which the last run was sent.
    last: Option<Duration>,
    /// The last turn in which messages were kept back, and the number of ready messages then.
    kept_back: Option<(usize, usize)>,
}

impl Gathering {
    /// Whether `ready` messages are kept back until the next turn of the link to make a larger
    /// batch. They are sent if they fill a batch, if the last turn brought no more messages, or if
    /// the last run was sent longer ago than a batch may be delayed: a publisher with little load
    /// pays no latency.
    pub(super) fn keeps_back(
        &mut self,
        now: Duration,
        turn: usize,
        batching: Batching,
        stride: u32,
        ready: usize,
    ) -> bool {
        let is_steady = self.last.is_some_and(|last| now < last.saturating_add(batching.delay));
        let is_full = ready >= batching.bytes / stride.max(1) as usize;
        let grows = self.kept_back.is_none_or(|(last, count)| last == turn || count < ready);
        let keeps_back = is_steady && !is_full && grows;
        self.kept_back = keeps_back.then_some((turn, ready));
        keeps_back
    }

    /// Records that a run was sent.
    pub(super) fn sent(&mut self, now: Duration) {
        self.last = Some(now);
    }
}

impl ConnectionProgress {
    /// Whether the peer, when it closed the link, had confirmed all messages that it had finished:
    /// the stream began on this connection, or it was resumed and the peer has reported its
    /// progress.
    pub(super) fn has_confirmed_all(&self) -> bool {
        self.stream.is_some() && (self.resume_at.is_none() || self.has_reported)
    }

    /// Whether the peer has named the stream on this connection, or it was opened.
    pub(super) fn is_known(&self) -> bool {
        self.stream.is_some() || self.resume_at.is_some()
    }

    /// Whether the last message or gap was sent completely.
    pub(super) fn is_between_messages(&self) -> bool {
        self.offset == 0 && self.missed == 0
    }

    /// Sends a message, or a fragment of it, without a copy if its stream `lends`. The message begins
    /// with its fixed part, which has `fixed_len` bytes. Returns whether all of it is sent.
    #[inline]
    pub(super) fn send(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        stream: OutgoingId,
        (bytes, lends): (&[u8], bool),
        fixed_len: u16,
        envelope: Envelope,
    ) -> Result<bool, LinkSendError> {
        if self.offset == 0 {
            match link.send(now, stream, &envelope, fixed_len, bytes) {
                Err(LinkSendError::TooLong { .. }) => {}
                sent => return sent.map(|()| true),
            }
        }
        let (offset, total) = (self.offset as u32, bytes.len() as u32);
        let fragment = Fragment { offset, total, fixed_len };
        let rest = bytes.get(self.offset..).unwrap_or_default();
        // The first fragment has the metadata of the message.
        let trace = envelope.trace.filter(|_| offset == 0);
        let sent_at = envelope.sent_at.filter(|_| offset == 0);
        let envelope = Envelope { trace, sent_at, ..envelope };
        let lent = if lends { link.lend_fragment(now, stream, &envelope, fragment)? } else { 0 };
        self.offset += match lent {
            0 => link.send_fragment(now, stream, &envelope, fragment, rest)?,
            lent => lent,
        };
        Ok(self.offset == bytes.len())
    }
}

/// A region of shared memory that was passed to a reader.
#[derive(Debug)]
pub(super) struct PassedRegion {
    pub(super) number: u32,
    pub(super) answer: Mutex<Option<RegionAnswer>>,
}

/// A reader's answer to a passed region.
#[derive(Debug)]
pub(super) enum RegionAnswer {
    /// The reader has mapped the ring, and passes the memory of its positions.
    Cursors { readers: usize, file: OwnedFd },
    /// The reader refuses the region, with the code of a
    /// [`MemoryRefusal`].
    Refused(u64),
}

/// The steps of a stream on its way to shared memory.
#[derive(Debug, Default)]
pub(super) enum MemoryStep {
    /// The ring was not passed to the reader.
    #[default]
    Start,
    /// The ring was passed to the reader; its answer has not arrived, or was not judged.
    Passed(Arc<PassedRegion>),
    /// The reader has mapped the ring.
    Mapped(u32, ForeignCursors<Mapping>),
    /// The reader reads in shared memory.
    Moved(u32),
    /// The stream stays on the link.
    Stays,
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);
    /// A batch has 100 messages of ten bytes.
    const BATCHING: Batching =
        Batching { bytes: 1000, messages: 1000, delay: Duration::from_millis(1) };

    fn keeps_back(gathering: &mut Gathering, now: Duration, turn: usize, ready: usize) -> bool {
        let keeps_back = gathering.keeps_back(now, turn, BATCHING, 10, ready);
        if !keeps_back {
            gathering.sent(now);
        }
        keeps_back
    }

    #[test]
    fn messages_are_kept_back_while_each_turn_brings_more() {
        let mut gathering = Gathering::default();
        assert!(!keeps_back(&mut gathering, US, 0, 8), "a first run is sent at once");
        assert!(keeps_back(&mut gathering, 2 * US, 1, 30));
        assert!(keeps_back(&mut gathering, 3 * US, 1, 30), "the same turn");
        assert!(keeps_back(&mut gathering, 4 * US, 2, 60));
        assert!(!keeps_back(&mut gathering, 5 * US, 3, 100), "a whole batch");
        assert!(keeps_back(&mut gathering, 6 * US, 4, 40));
        assert!(!keeps_back(&mut gathering, 7 * US, 5, 40), "the turn brought none");
    }

    #[test]
    fn a_publisher_with_little_load_and_a_late_link_send_at_once() {
        let mut gathering = Gathering::default();
        assert!(!keeps_back(&mut gathering, US, 0, 8));
        assert!(!keeps_back(&mut gathering, 1001 * US, 1, 8), "the last run is old");
        assert!(keeps_back(&mut gathering, 1500 * US, 2, 20));
        assert!(!keeps_back(&mut gathering, 2001 * US, 3, 40), "as late as a batch may be");
        let each = Batching::LOW_LATENCY;
        assert!(!gathering.keeps_back(2002 * US, 4, each, 10, 8), "each message on its own");
    }
}
