//! Moves the streams of one connection to shared memory, at the publishers' side.
//!
//! The reader gets a token over the link and connects with it to the control socket. Then each
//! stream whose ring lies in memory that others can map takes these steps, while its messages go
//! over the link: the ring's descriptor is passed to the reader; the reader answers with the
//! descriptor of its positions; the link says from which message on the stream is in shared memory.
//! If the reader cannot map the ring, the stream stays on the link.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::Context;
use std::time::Duration;

use mycelium_core::link::OutgoingId;
use mycelium_core::ring::region::ForeignCursors;
use mycelium_executor::Executor;

use super::stream_state::{MemoryStep, PassedRegion, RegionAnswer, StreamState};
use crate::descriptor::{AsFd, OwnedFd};
use crate::link::channel::SessionChannel;
use crate::link::channel::{Arrival, Channel};
use crate::link::refusal::MemoryRefusal;
use crate::memory::{
    ControlThread, Gone, Mapping, Packet, PacketKind, SendError, Token, random_token,
};
use crate::seam::TapStream;
use crate::stream::NodeLink;
use crate::sync::lock;

/// The shared memory beside one connection of a reader.
pub(super) struct OutgoingMemory {
    control: Arc<ControlThread>,
    token: Token,
    channel: SessionChannel,
    /// The token was sent to the reader.
    is_offered: bool,
    /// The number of the region that was passed last.
    last: u32,
    /// The passed regions that the reader has not answered, by number. Their streams keep them.
    passed: BTreeMap<u32, Weak<PassedRegion>>,
    /// Why streams stay on the link, for the owner.
    problems: Vec<String>,
}

/// The most words that a reader's positions may have: enough for some 500 subscriptions. A
/// publisher loads some of each when it looks for room, and at the end of each poll.
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
            problems: Vec::new(),
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
        while let Some(arrival) = self.channel.next(context) {
            match arrival {
                Arrival::Packet(packet, descriptor) => self.answered(packet, descriptor),
                Arrival::Gone(reason) => {
                    self.problems.extend(self.channel.problem(&reason));
                    return Some(reason);
                }
            }
        }
        None
    }

    /// Closes the wake socket, as the link has ended and its session will not be polled in time.
    pub(super) fn link_ended(&mut self) {
        self.channel.end_wakes();
    }

    /// Returns why streams stay on the link, since the last call.
    pub(super) fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
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

    /// Takes the next possible step to move a stream to shared memory. No message of the stream is
    /// sent in part.
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
        // Only plain messages move. Those that need a mark, a gap or special care go over the link,
        // and so do those that the publisher may overwrite although it waits for the reader.
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
            // The next call tries again.
            return;
        }
        let moved = std::mem::replace(&mut stream.state.memory, MemoryStep::Moved(number));
        if let MemoryStep::Mapped(_, cursors) = moved {
            stream.move_to_memory(cursors, tie.clone());
        }
        if let Some(readers) = stream.remote_readers() {
            self.channel.channel().add(Arc::downgrade(readers) as _);
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
        match tie.connection().send(packet, Some(file.as_fd())) {
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
        self.problems.push(problem.to_owned());
        MemoryStep::Stays
    }

    /// Maps the reader's positions that its answer passes.
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
